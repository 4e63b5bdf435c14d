"""The texts a picture was made of: idea, expansion, prompt. One comes back to the editor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

from knowledge.screen import shown

TITLES = {"prompt": "As it was rendered", "expansion": "The expansion that was taken", "idea": "The idea"}


class Restore(ModalScreen[str]):
    """Closes with the chosen text, or with nothing."""

    BINDINGS = [("escape,q", "dismiss", "Close")]  # noqa: RUF012

    def __init__(self, picture: Path, spec: dict[str, Any]) -> None:
        super().__init__()
        self._picture = picture
        self._texts = [(name, str(spec[name])) for name in TITLES if str(spec.get(name) or "").strip()]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(f"Texts of {shown(self._picture.name)}", markup=False)
            yield OptionList(
                *(
                    Option(Text.assemble((f"{TITLES[name]}\n", "bold"), (shown(text)[:400], "")))
                    for name, text in self._texts
                ),
                id="restore-list",
            )
            yield Label("Enter takes it into the editor   Esc close", classes="passage-keys")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._texts[event.option_index][1])

"""What is hung onto the next renders: controls, references, regions, modifiers; added, changed, taken off."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

from assistant.tui.keys import bindings
from assistant.tui.parameter_form import ParameterForm
from generation.attachments import MODIFIERS, PARTS, further
from knowledge.screen import shown

NAMES = {"controls": "A control", "references": "A reference", "regions": "A region"}


class Attachments(ModalScreen[dict[str, Any]]):
    """Closes with the fields of a spec: {"controls": [..], "references": [..], "regions": [..], "modifiers": {..}}.

    `image` is the picture that a further control or reference begins with.
    """

    BINDINGS = bindings("attachments")  # type: ignore[assignment]

    def __init__(self, now: Mapping[str, Any], image: str = "") -> None:
        super().__init__()
        self._image = image
        self._parts = {name: [dict(one) for one in now.get(name) or ()] for name in PARTS}
        self._modifiers = dict(now.get("modifiers") or {})
        self._rows: list[tuple[str, int]] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage"):
            yield Label("Hung onto every render", classes="passage-title")
            yield OptionList(id="attachment-list")
            yield Label("C control  R reference  G region  M modifiers  Enter change  X take off  Esc done",
                        classes="passage-keys")  # fmt: skip

    def on_mount(self) -> None:
        self._fill()
        self.query_one("#attachment-list").focus()

    def _fill(self) -> None:
        options = self.query_one("#attachment-list", OptionList)
        at = options.highlighted or 0
        options.clear_options()
        self._rows = [(name, number) for name, many in self._parts.items() for number in range(len(many))]
        for name, number in self._rows:
            options.add_option(Option(_said(name, self._parts[name][number])))
        if self._modifiers:
            self._rows.append(("modifiers", 0))
            options.add_option(Option(_said("modifiers", self._modifiers)))
        if self._rows:
            options.highlighted = min(at, len(self._rows) - 1)
        else:
            options.add_option(Option(Text("Nothing yet.", "dim"), disabled=True))

    def _chosen(self) -> tuple[str, int] | None:
        row = self.query_one("#attachment-list", OptionList).highlighted
        return self._rows[row] if row is not None and row < len(self._rows) else None

    def _edit(self, name: str, number: int | None) -> None:
        """Open the form of an entry, or of a new one where `number` is None."""
        now = self._parts[name][number] if number is not None else {"image": self._image}
        # A control has its preprocessor's parameters beside its own, once it names one.
        table = (*PARTS[name][0], *further(name, now))

        def take(found: dict[str, Any] | None) -> None:
            if found is None:
                return
            if number is None:
                self._parts[name].append(found)
                if further(name, found):
                    self._fill()
                    self._edit(name, len(self._parts[name]) - 1)
            else:
                self._parts[name][number] = _fitting(name, found)
            self._fill()

        self.app.push_screen(ParameterForm(NAMES[name], table, now), take)

    def action_add(self, name: str) -> None:
        self._edit(name, None)

    def action_modifiers(self) -> None:
        def take(found: dict[str, Any] | None) -> None:
            if found is not None:
                usual = {parameter.name: parameter.default for parameter in MODIFIERS}
                self._modifiers = {name: value for name, value in found.items() if value != usual[name]}
                self._fill()

        self.app.push_screen(ParameterForm("Modifiers", MODIFIERS, self._modifiers), take)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if (one := self._chosen()) is not None:
            if one[0] == "modifiers":
                self.action_modifiers()
            else:
                self._edit(*one)

    def action_remove(self) -> None:
        if (one := self._chosen()) is not None:
            if one[0] == "modifiers":
                self._modifiers = {}
            else:
                del self._parts[one[0]][one[1]]
            self._fill()

    def action_close(self) -> None:
        self.dismiss({**self._parts, "modifiers": self._modifiers})


def _fitting(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """Without what belonged to another preprocessor than the one that is named now."""
    known = {parameter.name for parameter in (*PARTS[name][0], *further(name, found))}
    return {key: value for key, value in found.items() if key in known}


def _said(name: str, entry: Mapping[str, Any]) -> Text:
    """One line: what it is, its picture or prompt, and what differs from the usual."""
    text = Text(no_wrap=True, overflow="ellipsis").append(f"{name.rstrip('s')}  ", "bold")
    usual = {p.name: p.default for p in (*(PARTS[name][0] if name in PARTS else MODIFIERS), *further(name, entry))}
    for key, value in entry.items():
        if key in {"image", "mask"} and value:
            text.append(f"{shown(Path(str(value)).name)}  ")
        elif key == "prompt":
            text.append(f"“{shown(str(value))}”  ")
        elif value != usual.get(key):
            text.append(f"{key} {value:g}  " if isinstance(value, float) else f"{key} {shown(str(value))}  ", "dim")
    return text

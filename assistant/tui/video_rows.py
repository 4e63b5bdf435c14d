"""The stages of a file as a list, the film above them; and the kinds of stages that can be added."""

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
from assistant.tui.video_stages import Row, Stages
from generation.animation.stages import STAGES
from knowledge.screen import shown

NAMED = 14  # columns of an id


class VideoRows(OptionList):
    """The film first, then each stage; the chosen one stays chosen."""

    @property
    def chosen(self) -> int:
        """The number of a stage, -1 for the film."""
        return max(self.highlighted or 0, 0) - 1

    def show(self, stages: Stages | None, at: int | None = None) -> None:
        """Draw the rows; `at` is the stage to be chosen then."""
        rows = stages.rows if stages is not None else ()
        wanted = min((self.highlighted or 0) if at is None else at + 1, len(rows))
        with self.prevent(OptionList.OptionHighlighted):
            if self.option_count != len(rows) + 1:
                self.clear_options()
                self.add_options([Option("") for _ in range(len(rows) + 1)])
            self.replace_option_prompt_at_index(0, _film(stages))
            for number, one in enumerate(rows):
                self.replace_option_prompt_at_index(number + 1, row(one))
            self.highlighted = wanted


def _film(stages: Stages | None) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    name = Path(stages.input).name if stages is not None and stages.input else ""
    text.append(f"     {'film':<{NAMED}} ", "bold" if name else "dim")
    return text.append(shown(name) if name else "none yet", "" if name else "dim")


def row(one: Row) -> Text:
    """On or off, its id, what it does where that is not its id, and what of it is not usual."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(" on  " if one.on else " off ", "green" if one.on else "dim")
    text.append(f"{shown(one.id)[:NAMED]:<{NAMED}} ", "bold" if one.on else "dim")
    said = [one.do] if one.do != one.id else []
    if prompt := one.entry.get("prompt"):
        said.append(f"“{' '.join(str(prompt).split())}”")
    usual = {parameter.name: parameter.default for parameter in one.stage.parameters}
    settings: Mapping[str, Any] = one.entry.get("with") or {}
    said += [f"{name} {value}" for name, value in settings.items() if value not in (None, "", usual.get(name))]
    said += [str(each.get("preprocessor") or what) for what in ("control", "reference", "region")
             for each in one.entry.get(f"{what}s") or ()]  # fmt: skip
    return text.append(shown("  ".join(said)), "" if one.on else "dim")


class StageKinds(ModalScreen[str]):
    """Every kind of stage with what it does; closes with a name, or with nothing."""

    BINDINGS = bindings("stage kinds")  # type: ignore[assignment]

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage"):
            yield Label("Add a stage", classes="passage-title")
            yield OptionList(*[Option(f"{name}\n    {one.help}") for name, one in STAGES.items()], id="stage-kinds")
            yield Label("Enter adds it   Esc close", classes="passage-keys")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(list(STAGES)[event.option_index])

    def action_cursor_down(self) -> None:
        self.query_one(OptionList).action_cursor_down()

    def action_cursor_up(self) -> None:
        self.query_one(OptionList).action_cursor_up()

    def action_close(self) -> None:
        self.dismiss(None)

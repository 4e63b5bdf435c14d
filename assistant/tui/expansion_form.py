"""One line that says how an idea is to be expanded: type of text, template, how much, how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Select

from assistant.tui.slider import Slider

STYLES = ("auto", "tags", "sentence")
VARIANTS = 3


class ExpansionForm(Horizontal):
    """Its values are those of an `expand` job."""

    def compose(self) -> ComposeResult:
        yield Select(
            [(name, name) for name in STYLES], value="auto", allow_blank=False, compact=True, id="expand-style"
        )
        yield Select([("auto", "auto")], value="auto", allow_blank=False, compact=True, id="expand-template")
        yield Slider("strength", 0.7, id="expand-strength")
        yield Slider("chunks", 1, low=1, high=4, step=1, id="expand-chunks")

    def name_templates(self, names: Sequence[str]) -> None:
        select = self.query_one("#expand-template", Select)
        value = select.value if select.value in names else "auto"
        select.set_options([(name, name) for name in ("auto", *(n for n in names if n != "auto"))])
        select.value = value

    def values(self) -> dict[str, Any]:
        return {
            "style": str(self.query_one("#expand-style", Select).value),
            "template": str(self.query_one("#expand-template", Select).value),
            "strength": self.query_one("#expand-strength", Slider).value,
            "chunks": int(self.query_one("#expand-chunks", Slider).value),
            "variants": VARIANTS,
        }

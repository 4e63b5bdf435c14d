"""The list of what can be completed at the cursor, under the field that is typed in."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from assistant.completion import NONE, Completion, Item
from knowledge.screen import shown

COLOURS = {
    "lora": "magenta", "hypernetwork": "magenta", "embedding": "cyan", "wildcard": "green", "style": "yellow",
    "phrase": "dim",
}  # fmt: skip


class Completions(OptionList, can_focus=False):
    """Shown while there is something to propose. Up and Down choose, Tab takes, Esc puts it away."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.found: Completion = NONE
        self.display = False

    def offer(self, found: Completion) -> None:
        if found == self.found:
            return
        self.found = found
        self.display = bool(found.items)
        self.clear_options()
        for item in found.items:
            label = Text(no_wrap=True, overflow="ellipsis")
            label.append(shown(item.shown)).append(f"  {item.kind}", COLOURS.get(item.kind, "dim"))
            self.add_option(Option(label.append(f"  {shown(item.note)}", "dim")))
        if found.items:
            self.highlighted = 0

    def put_away(self) -> None:
        self.offer(NONE)

    def move(self, by: int) -> None:
        self.highlighted = ((self.highlighted or 0) + by) % len(self.found.items)

    @property
    def chosen(self) -> Item:
        return self.found.items[self.highlighted or 0]

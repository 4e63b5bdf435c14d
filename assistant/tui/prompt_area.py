"""The prompt's field, coloured by what its grammar means.

Leaves parsing to `generation.prompts`; holds no text of its own.
"""

from __future__ import annotations

from typing import Any

from rich.style import Style
from textual import events
from textual.message import Message
from textual.widgets import TextArea
from textual.widgets.text_area import TextAreaTheme

from generation.prompts.grammar import Span, parse

# Names of highlights -> how they look. Weights run from blue (weak) over none to amber (strong).
STYLES = {
    "strong": Style(color="bright_yellow", bold=True),
    "up": Style(color="yellow"),
    "down": Style(color="blue"),
    "weak": Style(color="bright_blue"),
    "network": Style(color="magenta"),
    "editing": Style(color="green"),
    "alternate": Style(color="green"),
    "and": Style(bold=True, color="yellow"),
    "break": Style(bold=True, color="yellow"),
    "escape": Style(dim=True),
    "problem": Style(underline=True, color="red"),
}


COMPLETING = {"down": "down", "up": "up", "tab": "take", "escape": "away"}


class PromptArea(TextArea):
    """A prompt: weights, networks, editing and mistakes are coloured while it is typed."""

    def __init__(self, *, id: str, placeholder: str) -> None:
        # Textual builds the first highlights inside its own constructor.
        self._known: tuple[str, list[Span]] = ("", [])
        super().__init__(id=id, soft_wrap=True, show_line_numbers=False, placeholder=placeholder)
        self.register_theme(TextAreaTheme("prompt", syntax_styles=STYLES))
        self.theme = "prompt"

    class Completing(Message):
        """A key of the open list of completions: up, down, take, away."""

        def __init__(self, area: PromptArea, what: str) -> None:
            super().__init__()
            self.area, self.what = area, what

    async def _on_key(self, event: events.Key) -> None:
        """While completions are open, they take the keys that move and choose."""
        room: Any = next((one for one in self.ancestors if getattr(one, "completing", False)), None)
        if room is not None and event.key in COMPLETING:
            event.stop()
            event.prevent_default()
            self.post_message(self.Completing(self, COMPLETING[event.key]))
            return
        await super()._on_key(event)

    @property
    def place_of_cursor(self) -> int:
        """The cursor as an offset into `text`."""
        return self._offset(self.cursor_location)

    def spans(self) -> list[Span]:
        """The grammar's spans of the whole text; parsed once a change."""
        text = self.text
        if self._known[0] != text:
            self._known = (text, parse(text).spans() if text else [])
        return self._known[1]

    def _build_highlight_map(self) -> None:
        """Textual asks for this after every change: byte ranges by line, which it styles over the cursor's line."""
        self._highlights.clear()
        self._line_cache.clear()
        start = 0
        for number in range(self.document.line_count):
            line = self.document.get_line(number)
            for span in self.spans():
                first, last = max(span.start - start, 0), min(span.end - start, len(line))
                if first < last:
                    bytes_before = len(line[:first].encode("utf-8"))
                    bytes_inside = len(line[first:last].encode("utf-8"))
                    self._highlights[number].append((bytes_before, bytes_before + bytes_inside, style_name(span)))
            start += len(line) + 1

    @property
    def selected_range(self) -> tuple[int, int]:
        """The selection as offsets into `text`; the word at the cursor when nothing is selected."""
        start, end = sorted(self.selection)
        first, last = self._offset(start), self._offset(end)
        if first == last:
            text = self.text
            while first > 0 and (text[first - 1].isalnum() or text[first - 1] in "-'"):
                first -= 1
            while last < len(text) and (text[last].isalnum() or text[last] in "-'"):
                last += 1
        return first, last

    def _offset(self, place: tuple[int, int]) -> int:
        row, column = place
        return sum(len(self.document.get_line(n)) + 1 for n in range(row)) + column

    def place(self, offset: int) -> tuple[int, int]:
        """(row, column) of an offset into `text`."""
        row = 0
        while row < self.document.line_count - 1 and offset > len(self.document.get_line(row)):
            offset -= len(self.document.get_line(row)) + 1
            row += 1
        return row, offset


def style_name(span: Span) -> str:
    """The name in `STYLES` of a span of the grammar."""
    if span.kind != "weight":
        return span.kind
    if span.weight > 1:
        return "strong" if span.weight >= 1.25 else "up"
    return "down" if span.weight > 0.75 else "weak"

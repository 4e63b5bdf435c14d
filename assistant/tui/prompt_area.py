"""Text fields: one that sends on Enter, and the prompt's, coloured by what its grammar means.

Leaves parsing to `generation.prompts`; holds no text of its own.
"""

from __future__ import annotations

from rich.style import Style
from rich.text import Text
from textual.binding import Binding
from textual.events import Key
from textual.message import Message
from textual.widgets import TextArea

from generation.prompts.grammar import Span, parse

# Weights run from blue (weak) over none to amber (strong); the rest by kind.
KINDS = {
    "network": Style(color="magenta"),
    "editing": Style(color="green"),
    "alternate": Style(color="green"),
    "and": Style(bold=True, color="yellow"),
    "break": Style(bold=True, color="yellow"),
    "escape": Style(dim=True),
    "problem": Style(underline=True, color="red"),
}


class SendArea(TextArea):
    """Enter sends, Ctrl+J is a new line; grows no wider than its place."""

    class Sent(Message):
        """The person pressed Enter on a text that is not empty."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    BINDINGS = [Binding("ctrl+j", "newline", "New line", show=False)]  # noqa: RUF012

    def __init__(self, *, id: str, placeholder: str) -> None:
        super().__init__(id=id, soft_wrap=True, show_line_numbers=False, placeholder=placeholder)

    async def _on_key(self, event: Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            if self.text.strip():
                self.post_message(self.Sent(self.text.strip()))
            return
        await super()._on_key(event)

    def action_newline(self) -> None:
        self.insert("\n")


class PromptArea(TextArea):
    """A prompt: weights, networks, editing and mistakes are coloured while it is typed."""

    def __init__(self, *, id: str, placeholder: str) -> None:
        super().__init__(id=id, soft_wrap=True, show_line_numbers=False, placeholder=placeholder)
        self._known: tuple[str, list[Span]] = ("", [])

    def spans(self) -> list[Span]:
        """The grammar's spans of the whole text; parsed once a change."""
        text = self.text
        if self._known[0] != text:
            self._known = (text, parse(text).spans() if text else [])
        return self._known[1]

    def get_line(self, line_index: int) -> Text:
        line = super().get_line(line_index)
        start = sum(len(self.document.get_line(n)) + 1 for n in range(line_index))
        for span in self.spans():
            first, last = span.start - start, span.end - start
            if last <= 0 or first >= len(line.plain):
                continue
            style = KINDS.get(span.kind) or weight_style(span.weight)
            line.stylize(style, max(first, 0), min(last, len(line.plain)))
        return line

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


def weight_style(weight: float) -> Style:
    """Amber above 1, blue below; the further from 1 the stronger."""
    if weight == 1:
        return Style()
    if weight > 1:
        return Style(color="yellow" if weight < 1.25 else "bright_yellow", bold=weight >= 1.25)
    return Style(color="blue" if weight > 0.75 else "bright_blue", dim=weight <= 0.5)

"""The frames of an animation in a few lines: where prompts begin, one schedule's curve with its keys, the playhead.

Knows characters and columns; what the values are and which frame is looked at is told by the screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget

from assistant.tui.curves import bounds, braille

KEY, PROMPT, HEAD = "◆", "▸", "│"
CURVE, KEYS, HERE = "bright_blue", "bright_yellow", "bold bright_green"


@dataclass(frozen=True)
class Shown:
    """What is drawn. `values` are spread over all `frames`; a schedule of names has none. `made` counts frames made."""

    frames: int = 1
    at: int = 0
    values: Sequence[float] = ()
    keys: Sequence[int] = ()
    prompts: Sequence[tuple[int, str]] = field(default_factory=tuple)
    made: int = 0


class TimelinePlot(Widget):
    """Fills its place; a click asks for the frame below the mouse."""

    class Sought(Message):
        """The person points at a frame."""

        def __init__(self, frame: int) -> None:
            super().__init__()
            self.frame = frame

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.shown = Shown()

    def show(self, shown: Shown) -> None:
        self.shown = shown
        self.refresh()

    def render(self) -> Text:
        return drawn(self.shown, self.size.width, self.size.height)

    def on_click(self, event: events.Click) -> None:
        margin = margin_of(self.shown.values)
        inner = max(self.size.width - margin, 2)
        share = min(max((event.x - margin) / (inner - 1), 0.0), 1.0)
        self.post_message(self.Sought(round(share * (self.shown.frames - 1))))


def margin_of(values: Sequence[float]) -> int:
    """Columns at the left that the scale takes."""
    return max(len(f"{bound:.4g}") for bound in bounds(values)) + 1


def column(frame: int, frames: int, width: int) -> int:
    """Where a frame lies among `width` columns."""
    return round(frame * (width - 1) / max(frames - 1, 1))


def drawn(shown: Shown, width: int, height: int) -> Text:
    """Prompts, the curve, its keys, and the frames below: `height` lines (3 or more) of `width` characters."""
    margin = margin_of(shown.values)
    inner = width - margin
    if inner < 8 or height < 3:
        return Text("")
    here = column(shown.at, shown.frames, inner)
    text = Text(no_wrap=True)
    text.append(" " * margin)
    _line(text, _prompts(shown, inner), here, "bright_magenta")
    rows = max(height - 3, 0)
    curve = braille(shown.values, inner, rows) if rows and shown.values else [" " * inner] * rows
    names = _names(shown.values, rows, margin - 1)
    for row in range(rows):
        text.append(f"\n{names[row]} ", "dim")
        _line(text, curve[row], here, CURVE)
    keys = [" "] * inner
    for frame in shown.keys:
        keys[column(frame, shown.frames, inner)] = KEY
    text.append("\n" + " " * margin)
    _line(text, "".join(keys), here, KEYS)
    text.append("\n" + " " * margin)
    _axis(text, shown, inner, here)
    return text


def _line(text: Text, letters: str, here: int, style: str) -> None:
    """One line with the playhead over it; what stands there is seen through it."""
    under = letters[here] if letters[here].strip() and letters[here] != "⠀" else HEAD
    text.append(letters[:here], style).append(under, HERE).append(letters[here + 1 :], style)


def _prompts(shown: Shown, inner: int) -> str:
    """Each prompt from where it begins up to the next; the one that is looked at wins over a neighbour too near."""
    line = [" "] * inner
    starts = [column(frame, shown.frames, inner) for frame, _ in shown.prompts]
    for start, end, (_, prompt) in zip(starts, [*starts[1:], inner + 1], shown.prompts):
        said = f"{PROMPT}{prompt}"[: max(end - start - 1, 1)]
        line[start : start + len(said)] = said[: inner - start]
    return "".join(line)[:inner]


def _names(values: Sequence[float], rows: int, width: int) -> list[str]:
    low, high = bounds(values)
    if not values or not rows:
        return [" " * width] * rows
    if low == high or rows == 1:
        return [f"{high:.4g}".rjust(width) if n == rows // 2 else " " * width for n in range(rows)]
    return [f"{high:.4g}".rjust(width), *[" " * width] * (rows - 2), f"{low:.4g}".rjust(width)]


def _axis(text: Text, shown: Shown, inner: int, here: int) -> None:
    """First, looked-at and last frame; what is made is a thicker line."""
    made = column(shown.made - 1, shown.frames, inner) + 1 if shown.made else 0
    line = ["━" if n < made else "─" for n in range(inner)]
    last = str(shown.frames - 1)
    line[inner - len(last) :] = last
    line[0] = "0"
    label = str(shown.at)
    start = min(max(here - len(label) // 2, 0), inner - len(label))
    line[start : start + len(label)] = label
    letters = "".join(line)
    text.append(letters[:start], "dim").append(label, HERE).append(letters[start + len(label) :], "dim")

"""The losses of a training as curves: what it learns from, and the pictures kept aside from it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

from rich.text import Text
from textual.widget import Widget

from assistant.tui.curves import BLANK, bounds, braille

Point = tuple[int, float]
MOST = 2000  # points kept of each curve; every second one goes where there are more
LEARNED, ASIDE = "bright_blue", "bright_yellow"


class LossPlot(Widget):
    """Fills its place; the lowest line says which curve is which."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._loss: list[Point] = []
        self._aside: list[Point] = []

    def show(self, loss: Sequence[Point], aside: Sequence[Point]) -> None:
        """Draw (step, value) of both; steps rise, `aside` may be empty."""
        self._loss, self._aside = list(loss), list(aside)
        self.refresh()

    def render(self) -> Text:
        return drawn(self._loss, self._aside, self.size.width, self.size.height)


def added(points: list[Point], step: int, value: float) -> list[Point]:
    """The points with one more; a training that goes on from an earlier step takes the later ones off."""
    kept = [point for point in points if point[0] < step]
    return [*(kept[::2] if len(kept) >= MOST else kept), (step, value)]


def drawn(loss: Sequence[Point], aside: Sequence[Point], width: int, height: int) -> Text:
    """Both curves in `height` lines of `width` characters, with a legend as the last.

    Each has its own scale, named at its side: what is learned is weighed by its noise and drops captions, what is kept
    aside is not, so that one scale would flatten both.
    """
    if not loss or width < 24 or height < 3:
        return Text("The losses come with the first steps." if not loss else "", "dim")
    lines = height - 1
    left, right = (_names(points, lines) for points in (loss, aside))
    inner = width - len(left[0]) - 1 - (len(right[0]) + 1 if aside else 0)
    first, last = min(points[0][0] for points in (loss, aside) if points), loss[-1][0]
    curves = [
        braille(resampled(points, first, last, inner * 2), inner, lines, *bounds([value for _, value in points]))
        for points in (loss, aside)
    ]
    text = Text(no_wrap=True)
    for row in range(lines):
        text.append(f"{left[row]} ", LEARNED)
        for column in range(inner):
            cells = [ord(curve[row][column]) - BLANK for curve in curves]
            text.append(chr(BLANK + (cells[0] | cells[1])), ASIDE if cells[1] else LEARNED)
        text.append(f" {right[row]}\n" if aside else "\n", ASIDE)
    legend = [(f"loss {loss[-1][1]:.4f}", LEARNED)]
    if aside:
        best = min(aside, key=lambda point: point[1])
        legend += [(f"  aside {aside[-1][1]:.4f}", ASIDE), (f", best {best[1]:.4f} at {best[0]}", ASIDE)]
    room = width
    for said, style in legend:
        room -= len(said)
        if room >= 0:
            text.append(said, style)
    return text


def _names(points: Sequence[Point], lines: int) -> list[str]:
    """The scale beside the lines: the highest value at the top and the lowest at the bottom."""
    low, high = bounds([value for _, value in points])
    names = [f"{high:.4f}", *[""] * (lines - 2), f"{low:.4f}"]
    margin = max(map(len, names))
    return [f"{name:>{margin}}" for name in names]


def resampled(points: Sequence[Point], first: int, last: int, columns: int) -> list[float]:
    """A value for each column of steps `first` to `last`: on the line between the points beside it, NaN outside."""
    steps = [step for step, _ in points]
    found = []
    for column in range(columns):
        step = first + (last - first) * column / max(columns - 1, 1)
        at = bisect_left(steps, step)
        if at < len(points) and steps[at] == step:
            found.append(points[at][1])
        elif at == 0 or at == len(points):
            found.append(math.nan)
        else:
            (before, low), (after, high) = points[at - 1], points[at]
            found.append(low + (high - low) * (step - before) / (after - before))
    # A single point would have no column of its own.
    if len(points) == 1 and columns:
        share = (steps[0] - first) / max(last - first, 1)
        found[min(round(share * (columns - 1)), columns - 1)] = points[0][1]
    return found

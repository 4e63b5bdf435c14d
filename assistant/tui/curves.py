"""Values as curves of braille dots, for the shell and the screens. Knows characters only, no screen."""

from __future__ import annotations

import math
from collections.abc import Sequence

# Unicode's braille block: bits of the dots of one character, by column (2) and row (4) from the top left.
BLANK = 0x2800
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest finite value, (0, 0) where there is none."""
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else (0.0, 0.0)


def braille(
    values: Sequence[float], width: int, height: int, low: float | None = None, high: float | None = None
) -> list[str]:
    """`height` lines of `width` characters, each 2 by 4 dots; the highest value is at the top.

    Where several values fall into one column of dots the whole span between them is drawn, so a peak of one frame is
    never lost. A constant lies in the middle. `low` and `high` fix the scale; what is beyond them lies on the edge.
    Values that are not finite leave a gap.
    """
    columns, rows = max(width, 1) * 2, max(height, 1) * 4
    found = bounds(values)
    low, high = found[0] if low is None else low, found[1] if high is None else high
    cells = [[0] * max(width, 1) for _ in range(max(height, 1))]
    before: int | None = None
    for column in range(columns if values else 0):
        within = [_row(value, low, high, rows) for value in _within(values, column, columns) if math.isfinite(value)]
        if not within:
            before = None
            continue
        top, bottom = min(within), max(within)
        if before is not None:
            # Joined to the column before it: a jump is drawn as an upright line.
            top, bottom = min(top, before + 1), max(bottom, before - 1)
        for row in range(top, bottom + 1):
            cells[row // 4][column // 2] |= DOTS[column % 2][row % 4]
        before = within[-1]
    return ["".join(chr(BLANK + cell) for cell in line) for line in cells]


def plot(values: Sequence[float], width: int, height: int) -> list[str]:
    """A curve with its highest and lowest value at the left and the first and last index below; `width` characters."""
    low, high = bounds(values)
    top, bottom = f"{high:.4g}", f"{low:.4g}"
    margin = max(len(top), len(bottom))
    inner = max(width - margin - 1, 1)
    lines = braille(values, inner, height)
    names = [top, *[""] * (len(lines) - 2), bottom] if len(lines) > 1 else [top]
    drawn = [f"{name:>{margin}} {line}" for name, line in zip(names, lines, strict=True)]
    last = str(max(len(values) - 1, 0))
    return [*drawn, f"{'':{margin}} 0{last:>{max(inner - 1, 0)}}" if len(values) > 1 else f"{'':{margin}} 0"]


def _within(values: Sequence[float], column: int, columns: int) -> Sequence[float]:
    """The values of one column of dots: all that fall into it, or the nearest where there are more columns."""
    count = len(values)
    if count <= columns:
        return [values[round(column * (count - 1) / max(columns - 1, 1))]]
    return values[column * count // columns : (column + 1) * count // columns]


def _row(value: float, low: float, high: float, rows: int) -> int:
    if high <= low:
        return rows // 2
    # Halved first, so that the span of two numbers near the largest float stays finite.
    share = (value / 2 - low / 2) / (high / 2 - low / 2)
    return round((1 - min(max(share, 0.0), 1.0)) * (rows - 1))

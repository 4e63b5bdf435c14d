"""Where a region is, in words or numbers: `left`, `top right`, `row 1 of 2, column 2 of 3`, `0.1,0,0.5,1`.

Gives boxes in shares of the picture. Imports nothing heavy; masks are `regional`'s.
"""

from __future__ import annotations

import re

from generation.errors import BadSpec, nearest

Box = tuple[float, float, float, float]

ACROSS = {"left": (0.0, 0.5), "right": (0.5, 1.0)}
DOWN = {"top": (0.0, 0.5), "bottom": (0.5, 1.0)}
WHOLE = {"all": (0.0, 0.0, 1.0, 1.0), "centre": (0.25, 0.25, 0.75, 0.75)}
_SAME = {"center": "centre", "middle": "centre", "whole": "all", "upper": "top", "lower": "bottom"}
_CELL = re.compile(r"(row|column|col)\s+(\d+)\s+of\s+(\d+)", re.I)
NAMES = (*ACROSS, *DOWN, *(f"{y} {x}" for y in DOWN for x in ACROSS), *WHOLE, "row 1 of 2, column 2 of 3", "0,0,0.5,1")


def box(text: str) -> Box:
    """(left, top, right, bottom) in 0..1, the top left corner of the picture being 0, 0.

    Raises `BadSpec` with the nearest name for a place nobody knows, and for one that holds nothing.
    """
    parts = [part for part in re.split(r"[,\s]+", text.strip().lower()) if part]
    if len(parts) == 4 and all(_is_number(part) for part in parts):
        left, top, right, bottom = (float(part) for part in parts)
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise BadSpec(
                f"the place {text} is no box inside the picture",
                "Give left, top, right and bottom in 0 to 1, such as 0,0,0.5,1.",
            )
        return left, top, right, bottom
    if _CELL.search(text):
        return _cell(text)
    words = [_SAME.get(part, part) for part in parts]
    if len(words) == 1 and words[0] in WHOLE:
        return WHOLE[words[0]]
    (left, right), (top, bottom) = (0.0, 1.0), (0.0, 1.0)
    across, down = [word for word in words if word in ACROSS], [word for word in words if word in DOWN]
    if len(across) > 1 or len(down) > 1 or not words or len(across) + len(down) != len(words):
        raise BadSpec(f'there is no place "{text}"', nearest(text, NAMES) or f"Choose: {', '.join(NAMES)}.")
    for word in across:
        left, right = ACROSS[word]
    for word in down:
        top, bottom = DOWN[word]
    return left, top, right, bottom


def _cell(text: str) -> Box:
    """A row, a column, or where both meet; what else stands in the text is an error."""
    rest = _CELL.sub("", text).replace(",", "").strip()
    found = {("column" if kind.lower() == "col" else kind.lower()): (int(n), int(of)) for kind, n, of in
             _CELL.findall(text)}  # fmt: skip
    if rest or len(found) != len(_CELL.findall(text)) or any(not 1 <= n <= of for n, of in found.values()):
        raise BadSpec(f'there is no place "{text}"', "Write: row 1 of 2, column 2 of 3.")
    row, rows = found.get("row", (1, 1))
    column, columns = found.get("column", (1, 1))
    return (column - 1) / columns, (row - 1) / rows, column / columns, row / rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

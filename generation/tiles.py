"""Tiles that cover a plane with overlaps, and their blending back into one; positions and shares alone.

Each tile fades out linearly over its overlap towards the sides it shares with others, and what lies over a place is
divided by the sum of the shares there: where all tiles agree, the blend is what they agree on, to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tile:
    """Half-open: columns left..right, rows top..bottom."""

    left: int
    top: int
    right: int
    bottom: int


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin so that they cover `length`, spread evenly, with at least `overlap` shared by neighbours."""
    if tile >= length:
        return [0]
    stride = max(tile - overlap, 1)
    count = -(-(length - tile) // stride) + 1
    return [round(n * (length - tile) / (count - 1)) for n in range(count)]


def cover(width: int, height: int, tile: int, overlap: int, grid: int = 1) -> list[Tile]:
    """Tiles of at most `tile` a side over width x height, row by row. Each begins at a multiple of `grid`.

    `tile`, `width` and `height` are multiples of `grid` too.
    """
    found = []
    for top in starts(height // grid, tile // grid, -(-overlap // grid)):
        for left in starts(width // grid, tile // grid, -(-overlap // grid)):
            x, y = left * grid, top * grid
            found.append(Tile(x, y, min(x + tile, width), min(y + tile, height)))
    return found


def share(tile: Tile, width: int, height: int, overlap: int) -> np.ndarray:
    """[height, width] of the tile: its weight in 0..1, fading over `overlap` at sides that are not the plane's."""

    def ramp(low: int, high: int, most: int) -> np.ndarray:
        place = np.arange(high - low, dtype=np.float32) + 0.5
        fade = np.float32(max(overlap, 1))
        rising = place / fade if low > 0 else np.ones_like(place)
        falling = place[::-1] / fade if high < most else np.ones_like(place)
        return np.minimum(np.minimum(rising, falling), 1)

    return ramp(tile.top, tile.bottom, height)[:, None] * ramp(tile.left, tile.right, width)[None]


def mapped(
    picture: np.ndarray,
    make: Callable[[np.ndarray], np.ndarray],
    scale: int,
    *,
    tile: int,
    overlap: int,
    each: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """`make` of a picture [h, w, 3] by tiles, blended: [h * scale, w * scale, 3] float32.

    `make` gives pixels `scale` times as many a side. `each(done, total)` is called before each tile and may raise.
    """
    height, width = picture.shape[:2]
    found = cover(width, height, tile, overlap)
    if len(found) == 1:
        each(0, 1)
        return np.asarray(make(picture), dtype=np.float32)
    total = np.zeros((height * scale, width * scale, 3), np.float32)
    shares = np.zeros((height * scale, width * scale, 1), np.float32)
    for number, one in enumerate(found):
        each(number, len(found))
        made = make(picture[one.top : one.bottom, one.left : one.right])
        large = Tile(one.left * scale, one.top * scale, one.right * scale, one.bottom * scale)
        weight = share(large, width * scale, height * scale, overlap * scale)[..., None]
        total[large.top : large.bottom, large.left : large.right] += made * weight
        shares[large.top : large.bottom, large.left : large.right] += weight
    return total / shares

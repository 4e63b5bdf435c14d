"""Colours kept from frame to frame, and what else is done to a picture before it is denoised again.

Knows histograms in three colour spaces, contrast, the unsharp mask and two kinds of noise. Pictures are float32
[height, width, 3] in 0..1, red first. Leaves which frame is looked up to to the caller.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from generation.errors import BadSpec, nearest

Array = NDArray[Any]
Bytes = NDArray[np.uint8]
# How each is entered and left: red first, and with red taken for blue.
SPACES = {
    "RGB": ((None, None), (None, None)),
    "HSV": ((cv2.COLOR_RGB2HSV, cv2.COLOR_HSV2RGB), (cv2.COLOR_BGR2HSV, cv2.COLOR_HSV2BGR)),
    "LAB": ((cv2.COLOR_RGB2LAB, cv2.COLOR_LAB2RGB), (cv2.COLOR_BGR2LAB, cv2.COLOR_LAB2BGR)),
}
NOISES = ("perlin", "uniform")
# Waves of Perlin noise from side to side in its first octave, Deforum's.
WAVES = (8, 8)


def to_bytes(picture: Array) -> Bytes:
    """[h, w, 3] 0..255, rounded: what a PNG holds, so that what is kept on disk and in memory is the same."""
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)


def to_floats(picture: Bytes) -> Array:
    return picture.astype(np.float32) / np.float32(255)


def matched(picture: Array, like: Array, space: str = "LAB", *, swapped: bool = False) -> Array:
    """The picture with the colours of another one, as `Colours` gives them. Raises `BadSpec`."""
    return Colours(like, space, swapped=swapped).given(picture)


class Colours:
    """The distribution of a picture's colours, channel by channel in `space`; counted once for all that get it.

    `swapped` takes red for blue while the space is entered and left, as Deforum does: for its very look. Hue is an
    angle, which histograms know nothing of; HSV is here because settings name it. Without `light` the first channel
    stays, which is LAB's lightness. Raises `BadSpec`.
    """

    def __init__(self, like: Array, space: str = "LAB", *, swapped: bool = False, light: bool = True) -> None:
        if space not in SPACES:
            raise BadSpec(f'no colour space "{space}"', nearest(space, SPACES) or f"Choose: {', '.join(SPACES)}.")
        self._there, self._back = SPACES[space][swapped]
        self._light = light
        shares = _shares(self._entered(to_bytes(like)))
        # Of values that do not occur none is wanted.
        there = (np.flatnonzero(np.diff(share, prepend=0)) for share in shares)
        self._wanted = [(share[values], values) for share, values in zip(shares, there, strict=True)]

    def given(self, picture: Array) -> Array:
        """The picture with this distribution in each channel (histogram matching)."""
        one = self._entered(to_bytes(picture))
        tables = [
            np.interp(had, *wanted).round().astype(np.uint8)
            for had, wanted in zip(_shares(one), self._wanted, strict=True)
        ]
        if not self._light:
            tables[0] = np.arange(256, dtype=np.uint8)
        made = cv2.LUT(one, np.stack(tables, -1)[:, None])
        # The change alone is taken over: a space of whole numbers rounds, and in a hundred frames that adds up.
        change = cv2.subtract(self._left(made), self._left(one), dtype=cv2.CV_32F)
        return np.clip(cv2.scaleAdd(change, 1 / 255, picture), 0, 1)

    def _entered(self, pixels: Bytes) -> Any:
        return pixels if self._there is None else cv2.cvtColor(pixels, self._there)

    def _left(self, pixels: Any) -> Any:
        return pixels if self._back is None else cv2.cvtColor(pixels, self._back)


def _shares(pixels: Any) -> list[Array]:
    """[256] for each channel: the share of pixels at or below each value."""
    counts = (cv2.calcHist([pixels], [channel], None, [256], [0, 256]).ravel() for channel in range(3))
    return [np.cumsum(count, dtype=np.float64) / (pixels.size // 3) for count in counts]


def contrasted(picture: Array, factor: float) -> Array:
    """Every value times `factor`, as Deforum's contrast is."""
    return picture if factor == 1 else np.clip(picture * np.float32(factor), 0, 1)


def sharpened(
    picture: Array, *, kernel: float = 5, sigma: float = 1.0, amount: float = 0.1, threshold: float = 0.0
) -> Array:
    """Unsharp mask: amount times what a blur of `kernel` pixels takes away is added.

    Where that is less than `threshold` (in values of 0..255) nothing is.
    """
    if amount == 0 or kernel < 1:
        return picture
    size = int(kernel) | 1
    blurred = np.asarray(cv2.GaussianBlur(picture, (size, size), max(sigma, 1e-3)), dtype=np.float32)
    made = np.clip((1 + np.float32(amount)) * picture - np.float32(amount) * blurred, 0, 1)
    if threshold > 0:
        made = np.where(np.abs(picture - blurred) * 255 < threshold, picture, made)
    return made.astype(np.float32)


def noised(
    picture: Array, amount: float, seed: int, *, kind: str = "perlin", octaves: int = 4, persistence: float = 0.5
) -> Array:
    """(1 - amount) of the picture and `amount` of noise of the seed, the same every time. Raises `BadSpec`."""
    if kind not in NOISES:
        raise BadSpec(f'no noise "{kind}"', nearest(kind, NOISES) or f"Choose: {', '.join(NOISES)}.")
    if amount == 0:
        return picture
    drawn = np.random.default_rng(seed)
    height, width = picture.shape[:2]
    if kind == "uniform":
        noise = drawn.standard_normal(picture.shape, dtype=np.float32)
        return np.clip(picture + np.float32(amount) * noise, 0, 1)
    noise = perlin(width, height, drawn, octaves, persistence)[..., None]
    return np.clip((1 - np.float32(amount)) * picture + np.float32(amount) * noise, 0, 1)


def perlin(width: int, height: int, drawn: np.random.Generator, octaves: int = 4, persistence: float = 0.5) -> Array:
    """[height, width] in 0..1: gradient noise (Perlin 1985), each octave twice as fine and `persistence` as strong."""
    total = np.zeros((height, width), np.float32)
    for octave in range(max(int(octaves), 1)):
        waves = (WAVES[0] << octave, WAVES[1] << octave)
        if octave and (waves[0] > width or waves[1] > height):
            break  # finer than pixels
        total += np.float32(persistence**octave) * _octave(width, height, waves, drawn)
    low, high = total.min(), total.max()
    return ((total - low) / np.float32((high - low) or 1)).astype(np.float32)


def _octave(width: int, height: int, waves: tuple[int, int], drawn: np.random.Generator) -> Array:
    """[height, width]: between four corners' slopes, which is a product of two narrow matrices."""
    angles = drawn.uniform(0, 2 * np.pi, (waves[1] + 1, waves[0] + 1))
    columns, across = _corners(width, waves[0])
    rows, down = _corners(height, waves[1])
    slopes = np.hstack([rows @ np.cos(angles).astype(np.float32), (rows * down) @ np.sin(angles).astype(np.float32)])
    return np.asarray(slopes @ np.hstack([columns * across, columns]).T, dtype=np.float32)


def _corners(pixels: int, waves: int) -> tuple[Array, Array]:
    """([pixels, waves + 1] share of each corner at each pixel, [pixels, waves + 1] way from the corner to it)."""
    place = np.arange(pixels, dtype=np.float32)[:, None] * np.float32(waves / pixels)
    way = place - np.arange(waves + 1, dtype=np.float32)[None, :]
    return _faded(np.clip(1 - np.abs(way), 0, 1)), way


def _faded(share: Array) -> Array:
    """6t^5 - 15t^4 + 10t^3: no edge in the second derivative where cells meet (Perlin 2002)."""
    return share**3 * (share * (share * 6 - 15) + 10)


def grey(picture: Array) -> Array:
    """The picture without colour, by Rec. 601's luma."""
    luma = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.repeat(luma[..., None], 3, -1).astype(np.float32)


def softened(mask: Array, pixels: float) -> Array:
    """A mask [h, w] with its edges softened over about that many pixels."""
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), pixels), dtype=np.float32) if pixels > 0 else mask

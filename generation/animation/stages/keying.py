"""A coloured background made transparent, and what is left laid over another one.

Knows distances of colours and the light a background throws on edges. Frames with transparency are [h, w, 4].
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from generation import pictures
from generation.animation.clips import Clip, resized
from generation.animation.stages.chain import Work, rgb, sized
from generation.errors import BadSpec

Array = NDArray[Any]
Bytes = NDArray[np.uint8]
NAMED = {"green": (0, 177, 64), "blue": (0, 71, 187)}  # the usual paints of screens
RIM = 0.04  # share of the sides that is looked at for the colour


class Key:
    """Frames whose background is transparent: by the distance of its chroma, brightness left out of it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        wanted = str(work.settings["colour"])
        self._colour = _of_rim(rgb(work.source(0))) if wanted.strip().lower() == "auto" else colour_of(wanted)

    def frame(self, number: int) -> Bytes:
        settings, picture = self._work.settings, rgb(self._work.source(number))
        apart = np.linalg.norm(_chroma(picture) - _chroma(np.uint8([[self._colour]])), axis=-1)  # type: ignore[arg-type]
        # A softness of 0 is an edge of one step.
        opacity = np.clip((apart - settings["tolerance"]) / max(settings["softness"], 1e-6), 0, 1)
        values = picture.astype(np.float32)
        strongest = int(np.argmax(self._colour))
        others = np.max(np.delete(values, strongest, axis=-1), axis=-1)
        over = np.maximum(values[..., strongest] - others, 0)
        values[..., strongest] -= np.float32(settings["despill"]) * over
        return np.dstack([values.round().astype(np.uint8), (opacity * 255).round().astype(np.uint8)])


class Composite:
    """The taken frame where the key stage's one is opaque, over a picture, a video, a colour or the filmed frame."""

    def __init__(self, work: Work) -> None:
        self._work = work
        named = str(work.settings["background"])
        self._video: Clip | None = None
        self._still: Bytes | None = None
        self._at = -1
        self._rest: Iterator[Bytes] = iter(())
        self._now: Bytes | None = None
        if work.settings["colour"]:
            self._still = np.full((8, 8, 3), colour_of(str(work.settings["colour"])), np.uint8)
        elif named and Path(named).suffix.lower() in {".png", ".jpg", ".jpeg", ".webp", ".bmp"}:
            self._still = np.asarray(pictures.read(named))
        elif named:
            self._video = Clip(named)

    def frame(self, number: int) -> Bytes:
        work = self._work
        picture = rgb(work.source(number))
        matte = work.partner(number)
        share = sized(np.repeat(matte[..., 3:], 3, -1), picture.shape).astype(np.float32) / 255
        under = self._under(number, picture.shape).astype(np.float32)
        return (picture * share + under * (1 - share)).round().astype(np.uint8)

    def _under(self, number: int, shape: tuple[int, ...]) -> Bytes:
        size = shape[1], shape[0]
        if self._still is not None:
            return np.asarray(pictures.fitted(Image.fromarray(self._still), size))
        if self._video is None:
            return sized(self._work.filmed(number), shape)
        if number < self._at:
            self._at = -1
        if self._at < 0:
            self._rest = self._video.part()
        while self._at < number:
            following = next(self._rest, None)
            if following is None:  # shorter than what is before it: its last frame stays
                self._at = number
                break
            self._now, self._at = following, self._at + 1
        assert self._now is not None
        return resized(self._now, size)


def colour_of(text: str) -> tuple[int, int, int]:
    """Red, green and blue of a name or #rrggbb. Raises `BadSpec`."""
    text = text.strip().lower()
    if text in NAMED:
        return NAMED[text]
    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise BadSpec(f'there is no colour "{text}"', "Write green, blue or #rrggbb.") from error


def _of_rim(picture: Bytes) -> tuple[int, ...]:
    """The commonest of the rim's colours: a median, which a person who stands at the edge does not shift."""
    high, wide = (max(round(side * RIM), 1) for side in picture.shape[:2])
    rim = [picture[:high].reshape(-1, 3), picture[:, :wide].reshape(-1, 3), picture[:, -wide:].reshape(-1, 3)]
    return tuple(int(value) for value in np.median(np.concatenate(rim), axis=0))


def _chroma(picture: Bytes) -> Array:
    """[h, w, 2] Cb and Cr in 0..1."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb))[..., 1:].astype(np.float32) / 255

"""Where each pixel goes from one picture to the next (DIS optical flow), and pictures moved along it.

Knows flow, what is hidden in one of two pictures, and pictures in between. Flow is float32 [height, width, 2]: pixels
across and down. Pictures are float32 [height, width, 3] in 0..1.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from generation.animation.colour import to_bytes
from generation.errors import BadSpec, nearest

Array = NDArray[Any]
# Kroeger et al. 2016, arXiv:1603.03590; at 512 pixels on two cores 8, 37 and 120 ms.
QUALITIES = {
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
    "fine": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
# |f + b|^2 > SHARE * (|f|^2 + |b|^2) + PIXELS means hidden (Sundaram, Brox and Keutzer 2010).
SHARE, PIXELS = 0.01, 0.5
SMALLEST = 16  # pixels a side; DIS has patches of 8


def flow(one: Array, other: Array, quality: str = "medium") -> Array:
    """Where each pixel of `one` is in `other`, as a way from its place. Raises `BadSpec` for the quality."""
    if quality not in QUALITIES:
        raise BadSpec(
            f'no quality of flow "{quality}"', nearest(quality, QUALITIES) or f"Choose: {', '.join(QUALITIES)}."
        )
    greys = [cv2.cvtColor(to_bytes(picture), cv2.COLOR_RGB2GRAY) for picture in (one, other)]
    height, width = greys[0].shape
    scale = max(SMALLEST / min(height, width), 1.0)
    if scale > 1:
        greys = [np.asarray(cv2.resize(grey, None, fx=scale, fy=scale)) for grey in greys]
    search = cv2.DISOpticalFlow_create(QUALITIES[quality])
    if quality == "fine":
        search.setFinestScale(0)  # down to single pixels, where the others stop at two
    found = np.asarray(search.calc(greys[0], greys[1], None), dtype=np.float32)
    return found if scale == 1 else np.asarray(cv2.resize(found, (width, height)), dtype=np.float32) / np.float32(scale)


def along(picture: Array, way: Array) -> Array:
    """What `picture` has at the end of each pixel's way: with the flow from n to n + 1, frame n + 1 brought to n."""
    height, width = picture.shape[:2]
    across, down = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    there = np.asarray(
        cv2.remap(picture, across + way[..., 0], down + way[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )
    return there.astype(np.float32)


def seen(forward: Array, backward: Array) -> NDArray[np.bool_]:
    """[h, w] of the first picture: True where going there and back leads home, so that the pixel is in both."""
    back = along_flow(backward, forward)
    apart = ((forward + back) ** 2).sum(-1)
    return apart <= SHARE * ((forward**2).sum(-1) + (back**2).sum(-1)) + PIXELS


def along_flow(way: Array, by: Array) -> Array:
    """The flow `way` at the ends of the ways `by`."""
    filled = np.concatenate([way, np.zeros_like(way[..., :1])], -1)
    return along(filled, by)[..., :2]


def between(one: Array, other: Array, share: float, *, quality: str = "medium", factor: float = 1.0) -> Array:
    """The picture at `share` of the way from `one` to `other`: both moved along the flow towards it, then mixed."""
    way = flow(one, other, quality) * np.float32(factor)
    near, far = along(one, -way * np.float32(share)), along(other, way * np.float32(1 - share))
    return near + (far - near) * np.float32(share)

"""Canny's edges, one pixel wide.

Leaves lines as of a pen to `lines`, learned edges to `hed`.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

NEIGHBOURS = np.ones((3, 3), bool)
# A gradient's direction is told by its slope: tan 22.5 and tan 67.5 degrees part across, diagonal and upright.
FLAT, STEEP = np.tan(np.pi / 8), np.tan(3 * np.pi / 8)


def canny(image: Image.Image, *, low: int = 100, high: int = 200, blur: float = 0.0) -> Image.Image:
    """White edges one pixel wide on black (Canny 1986, doi:10.1109/TPAMI.1986.4767851).

    `low` and `high` bound the gradient |dx| + |dy| of the strongest channel of 0..255 under a 3x3 Sobel kernel, as
    the ControlNets for it were trained with; `blur` is the deviation in pixels of a Gaussian before it, 0 none.
    """
    return drawn(canny_edges(np.asarray(image.convert("RGB")), low=low, high=high, blur=blur))


def canny_edges(picture: np.ndarray, *, low: float = 100, high: float = 200, blur: float = 0.0) -> np.ndarray:
    """Edges [h, w] of bool, of a picture [h, w, 3] of uint8. A `low` above `high` trades places with it."""
    low, high = min(low, high), max(low, high)
    # Whole numbers, so that a gradient of exactly a threshold is not above it.
    pixels: np.ndarray = picture.astype(np.int32)
    if blur > 0:
        pixels = ndimage.gaussian_filter(picture.astype(np.float32), (blur, blur, 0), mode="nearest")
    across, down = _slope(pixels, 1), _slope(pixels, 0)
    strength = np.abs(across) + np.abs(down)
    strongest = strength.argmax(2)[..., None]
    dx, dy, strength = (np.take_along_axis(one, strongest, 2)[..., 0] for one in (across, down, strength))
    candidates = (strength > low) & _crest(strength, dx, dy)
    labels, _ = ndimage.label(candidates, NEIGHBOURS)
    kept = np.unique(labels[candidates & (strength > high)])
    return np.isin(labels, kept[kept > 0])


def _slope(pixels: np.ndarray, axis: int) -> np.ndarray:
    """The 3x3 Sobel kernel along one of the two axes of the picture; scipy's own would mix the channels, too."""
    smooth = ndimage.correlate1d(pixels, (1, 2, 1), 1 - axis, mode="nearest")
    return ndimage.correlate1d(smooth, (-1, 0, 1), axis, mode="nearest")


def _crest(strength: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Where the gradient is greatest along its own direction: an edge is left one pixel wide."""
    padded = np.pad(strength, 1)
    height, width = strength.shape

    def beside(down: int, right: int) -> np.ndarray:
        return padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    flat = np.abs(dy) < FLAT * np.abs(dx)
    steep = np.abs(dy) > STEEP * np.abs(dx)
    falling = dx * dy >= 0
    # Of two equal neighbours the first is taken, or a plateau two pixels wide would vanish or stay wide.
    across = (strength > beside(0, -1)) & (strength >= beside(0, 1))
    upright = (strength > beside(-1, 0)) & (strength >= beside(1, 0))
    one = (strength > beside(-1, -1)) & (strength > beside(1, 1))
    other = (strength > beside(-1, 1)) & (strength > beside(1, -1))
    return np.where(flat, across, np.where(steep, upright, np.where(falling, one, other)))


def drawn(edges: np.ndarray) -> Image.Image:
    """Edges [h, w] of bool, or strengths in 0..1, as a picture."""
    grey = np.clip(edges.astype(np.float32), 0, 1) * 255
    return Image.fromarray(grey.round().astype(np.uint8)).convert("RGB")

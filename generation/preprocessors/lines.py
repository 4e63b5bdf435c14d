"""Lines without weights: as of a pen, and as scribbled by hand.

Knows differences of Gaussians and how lines are thinned and thickened.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from generation.preprocessors.edges import NEIGHBOURS, drawn

# The eight neighbours of a pixel as (down, right), from above clockwise.
CLOCKWISE = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def lines(image: Image.Image, line_width: float, *, sharpness: float = 20.0) -> np.ndarray:
    """How much darker each pixel is than around it, [h, w] in 0..1: the sharpened difference of two Gaussians.

    Winnemoeller et al. 2012 (doi:10.1016/j.cag.2012.03.004), equation 7: (1 + p) G(s) - p G(1.6 s); what of it is below
    the picture's own brightness is a line.
    """
    grey = np.asarray(image.convert("L"), dtype=np.float32) / 255
    near = ndimage.gaussian_filter(grey, line_width, mode="nearest")
    far = ndimage.gaussian_filter(grey, 1.6 * line_width, mode="nearest")
    return np.clip(sharpness * (far - near), 0, 1)


def lineart(image: Image.Image, *, line_width: float = 1.0, detail: float = 0.5) -> Image.Image:
    """White lines on black, as strong as they are clear; `detail` 0..1 lets ever fainter ones through."""
    found = lines(image, line_width)
    # A soft threshold as in the paper's equation 6, so that strokes end thin.
    faint = 0.6 * (1 - detail) ** 2
    return drawn(np.tanh(3 * np.clip(found - faint, 0, 1)) / np.tanh(3))


def scribble(image: Image.Image, *, line_width: float = 2.0, threshold: float = 0.5, thickness: int = 3) -> Image.Image:
    """White strokes `thickness` pixels wide on black where lines are stronger than `threshold`; specks are left out."""
    found = lines(image, line_width) > threshold * 0.98
    labels, count = ndimage.label(found, NEIGHBOURS)
    sizes = ndimage.sum_labels(found, labels, np.arange(1, count + 1))
    kept = np.isin(labels, 1 + np.flatnonzero(sizes >= 4 * line_width))
    thin = thinned(kept)
    distance = ndimage.distance_transform_edt(~thin) if thin.any() else np.full(thin.shape, np.inf)
    return drawn(distance <= (thickness - 1) / 2)


def thinned(shapes: np.ndarray) -> np.ndarray:
    """Lines one pixel wide along the middle of shapes [h, w] of bool (Zhang and Suen 1984, CACM 27(3))."""
    kept = shapes.copy()
    while True:
        before = kept.sum()
        for first in (True, False):
            p = np.pad(kept, 1)
            # The eight neighbours, from above clockwise.
            around = [
                p[:-2, 1:-1],
                p[:-2, 2:],
                p[1:-1, 2:],
                p[2:, 2:],
                p[2:, 1:-1],
                p[2:, :-2],
                p[1:-1, :-2],
                p[:-2, :-2],
            ]
            count = np.sum(around, 0)
            rises = np.sum([~a & b for a, b in zip(around, [*around[1:], around[0]], strict=True)], 0)
            up, right, down, left = around[0::2]
            corner = (
                ~(up & right & down) & ~(right & down & left) if first else ~(up & right & left) & ~(up & down & left)
            )
            kept = kept & ~((count >= 2) & (count <= 6) & (rises == 1) & corner)
        if kept.sum() == before:
            return kept

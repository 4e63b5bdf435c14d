"""Faces brought to a fixed place by five points, and laid back: eyes, nose and corners of the mouth.

Points are in pixels with (0, 0) in the middle of the first pixel, as insightface counts. Pixels only; which faces there
are is `detection`'s.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

# Where the points stand in a face of 112 pixels (ArcFace, Deng et al. 2019, arXiv:1801.07698)...
ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
# ... and in one of 512 pixels as in FFHQ, which restorers were trained on (facexlib).
FFHQ = np.array(
    [[192.98138, 239.94708], [318.90277, 240.1936], [256.63416, 314.01935], [201.26117, 371.41043],
     [313.08905, 371.15118]]
)  # fmt: skip


def arcface(size: int) -> np.ndarray:
    """[5, 2]: the template in a face of `size`: a multiple of 112, or of 128 with 8 columns more at each side."""
    if size % 112 == 0:
        return ARCFACE * size / 112
    ratio = size / 128
    return ARCFACE * ratio + np.array([8.0 * ratio, 0.0])


def similarity(points: np.ndarray, template: np.ndarray) -> np.ndarray:
    """[2, 3]: turn, scale and shift that bring `points` [n, 2] nearest to `template` [n, 2] (Umeyama 1991).

    Raises ValueError for points that are all the same.
    """
    mean, wanted = points.mean(0), template.mean(0)
    a, b = points - mean, template - wanted
    spread = (a**2).sum() / len(a)
    if spread < 1e-12:
        raise ValueError("the points are one point")
    u, strengths, v = np.linalg.svd(b.T @ a / len(a))
    flip = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v)) or 1.0])
    turn = (u * flip) @ v
    scaled = turn * (strengths * flip).sum() / spread
    return np.column_stack([scaled, wanted - scaled @ mean])


def inverse(transform: np.ndarray) -> np.ndarray:
    """[2, 3] that undoes `transform`."""
    back = np.linalg.inv(transform[:, :2])
    return np.column_stack([back, -back @ transform[:, 2]])


def warped(picture: Image.Image, transform: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """The picture under `transform` (its points -> those of the result), `size` wide and high; black outside.

    A picture that becomes much smaller is averaged first, so that no pixel is skipped.
    """
    back = inverse(transform)
    shrink = max(int(np.sqrt(abs(np.linalg.det(back[:, :2])))), 1)
    # Pillow counts from the corner of the first pixel, and a picture reduced by n has n times larger pixels.
    shift = back[:, 2] + 0.5 - back[:, :2] @ np.array([0.5, 0.5])
    if shrink > 1:
        picture = picture.reduce(shrink)
    numbers = np.column_stack([back[:, :2], shift]) / shrink
    return picture.transform(size, Image.Transform.AFFINE, tuple(numbers.flatten()), Image.Resampling.BICUBIC)


def laid_back(picture: Image.Image, face: Image.Image, transform: np.ndarray, share: float = 1.0) -> Image.Image:
    """`picture` with `face` (what `warped` made of it, changed) back in its place, its edge softened.

    Pixels that the face does not reach stay as they are to the bit. `share` of 0..1 mixes the new face with the old.
    """
    mask = inverse_mask(face.size, share)
    undo = inverse(transform)
    laid = warped(face, undo, picture.size)
    where = warped(mask, undo, picture.size)
    return Image.composite(laid, picture, where)


def inverse_mask(size: tuple[int, int], share: float = 1.0) -> Image.Image:
    """255 times `share` inside, falling to 0 well before the edge, so that no frame is seen."""
    wide, high = size
    edge = max(min(size) // 16, 1)
    mask = Image.new("L", size)
    mask.paste(round(255 * share), (2 * edge, 2 * edge, wide - 2 * edge, high - 2 * edge))
    return mask.filter(ImageFilter.GaussianBlur(edge / 2))

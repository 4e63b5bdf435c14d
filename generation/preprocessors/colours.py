"""Conditions that keep a picture's colours: as it is, inverted, without details, shuffled."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage


def unchanged(image: Image.Image) -> Image.Image:
    """The picture itself."""
    return image.convert("RGB")


def invert(image: Image.Image) -> Image.Image:
    """Each channel turned round: a drawing with black lines as the ControlNets for lines read it."""
    return ImageOps.invert(image.convert("RGB"))


def tile(image: Image.Image, *, rate: float = 4.0) -> Image.Image:
    """The picture made `rate` times smaller by averaging and enlarged again: what is smaller than that is gone."""
    picture = image.convert("RGB")
    small = (max(round(picture.width / rate), 1), max(round(picture.height / rate), 1))
    return picture.resize(small, Image.Resampling.BOX).resize(picture.size, Image.Resampling.BICUBIC)


def shuffle(image: Image.Image, *, seed: int = 0, scale: int = 256) -> Image.Image:
    """The picture warped by a smooth random field: every place shows another one's colour (ControlNet 1.1's shuffle).

    The same seed gives the same warp. `scale` is the distance in pixels over which the field changes.
    """
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    height, width = pixels.shape[:2]
    generator = np.random.default_rng(seed)
    rows, columns = (_field(generator, (height, width), scale) * (side - 1) for side in (height, width))
    warped = [ndimage.map_coordinates(pixels[..., n], [rows, columns], order=1, mode="nearest") for n in range(3)]
    return Image.fromarray(np.stack(warped, -1).round().astype(np.uint8))


def _field(generator: np.random.Generator, shape: tuple[int, int], scale: int) -> np.ndarray:
    """Smooth noise [h, w] that takes every value of 0..1 equally often, so that no part of the picture is left out."""
    coarse = generator.random([side // scale + 4 for side in shape])
    places = np.meshgrid(*[np.arange(side) / scale + 1 for side in shape], indexing="ij")
    smooth = ndimage.map_coordinates(coarse, places, order=3, mode="nearest")
    ranks = np.empty(smooth.size)
    ranks[np.argsort(smooth, axis=None, kind="stable")] = np.linspace(0, 1, smooth.size)
    return ranks.reshape(shape)

"""Outpainting: a picture continued beyond its sides.

The new part begins as the old one's edge, mirrored, blurred and noised, so that a model that was not made to inpaint
finds colours to go on from; the old part is laid back over the result.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from generation.errors import BadSpec
from generation.operations.inpaint import repaint
from generation.pictures import GRID, read
from generation.stage import Stage

SIDES = ("left", "right", "top", "bottom")


def run(stage: Stage) -> np.ndarray:
    """Pictures [batch, h, w, 3] float32 in 0..1, of the picture's size and what is added."""
    picture, mask = canvas(read(stage.options["image"]), stage.options)
    return repaint(stage, picture, mask)


def canvas(picture: Image.Image, options: dict[str, int]) -> tuple[Image.Image, Image.Image]:
    """(the picture with its sides continued, the mask of what is new), both at multiples of 8.

    What the grid of latents asks for beyond the wanted pixels is added at the right and bottom, or where the person
    adds any.
    """
    left, right, top, bottom = (options[side] for side in SIDES)
    if not any((left, right, top, bottom)):
        raise BadSpec("nothing is to be added at any side", "Give --left, --right, --top or --bottom in pixels.")
    extra_x, extra_y = -(picture.width + left + right) % GRID, -(picture.height + top + bottom) % GRID
    left, right = (left + extra_x, right) if left and not right else (left, right + extra_x)
    top, bottom = (top + extra_y, bottom) if top and not bottom else (top, bottom + extra_y)
    pixels = np.asarray(picture)
    reach = ((top, bottom), (left, right), (0, 0))
    spread = np.pad(pixels, reach, mode="symmetric")
    far = Image.fromarray(spread).filter(ImageFilter.GaussianBlur(max(left, right, top, bottom) / 8))
    far.paste(picture, (left, top))
    overlap = options["overlap"]
    mask = Image.new("L", far.size, 255)
    inside = (
        left + (overlap if left else 0),
        top + (overlap if top else 0),
        left + picture.width - (overlap if right else 0),
        top + picture.height - (overlap if bottom else 0),
    )
    if inside[2] > inside[0] and inside[3] > inside[1]:
        mask.paste(0, inside)
    return far, mask

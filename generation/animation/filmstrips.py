"""A video as one picture: a strip of its frames for a terminal, a sheet of them for the gallery."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from generation import pictures
from generation.errors import BadVideo

Bytes = NDArray[np.uint8]
GAP = 4  # pixels between frames


def chosen(frames: int, most: int) -> list[int]:
    """At most so many of the frames' numbers, the first and the last among them, evenly apart."""
    if frames <= most:
        return list(range(frames))
    return [round(place * (frames - 1) / max(most - 1, 1)) for place in range(most)]


def strip(read: Callable[[int], Bytes], frames: int, *, most: int = 8, height: int = 128) -> Image.Image:
    """`most` frames side by side, `height` pixels high. `read` gives a frame by its number."""
    return _laid([_small(read(number), height) for number in chosen(frames, most)], most)


def sheet(
    read: Callable[[int], Bytes], frames: int, *, columns: int = 6, rows: int = 6, height: int = 160
) -> Image.Image:
    """Up to `columns` times `rows` frames, row by row."""
    return _laid([_small(read(number), height) for number in chosen(frames, columns * rows)], columns)


def write(image: Image.Image, path: Path, texts: Mapping[str, Any]) -> Path:
    """A PNG that carries `texts`; what is no text is written as JSON."""
    told = PngInfo()
    for key, text in texts.items():
        told.add_text(key, text if isinstance(text, str) else json.dumps(text, ensure_ascii=False))
    return pictures.write_png(image, path, told)


def _small(frame: Bytes, height: int) -> Image.Image:
    image = Image.fromarray(frame)
    if image.height > height:
        image = image.resize((max(round(image.width * height / image.height), 1), height), pictures.LANCZOS)
    return image


def _laid(images: Sequence[Image.Image], columns: int) -> Image.Image:
    if not images:
        raise BadVideo("there are no frames to lay side by side", "Make some first.")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    width, height = images[0].size
    laid = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP), "black")
    for number, image in enumerate(images):
        laid.paste(image, (number % columns * (width + GAP), number // columns * (height + GAP)))
    return laid

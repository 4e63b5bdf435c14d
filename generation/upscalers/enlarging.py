"""A picture made larger by any upscaler, to any size: network by tiles, as often as needed, then Lanczos to measure.

Leaves the networks to their modules and what else is done with the picture to the operations.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from generation.catalogue import Catalogue
from generation.errors import BadSpec, BadWeights, UnknownModel, nearest
from generation.pictures import LANCZOS, LARGEST, to_array, to_image
from generation.tiles import mapped
from generation.upscalers import LOCAL, UPSCALERS

TILE = 128  # pixels of a side that a network sees at once: x4plus takes 1.2 GB for it, 2.4 GB for 192
OVERLAP = 16  # more than the reach of most of what a network's answer at a place depends on

Network = tuple[Callable[[np.ndarray], np.ndarray], int]


def enlarged(
    picture: Image.Image,
    scale: float,
    upscaler: str,
    catalogue: Catalogue,
    *,
    report: Callable[[dict[str, Any]], None] = lambda event: None,
    check: Callable[[], None] = lambda: None,
) -> Image.Image:
    """The picture `scale` times (1 or more) as wide and high, rounded.

    Raises `BadSpec` for an unknown upscaler or a picture too large to be written, `BadWeights` for what it needs.
    """
    size = (round(picture.width * scale), round(picture.height * scale))
    if size[0] * size[1] > LARGEST:
        raise BadSpec(f"{size[0]}x{size[1]} are more than {LARGEST // 10**6} million pixels", "Choose a smaller scale.")
    network = find(upscaler, catalogue)
    if network is None:
        return picture if picture.size == size else picture.resize(size, LANCZOS)
    make, factor = network

    def each(done: int, total: int) -> None:
        report({"kind": "progress", "stage": "upscaling", "done": done, "total": total})
        check()

    while True:
        picture = to_image(mapped(to_array(picture), make, factor, tile=TILE, overlap=OVERLAP, each=each))
        # A network of scale 1 restores and enlarges nothing.
        if factor == 1 or picture.width >= size[0]:
            return picture if picture.size == size else picture.resize(size, LANCZOS)


def find(name: str, catalogue: Catalogue) -> Network | None:
    """(network, scale) of a name in the table, a file in the catalogue or a path; None for Lanczos."""
    if name in UPSCALERS:
        about = UPSCALERS[name]
        if not about.load:
            return None
        module, function = about.load.split(":")
        return getattr(import_module(module), function)(name), about.scale
    try:
        entry = catalogue.find(name)
    except UnknownModel as error:
        names = [*UPSCALERS, *(one.name for one in catalogue.entries() if one.kind == "upscaler")]
        raise BadSpec(
            f'there is no upscaler "{name}"', nearest(name, names) or f"Choose: {', '.join(UPSCALERS)}, or a file."
        ) from error
    if entry.kind not in {"upscaler", "unknown"} or not Path(entry.path).is_file():
        raise BadWeights(f"{entry.name} is not an upscaler but of the kind {entry.kind}", "Choose an upscaler.")
    module, function = LOCAL.split(":")
    found: Network = getattr(import_module(module), function)(entry.path)
    return found

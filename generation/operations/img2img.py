"""Image to image: a picture noised by a strength and denoised under the prompt (Meng et al. 2021, arXiv:2108.01073)."""

from __future__ import annotations

import numpy as np

from generation.pictures import fitted, read, to_array
from generation.stage import Stage


def run(stage: Stage) -> np.ndarray:
    """Pictures [batch, height, width, 3] float32 in 0..1, at the spec's size. Raises `BadImage`, `BadSpec`."""
    picture = fitted(read(stage.options["image"]), stage.size, stage.options["resize"])
    init = stage.encode(to_array(picture)[None])
    latents = stage.denoise(stage.noise(*stage.size), init=init, strength=stage.options["strength"])
    return stage.decode(latents)

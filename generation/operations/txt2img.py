"""Text to image: noise at the wanted size, denoised under the prompt; a second pass enlarges and refines it."""

from __future__ import annotations

import numpy as np
import torch

from generation.pictures import GRID, LANCZOS, to_array, to_image
from generation.stage import Stage


def run(stage: Stage) -> np.ndarray:
    """Pictures [batch, height, width, 3] float32 in 0..1; with `hires_scale` they are that much larger."""
    width, height = stage.size
    noise = stage.noise(width, height)
    latents = stage.denoise(noise)
    scale = stage.options["hires_scale"]
    if scale <= 1:
        return stage.decode(latents)
    larger = (int(width * scale) // GRID * GRID, int(height * scale) // GRID * GRID)
    return stage.decode(enlarge(stage, latents, larger))


def enlarge(stage: Stage, latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The second pass of the hires fix: latents brought to `size` in pixels, noised by a strength, denoised again."""
    options = stage.options
    noise = stage.noise(*size)
    if options["hires_upscaler"] == "latent":
        init = torch.nn.functional.interpolate(latents.float(), size=noise.shape[-2:], mode="bilinear")
        init = init.to(latents.dtype)
    else:
        pictures = [to_image(picture).resize(size, LANCZOS) for picture in stage.decode(latents)]
        init = stage.encode(np.stack([to_array(picture) for picture in pictures]))
    return stage.denoise(
        noise,
        init=init,
        strength=options["hires_strength"],
        steps=options["hires_steps"] or None,
        size=size,
        name="second pass",
    )

"""Pictures of a render under way: what the model thinks the result is, small and cheap.

Where the autoencoder is quick its decoder is asked; else a linear map from latents to colours, fitted to that very
decoder once.
"""

from __future__ import annotations

import os
import time
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

QUICK = 0.06  # seconds a decode may take to be used for previews
LARGEST = 256  # pixels


class Previewer:
    """Makes previews for one autoencoder."""

    def __init__(self, vae: Any) -> None:
        self._vae = vae
        self._quick: bool | None = None
        self._map: torch.Tensor | None = None

    @torch.no_grad()
    def picture(self, latents: torch.Tensor) -> np.ndarray:
        """[height, width, 3] uint8 of clean latents [4, h, w] (scaled, as the UNet sees them)."""
        if self._quick is not False:
            began = time.perf_counter()
            scaled = latents[None].to(self._vae.device, self._vae.dtype)
            made = self._vae.decode(scaled / self._vae.config.scaling_factor).sample[0]
            self._quick = time.perf_counter() - began < QUICK
            colours = made.float().permute(1, 2, 0)
        else:
            if self._map is None:
                self._map = self._fit()
            flat = latents.float().cpu().flatten(1).T
            flat = torch.cat([flat, torch.ones(len(flat), 1)], 1)
            colours = (flat @ self._map).reshape(*latents.shape[1:], 3)
        return ((colours.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()

    def _fit(self) -> torch.Tensor:
        """[channels + 1, 3]: least squares from latents to the mean colour of the pixels each stands for."""
        generator = torch.Generator().manual_seed(0)
        channels = self._vae.config.latent_channels
        coarse = torch.randn(4, channels, 4, 4, generator=generator)
        latents = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="nearest")
        scaled = latents.to(self._vae.device, self._vae.dtype) / self._vae.config.scaling_factor
        made = self._vae.decode(scaled).sample.float().cpu()
        small = torch.nn.functional.adaptive_avg_pool2d(made, latents.shape[-2:])
        flat = latents.permute(0, 2, 3, 1).reshape(-1, channels)
        flat = torch.cat([flat, torch.ones(len(flat), 1)], 1)
        return torch.linalg.lstsq(flat, small.permute(0, 2, 3, 1).reshape(-1, 3)).solution


def write(picture: np.ndarray, path: Path) -> None:
    """Save a preview, atomically, at most `LARGEST` pixels a side."""
    image = Image.fromarray(picture)
    image.thumbnail((LARGEST, LARGEST))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    image.save(temporary, "PNG")
    temporary.replace(path)


def watch_clean(scheduler: Any) -> dict[str, torch.Tensor]:
    """Record the model's estimate of the clean latents at each `scheduler.step`; it stands under `latents`.

    Works from the prediction type and the cumulative alphas, for variance-preserving and -exploding schedulers alike
    (the latter begin with a noise of sigma, not 1).
    """
    seen: dict[str, torch.Tensor] = {}
    original = scheduler.step
    exploding = float(scheduler.init_noise_sigma) > 1.5
    alphas = scheduler.alphas_cumprod
    kind = scheduler.config.prediction_type

    # Pipelines look at the signature to know whether the scheduler takes their generator: without it an ancestral
    # sampler draws its noise from elsewhere and no picture can be made again.
    @wraps(original)
    def step(model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *args: Any, **kw: Any) -> Any:
        number = min(max(round(float(timestep)), 0), len(alphas) - 1)
        a = float(alphas[number])
        x = sample * a**0.5 if exploding else sample
        if kind == "v_prediction":
            clean = a**0.5 * x - (1 - a) ** 0.5 * model_output
        elif kind == "sample":
            clean = model_output
        else:
            clean = (x - (1 - a) ** 0.5 * model_output) / a**0.5
        seen["latents"] = clean
        return original(model_output, timestep, sample, *args, **kw)

    scheduler.step = step
    return seen

"""Pixels to latents and back, for one autoencoder.

Knows the scale of latents, and that some autoencoders overflow in half precision and are lifted to single for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


class Autoencoder:
    """An AutoencoderKL with latents as the UNet sees them: scaled, and shifted where its config says so."""

    def __init__(self, vae: Any, device: str | torch.device) -> None:
        self.vae = vae
        self._device = torch.device(device)
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.channels = int(vae.config.latent_channels)

    @torch.no_grad()
    def encode(self, pictures: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Latents [batch, channels, h / factor, w / factor] of pictures [batch, h, w, 3] in 0..1.

        The mean of the distribution is taken: a draw from it would use up the seed's noise and change nothing a person
        can see.
        """
        tensor = torch.as_tensor(np.asarray(pictures)).permute(0, 3, 1, 2).float() * 2 - 1
        with self._lifted() as dtype:
            found = [
                self.vae.encode(one[None].to(self._device, dtype)).latent_dist.mode().to(self._device) for one in tensor
            ]
        latents = torch.cat(found).float()
        mean, std = self._shift(latents)
        if mean is not None:
            latents = (latents - mean) / std
        return latents * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Pictures [batch, h, w, 3] float32 in 0..1 of latents, one after the other: a batch's memory is one's."""
        made = []
        with self._lifted() as dtype:
            mean, std = self._shift(latents)
            for one in latents:
                scaled = one[None].to(self._device)
                if mean is None:
                    scaled = scaled / self.vae.config.scaling_factor
                else:
                    scaled = scaled * std / self.vae.config.scaling_factor + mean
                made.append(self.vae.decode(scaled.to(dtype), return_dict=False)[0].cpu())
        pictures = (torch.cat(made) * 0.5 + 0.5).clamp(0, 1)
        return pictures.permute(0, 2, 3, 1).float().numpy()

    def _shift(self, latents: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        mean = getattr(self.vae.config, "latents_mean", None)
        std = getattr(self.vae.config, "latents_std", None)
        if mean is None or std is None:
            return None, None
        shaped = [torch.tensor(v, device=latents.device, dtype=latents.dtype).view(1, -1, 1, 1) for v in (mean, std)]
        return shaped[0], shaped[1]

    @contextmanager
    def _lifted(self) -> Iterator[torch.dtype]:
        """The number format to work in; SDXL's stock autoencoder gives black pictures in half precision."""
        half = self.vae.dtype == torch.float16 and bool(getattr(self.vae.config, "force_upcast", False))
        if not half:
            yield self.vae.dtype
            return
        self.vae.to(dtype=torch.float32)
        try:
            yield torch.float32
        finally:
            self.vae.to(dtype=torch.float16)


def _latents(encoded: Any) -> torch.Tensor:
    """The mean of a distribution; the small autoencoders of previews give latents outright."""
    found: torch.Tensor = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
    return found

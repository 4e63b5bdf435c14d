"""The autoencoder: 64x64 pictures to 16x16x4 latents and back."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import nn

from generation.demo import dataset
from generation.demo.loop import Average, train


def build() -> AutoencoderKL:
    """1.4 million weights; no attention, since flat art is local."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(24, 48, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
    )


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 [n, h, w, 3] -> float32 [n, 3, h, w] in -1..1."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(tensor: torch.Tensor) -> np.ndarray:
    """The way back."""
    scaled = ((tensor.clamp(-1, 1) + 1) * 127.5).round()
    return scaled.permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy()


CROP = 32
BATCH = 24


def edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def loss_of(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """L1 of pixels, of their differences (flat art is judged by its edges) and of 4x4 means (its colours)."""
    loss = nn.functional.l1_loss(made, wanted)
    for a, b in zip(edges(made), edges(wanted)):
        loss = loss + 0.5 * nn.functional.l1_loss(a, b)
    coarse = nn.functional.avg_pool2d(made, 4), nn.functional.avg_pool2d(wanted, 4)
    return loss + nn.functional.l1_loss(*coarse) + nn.functional.mse_loss(*coarse)


def certain(vae: AutoencoderKL) -> None:
    """Fix the posterior's deviation at e^-6: the encoder was trained without sampling."""
    half = vae.config.latent_channels
    with torch.no_grad():
        vae.quant_conv.weight[half:].zero_()
        vae.quant_conv.bias[half:].fill_(-12.0)


def run(data: Path, folder: Path, *, steps: int, deadline: float | None, device: str) -> None:
    """Train and save to folder/vae.

    Crops of 32 pixels for the first three quarters: four times the pictures for the same work, and the network is
    convolutional; whole pictures at the end, since the group norms see a whole picture's statistics.
    """
    pictures, _ = dataset.load(data)
    vae = build().to(device, memory_format=torch.channels_last)
    began = time.monotonic()

    def step(number: int) -> torch.Tensor:
        rng = np.random.default_rng(number)
        share = max(number / steps, (time.monotonic() - began) / deadline if deadline else 0)
        whole = share > 0.75
        choice = np.sort(rng.integers(0, len(pictures), BATCH // 3 if whole else BATCH))
        wanted = to_tensor(pictures[choice])
        if not whole:
            corners = rng.integers(0, wanted.shape[-1] - CROP + 1, (len(choice), 2))
            wanted = torch.stack([w[:, y : y + CROP, x : x + CROP] for w, (y, x) in zip(wanted, corners)])
        wanted = wanted.to(device, memory_format=torch.channels_last)
        latents = vae.encode(wanted).latent_dist.mode()
        # A little noise makes the decoder forgive a sampler's errors; the small penalty keeps the scale near one.
        made = vae.decode(latents + 0.03 * torch.randn_like(latents)).sample
        return loss_of(made, wanted) + 1e-3 * (latents.pow(2).mean() - 1).clamp(min=0)

    def sample(number: int, average: Average) -> None:
        with torch.no_grad():
            wanted = to_tensor(pictures[:8]).to(device)
            made = average.modules[0].decode(average.modules[0].encode(wanted).latent_dist.mode()).sample
        rows = np.concatenate([to_pictures(wanted), to_pictures(made)], 1)
        Image.fromarray(np.concatenate(list(rows), 1)).resize((1024, 256), 0).save(folder / "vae-sample.png")

    average = train("vae", [vae], step, steps=steps, rate=1.5e-3, folder=folder, deadline=deadline,
                    sample=sample, sample_every=250)  # fmt: skip
    finished: AutoencoderKL = average.modules[0]
    certain(finished)
    with torch.no_grad():
        stds = [
            finished.encode(to_tensor(pictures[n : n + 64]).to(device)).latent_dist.mode().std()
            for n in range(0, min(512, len(pictures)), 64)
        ]
    finished.register_to_config(scaling_factor=round(1 / float(torch.stack(stds).mean()), 5))
    finished.save_pretrained(folder / "vae")


def sharpen(data: Path, folder: Path, *, steps: int, deadline: float | None, device: str) -> None:
    """Go on with the decoder alone: the latents, and so the UNet, stay as they are; updates folder/vae."""
    pictures, _ = dataset.load(data)
    vae = AutoencoderKL.from_pretrained(folder / "vae").to(device, memory_format=torch.channels_last)
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)

    def step(number: int) -> torch.Tensor:
        choice = np.sort(np.random.default_rng(number).integers(0, len(pictures), 10))
        wanted = to_tensor(pictures[choice]).to(device, memory_format=torch.channels_last)
        with torch.no_grad():
            latents = vae.encode(wanted).latent_dist.mode()
        # What a sampler hands over is never exact: the decoder learns on latents a little off.
        made = vae.decode(latents + 0.06 * torch.randn_like(latents)).sample
        return loss_of(made, wanted)

    average = train("sharpen", [vae], step, steps=steps, rate=8e-4, folder=folder, deadline=deadline)
    average.modules[0].save_pretrained(folder / "vae")

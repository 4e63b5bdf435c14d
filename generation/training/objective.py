"""What a training minimises: the square of what the UNet's prediction misses, at random timesteps.

L = w(t) mean |f(x_t, t, text) - y|^2, with y the noise, the clean latents or the velocity as the checkpoint's scheduler
says. w is min-SNR's (Hang et al. 2023, arXiv:2303.09556): min(SNR, gamma) / SNR for the noise, / (SNR + 1) for the
velocity. With a noise offset the noise has a part that is the same over the picture (Guttenberg 2023). Leaves where
latents and texts come from to `examples`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from generation.training.examples import Batch
from generation.training.texts import Texts

VALIDATED = 8  # timesteps, the same ones each time


def loss(
    unet: Any,
    schedule: Any,
    batch: Batch,
    texts: Texts,
    *,
    seed: int,
    device: str | torch.device,
    gamma: float = 0.0,
    offset: float = 0.0,
    times: Tensor | None = None,
    frames: int = 1,
    bias: float = 0.0,
) -> Tensor:
    """[n], one a picture. Noise and timesteps are drawn from `seed` alone, on the CPU, so that every device has the
    same; `times` [n] are given for validation. Of every `frames` pictures, a clip, all have the same timestep. A
    timestep's chance grows with it to the power of `bias`."""
    generator = torch.Generator("cpu").manual_seed(seed)
    clean = batch.latents.float()
    noise = torch.randn(clean.shape, generator=generator)
    if offset:
        noise = noise + offset * torch.randn((*clean.shape[:2], 1, 1), generator=generator)
    last, count = schedule.config.num_train_timesteps, len(clean) // frames
    drawn = torch.randint(0, last, (count,), generator=generator)
    if bias:
        drawn = (torch.rand(count, generator=generator) ** (1 / (1 + bias)) * last).long().clamp(max=last - 1)
    times = drawn.repeat_interleave(frames) if times is None else times
    noisy = schedule.add_noise(clean, noise, times)
    aim = wanted(schedule, clean, noise, times)
    dtype = next(iter(unet.parameters())).dtype
    added = None
    if texts.pooled is not None:
        added = {
            "text_embeds": texts.pooled.to(device, dtype),
            "time_ids": batch.time_ids.to(device, dtype),
        }
    made = unet(
        noisy.to(device, dtype),
        times.to(device),
        encoder_hidden_states=texts.embeds.to(device, dtype),
        added_cond_kwargs=added,
        return_dict=False,
    )[0]
    each = (made.float() - aim.to(device)).pow(2).mean((1, 2, 3))
    return each * weights(schedule, times, gamma).to(device) if gamma else each


def wanted(schedule: Any, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """What a checkpoint of this schedule should predict: the noise, the clean latents or the velocity."""
    kind = schedule.config.prediction_type
    found: Tensor = noise
    if kind == "sample":
        found = clean
    elif kind != "epsilon":
        found = schedule.get_velocity(clean, noise, times)
    return found


def weights(schedule: Any, times: Tensor, gamma: float) -> Tensor:
    """Min-SNR's weight [n] of each timestep, for what the checkpoint predicts."""
    signal = schedule.alphas_cumprod[times]
    # The last timestep of a schedule that ends in pure noise has no signal: its bound is 0 / 0.
    ratio = (signal / (1 - signal)).clamp(min=1e-8)
    bounded = ratio.clamp(max=gamma)
    kind = schedule.config.prediction_type
    return bounded / ratio if kind == "epsilon" else bounded if kind == "sample" else bounded / (ratio + 1)


@torch.no_grad()
def validation(unet: Any, schedule: Any, batches: list[Batch], *, device: str | torch.device) -> float:
    """The unweighted loss over `batches` at evenly spread timesteps with the same noise each time."""
    total = count = 0.0
    last = schedule.config.num_train_timesteps
    for number, batch in enumerate(batches):
        for part in range(VALIDATED):
            n = len(batch.latents)
            times = torch.full((n,), int((part + 0.5) * last / VALIDATED))
            found = loss(
                unet, schedule, batch, batch.texts, seed=1_000_003 * (number + 1) + part, device=device, times=times
            )
            total += float(found.sum())
            count += n
    return total / count

"""The loop of denoising, for every operation: latents and timesteps in, latents out.

One loop instead of one pipeline an operation, so that what steers it (guidance, masks, further channels, control) goes
with everything. The order of computation is that of diffusers' text-to-image pipelines, and their results to the bit.
Leaves prompts to `conditioning`, pixels to the autoencoder, and what is asked for to `stage`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

# Called behind each step with (step from 0, steps in all, latents).
AfterStep = Callable[[int, int, torch.Tensor], None]
# (input of the UNet, timestep, texts, further conditions, share of the steps done 0..1) -> what is added to its call.
Steering = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor], float], dict[str, Any]]


@dataclass
class Texts:
    """What the UNet is told at a step: `embeds` [rows, tokens, width], `added` its further conditions (SDXL).

    With guidance the negative's rows stand before the positive's.
    """

    embeds: torch.Tensor
    added: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Blend:
    """What must stay as it is: `original` latents where `mask` [batch or 1, 1, h, w] is 0, noised to each step."""

    original: torch.Tensor
    mask: torch.Tensor
    noise: torch.Tensor


def denoise(
    unet: Any,
    scheduler: Any,
    latents: torch.Tensor,
    timesteps: torch.Tensor,
    texts: Callable[[int], Texts],
    *,
    guidance_scale: float,
    guidance_rescale: float = 0.0,
    generators: Sequence[torch.Generator] = (),
    channels: torch.Tensor | None = None,
    image_guidance: float | None = None,
    blend: Blend | None = None,
    steering: Sequence[Steering] = (),
    after: AfterStep = lambda step, total, latents: None,
) -> torch.Tensor:
    """Latents [batch, 4, h, w] that are clean, from those that stand at timesteps[0].

    `texts(step)` are the conditions of a step; at a guidance scale of 1 or below they hold the positive's rows alone.
    `channels` [batch, c, h, w] go to the UNet beside the latents (inpainting, instructions). With `image_guidance` they
    are a picture that is guided by as well (Brooks et al. 2023, arXiv:2211.09800, equation 3): `texts` then hold the
    negative's rows twice before the positive's, and the first of the three groups sees no picture. `after` may raise,
    which ends the loop. What several of `steering` add under one name is summed.
    """
    guided = guidance_scale > 1
    groups = (3 if image_guidance is not None else 2) if guided else 1
    if channels is not None and guided:
        blind = torch.zeros_like(channels) if image_guidance is not None else channels
        channels = torch.cat([blind, *[channels] * (groups - 1)])
    named = inspect.signature(scheduler.step).parameters
    extra: dict[str, Any] = {}
    if "eta" in named:
        extra["eta"] = 0.0
    if "generator" in named and generators:
        extra["generator"] = list(generators)
    scale = None
    if getattr(unet.config, "time_cond_proj_dim", None) is not None:
        scale = guidance_embedding(guidance_scale - 1, unet.config.time_cond_proj_dim, len(latents)).to(
            latents.device, latents.dtype
        )
    total = len(timesteps)
    for step, timestep in enumerate(timesteps):
        told = texts(step)
        rows = torch.cat([latents] * groups) if guided else latents
        rows = scheduler.scale_model_input(rows, timestep)
        if channels is not None:
            rows = torch.cat([rows, channels], dim=1)
        more: dict[str, Any] = {}
        for steer in steering:
            joined(more, steer(rows, timestep, told.embeds, told.added, step / total))
        predicted = unet(
            rows,
            timestep,
            encoder_hidden_states=told.embeds,
            timestep_cond=scale,
            added_cond_kwargs=told.added or None,
            return_dict=False,
            **more,
        )[0]
        if guided:
            *unseen, negative, positive = predicted.chunk(groups)
            if image_guidance is None:
                predicted = negative + guidance_scale * (positive - negative)
            else:
                predicted = unseen[0] + guidance_scale * (positive - negative) + image_guidance * (negative - unseen[0])
            if guidance_rescale > 0:
                predicted = rescaled(predicted, positive, guidance_rescale)
        latents = scheduler.step(predicted, timestep, latents, **extra, return_dict=False)[0]
        if blend is not None:
            kept = blend.original
            if step + 1 < total:
                kept = scheduler.add_noise(blend.original, blend.noise, timesteps[step + 1 : step + 2])
            latents = (1 - blend.mask) * kept + blend.mask * latents
        after(step, total, latents)
    return latents


def joined(into: dict[str, Any], more: dict[str, Any]) -> None:
    """Put `more` into `into`; residuals that both have, a tensor or a list of tensors, are added up."""
    for name, value in more.items():
        if name in into and isinstance(value, torch.Tensor):
            into[name] = into[name] + value
        elif name in into and isinstance(value, (list, tuple)):
            into[name] = [one + other for one, other in zip(into[name], value, strict=True)]
        else:
            into[name] = value


def rescaled(guided: torch.Tensor, positive: torch.Tensor, phi: float) -> torch.Tensor:
    """Guidance with the positive prediction's deviation, mixed in by `phi` (arXiv:2305.08891, equations 15 and 16)."""
    dims = list(range(1, positive.ndim))
    same = guided * (positive.std(dim=dims, keepdim=True) / guided.std(dim=dims, keepdim=True))
    return phi * same + (1 - phi) * guided


def guidance_embedding(scale: float, width: int, batch: int) -> torch.Tensor:
    """[batch, width]: the guidance scale as sines and cosines, for UNets distilled with it (arXiv:2310.04378)."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half) * -(torch.log(torch.tensor(10000.0)) / (half - 1)))
    angles = torch.full((batch, 1), scale * 1000.0) * frequencies[None]
    found = torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)
    return torch.nn.functional.pad(found, (0, width % 2))


def first_step(steps: int, strength: float) -> int:
    """The step that a strength of 0..1 begins at: the last `strength` of them are taken."""
    return max(steps - min(int(steps * strength), steps), 0)


def slerp(one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    """From `one` (share 0) to `other` (share 1) along the sphere, each taken as one vector (Shoemake 1985)."""
    if share <= 0:
        return one
    if share >= 1:
        return other
    a, b = one.double().flatten(), other.double().flatten()
    angle = torch.acos((torch.dot(a, b) / (a.norm() * b.norm())).clamp(-1, 1))
    if angle.sin() < 1e-6:
        return torch.lerp(one, other, share)
    mixed = (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)
    return mixed.reshape(one.shape).to(one.dtype)

"""What an operation works with: one render's spec, noise, autoencoder and the loop, with progress and previews.

Knows how a strength, a seed and a sampler become noise and timesteps. Leaves the loop to `sampling`, the model to
`loading` and the operations' own meaning to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor

from generation import samplers
from generation.autoencoder import Autoencoder
from generation.catalogue import Catalogue, ModelEntry
from generation.conditioning import Conditioner, Conditioning
from generation.errors import BadSpec
from generation.previews import Previewer, watch_clean, write
from generation.sampling import Blend, Steering, Texts, denoise, first_step, slerp
from generation.specs import RenderSpec

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
PREVIEW_EVERY = 0.4  # seconds


@dataclass
class Tools:
    """The loaded checkpoint as a stage sees it."""

    pipe: Any
    scheduler: Any  # the configuration it came with
    conditioner: Conditioner
    previewer: Previewer
    autoencoder: Autoencoder
    catalogue: Catalogue
    entry: ModelEntry
    # What attachments loaded for this checkpoint and may need again; it goes when the checkpoint goes.
    kept: dict[str, Any] = field(default_factory=dict)


@dataclass
class Stage:
    """One render. `spec` has nothing left open; `seeds` and `variations` are one a picture.

    Each of `around` takes what the loop asks for a prediction (the UNet, or the one before it in the list) and gives
    what it asks instead: something called as a UNet is, with its `config`.
    """

    tools: Tools
    spec: RenderSpec
    seeds: Sequence[int]
    variations: Sequence[int]
    report: Report = lambda event: None
    check: Check = lambda: None
    preview: Path | None = None
    steering: list[Steering] = field(default_factory=list)
    around: list[Callable[[Any], Any]] = field(default_factory=list)
    # Files of a video's frames, one a picture of the batch: what a control may look at instead of one picture.
    filmed: Sequence[Path] = ()
    _generators: list[torch.Generator] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._generators = [torch.Generator("cpu").manual_seed(seed) for seed in self.seeds]

    # Facts

    @property
    def options(self) -> dict[str, Any]:
        return self.spec.options

    @property
    def batch(self) -> int:
        return len(self.seeds)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        assert self.spec.width is not None and self.spec.height is not None
        return self.spec.width, self.spec.height

    @property
    def device(self) -> torch.device:
        return torch.device(self.tools.pipe._execution_device)

    @property
    def unet(self) -> Any:
        return self.tools.pipe.unet

    @property
    def own_channels(self) -> int:
        """Channels the UNet takes beside the latents: 5 to inpaint, 4 to follow instructions, else 0."""
        return int(self.unet.config.in_channels) - self.tools.autoencoder.channels

    # Pixels

    def encode(self, pictures: np.ndarray) -> torch.Tensor:
        """Latents of pictures [n, h, w, 3] in 0..1; one picture serves the whole batch."""
        latents = self.tools.autoencoder.encode(pictures).to(self.device, self.unet.dtype)
        return latents if len(latents) == self.batch else latents.repeat(self.batch, 1, 1, 1)

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Pictures [batch, h, w, 3] in 0..1."""
        self.check()
        return self.tools.autoencoder.decode(latents)

    def shown(self, latents: torch.Tensor) -> np.ndarray:
        """[height, width, 3] uint8: what a preview shows of clean latents."""
        return self.tools.previewer.picture(latents[0])

    # Noise

    def noise(self, width: int, height: int) -> torch.Tensor:
        """[batch, channels, h, w] of the seeds, drawn on the CPU so that a seed means the same on every device.

        A variation's noise is mixed in along the sphere by its strength.
        """
        tools = self.tools.autoencoder
        shape = (1, tools.channels, height // tools.factor, width // tools.factor)
        share = float(self.options.get("variation_strength", 0.0))
        drawn = []
        for generator, variation in zip(self._generators, self.variations, strict=True):
            one = randn_tensor(shape, generator=generator, device=torch.device("cpu"), dtype=self.unet.dtype)
            if share > 0:
                other = torch.Generator("cpu").manual_seed(variation)
                one = slerp(one, randn_tensor(shape, generator=other, dtype=self.unet.dtype), share)
            drawn.append(one)
        return torch.cat(drawn).to(self.device)

    # Denoising

    @torch.no_grad()
    def denoise(
        self,
        noise: torch.Tensor,
        *,
        init: torch.Tensor | None = None,
        strength: float = 1.0,
        steps: int | None = None,
        mask: torch.Tensor | None = None,
        channels: torch.Tensor | None = None,
        image_guidance: float | None = None,
        begun: torch.Tensor | None = None,
        scheduler: Any = None,
        size: tuple[int, int] | None = None,
        name: str = "denoising",
    ) -> torch.Tensor:
        """Clean latents from noise, or from `init` noised as far as `strength` says.

        With `mask` [1, 1, h, w] what is 0 in it stays `init`'s. `begun` are latents that have the noise of the first
        step that `strength` leaves. `image_guidance` is `sampling.denoise`'s. A `scheduler` takes the sampler's place.
        `size` in pixels is what SDXL is told. Raises `BadSpec` where no step is left to take.
        """
        tools, spec = self.tools, self.spec
        steps = steps or spec.steps or 1
        begin = 0 if init is None and begun is None else first_step(steps, strength)
        if begin >= steps:
            raise BadSpec(
                f"a strength of {strength:g} leaves none of {steps} steps",
                f"Give at least {1 / steps:.2g}, or more steps.",
            )
        scheduler = scheduler or self.scheduler()
        scheduler.set_timesteps(steps, device=self.device)
        timesteps = scheduler.timesteps[begin * scheduler.order :]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin * scheduler.order)
        if begun is not None:
            latents = begun
        elif init is None or begin == 0:
            latents = noise * scheduler.init_noise_sigma
        else:
            latents = scheduler.add_noise(init, noise, timesteps[:1].repeat(len(init)))
        clean = watch_clean(scheduler)
        cfg = float(spec.cfg if spec.cfg is not None else 7.0)
        plan = tools.conditioner.plan(
            spec.prompt, spec.negative, (steps - begin) * scheduler.order, spec.clip_skip, spec.weighting
        )
        groups = 1 if cfg <= 1 else 2 if image_guidance is None else 3
        known: tuple[Conditioning, Texts] | None = None
        shown = time.perf_counter()

        def texts(step: int) -> Texts:
            nonlocal known
            now = plan.at(step)
            if known is None or known[0].positive is not now.positive or known[0].negative is not now.negative:
                known = (now, self._texts(now, groups, size or self.size))
            return known[1]

        def after(step: int, total: int, latents: torch.Tensor) -> None:
            nonlocal shown
            plan.step = step + 1
            self.report({"kind": "progress", "stage": name, "done": step + 1, "total": total})
            self.check()
            now = time.perf_counter()
            if self.preview is not None and now - shown > PREVIEW_EVERY and "latents" in clean:
                write(self.shown(clean["latents"]), self.preview)
                self.report({"kind": "preview", "path": str(self.preview)})
                shown = time.perf_counter()

        blend = None
        if mask is not None and init is not None:
            blend = Blend(init, mask.to(init.device, init.dtype), noise)
        asked = self.unet
        for wrap in self.around:
            asked = wrap(asked)
        with plan.composing(self.unet, self.batch):
            return denoise(
                asked,
                scheduler,
                latents,
                timesteps,
                texts,
                guidance_scale=cfg,
                guidance_rescale=spec.cfg_rescale,
                generators=self._generators,
                channels=channels,
                image_guidance=image_guidance,
                blend=blend,
                steering=self.steering,
                after=after,
            )

    def scheduler(self) -> Any:
        """The sampler's scheduler, made anew from the configuration the checkpoint came with."""
        assert self.spec.sampler is not None
        choice = samplers.find(self.spec.sampler)
        made = getattr(diffusers, choice.scheduler_class).from_config(self.tools.scheduler, **choice.arguments)
        if hasattr(made, "noise_sampler_seed"):
            # This one takes no generator: without a seed of its own its noise comes from nowhere twice.
            made.noise_sampler_seed = list(self.seeds)
        return made

    def _texts(self, told: Conditioning, groups: int, size: tuple[int, int]) -> Texts:
        """The rows of a step: negatives before the positive, each as often as the batch has pictures."""

        def rows(negative: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
            # A clip's frames may each be told something else: then there is a row for each already.
            pair = [
                one if len(one) == self.batch else one.repeat(self.batch, *[1] * (one.dim() - 1))
                for one in (negative, positive)
            ]
            return torch.cat([*pair[:1] * (groups - 1), pair[1]])

        device, dtype = self.device, self.unet.dtype
        embeds = rows(told.negative, told.positive).to(device, dtype)
        if told.positive_pooled is None or told.negative_pooled is None:
            return Texts(embeds)
        pooled = rows(told.negative_pooled, told.positive_pooled).to(device, dtype)
        width, height = size
        # (height, width) of the original, the crop's corner, and the target: SDXL's size conditioning
        # (Podell et al. 2023, arXiv:2307.01952).
        ids = torch.tensor([[height, width, 0, 0, height, width]], dtype=dtype, device=device)
        return Texts(embeds, {"text_embeds": pooled, "time_ids": ids.repeat(len(pooled), 1)})

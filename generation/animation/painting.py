"""One frame denoised on an engine that stays warm: no file between, nothing loaded twice.

Knows how a frame's own prompt, seed, strength and mask become a render. Leaves what moves to `deforum` and `walks`, and
the loop of steps to `stage`. Pictures are float32 [height, width, 3] in 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from generation.conditioning import Conditioner, Conditioning, Plan, padded
from generation.engine import Engine, Loaded
from generation.errors import BadSpec, RenderFailed
from generation.hanging import hung
from generation.networks import named
from generation.prompts.grammar import parse
from generation.sampling import slerp
from generation.specs import RenderSpec
from generation.stage import Check, Report, Stage

Array = NDArray[Any]


@dataclass(frozen=True)
class Frame:
    """What a frame is denoised by.

    `spec` is a txt2img with nothing open but the model's defaults. `picture` is what it starts from, None for noise
    alone; `strength` the share that is made anew, 0..1. `mask` [h, w] is 1 where it changes. `noise_factor` multiplies
    the noise. `toward` is (positive, negative) of a prompt that is mixed in by `share`, along the sphere where `round`
    says so. `noise_toward` is the same for the noise, (seed, share), always along the sphere.
    """

    spec: RenderSpec
    picture: Array | None = None
    strength: float = 1.0
    mask: Array | None = None
    noise_factor: float = 1.0
    toward: tuple[str, str] | None = None
    share: float = 0.0
    noise_toward: tuple[int, float] | None = None
    round: bool = False


class Painter:
    """Frames on one engine. Notes are told once, not once a frame."""

    def __init__(self, engine: Engine, report: Report = lambda event: None, check: Check = lambda: None) -> None:
        self._engine, self._report, self._check = engine, report, check
        self._said: set[str] = set()
        self._entries = engine.catalogue.entries()

    def resolved(self, spec: RenderSpec) -> RenderSpec:
        """The spec with the model's own defaults where it leaves something open."""
        return spec.resolve(self._engine.catalogue.find(spec.model).defaults, lambda: 0)

    def paint(self, frame: Frame) -> Array:
        """The picture of a frame. Raises `BadSpec`, `BadWeights`, `UnknownModel`, `RenderFailed`, and as `check`."""
        spec = self.resolved(frame.spec)
        assert spec.width is not None and spec.height is not None
        loaded = self._engine.prepare(spec.model, vae=spec.vae, size=(spec.width, spec.height), report=self._say)
        self._set_networks(loaded, spec)
        tools = loaded.tools
        if frame.toward is not None:
            # At a share of 0 as well: the chunks that the longer of both needs must not come in with a jump.
            conditioner: Any = _Between(tools.conditioner, frame.toward, frame.share, frame.round)
            tools = replace(tools, conditioner=conditioner)
        stage = Stage(tools, spec, [spec.seed], [spec.options["variation_seed"]], self._say, self._check, None)
        if stage.own_channels:
            raise BadSpec(
                f"{loaded.entry.name} was made for single pictures (inpainting or instructions)",
                "Choose another model.",
            )
        family = loaded.entry.family
        hypers = named.hypernetworks(parse(spec.prompt).networks, self._entries, family)
        try:
            with hung(stage, hypers):
                made = _denoised(stage, frame)
        except torch.OutOfMemoryError as error:
            self._engine.unload()
            raise RenderFailed(
                f"{spec.width}x{spec.height} does not fit into the memory of {self._engine.device}",
                "Set W and H smaller.",
            ) from error
        finally:
            loaded.pipe.maybe_free_model_hooks()
        if not np.isfinite(made).all():
            raise RenderFailed(
                "a frame came out as not-a-number", "Lower cfg_scale_schedule, or choose another sampler."
            )
        return made

    def _set_networks(self, loaded: Loaded, spec: RenderSpec) -> None:
        loras = named.resolve(parse(spec.prompt).networks, self._entries, loaded.entry.family)
        if loaded.networks.set(loras, report=self._say, check=self._check):
            loaded.conditioner.clear()

    def _say(self, event: dict[str, Any]) -> None:
        """Notes once; of a frame's own progress only that something is loaded."""
        if event["kind"] == "note" and event["message"] not in self._said:
            self._said.add(event["message"])
            self._report(event)
        elif event["kind"] == "progress" and event["stage"] == "loading":
            self._report(event)


def _denoised(stage: Stage, frame: Frame) -> Array:
    noise = stage.noise(*stage.size)
    if frame.noise_toward is not None:
        seed, share = frame.noise_toward
        other = Stage(stage.tools, stage.spec, [seed], stage.variations).noise(*stage.size)
        noise = slerp(noise, other, share)
    if frame.noise_factor != 1:
        noise = noise * frame.noise_factor
    if frame.picture is None:
        return np.asarray(stage.decode(stage.denoise(noise))[0])
    if frame.strength <= 0:
        return frame.picture
    init = stage.encode(frame.picture[None])
    mask = _latent_mask(frame.mask, noise, init.dtype) if frame.mask is not None else None
    # Less than one step of change is one: a schedule that goes towards 1 must not end in an error.
    strength = max(frame.strength, 1 / (stage.spec.steps or 1) + 1e-6)
    return np.asarray(stage.decode(stage.denoise(noise, init=init, strength=min(strength, 1.0), mask=mask))[0])


def _latent_mask(mask: Array, noise: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[1, 1, h, w] at the latents' size, on their device."""
    grey = Image.fromarray((mask * 255).round().astype(np.uint8))
    small = np.asarray(grey.resize((noise.shape[-1], noise.shape[-2]), Image.Resampling.BOX), dtype=np.float32)
    return torch.from_numpy(small.copy())[None, None].to(noise.device, dtype) / 255


class _Between:
    """A conditioner whose prompts are part of the way to another pair, tensor by tensor."""

    def __init__(self, conditioner: Conditioner, toward: tuple[str, str], share: float, round: bool) -> None:
        self._conditioner, self._toward, self._share = conditioner, toward, share
        self._mix = slerp if round else torch.lerp

    def plan(self, prompt: str, negative: str, total: int, clip_skip: int = 1, weighting: str = "compel") -> Any:
        plans = [
            self._conditioner.plan(*pair, total, clip_skip, weighting) for pair in ((prompt, negative), self._toward)
        ]
        if plans[0].composed or plans[1].composed:
            # What AND adds up in the prediction has no tensor between two prompts: the nearer one counts.
            return plans[self._share >= 0.5]
        empty = self._conditioner("", "", clip_skip, weighting)
        return _Mixed(plans, self._share, empty, self._mix)


class _Mixed:
    """A plan between two: what `Stage` asks of a `Plan`."""

    def __init__(self, plans: Sequence[Plan], share: float, empty: Conditioning, mix: Any) -> None:
        self._plans, self._share, self._empty, self._mix = plans, share, empty, mix
        self._last: tuple[tuple[Conditioning, Conditioning], Conditioning] | None = None
        self.step = 0

    def at(self, step: int) -> Conditioning:
        one, other = (plan.at(step) for plan in self._plans)
        if self._last is not None and all(
            a.positive is b.positive and a.negative is b.negative
            for a, b in zip(self._last[0], (one, other), strict=True)
        ):
            return self._last[1]
        longest = max(one.positive.shape[1], other.positive.shape[1])
        parts = []
        for name in ("positive", "negative", "positive_pooled", "negative_pooled"):
            a, b = getattr(one, name), getattr(other, name)
            if a is not None and not name.endswith("pooled"):
                a, b = (padded(tensor, longest, self._empty.positive) for tensor in (a, b))
            parts.append(None if a is None else self._mix(a, b, self._share))
        mixed = Conditioning(*parts)
        self._last = ((one, other), mixed)
        return mixed

    def composing(self, unet: Any, batch: int) -> Any:
        return self._plans[0].composing(unet, batch)

"""Training a ControlNet: a copy of the UNet's half that reads, taught to add what a condition picture asks for.

Zhang et al. 2023, arXiv:2302.05543: the copy's outputs pass through convolutions that begin at zero, so that the first
step leaves the UNet's prediction as it was; the UNet itself never changes. Knows the loss, the optimiser and how a
training survives a kill. Leaves pictures, conditions and captions to the `Examples` it is given, the control of a
render to `controls`.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from diffusers import ControlNetModel, DDPMScheduler
from torch import nn

from generation.errors import BadSpec, BadWeights
from generation.training import TrainingFailed, objective

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
STATE = "controlnet.state.pt"
CLIP = 1.0  # norm of the gradient
SAID_EVERY = 0.5  # seconds


@dataclass(frozen=True)
class Settings:
    """How to train. `rate` is AdamW's; what is new (the embedding of the condition, the zero convolutions) learns at
    `rate * fresh`. `warmup` steps of it rise, the rest falls as a cosine to a hundredth. `decay` is that of a running
    average of the weights, which then are the result; 0 keeps none. `gamma` bounds the loss's weight by signal to noise
    (Hang et al. 2023, arXiv:2303.09556); 0 leaves it. Saved every `save_every` steps.
    """

    steps: int = 1000
    batch: int = 4
    accumulate: int = 1
    rate: float = 1e-5
    fresh: float = 1.0
    warmup: int = 50
    decay: float = 0.0
    gamma: float = 0.0
    seed: int = 0
    save_every: int = 100
    checkpointing: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "save_every"):
            if getattr(self, name) < 1:
                raise BadSpec(f"{name.replace('_', ' ')} must be 1 or more", "Give a whole number.")
        if not 0 < self.rate <= 1:
            raise BadSpec(f"a learning rate of {self.rate:g} cannot be", "Give such as 1e-5.")
        if not 0 <= self.decay < 1:
            raise BadSpec(f"a running average's decay of {self.decay:g} cannot be", "Give 0 (none) to 0.9999.")


@dataclass
class Batch:
    """`latents` [n, c, h, w] scaled, `conditions` [n, 3, H, W] 0..1, `embeds` [n, tokens, width]; `added` for SDXL."""

    latents: torch.Tensor
    conditions: torch.Tensor
    embeds: torch.Tensor
    added: dict[str, torch.Tensor] = field(default_factory=dict)


class Examples(Protocol):
    """Pictures, their conditions and captions. A batch depends on its numbers and `seed` alone."""

    def __len__(self) -> int: ...

    def batch(self, numbers: Sequence[int], seed: int) -> Batch: ...


def begin(unet: Any, *, factor: int = 8) -> ControlNetModel:
    """A ControlNet that does nothing yet, for `unet`; `factor` is how many pixels a latent stands for.

    Its embedding of the condition halves the picture as often as the autoencoder does, with the published channels
    (16, 32, 96, 256) at a factor of 8 and the first ones of them for less, never more than the UNet's own.
    Raises `BadWeights` for a UNet that reads more than latents.
    """
    if unet.config.in_channels != unet.config.out_channels:
        raise BadWeights(
            f"a UNet that reads {unet.config.in_channels} channels is no base for a ControlNet",
            "Train it on the plain checkpoint of the same family; it serves the inpainting one as well.",
        )
    halvings = int(math.log2(factor))
    channels = tuple(min(size, unet.config.block_out_channels[0]) for size in (16, 32, 96, 256, 256)[: halvings + 1])
    return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=channels)


def train(
    unet: Any,
    scheduler: Any,
    examples: Examples,
    folder: Path,
    settings: Settings,
    *,
    controlnet: Any = None,
    factor: int = 8,
    device: str = "cpu",
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> ControlNetModel:
    """The trained ControlNet, in single precision on the CPU.

    `scheduler` is the checkpoint's configuration, which says what its UNet predicts. `folder` holds the state; a
    training that was killed goes on from its last save and, on the CPU, ends with the same bits as one that was not.
    `controlnet` goes on from another one's weights. Raises `TrainingFailed` for a loss that is no number, `BadSpec`
    for a state that other settings made.
    """
    torch.manual_seed(settings.seed)
    # With channels last a step of the demo's takes 0.71 s on a CPU instead of 0.86.
    model = (controlnet or begin(unet, factor=factor)).to(device, torch.float32, memory_format=torch.channels_last)
    unet = unet.to(device, memory_format=torch.channels_last).requires_grad_(False).eval()
    model.train()
    if settings.checkpointing:
        model.enable_gradient_checkpointing()
        unet.enable_gradient_checkpointing()
    run = _Run(model, settings, folder)
    done = run.resume()
    if done:
        report({"kind": "note", "message": f"goes on at step {done} of {settings.steps}"})
    schedule = DDPMScheduler.from_config(scheduler)
    began = said = time.monotonic()
    for step in range(done, settings.steps):
        try:
            check()
        except BaseException:
            # Steps take seconds to minutes: what was learned since the last save is not thrown away.
            run.save(step)
            raise
        loss = 0.0
        for part in range(settings.accumulate):
            number = step * settings.accumulate + part
            batch = examples.batch(_order(len(examples), settings.batch, number, settings.seed), number)
            share = _loss(unet, model, schedule, batch, settings, number, device) / settings.accumulate
            share.backward()
            loss += share.item()
        if not math.isfinite(loss):
            raise TrainingFailed(
                f"the loss became {loss} at step {step + 1}",
                f"Lower the learning rate ({settings.rate:g}); the state of step {run.saved} is kept.",
            )
        run.advance(step)
        now = time.monotonic()
        if now - said > SAID_EVERY or step + 1 == settings.steps:
            said = now
            left = (settings.steps - step - 1) * (now - began) / (step + 1 - done)
            report(
                {"kind": "progress", "stage": "training", "done": step + 1, "total": settings.steps,
                 "message": f"loss {loss:.4f}", "loss": loss, "seconds_left": round(left, 1)}
            )  # fmt: skip
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            run.save(step + 1)
    return run.result()


def _loss(
    unet: Any, model: Any, schedule: Any, batch: Batch, settings: Settings, number: int, device: str
) -> torch.Tensor:
    """The mean square between what the controlled UNet predicts and what it should, at random timesteps."""
    generator = torch.Generator("cpu").manual_seed(settings.seed * 1_000_003 + number)
    clean = batch.latents.float()
    noise = torch.randn(clean.shape, generator=generator)
    times = torch.randint(0, schedule.config.num_train_timesteps, (len(clean),), generator=generator)
    noisy = schedule.add_noise(clean, noise, times)
    wanted = objective.wanted(schedule, clean, noise, times)
    noisy, wanted, times = noisy.to(device), wanted.to(device), times.to(device)
    embeds = batch.embeds.to(device)
    added = {name: value.to(device) for name, value in batch.added.items()} or None
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        down, mid = model(
            noisy,
            times,
            encoder_hidden_states=embeds.float(),
            controlnet_cond=batch.conditions.to(device).float(),
            added_cond_kwargs=added,
            return_dict=False,
        )
        made = unet(
            noisy.to(unet.dtype),
            times,
            encoder_hidden_states=embeds.to(unet.dtype),
            added_cond_kwargs=added,
            down_block_additional_residuals=[one.to(unet.dtype) for one in down],
            mid_block_additional_residual=mid.to(unet.dtype),
            return_dict=False,
        )[0]
    each = (made.float() - wanted).pow(2).mean((1, 2, 3))
    if settings.gamma:
        each = each * objective.weights(schedule, times.cpu(), settings.gamma).to(device)
    return each.mean()


def _order(count: int, batch: int, number: int, seed: int) -> list[int]:
    """The examples of a batch: all of them once in a random order, then all again in another."""

    def numbers() -> Iterator[int]:
        place = number * batch
        while True:
            for one in np.random.default_rng([seed, place // count]).permutation(count)[place % count :]:
                yield int(one)
            place = (place // count + 1) * count

    found = numbers()
    return [next(found) for _ in range(batch)]


class _Run:
    """Weights, optimiser and running average, on disk as one file that is whole or not there."""

    def __init__(self, model: Any, settings: Settings, folder: Path) -> None:
        self.model, self.settings, self.path = model, settings, folder / STATE
        self.saved = 0
        fresh: list[Any] = []
        copied: list[Any] = []
        for name, parameter in model.named_parameters():
            own = name.startswith(("controlnet_cond_embedding.", "controlnet_down_blocks.", "controlnet_mid_block."))
            (fresh if own else copied).append(parameter)
        self._groups = [(copied, 1.0), (fresh, settings.fresh)]
        self._optimizer = torch.optim.AdamW(
            [{"params": parameters, "lr": settings.rate * scale} for parameters, scale in self._groups],
            weight_decay=0.01,
        )
        self._average = {n: p.detach().clone() for n, p in model.named_parameters()} if settings.decay else {}

    def advance(self, step: int) -> None:
        settings = self.settings
        left = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
        factor = min((step + 1) / max(settings.warmup, 1), max(0.5 * (1 + math.cos(math.pi * max(left, 0))), 0.01))
        for group, (_, scale) in zip(self._optimizer.param_groups, self._groups, strict=True):
            group["lr"] = settings.rate * scale * factor
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if self._average:
            # Faster at the beginning, or the average would be of the untrained weights for long.
            decay = min(settings.decay, (step + 1) / (step + 10))
            with torch.no_grad():
                for name, parameter in self.model.named_parameters():
                    self._average[name].lerp_(parameter, 1 - decay)

    def save(self, step: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            torch.save(
                {
                    "model": self.model.state_dict(),
                    "average": self._average,
                    "optimizer": self._optimizer.state_dict(),
                    "step": step,
                    "settings": dataclasses.asdict(self.settings),
                },
                temporary,
            )
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)
        self.saved = step

    def resume(self) -> int:
        """The steps that were done before, 0 for a new training."""
        if not self.path.exists():
            return 0
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            other = [name for name, value in dataclasses.asdict(self.settings).items()
                     if state["settings"].get(name) != value and name != "save_every"]  # fmt: skip
            if not other:
                self.model.load_state_dict(state["model"])
                self._optimizer.load_state_dict(state["optimizer"])
                for name, value in state["average"].items():
                    self._average[name].copy_(value)
                self.saved = int(state["step"])
        # A state of another version or another file under this name fails in many ways.
        except Exception as error:
            raise BadSpec(f"{self.path} is no state of this training", "Choose another folder.") from error
        if other:
            raise BadSpec(
                f"{self.path} was begun with another {other[0].replace('_', ' ')}: {state['settings'].get(other[0])}",
                "Give the same settings to go on, or another folder to begin anew.",
            )
        return self.saved

    def result(self) -> ControlNetModel:
        if self._average:
            with torch.no_grad():
                for name, parameter in self.model.named_parameters():
                    parameter.copy_(self._average[name])
        return self.model.eval().to("cpu")


def write(controlnet: Any, target: Path) -> int:
    """`target` as a diffusers folder in half precision; returns its weights' bytes. Written aside, then moved."""
    aside, old = (target.with_name(f".{target.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        copy.deepcopy(controlnet).half().save_pretrained(aside)
        config = json.loads((aside / "config.json").read_text("utf-8"))
        config.pop("_name_or_path", None)
        (aside / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
        for file in aside.iterdir():
            file.chmod(0o644)
        # What else lies in the folder, a card or figures, stays.
        for file in target.iterdir() if target.is_dir() else ():
            if not (aside / file.name).exists() and file.is_file():
                shutil.copy2(file, aside)
        if target.exists():
            target.rename(old)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return sum(file.stat().st_size for file in target.glob("*.safetensors"))

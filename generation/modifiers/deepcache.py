"""DeepCache (Ma et al. 2023, arXiv:2312.00858): the inner layers' answer is kept for some steps.

From one step to the next the deep features of a UNet hardly change. Every n-th step computes all; those between compute
the outermost layers on either side of the U, which see the new latents, and take the inner ones' answer of before. The
layers of diffusers' blocks are the unit here, so that the call of the UNet, its residuals and hooks stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from generation.errors import BadSpec
from generation.stage import Stage


class Kept:
    """Answers of layers by name, and by which of a step's questions to the UNet they are of (regions ask several)."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._answers: dict[tuple[int, str], Any] = {}
        self._step = -1
        self._question = 0
        self._told: tuple[Any, ...] = ()
        self.computed = 0

    def follow(self, rows: torch.Tensor, timestep: Any, texts: Any, added: Any, done: float) -> dict[str, Any]:
        """Called before each step. Another text or size, or a loop that begins, makes a step that computes all."""
        same = len(self._told) == 2 and self._told[0] is texts and self._told[1] == rows.shape
        self._step = self._step + 1 if same and done > 0 else 0
        self._told = (texts, rows.shape)
        self._question = 0
        if self._step % self._every == 0:
            self._answers.clear()
        return {}

    def begin(self, *_: Any) -> None:
        """Called where the UNet begins to answer."""
        self._question += 1

    def answer(self, name: str, compute: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """The layer's answer, kept or computed."""
        key = (self._question, name)
        if key not in self._answers:
            self.computed += 1
            self._answers[key] = _cloned(compute(*args, **named))
        # Copies, because FreeU and adapters write into what a layer answers.
        return _cloned(self._answers[key])


@contextmanager
def deepcache(stage: Stage, every: int, layers: int = 1) -> Iterator[Kept]:
    """While it holds, all but the outer `layers` of the UNet are computed at every `every`-th step alone.

    Raises `BadSpec` where the UNet has no layer inside.
    """
    unet = stage.unet
    kept = Kept(every)
    changed = inside(unet, layers)
    before = {name: vars(module).get("forward") for name, module in changed.items()}
    stage.steering.append(kept.follow)
    handle = unet.conv_in.register_forward_pre_hook(kept.begin)
    try:
        for name, module in changed.items():
            vars(module)["forward"] = partial(kept.answer, name, module.forward)
        yield kept
    finally:
        handle.remove()
        stage.steering.remove(kept.follow)
        for name, module in changed.items():
            vars(module).pop("forward", None)
            if before[name] is not None:
                vars(module)["forward"] = before[name]


def inside(unet: Any, layers: int) -> dict[str, nn.Module]:
    """The modules that a step between need not compute, by name.

    On the way down every layer leaves a skip, of which the input's is number 0; on the way up every layer reads one,
    the last layer number 0. Computed anew is what leaves or reads skips below `layers`.
    """
    found: dict[str, nn.Module] = {}
    skips = 1
    for n, block in enumerate(unet.down_blocks):
        for m in range(len(block.resnets)):
            if skips >= layers:
                found |= _layer(f"down {n} {m}", block, m)
            skips += 1
        for module in block.downsamplers or ():
            if skips >= layers:
                found[f"down {n}"] = module
            skips += 1
    if unet.mid_block is not None:
        found["mid"] = unet.mid_block
    if layers >= skips:
        raise BadSpec(f"the model has {skips} layers, none inside {layers}", f"Set deepcache_layers to {skips - 1}.")
    for n, block in enumerate(unet.up_blocks):
        for m in range(len(block.resnets)):
            skips -= 1
            if skips >= layers:
                found |= _layer(f"up {n} {m}", block, m)
        for module in block.upsamplers or ():
            if skips >= layers:
                found[f"up {n}"] = module
    return found


def _layer(name: str, block: Any, number: int) -> dict[str, nn.Module]:
    """A layer of a block: its residual part, and its attention where it has any."""
    found = {f"{name} resnet": block.resnets[number]}
    if getattr(block, "attentions", None):
        found[f"{name} attention"] = block.attentions[number]
    return found


def _cloned(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    return type(value)(_cloned(inner) for inner in value)

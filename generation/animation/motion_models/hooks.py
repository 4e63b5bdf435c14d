"""A motion module in a UNet that was made for single pictures: frames become a batch that looks along time.

AnimateDiff (Guo et al. 2023, arXiv:2307.04725) puts a transformer over time behind every residual block, or behind the
attention that follows it. Here it is hung there while frames are rendered, so that the UNet stays the one that was
loaded: networks, controls, references, samplers and weighted prompts act on frames as on pictures. Compared with
diffusers' UNetMotionModel on the same weights no output differs by more than rounding. Leaves what a module is read
from to `modules`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from generation.errors import BadWeights

HINT = "Choose a motion module of the checkpoint's family."


def places(unet: nn.Module, adapter: Any) -> list[tuple[nn.Module, nn.Module]]:
    """(what it stands behind, motion module) of a UNet. Raises `BadWeights` where a module is not made for it."""
    found: list[tuple[nn.Module, nn.Module]] = []
    sides = [
        *zip_named(unet.down_blocks, adapter.down_blocks, "down"),  # type: ignore[arg-type]
        *zip_named(unet.up_blocks, adapter.up_blocks, "up"),  # type: ignore[arg-type]
    ]
    if adapter.mid_block is not None:
        sides.append((unet.mid_block, adapter.mid_block))
    for block, held in sides:
        hosts = list(getattr(block, "attentions", None) or block.resnets)
        modules = list(held.motion_modules)
        if len(hosts) < len(modules):
            raise BadWeights(
                f"the motion module has {len(modules)} layers where this model's block has {len(hosts)}", HINT
            )
        found += zip(hosts, modules, strict=False)
    return found


def zip_named(blocks: Any, held: Any, side: str) -> list[tuple[Any, Any]]:
    """Pairs of blocks and motion modules. Raises `BadWeights` for another number, or channels that do not fit."""
    if len(blocks) != len(held):
        raise BadWeights(f"the motion module has {len(held)} {side} blocks and this model {len(blocks)}", HINT)
    for number, (block, modules) in enumerate(zip(blocks, held, strict=True)):
        own, other = block.resnets[0].out_channels, modules.motion_modules[0].in_channels
        if own != other:
            raise BadWeights(
                f"the motion module has {other} channels where this model has {own} ({side} block {number})", HINT
            )
    return list(zip(blocks, held, strict=True))


@contextmanager
def moving(unet: Any, adapter: Any, frames: int, *, scale: float = 1.0) -> Iterator[None]:
    """While it holds, `unet` takes batches of `frames` pictures that follow each other, as many clips as there are.

    `scale` multiplies what the module adds: 0 leaves single pictures, more than 1 moves more. Raises `BadWeights`.
    """
    handles: list[Any] = []
    try:
        for host, module in places(unet, adapter):
            handles.append(host.register_forward_hook(_behind(module, frames, scale)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _behind(module: nn.Module, frames: int, scale: float) -> Any:
    def hook(host: nn.Module, inputs: Any, output: Any) -> Any:
        hidden: Tensor = output[0] if isinstance(output, tuple) else output
        if len(hidden) % frames:
            raise ValueError(f"a batch of {len(hidden)} holds no whole clips of {frames} frames")
        # With channels last torch 2.13 dies on a CPU in the way back of clips of fewer than 8 frames.
        moved = module(hidden.contiguous(), num_frames=frames)
        if scale != 1:
            moved = torch.lerp(hidden, moved, scale)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    return hook

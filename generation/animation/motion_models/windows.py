"""Clips longer than a motion module sees at once: attention over time in windows that overlap (FreeNoise).

Each window is attended on its own; where several cover a frame, their answers are averaged, the middle of a window
counting most (Qiu et al. 2023, arXiv:2310.15169, equation 9). For lengths that the stride divides the results
are those of diffusers' FreeNoiseTransformerBlock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Windowed(nn.Module):
    """A block of a motion module whose attention sees windows of `context` frames, `stride` apart."""

    def __init__(self, block: Any, context: int, stride: int) -> None:
        super().__init__()
        self.block, self.context, self.stride = block, context, stride

    def forward(self, hidden_states: Tensor, **further: Any) -> Tensor:
        """[places, frames, channels] -> the same shape."""
        frames = hidden_states.shape[1]
        if frames <= self.context:
            found: Tensor = self.block(hidden_states, **further)
            return found
        rising = torch.arange(1, self.context + 1, dtype=hidden_states.dtype, device=hidden_states.device)
        weights = torch.minimum(rising, rising.flip(0))[None, :, None]
        total, made = torch.zeros_like(hidden_states[:1, :, :1]), torch.zeros_like(hidden_states)
        for begin in starts(frames, self.context, self.stride):
            span = slice(begin, begin + self.context)
            made[:, span] += self._attended(hidden_states[:, span]) * weights
            total[:, span] += weights
        made = made / total
        ahead: Tensor = self.block.ff(self.block.norm3(made)) + made
        return ahead

    def _attended(self, hidden: Tensor) -> Tensor:
        """The block without its last part, which sees each frame alone."""
        block = self.block
        for norm, attention in ((block.norm1, block.attn1), (block.norm2, block.attn2)):
            hidden = attention(block.pos_embed(norm(hidden))) + hidden
        return hidden


def starts(frames: int, context: int, stride: int) -> list[int]:
    """The first frame of each window; the last window ends with the last frame."""
    found = list(range(0, frames - context + 1, stride))
    return found if found[-1] + context == frames else [*found, frames - context]


@contextmanager
def windowed(adapter: Any, context: int, stride: int) -> Iterator[None]:
    """While it holds, the blocks of a motion module see windows of `context` frames."""
    held: list[nn.ModuleList] = [
        module.transformer_blocks for module in adapter.modules() if hasattr(module, "transformer_blocks")
    ]
    before = [list(blocks) for blocks in held]
    for blocks in held:
        for number, block in enumerate(list(blocks)):
            blocks[number] = Windowed(block, context, stride)
    try:
        yield
    finally:
        for blocks, own in zip(held, before, strict=True):
            for number, block in enumerate(own):
                blocks[number] = block

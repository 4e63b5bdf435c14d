"""What a control adds to the UNet at a step: residuals of a ControlNet or features of a T2I-Adapter, weighted.

Knows when a control acts, how much each level counts in each mode, and which rows are the prompt's. Leaves networks to
`nets` and conditions to whoever makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image

from generation.errors import BadSpec
from generation.pictures import to_array

# Share of a ControlNet's levels where not the control but the prompt matters most: the deepest counts whole, each one
# above it this much less (the "soft weights" of A1111's ControlNet, 0.825 ** (12 - i) for Stable Diffusion 1.5).
SOFT = 0.825
SOFT_ADAPTER = (0.25, 0.62, 0.825, 1.0)


@dataclass(eq=False)
class Control:
    """One control of a render: called at each step as `sampling.Steering` is.

    `condition(width, height)` gives the picture at a size in pixels, or one for each of the batch; `factor` is how many
    pixels a latent stands for, `batch` how many pictures are rendered at once. `start` and `end` are shares of the
    steps: it acts from the first step at or behind `start` up to the last before `end`. `mode` is "balanced", "prompt"
    (soft weights) or "control" (soft weights on the prompt's rows alone, so that guidance strengthens control as well).
    """

    network: Any
    condition: Callable[[tuple[int, int]], Image.Image | Sequence[Image.Image]]
    factor: int
    batch: int
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0
    mode: str = "balanced"
    _conditions: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)

    def __call__(
        self,
        rows: torch.Tensor,
        timestep: torch.Tensor,
        texts: torch.Tensor,
        added: dict[str, torch.Tensor],
        share: float,
    ) -> dict[str, Any]:
        # Shares are quotients of whole numbers: 7 / 10 must not fall short of 0.7.
        if self.weight == 0 or not self.start - 1e-6 <= share < self.end - 1e-6:
            return {}
        return self.added(rows, timestep, texts, added)

    def added(
        self, rows: torch.Tensor, timestep: torch.Tensor, texts: torch.Tensor, added: dict[str, torch.Tensor]
    ) -> dict[str, Any]:
        """What the UNet's call gets beside the rest."""
        raise NotImplementedError

    def ready(self, size: tuple[int, int]) -> torch.Tensor:
        """The condition [1 or batch, 3, h, w] in 0..1 at `size` (width, height) in pixels; made once a size."""
        if size not in self._conditions:
            found = self.condition(size)
            pictures = np.stack([to_array(one) for one in ([found] if isinstance(found, Image.Image) else found)])
            self._conditions[size] = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
        return self._conditions[size]

    def size(self, rows: torch.Tensor) -> tuple[int, int]:
        return rows.shape[-1] * self.factor, rows.shape[-2] * self.factor

    def of_prompt(self, rows: int) -> int:
        """How many of the first rows are no prompt's, where a control keeps to the prompt's."""
        return self.batch if rows == 2 * self.batch else 0


class ControlNet(Control):
    """Residuals for every level of the UNet (Zhang et al. 2023, arXiv:2302.05543)."""

    @torch.no_grad()
    def added(
        self, rows: torch.Tensor, timestep: torch.Tensor, texts: torch.Tensor, added: dict[str, torch.Tensor]
    ) -> dict[str, Any]:
        network = self.network
        pooled = bool(network.config.global_pool_conditions)
        # One that pools its residuals (shuffle) was made to act on the prompt's side alone.
        left = self.of_prompt(len(rows)) if self.mode == "control" or pooled else 0
        own = {name: value[left:] for name, value in added.items() if name in {"text_embeds", "time_ids"}}
        # Of an inpainting model's nine channels the first are the latents.
        latents = rows[left:, : network.config.in_channels].to(network.dtype)
        condition = self.ready(self.size(rows)).to(rows.device, network.dtype)
        down, mid = network(
            latents,
            timestep,
            encoder_hidden_states=texts[left:].to(network.dtype),
            controlnet_cond=_rows(condition, len(latents)),
            added_cond_kwargs=own or None,
            return_dict=False,
        )
        scales = [self.weight] * (len(down) + 1)
        if self.mode != "balanced":
            scales = [self.weight * SOFT ** (len(down) - level) for level in range(len(down) + 1)]
        found = [
            _behind(residual * scale, left).to(rows.dtype) for residual, scale in zip((*down, mid), scales, strict=True)
        ]
        return {"down_block_additional_residuals": found[:-1], "mid_block_additional_residual": found[-1]}


@dataclass(eq=False)
class Adapter(Control):
    """Features for the levels of the UNet's first half (Mou et al. 2023, arXiv:2302.08453), the same at every step."""

    _features: dict[tuple[int, int], list[torch.Tensor]] = field(default_factory=dict)

    def ready(self, size: tuple[int, int]) -> torch.Tensor:
        """The condition with as many channels as the adapter reads. Raises `BadSpec` for a size it cannot fold."""
        fold = self.network.config.downscale_factor
        if size[0] % fold or size[1] % fold:
            raise BadSpec(
                f"{size[0]}x{size[1]} does not go with this T2I-Adapter", f"Give sides that are multiples of {fold}."
            )
        condition = super().ready(size)
        return condition.mean(1, keepdim=True) if self.network.config.in_channels == 1 else condition

    @torch.no_grad()
    def added(
        self, rows: torch.Tensor, timestep: torch.Tensor, texts: torch.Tensor, added: dict[str, torch.Tensor]
    ) -> dict[str, Any]:
        left = self.of_prompt(len(rows)) if self.mode == "control" else 0
        size = self.size(rows)
        if size not in self._features:
            self._features[size] = self.network(self.ready(size).to(rows.device, self.network.dtype))
        features = self._features[size]
        scales = [self.weight] * len(features)
        if self.mode != "balanced":
            soft = (*[SOFT_ADAPTER[0]] * len(features), *SOFT_ADAPTER)[-len(features) :]
            scales = [self.weight * scale for scale in soft]
        count = len(rows) - left
        found = [
            _behind(_rows(feature * scale, count), left).to(rows.dtype)
            for feature, scale in zip(features, scales, strict=True)
        ]
        # diffusers takes them out of the very list it is given: a new one at each step.
        return {"down_intrablock_additional_residuals": found}


def _rows(tensor: torch.Tensor, count: int) -> torch.Tensor:
    """A row for each that is asked about: the same one, or those of a batch as often as it is asked about."""
    if len(tensor) == 1:
        return tensor.expand(count, -1, -1, -1)
    return tensor.repeat(count // len(tensor), 1, 1, 1)


def _behind(tensor: torch.Tensor, rows: int) -> torch.Tensor:
    """The tensor with `rows` rows of nothing before it."""
    return torch.cat([tensor.new_zeros((rows, *tensor.shape[1:])), tensor]) if rows else tensor

"""What each frame of a clip is told: one prompt for all, or prompts by frame with the way between them blended.

A conditioner as `Stage` asks one, whose tensors have a row for every frame. Leaves encoding to `conditioning`.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import torch

from generation.animation.evaluation import prompts
from generation.animation.schedules import read_prompts
from generation.conditioning import Conditioner, Conditioning, padded
from generation.errors import BadSchedule, BadSpec

NAMES = ("positive", "negative", "positive_pooled", "negative_pooled")


class Told:
    """The prompts of `frames` frames: `texts` [frames] of (positive, negative); frame -> prompt as in the settings.

    Raises `BadSpec`.
    """

    def __init__(self, data: Mapping[str, str], negative: str, frames: int, seed: int) -> None:
        try:
            found = prompts(read_prompts(json.dumps(dict(data)), negative), frames, seed=seed)
        except BadSchedule as error:
            raise BadSpec(f"prompts: {error.message}", error.hint) from None
        self.texts, self._starts, self.warnings = found.values, found.starts, found.warnings

    def between(self, frame: int) -> tuple[tuple[str, str], tuple[str, str], float]:
        """(the pair behind a frame, the pair before it, share of the way between them that is gone)."""
        number = bisect_right(self._starts, frame) - 1
        one = self.texts[self._starts[number]]
        if number + 1 == len(self._starts):
            return one, one, 0.0
        begin, end = self._starts[number], self._starts[number + 1]
        return one, self.texts[end], (frame - begin) / (end - begin)


class Travelling:
    """A conditioner whose every frame is told its own share of two prompts (prompt travel)."""

    def __init__(self, conditioner: Conditioner, told: Told) -> None:
        self._conditioner, self._told = conditioner, told

    def plan(self, prompt: str, negative: str, total: int, clip_skip: int = 1, weighting: str = "compel") -> Any:
        def plan(pair: tuple[str, str]) -> Any:
            return self._conditioner.plan(*pair, total, clip_skip, weighting)

        pairs = dict.fromkeys(pair for frame in range(len(self._told.texts)) for pair in self._told.between(frame)[:2])
        empty = self._conditioner("", "", clip_skip, weighting)
        return _Rows(self._told, {pair: plan(pair) for pair in pairs}, empty)


class _Rows:
    """A plan of all frames: what `Stage` asks of a `Plan`."""

    def __init__(self, told: Told, plans: Mapping[tuple[str, str], Any], empty: Conditioning) -> None:
        self._told, self._plans, self._empty = told, plans, empty
        self._last: tuple[list[torch.Tensor], Conditioning] | None = None
        self.step = 0

    def at(self, step: int) -> Conditioning:
        found = {pair: plan.at(step) for pair, plan in self._plans.items()}
        # Prompts that are edited on the way change their tensors; the same tensors mean the same rows.
        now = [tensor for one in found.values() for tensor in (one.positive, one.negative)]
        if self._last is None or any(a is not b for a, b in zip(self._last[0], now, strict=True)):
            self._last = now, self._stacked(found)
        return self._last[1]

    def _stacked(self, found: Mapping[tuple[str, str], Conditioning]) -> Conditioning:
        longest = max(one.positive.shape[1] for one in found.values())
        parts: list[torch.Tensor | None] = []
        for name in NAMES:
            pooled = name.endswith("pooled")
            rows = []
            for frame in range(len(self._told.texts)):
                one, other, share = self._told.between(frame)
                a, b = getattr(found[one], name), getattr(found[other], name)
                if a is None:
                    break
                if not pooled:
                    a, b = (padded(tensor, longest, self._empty.positive) for tensor in (a, b))
                rows.append(torch.lerp(a, b, share))
            parts.append(torch.cat(rows) if rows else None)
        return Conditioning(*parts)  # type: ignore[arg-type]

    def composing(self, unet: Any, batch: int) -> Any:
        if any(plan.composed for plan in self._plans.values()):
            raise BadSpec("AND cannot be blended from prompt to prompt", "Write one prompt, or take AND out.")
        return next(iter(self._plans.values())).composing(unet, batch)

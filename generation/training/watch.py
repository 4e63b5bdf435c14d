"""The losses of a training and what they tell: a smooth curve, the best step, overfitting.

Overfitting: the loss of pictures that were kept aside, at the same noise each time, has been above its best by a margin
for several looks in a row, while that of the training goes on. Pure; leaves drawing to `plot` and the screens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SMOOTH = 50  # steps over which the curve forgets
MARGIN = 1.02  # above the best, less is noise: two looks at the same weights differ by nothing, at near ones by 1 %
LOOKS = 3
KEPT = 2_000  # points of a curve; every second goes when they are passed


@dataclass
class Watch:
    """`losses` [(step, smooth loss)], `validations` [(step, loss)]; `best` is the step of the lowest of these."""

    losses: list[tuple[int, float]] = field(default_factory=list)
    validations: list[tuple[int, float]] = field(default_factory=list)
    smooth: float = math.nan
    best: int = -1
    overfit: int = -1
    every: int = 1

    @property
    def latest(self) -> float | None:
        return self.validations[-1][1] if self.validations else None

    def loss(self, step: int, value: float) -> None:
        if math.isnan(self.smooth):
            self.smooth = value
        share = max(1 / SMOOTH, 1 / step)
        self.smooth += share * (value - self.smooth)
        if step % self.every == 0:
            self.losses.append((step, round(self.smooth, 6)))
        if len(self.losses) > KEPT:
            self.losses = self.losses[1::2]
            self.every *= 2

    def validated(self, step: int, value: float) -> str:
        """Take a look in; a sentence for the person when it tells of overfitting for the first time, else ""."""
        self.validations.append((step, round(value, 6)))
        lowest = min(loss for _, loss in self.validations)
        if value <= lowest:
            self.best = step
        after = [loss for at, loss in self.validations if at > self.best]
        over = len(after) >= LOOKS and all(loss > lowest * MARGIN for loss in after[-LOOKS:])
        if over and self.overfit < 0:
            self.overfit = step
            return (
                f"overfitting since about step {self.best}: pictures kept aside are learned {value / lowest - 1:.0%} "
                f"worse than then; the weights of step {self.best} are kept beside the last"
            )
        return ""

    def to_json(self) -> dict[str, Any]:
        return {
            "losses": [list(point) for point in self.losses],
            "validations": [list(point) for point in self.validations],
            "smooth": self.smooth,
            "best": self.best,
            "overfit": self.overfit,
            "every": self.every,
        }

    def load(self, mapping: Mapping[str, Any]) -> None:
        self.losses = [(int(step), float(loss)) for step, loss in mapping["losses"]]
        self.validations = [(int(step), float(loss)) for step, loss in mapping["validations"]]
        self.smooth, self.best = float(mapping["smooth"]), int(mapping["best"])
        self.overfit, self.every = int(mapping["overfit"]), int(mapping["every"])

"""A training as the screens see it: how far it is, its losses and newest picture.

Leaves drawing to `training` and what a training does to its worker.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from assistant.pace import eta
from assistant.tui.long_run import LongRun
from assistant.tui.loss_plot import Point, added


@dataclass(kw_only=True)
class TrainingRun(LongRun):
    """`kind` is what is trained."""

    STAGE: ClassVar[str] = "training"
    UNIT: ClassVar[str] = "step"
    SAVED: ClassVar[str] = "the state is saved"
    KEPT: ClassVar[str] = "its state is kept: P goes on, F5 plans anew"
    MADE: ClassVar[str] = "Trained"

    kind: str
    rate: float | None = None
    loss: list[Point] = field(default_factory=list)
    aside: list[Point] = field(default_factory=list)

    @property
    def job(self) -> str:
        return f"train-{self.kind}"

    def counted(self, event: dict[str, Any]) -> float | None:
        left: float | None = event.get("seconds_left")
        return left

    def heard(self, event: dict[str, Any]) -> None:
        if event["kind"] == "note":
            self.message = event["message"]
        elif event["kind"] == "loss":
            self.loss = added(self.loss, event["step"], event["loss"])
            if event.get("validation") is not None and (
                not self.aside or self.aside[-1][1] != event["validation"] or event["step"] < self.aside[-1][0]
            ):
                self.aside = added(self.aside, event["step"], event["validation"])
            self.rate = event.get("rate")

    def told_more(self) -> tuple[str, ...]:
        return (f"rate {self.rate:.3g}" if self.rate is not None else "",)

    def ended(self, result: dict[str, Any]) -> str:
        loss = f", loss {result['loss']:.4f}" if result.get("loss") is not None else ""
        best = ""
        if result.get("overfit") is not None:
            best = f"; overfitting was seen at step {result['overfit']}, the best was {result.get('best')}"
            best += f": {result['best_path']}" if result.get("best_path") else ""
        return f"{result['steps']} steps, {eta(result['seconds'])}{loss}{best}\n{result['path']}"

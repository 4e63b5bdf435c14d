"""A clip of a motion model as the screens see it: its steps of denoising, which take the time, then its frames.

What a stop leaves to go on from depends on the model: with a motion module latents that were denoised are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from assistant.pace import eta
from assistant.tui.animation_run import MEASURED, AnimationRun, figure
from assistant.tui.long_run import PAUSED, STOPPED

DENOISING, ROUND = "denoising", "round "  # stages of the job; FreeInit's are "round 2", "round 3", ...


@dataclass(kw_only=True)
class MotionRun(AnimationRun):
    """`keeps` tells whether what was denoised outlives a stop; `denoised` whether it was."""

    SAVED: ClassVar[str] = "what was denoised is kept"
    MADE: ClassVar[str] = "Moving"

    kind: str = "motion"
    keeps: bool = True
    denoised: bool = False
    steps: tuple[int, int] | None = None  # (done, total) while it is denoised

    @property
    def bar(self) -> tuple[int, int]:
        return self.steps or super().bar

    @property
    def pace(self) -> float | None:
        """None: what a frame takes to decode says nothing of what a clip takes."""
        return None

    def begin(self, app: Any, *, fresh: bool = False, **more: Any) -> bool:
        self.steps = None
        self.denoised = self.denoised and not fresh
        return super().begin(app, fresh=fresh, **more)

    def heard(self, event: dict[str, Any]) -> None:
        super().heard(event)
        if event["kind"] != "progress":
            return
        self.steps = self._steps(event)
        if self.steps is not None:
            self.left = self._pace.update(DENOISING, *self.steps)
        elif event["stage"] == self.STAGE:
            self.denoised = True
        else:
            self.left = None

    def _steps(self, event: dict[str, Any]) -> tuple[int, int] | None:
        """Of all rounds, where it is denoised."""
        stage, total = event["stage"], event.get("total")
        if not total or not (stage == DENOISING or stage.startswith(ROUND)):
            return None
        before = 0 if stage == DENOISING else int(stage.removeprefix(ROUND)) - 1
        rounds = 1 + int(self.spec["settings"].get("free_init", 0))
        return before * total + event["done"], max(rounds, before + 1) * total

    def told(self) -> str:
        if self.state in {PAUSED, STOPPED} and not (self.keeps and self.denoised):
            return f"{self.state} before it was denoised; P begins it again, with the same seed"
        return super().told()

    def ended(self, result: dict[str, Any]) -> str:
        measures = result["measures"]
        told = ", ".join(f"{name} {figure(measures[key])}" for key, name in MEASURED.items()) if measures else ""
        made = f"{result['frames']} frames, seed {result['seed']}, {eta(result['seconds'])}"
        return "\n".join([f"{made}; {told}" if told else made, result["path"]])

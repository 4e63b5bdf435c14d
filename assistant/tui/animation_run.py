"""An animation or a video as the screens see it: how many frames it has, how fast they come, the newest of them.

Leaves drawing to the screens, and what a pause leaves on disk to the job: frames that are there are not made again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from assistant.memory import told_measures
from assistant.pace import Estimate, eta
from assistant.tui.long_run import FAILED, LongRun

# What `generation.animation.frames` says of a folder that must not be mixed.
OTHERS = "holds frames of other settings"
MEASURED = {"warp_error": "warp error", "motion": "motion", "flicker": "flicker", "consistency": "consistency"}


@dataclass(kw_only=True)
class AnimationRun(LongRun):
    """`kind` is the job's; the spec names its output. Its settings are of `file`, a screen edited them as `edited`."""

    STAGE: ClassVar[str] = "frames"
    UNIT: ClassVar[str] = "frame"
    SAVED: ClassVar[str] = "the frames are kept"
    KEPT: ClassVar[str] = "its frames are kept: P goes on"
    MADE: ClassVar[str] = "Animated"

    kind: str = "animate"
    file: str = ""
    edited: Any = None
    clock: Callable[[], float] = time.monotonic
    _pace: Estimate = field(default_factory=Estimate)
    _began: tuple[float, int] | None = None

    @property
    def job(self) -> str:
        return self.kind

    @property
    def output(self) -> Path:
        return Path(self.spec["output"])

    @property
    def name(self) -> str:
        return self.output.stem

    @property
    def others(self) -> bool:
        """Whether it failed because frames of other settings lie where its own are to be."""
        return self.state == FAILED and OTHERS in self.message

    @property
    def goes_on(self) -> bool:
        return super().goes_on and not self.others

    @property
    def pace(self) -> float | None:
        """Seconds a frame of this run, None before the first."""
        if self._began is None or self.done <= self._began[1]:
            return None
        return (self.clock() - self._began[0]) / (self.done - self._began[1])

    def begin(self, app: Any, *, fresh: bool = False, **more: Any) -> bool:
        """`fresh` makes every frame again."""
        self._pace, self._began = Estimate(), None
        return super().begin(app, fresh=fresh, **more)

    def counted(self, event: dict[str, Any]) -> float | None:
        if self._began is None:
            self._began = (self.clock(), self.done)
        return self._pace.update(self.STAGE, self.done, self.total)

    def heard(self, event: dict[str, Any]) -> None:
        if event["kind"] == "done":
            self.newest = event["result"].get("strip", "")
            self.done = self.total = event["result"]["frames"]

    def failed(self, app: Any) -> None:
        if not self.others:  # which is a question, and asked
            super().failed(app)

    def told_more(self) -> tuple[str, ...]:
        return (f"{self.pace:.2g} s a frame" if self.pace is not None else "",)

    def ended(self, result: dict[str, Any]) -> str:
        now = result["made"] if "made" in result else sum(stage["made"] for stage in result["stages"])
        lines = [f"{result['frames']} frames, {now} made now, {eta(result['seconds'])}"]
        if result.get("source_measures"):
            lines.append(_beside(result["measures"], result["source_measures"]))
        elif result["measures"]:
            lines.append(told_measures(result["measures"]))
        return "\n".join([*lines, result["path"]])


def _beside(made: dict[str, Any], filmed: dict[str, Any]) -> str:
    """How steady a video is, and in brackets what it was made of."""
    told = [f"{name} {figure(made[key])} ({figure(filmed[key])})" for key, name in MEASURED.items()]
    return f"{', '.join(told)}; in brackets the film's"


def figure(value: float) -> str:
    """A measure to three digits; of what is larger no more is told than whole numbers."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"

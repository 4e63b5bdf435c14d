"""An animation as the screens see it: its job, how many frames it has, the newest of them; paused and gone on with.

It outlives the screen that began it. Leaves drawing to `animation`, and what a pause leaves on disk to the job: frames
that are there are not made again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assistant.memory import told_measures
from assistant.pace import Estimate, eta
from assistant.tui.long_run import (
    DONE,
    FAILED,
    PAUSED,
    PAUSING,
    READY,
    RUNNING,
    STOPPED,
    WAITING,
    LongRun,
)  # fmt: skip

# What `generation.animation.frames` says of a folder that must not be mixed.
OTHERS = "holds frames of other settings"


@dataclass
class AnimationRun(LongRun):
    """`spec` is the job's, with its output named; `changed` is called after every event that is worth drawing."""

    spec: dict[str, Any]
    file: str = ""
    state: str = READY
    number: int | None = None
    done: int = 0
    total: int = 0
    left: float | None = None
    message: str = ""
    newest: str = ""
    result: dict[str, Any] | None = None
    changed: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    _pace: Estimate = field(default_factory=Estimate)
    _began: tuple[float, int] | None = None

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

    def begin(self, app: Any, *, fresh: bool = False) -> bool:
        """Ask for the animation, or for the rest of it; whether it was taken. `fresh` makes every frame again."""
        spec = {**self.spec, "fresh": fresh}
        number = app.submit("animate", spec, lambda number, event: self.on_event(app, number, event))
        if number is None:
            return False
        self.number, self.state, self.message, self.left = number, WAITING, "", None
        self._pace, self._began, self.result = Estimate(), None, None
        self.changed()
        return True

    def on_event(self, app: Any, number: int, event: dict[str, Any]) -> None:
        """An event of the job; those of an earlier one, paused since, are left out."""
        if number != self.number:
            return
        match event["kind"]:
            case "started" if self.state == WAITING:
                self.state = RUNNING
            case "progress" if event["stage"] == "frames":
                self.done, self.total, self.message = event["done"], event.get("total") or self.total, ""
                if self._began is None:
                    self._began = (self.clock(), self.done)
                self.left = self._pace.update("frames", self.done, self.total)
            case "progress":
                total = f" {event['done']} of {event['total']}" if event.get("total") else ""
                self.message = f"{event['stage']}{total} {event.get('message', '')}".strip()
            case "preview":
                self.newest = event["path"]
            case "note":
                app.notify(event["message"], severity="warning", markup=False)
            case "done":
                result: dict[str, Any] = event["result"]
                self.state, self.result, self.newest = DONE, result, result.get("strip", "")
                self.done = self.total = result["frames"]
                app.notify(f"Animated: {result['path']}", markup=False)
            case "failed":
                self.state, self.message = FAILED, f"{event['message']}. {event['hint']}".strip()
                if not self.others:
                    app.notify(self.message, severity="error", markup=False)
            case "cancelled":
                self.state = PAUSED if self.state == PAUSING else STOPPED
        self.changed()

    def told(self) -> str:
        """How it stands, in a line or two."""
        frame = f"frame {self.done} of {self.total}" if self.total else ""
        match self.state:
            case "waiting":
                return "waits for its turn ..."
            case "running":
                pace = f"{self.pace:.2g} s a frame" if self.pace is not None else ""
                left = f"{eta(self.left)} left" if self.left is not None else ""
                return ", ".join(part for part in (frame, left, pace, self.message) if part) or "getting ready ..."
            case "pausing" | "stopping":
                return f"{self.state}: the frames are kept ..."
            case "paused":
                return f"paused at {frame or 'its beginning'}; P goes on"
            case "stopped":
                return f"stopped at {frame or 'its beginning'}; its frames are kept: P goes on"
            case "failed":
                return f"{self.message} P tries again"
            case "done":
                assert self.result is not None
                return _ended(self.result)
        return ""


def _ended(result: dict[str, Any]) -> str:
    made = f"{result['frames']} frames, {result['made']} made now, {eta(result['seconds'])}"
    measures = f"\n{told_measures(result['measures'])}" if result["measures"] else ""
    return f"{made}: {result['path']}{measures}"

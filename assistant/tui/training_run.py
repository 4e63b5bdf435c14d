"""A training as the screens see it: its job, how far it is, its losses and newest picture; paused and gone on with.

It outlives the screen that began it. Leaves drawing to `training` and what a training does to its worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from assistant.pace import eta
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
from assistant.tui.loss_plot import Point, added


@dataclass
class TrainingRun(LongRun):
    """`spec` is the job's; `changed` is called after every event that is worth drawing."""

    kind: str
    spec: dict[str, Any]
    state: str = READY
    number: int | None = None
    done: int = 0
    total: int | None = None
    message: str = ""
    left: float | None = None
    rate: float | None = None
    loss: list[Point] = field(default_factory=list)
    aside: list[Point] = field(default_factory=list)
    sample: str = ""
    notes: list[str] = field(default_factory=list)
    result: dict[str, Any] | None = None
    changed: Callable[[], None] = lambda: None

    def begin(self, app: Any) -> bool:
        """Ask for the training, or for the rest of it; whether it was taken."""
        number = app.submit(f"train-{self.kind}", self.spec, lambda number, event: self.on_event(app, number, event))
        if number is None:
            return False
        self.number, self.state, self.message, self.left = number, WAITING, "", None
        self.changed()
        return True

    def on_event(self, app: Any, number: int, event: dict[str, Any]) -> None:
        """An event of the job; those of an earlier one, paused since, are left out."""
        if number != self.number:
            return
        match event["kind"]:
            case "started" if self.state == WAITING:
                self.state = RUNNING
            case "progress":
                if event["stage"] == "training":
                    self.done, self.total = event["done"], event.get("total")
                    self.left = event.get("seconds_left")
                    self.message = ""
                else:
                    total = f" of {event['total']}" if event.get("total") else ""
                    count = f" {event['done']}{total}" if event.get("total") else ""
                    self.message = f"{event['stage']}{count} {event.get('message', '')}".strip()
            case "loss":
                self.loss = added(self.loss, event["step"], event["loss"])
                if event.get("validation") is not None and (
                    not self.aside or self.aside[-1][1] != event["validation"] or event["step"] < self.aside[-1][0]
                ):
                    self.aside = added(self.aside, event["step"], event["validation"])
                self.rate = event.get("rate")
            case "preview":
                self.sample = event["path"]
            case "note":
                self.notes = [*self.notes, event["message"]][-20:]
                self.message = event["message"]
                app.notify(event["message"], severity="warning", markup=False)
            case "done":
                self.state, self.result = DONE, event["result"]
                app.notify(f"Trained: {self.result['path']}", markup=False)
            case "failed":
                self.state, self.message = FAILED, f"{event['message']}. {event['hint']}".strip()
                app.notify(self.message, severity="error", markup=False)
            case "cancelled":
                self.state = PAUSED if self.state == PAUSING else STOPPED
        self.changed()

    def told(self) -> str:
        """How it stands, in a line or two."""
        step = f"step {self.done} of {self.total}" if self.total else ""
        match self.state:
            case "waiting":
                return "waits for its turn ..."
            case "running":
                parts = [step, f"{eta(self.left)} left" if self.left is not None else "", self.message]
                rate = f"rate {self.rate:.3g}" if self.rate is not None else ""
                return ", ".join(part for part in (*parts, rate) if part) or "getting ready ..."
            case "pausing" | "stopping":
                return f"{self.state}: the state is saved ..."
            case "paused":
                return f"paused at {step or 'its beginning'}; P goes on"
            case "stopped":
                return f"stopped at {step or 'its beginning'}; its state is kept: P goes on, F5 plans anew"
            case "failed":
                return f"{self.message} P tries again"
            case "done":
                assert self.result is not None
                return _ended(self.result)
        return ""


def _ended(result: dict[str, Any]) -> str:
    loss = f", loss {result['loss']:.4f}" if result.get("loss") is not None else ""
    best = ""
    if result.get("overfit") is not None:
        best = f"; overfitting was seen at step {result['overfit']}, the best was {result.get('best')}"
        best += f": {result['best_path']}" if result.get("best_path") else ""
    return f"{result['steps']} steps, {eta(result['seconds'])}{loss}{best}\n{result['path']}"

"""A long job as the screens see it: its states, how far it is, paused and gone on with, stopped with all kept.

A worker saves when it is cancelled, so that a pause is a cancelled job that is asked for again. It outlives the screen
that began it. Leaves what is asked for, and what the job's own events say, to the runs themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from assistant.pace import eta

READY, WAITING, RUNNING, PAUSING, PAUSED, STOPPING, STOPPED, DONE, FAILED = (
    "ready", "waiting", "running", "pausing", "paused", "stopping", "stopped", "done", "failed",
)  # fmt: skip


@dataclass(kw_only=True)
class LongRun:
    """`spec` is the job's; `changed` is called after everything that is worth drawing.

    `STAGE` is the one whose progress counts, in `UNIT`s; `SAVED` and `KEPT` say what a stopped job leaves, `MADE` what
    was done.
    """

    STAGE: ClassVar[str]
    UNIT: ClassVar[str]
    SAVED: ClassVar[str]
    KEPT: ClassVar[str]
    MADE: ClassVar[str]

    spec: dict[str, Any]
    state: str = READY
    number: int | None = None
    done: int = 0
    total: int = 0
    left: float | None = None
    message: str = ""
    newest: str = ""
    result: dict[str, Any] | None = None
    changed: Callable[[], None] = lambda: None

    @property
    def job(self) -> str:
        """The kind of its job."""
        raise NotImplementedError

    @property
    def alive(self) -> bool:
        """Whether its job waits or works."""
        return self.state in {WAITING, RUNNING, PAUSING, STOPPING}

    @property
    def goes_on(self) -> bool:
        """Whether asking again goes on from what there is."""
        return self.state in {PAUSED, STOPPED, FAILED}

    @property
    def bar(self) -> tuple[int, int]:
        """(done, total) as a bar shows them; a total of 0 is not known yet."""
        return self.done, self.total

    def begin(self, app: Any, **more: Any) -> bool:
        """Ask for the job, or for the rest of it, with `more` in its spec; whether it was taken."""
        number = app.submit(self.job, {**self.spec, **more}, lambda number, event: self.on_event(app, number, event))
        if number is None:
            return False
        self.number, self.state, self.message, self.left, self.result = number, WAITING, "", None, None
        self.changed()
        return True

    def pause(self, app: Any) -> None:
        """Stop with what was made kept, or go on from it."""
        if self.state in {RUNNING, WAITING}:
            self.state = PAUSING
            app.stop(self.number)
        elif self.goes_on:
            self.begin(app)
        self.changed()

    def stop(self, app: Any) -> None:
        if self.alive:
            self.state = STOPPING
            app.stop(self.number)
        elif self.state == PAUSED:
            self.state = STOPPED
        self.changed()

    # Events

    def on_event(self, app: Any, number: int, event: dict[str, Any]) -> None:
        """An event of the job; those of an earlier one, paused since, are left out."""
        if number != self.number:
            return
        match event["kind"]:
            case "started" if self.state == WAITING:
                self.state = RUNNING
            case "progress" if event["stage"] == self.STAGE:
                self.done, self.total, self.message = event["done"], event.get("total") or self.total, ""
                self.left = self.counted(event)
            case "progress":
                total = f" {event['done']} of {event['total']}" if event.get("total") else ""
                self.message = f"{event['stage']}{total} {event.get('message', '')}".strip()
            case "preview":
                self.newest = event["path"]
            case "note":
                app.notify(event["message"], severity="warning", markup=False)
            case "done":
                self.state, self.result = DONE, event["result"]
                app.notify(f"{self.MADE}: {event['result']['path']}", markup=False)
            case "failed":
                self.state, self.message = FAILED, f"{event['message']}. {event['hint']}".strip()
                self.failed(app)
            case "cancelled":
                self.state = PAUSED if self.state == PAUSING else STOPPED
        self.heard(event)
        self.changed()

    def counted(self, event: dict[str, Any]) -> float | None:
        """Seconds that are left, at an event of `STAGE`; None while that cannot be told."""
        raise NotImplementedError

    def heard(self, event: dict[str, Any]) -> None:
        """What a run makes of an event beside that."""

    def failed(self, app: Any) -> None:
        app.notify(self.message, severity="error", markup=False)

    # As text

    def told(self) -> str:
        """How it stands, in a line or two."""
        at = f"{self.UNIT} {self.done} of {self.total}" if self.total else ""
        match self.state:
            case "waiting":
                return "waits for its turn ..."
            case "running":
                left = f"{eta(self.left)} left" if self.left is not None else ""
                return ", ".join(part for part in (at, left, *self.told_more(), self.message) if part) or (
                    "getting ready ..."
                )
            case "pausing" | "stopping":
                return f"{self.state}: {self.SAVED} ..."
            case "paused":
                return f"paused at {at or 'its beginning'}; P goes on"
            case "stopped":
                return f"stopped at {at or 'its beginning'}; {self.KEPT}"
            case "failed":
                return f"{self.message} P tries again"
            case "done":
                assert self.result is not None
                return self.ended(self.result)
        return ""

    def told_more(self) -> tuple[str, ...]:
        """What else is said while it runs; empty texts are left out."""
        return ()

    def ended(self, result: dict[str, Any]) -> str:
        """What is said of its result."""
        raise NotImplementedError

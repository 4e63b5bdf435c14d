"""A long job as the screens see it: its states, paused and gone on with, stopped with what was made kept.

A worker saves when it is cancelled, so that a pause is a cancelled job that is asked for again. Leaves what is asked
for and what its events say to the runs themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

READY, WAITING, RUNNING, PAUSING, PAUSED, STOPPING, STOPPED, DONE, FAILED = (
    "ready", "waiting", "running", "pausing", "paused", "stopping", "stopped", "done", "failed",
)  # fmt: skip


class LongRun:
    """Outlives the screen that began it. `changed` is called after everything that is worth drawing."""

    state: str
    number: int | None
    changed: Callable[[], None]

    @property
    def alive(self) -> bool:
        """Whether its job waits or works."""
        return self.state in {WAITING, RUNNING, PAUSING, STOPPING}

    @property
    def goes_on(self) -> bool:
        """Whether asking again goes on from what there is."""
        return self.state in {PAUSED, STOPPED, FAILED}

    def begin(self, app: Any) -> bool:
        """Ask for the job, or for the rest of it; whether it was taken."""
        raise NotImplementedError

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

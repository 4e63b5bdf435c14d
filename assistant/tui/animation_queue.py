"""Animations and videos that were asked for since the program began: which is made, which wait, and how long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.pace import eta
from assistant.tui.animation_run import AnimationRun


def nothing() -> None:
    """What a run calls where no screen shows it."""


class AnimationQueue:
    """`runs` in the order they were asked for, one for each output."""

    def __init__(self) -> None:
        self.runs: list[AnimationRun] = []

    @property
    def alive(self) -> list[AnimationRun]:
        return [run for run in self.runs if run.alive]

    def latest(self, kind: str) -> AnimationRun | None:
        """Of a kind of job the one that is made or waits, else the last one."""
        runs = [run for run in self.runs if run.kind == kind]
        return next((run for run in runs if run.alive), runs[-1] if runs else None)

    def of(self, output: Path) -> AnimationRun | None:
        """The run whose video is `output`."""
        return next((run for run in self.runs if run.output == output), None)

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` after every event of any of them."""
        for run in self.runs:
            run.changed = changed

    def leave(self, changed: Callable[[], None]) -> None:
        """Call it no more; what another screen watches stays."""
        for run in self.runs:
            if run.changed == changed:
                run.changed = nothing

    def add(self, app: Any, run: AnimationRun) -> bool:
        """Ask for a run; it takes the place of one with the same output. Whether it was taken."""
        if not run.begin(app):
            return False
        self.runs = [one for one in self.runs if one.output != run.output] + [run]
        return True

    def lines(self, but: AnimationRun | None = None) -> list[str]:
        """A line for each that is not over; those that wait are reckoned by the pace of the one that is made."""
        pace = next((run.pace for run in self.alive if run.pace is not None), None)
        told, before = [], 0.0
        known = True  # behind one whose length nobody knows yet nothing is
        for run in self.alive:
            left = max(run.total - run.done, 0)
            before += run.left if run.left is not None else left * (pace or 0.0)
            known = known and (run.left is not None or (pace is not None and run.total > 0))
            ready = f", ready in {eta(before)}" if known else ""
            frames = f", {left} frames left" if run.total else ""  # a film's are counted when it is read
            if run is not but:
                told.append(f"{run.name}: {run.state}{frames}{ready}")
        return told

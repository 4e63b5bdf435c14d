"""The animations that were asked for since the program began: which is made, which wait, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.pace import eta
from assistant.tui.animation_run import AnimationRun
from assistant.tui.film import Film


class AnimationQueue:
    """`runs` in the order they were asked for, one for each output."""

    def __init__(self) -> None:
        self.runs: list[AnimationRun] = []

    @property
    def alive(self) -> list[AnimationRun]:
        return [run for run in self.runs if run.alive]

    @property
    def latest(self) -> AnimationRun | None:
        """The one that is made or waits, else the last one."""
        return next(iter(self.alive), self.runs[-1] if self.runs else None)

    def of(self, output: Path) -> AnimationRun | None:
        """The run whose video is `output`."""
        return next((run for run in self.runs if run.output == output), None)

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` after every event of any of them."""
        for run in self.runs:
            run.changed = changed

    def add(self, app: Any, film: Film, output: Path, file: str, changed: Callable[[], None]) -> AnimationRun | None:
        """Ask for a film; it takes the place of a run with the same output. None where it was not taken."""
        spec = {
            "do": "deforum",
            "settings": film.settings.to_json(),
            "name": output.stem,
            "output": str(output),
            "measure": True,
            "clip": "",
        }
        run = AnimationRun(spec, file, total=film.frames, changed=changed)
        if not run.begin(app):
            return None
        self.runs = [one for one in self.runs if one.output != output] + [run]
        return run

    def lines(self, but: AnimationRun | None = None) -> list[str]:
        """A line for each that is not over; those that wait are reckoned by the pace of the one that is made."""
        pace = next((run.pace for run in self.alive if run.pace is not None), None)
        told, before = [], 0.0
        for run in self.alive:
            left = max(run.total - run.done, 0)
            before += run.left if run.left is not None else left * (pace or 0.0)
            ready = f", ready in {eta(before)}" if pace is not None else ""
            if run is not but:
                told.append(f"{run.name}: {run.state}, {left} frames left{ready}")
        return told

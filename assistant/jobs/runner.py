"""Key press -> row -> lane: what the screens use to have work done.

Keeps one lane for each name of `LANES`, gives the questions of the moment negative numbers so that they never meet a
row's, and passes every event to one receiver.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from typing import Any

from assistant.jobs import HANDLERS, LANES
from assistant.jobs.lane import Lane, Request
from assistant.jobs.queue import Queue
from assistant.paths import Paths

# What loads a checkpoint.
HEAVY = frozenset(
    {"render", "grid", "recipe", "character", "animate", "vid2vid", "video-frame", "motion", "merge"}
    | {kind for kind in HANDLERS if kind.startswith("train-")}
)


class Runner:
    """All lanes of one program. `receive(number, event)` is called on the lanes' threads."""

    def __init__(self, paths: Paths, home: str | None, receive: Callable[[int, dict[str, Any]], None]) -> None:
        self.queue = Queue(paths.jobs)
        self.interrupted = self.queue.mark_interrupted()
        self._numbers = itertools.count(-1, -1)
        self._lanes = {name: Lane(name, paths, home, receive) for name in LANES}
        self._lane_of: dict[int, str] = {}
        # Kinds of work before which the language model lets go of its memory (setting llm.share).
        self.needs_room: frozenset[str] = frozenset()

    def submit(self, kind: str, spec: dict[str, Any]) -> int:
        """Queue one job; returns its number, which its events carry."""
        what = HANDLERS[kind]
        if kind in self.needs_room and not self._lanes["library"].busy and self._lanes["library"].running:
            # The language model and the checkpoint may not both fit; the model comes back with the next question.
            self._lanes["library"].submit(Request(next(self._numbers), "release", {}, False))
        number = self.queue.add(kind, spec) if what.durable else next(self._numbers)
        self._lane_of[number] = what.lane
        self._lanes[what.lane].submit(Request(number, kind, spec, what.durable))
        return number

    def share_memory(self, wanted: str) -> None:
        """`always`, `never`, or `auto`: where there is a GPU, whose memory is the scarcer."""
        shared = wanted == "always" or (wanted == "auto" and shutil.which("nvidia-smi") is not None)
        self.needs_room = HEAVY if shared else frozenset()

    def cancel(self, number: int) -> None:
        """Cancel a job of this program; one that has ended is left alone."""
        if number in self._lane_of:
            self._lanes[self._lane_of[number]].cancel(number)

    def pause(self, yes: bool) -> None:
        """Begin no job of the queue any more, or go on. What runs ends; questions of the moment are still answered."""
        for lane in self._lanes.values():
            lane.pause(yes)

    @property
    def paused(self) -> bool:
        return any(lane.paused for lane in self._lanes.values())

    def move(self, number: int, by: int) -> bool:
        """Let a waiting job come earlier (below 0) or later; whether its place changed."""
        return number in self._lane_of and self._lanes[self._lane_of[number]].move(number, by)

    @property
    def waiting(self) -> list[int]:
        """Numbers of the jobs that have not begun, in the order in which they will."""
        return [number for lane in self._lanes.values() for number in lane.waiting]

    def forget(self, number: int) -> None:
        """The job's last event has come."""
        self._lane_of.pop(number, None)

    @property
    def busy(self) -> bool:
        return any(lane.busy for lane in self._lanes.values())

    def close(self) -> None:
        for lane in self._lanes.values():
            lane.close()

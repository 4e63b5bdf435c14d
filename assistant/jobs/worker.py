"""The child process of a lane: reads one job a line on stdin, writes events to a pipe of its own.

Stdout and stderr belong to a log file, so that no progress bar of a library ever reaches the screen. It ends when
stdin closes, after the job in hand. SIGTERM, or a file named after the job in the cancel folder, cancels that job.

Line in:    {"id": 7, "kind": "render", "spec": {...}, "row": true}
Lines out:  {"id": 7, "kind": "progress" | "preview" | "note" | "text" | "started", ...}
            {"id": 7, "kind": "done", "result": {...}} | {"id": 7, "kind": "cancelled"}
            {"id": 7, "kind": "failed", "message", "hint", "error": the exception's name}
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from assistant.errors import Cancelled, explain
from assistant.jobs import HANDLERS
from assistant.jobs.queue import Queue
from assistant.jobs.workshop import Workshop
from assistant.paths import Paths
from assistant.settings import Settings

LOOK_EVERY = 0.02  # seconds between looks at the cancel file


class Worker:
    """Runs jobs one after another with what they need kept warm between them."""

    def __init__(self, paths: Paths, events: int) -> None:
        self.paths = paths
        self.workshop = Workshop(paths, Settings(paths.settings))
        self.queue = Queue(paths.jobs)
        self._events = os.fdopen(events, "w", encoding="utf-8", buffering=1)
        self._current: int | None = None
        self._cancelled = False
        self._looked = 0.0

    def on_terminate(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM cancels the job in hand; an idle worker ends."""
        if self._current is None:
            raise SystemExit(0)
        self._cancelled = True

    def cancel_file(self, number: int) -> Path:
        return self.paths.state / "cancel" / str(number)

    def send(self, event: dict[str, Any]) -> None:
        try:
            self._events.write(json.dumps({"id": self._current, **event}, ensure_ascii=False) + "\n")
        except BrokenPipeError:
            # The screen is gone; the job in hand still finishes and its row says so.
            self._events = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115

    def check(self) -> None:
        now = time.monotonic()
        if not self._cancelled and self._current is not None and now - self._looked > LOOK_EVERY:
            self._looked = now
            self._cancelled = self.cancel_file(self._current).exists()
        if self._cancelled:
            raise Cancelled

    def run(self, line: str) -> None:
        """One job, from its line to its last event. Nothing it raises ends the worker."""
        request = json.loads(line)
        number, row = int(request["id"]), bool(request.get("row"))
        self._current, self._cancelled = number, False
        if row:
            self.queue.start(number)
        self.send({"kind": "started"})
        try:
            self.check()
            self.workshop.refresh()
            module, attribute = HANDLERS[request["kind"]].handler.split(":")
            handler = getattr(import_module(module), attribute)
            result = handler(self.workshop, request["spec"], report=self.send, check=self.check)
        except Cancelled:
            if row:
                self.queue.finish(number, "cancelled")
            self.send({"kind": "cancelled"})
        except Exception as error:
            traceback.print_exc()
            message, hint = explain(error)
            if row:
                self.queue.finish(number, "failed", message=f"{message}. {hint}".strip())
            self.send({"kind": "failed", "message": message, "hint": hint, "error": type(error).__name__})
        else:
            if row:
                self.queue.finish(number, "done", result=result)
            self.send({"kind": "done", "result": result})
        finally:
            self.cancel_file(number).unlink(missing_ok=True)
            sys.stderr.flush()
            self._current = None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="assistant.jobs.worker")
    parser.add_argument("--home", default=None)
    parser.add_argument("--events", type=int, required=True, help="file descriptor for the events")
    options = parser.parse_args(arguments)
    worker = Worker(Paths.find(options.home).make(), options.events)
    signal.signal(signal.SIGTERM, worker.on_terminate)
    # The terminal's Ctrl+C is the screen's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        if line.strip():
            worker.run(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

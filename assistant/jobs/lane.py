"""The parent's side of a worker: a thread that feeds one warm child and passes its events on.

Knows how to cancel (file and SIGTERM, SIGKILL of the group after `PATIENCE`) and to start the child again when it
died. Events arrive on the lane's own thread: the receiver must hand them over to its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from assistant.jobs.queue import Queue
from assistant.paths import Paths

PATIENCE = 5.0  # seconds between SIGTERM and SIGKILL
Receive = Callable[[int, dict[str, Any]], None]


@dataclass(frozen=True)
class Request:
    """What goes to the child: `row` says whether `id` is a row of the queue."""

    id: int
    kind: str
    spec: dict[str, Any]
    row: bool

    def line(self) -> bytes:
        return (json.dumps(vars(self), ensure_ascii=False) + "\n").encode("utf-8")


class Lane:
    """One line of work, done in order. Starts its child with the first request."""

    def __init__(self, name: str, paths: Paths, home: str | None, receive: Receive) -> None:
        self.name = name
        self._paths = paths
        self._home = home
        self._receive = receive
        self._waiting: list[Request] = []
        self._paused = False
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._current: Request | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._events: IO[str] | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"lane-{name}", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        with self._changed:
            self._waiting.append(request)
            self._changed.notify()

    @property
    def busy(self) -> bool:
        return self._current is not None or bool(self._waiting)

    @property
    def waiting(self) -> list[int]:
        """Numbers of the requests that have not begun, the next first."""
        with self._lock:
            return [request.id for request in self._waiting]

    @property
    def paused(self) -> bool:
        return self._paused

    def pause(self, yes: bool) -> None:
        """Begin nothing durable any more, or go on; what runs goes on to its end, questions of the moment too."""
        with self._changed:
            self._paused = yes
            self._changed.notify()

    def move(self, number: int, by: int) -> bool:
        """Let a waiting request come earlier (below 0) or later; whether its place changed."""
        with self._lock:
            at = next((n for n, request in enumerate(self._waiting) if request.id == number), None)
            if at is None:
                return False
            to = min(max(at + by, 0), len(self._waiting) - 1)
            self._waiting.insert(to, self._waiting.pop(at))
            return to != at

    def _next(self) -> Request | None:
        """The request to do now, None when the lane closes. The caller holds nothing."""
        with self._changed:
            while not self._closing:
                for number, request in enumerate(self._waiting):
                    if not (self._paused and request.row):
                        self._current = self._waiting.pop(number)
                        return self._current
                self._changed.wait()
            return None

    @property
    def running(self) -> bool:
        """Whether there is a child that keeps things warm."""
        return self._child is not None and self._child.poll() is None

    def cancel(self, number: int) -> None:
        """Cancel a request wherever it stands; its `cancelled` event follows."""
        with self._lock:
            current, child = self._current, self._child
            dropped = next((request for request in self._waiting if request.id == number), None)
            if dropped is not None:
                self._waiting.remove(dropped)
            elif current is None or current.id != number:
                return
        if dropped is not None:
            self._drop(dropped)
            return
        folder = self._paths.state / "cancel"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(number)).touch()
        if child is not None and child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
            timer = threading.Timer(PATIENCE, self._kill, (child, number))
            timer.daemon = True
            timer.start()

    def _kill(self, child: subprocess.Popen[bytes], number: int) -> None:
        with self._lock:
            if self._current is None or self._current.id != number or child is not self._child:
                return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    def close(self, patience: float = 1.0) -> None:
        """End the child: at once when idle, by its group when it does not listen."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            current, child = self._current, self._child
        if current is not None:
            self.cancel(current.id)
        if child is None:
            return
        with contextlib.suppress(OSError):
            if child.stdin:
                child.stdin.close()
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait(patience)

    def _start(self) -> subprocess.Popen[bytes]:
        reading, writing = os.pipe()
        log = self._paths.logs / f"worker-{self.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > 2_000_000:
            log.replace(log.with_suffix(".log.1"))
        command = [sys.executable, "-m", "assistant.jobs.worker", "--events", str(writing)]
        if self._home:
            command += ["--home", str(Path(self._home).expanduser().resolve())]
        with log.open("ab") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=(writing,),
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"},
            )
        os.close(writing)
        if self._events is not None:
            self._events.close()
        self._events = os.fdopen(reading, encoding="utf-8")
        return child

    def _drop(self, request: Request) -> None:
        """A request that is cancelled before it began."""
        if request.row:
            Queue(self._paths.jobs).finish(request.id, "cancelled")
        self._receive(request.id, {"kind": "cancelled"})

    def _run(self) -> None:
        while (request := self._next()) is not None:
            with self._lock:
                if self._child is None or self._child.poll() is not None:
                    self._child = self._start()
            last = self._converse(request)
            with self._lock:
                self._current = None
            self._receive(request.id, last)

    def _converse(self, request: Request) -> dict[str, Any]:
        """Send one request and pass its events on; returns the last one, made up when the child died."""
        child, events = self._child, self._events
        assert child is not None and child.stdin is not None and events is not None
        try:
            child.stdin.write(request.line())
            child.stdin.flush()
            for line in events:
                event = json.loads(line)
                if event.get("id") != request.id:
                    continue
                if event["kind"] in {"done", "failed", "cancelled"}:
                    return dict(event)
                self._receive(request.id, event)
        except (OSError, ValueError):
            pass
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1)
        cancelled = (self._paths.state / "cancel" / str(request.id)).exists()
        (self._paths.state / "cancel" / str(request.id)).unlink(missing_ok=True)
        message = f"the {self.name} worker ended in the middle of the job"
        if request.row:
            state = "cancelled" if cancelled else "failed"
            Queue(self._paths.jobs).finish(request.id, state, message="" if cancelled else message)
        if cancelled:
            return {"id": request.id, "kind": "cancelled"}
        log = self._paths.logs / f"worker-{self.name}.log"
        return {
            "id": request.id,
            "kind": "failed",
            "message": message,
            "hint": f"Memory may have run out; {log} says more. It starts again with the next job.",
        }

"""Progress of a command on stderr: one line that rewrites itself, with the time that is left."""

from __future__ import annotations

import time
from typing import IO, Any


def eta(seconds: float) -> str:
    """`5 s`, `2 min 10 s`, `1 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Estimate:
    """Time left of one stage, from its pace so far. Starts over with each stage."""

    def __init__(self) -> None:
        self._stage = ""
        self._began = 0.0
        self._first = 0

    def update(self, stage: str, done: int, total: int | None) -> float | None:
        """Seconds left, or None while they cannot be told."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began, self._first = stage, now, done
        steps = done - self._first
        if not total or steps < 1:
            return None
        return (now - self._began) / steps * max(0, total - done)


class Progress:
    """Prints events; on something that is no terminal only the notes."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._estimate = Estimate()
        self._open = False

    def report(self, event: dict[str, Any]) -> None:
        if event["kind"] == "note":
            self.close()
            print(f"note: {event['message']}", file=self._stream)
        elif event["kind"] == "progress" and self._terminal:
            left = self._estimate.update(event["stage"], event["done"], event.get("total"))
            total = f"/{event['total']}" if event.get("total") else ""
            text = f"{event['stage']} {event['done']}{total}"
            if left is not None:
                text += f", {eta(left)} left"
            if event.get("message"):
                text += f"  {event['message']}"
            self._stream.write(f"\r\x1b[K{text[:100]}")
            self._stream.flush()
            self._open = True

    def close(self) -> None:
        if self._open:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._open = False

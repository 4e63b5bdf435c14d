"""How long work still takes, from its pace so far."""

from __future__ import annotations

import time


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

"""The one way work speaks to the screens: an event of a job, posted from its lane's thread."""

from __future__ import annotations

from typing import Any

from textual.message import Message


class JobEvent(Message):
    """`event` is what `assistant.jobs.worker` documents."""

    def __init__(self, number: int, event: dict[str, Any]) -> None:
        super().__init__()
        self.number = number
        self.event = event

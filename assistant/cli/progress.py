"""Progress of a command on stderr: one line that rewrites itself, with the time that is left."""

from __future__ import annotations

from typing import IO, Any

from assistant.pace import Estimate, eta
from knowledge.screen import shown


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
            print(f"note: {shown(event['message'])}", file=self._stream)
        elif event["kind"] == "progress" and self._terminal:
            left = self._estimate.update(event["stage"], event["done"], event.get("total"))
            total = f"/{event['total']}" if event.get("total") else ""
            text = f"{event['stage']} {event['done']}{total}"
            if left is not None:
                text += f", {eta(left)} left"
            if event.get("message"):
                text += f"  {shown(event['message'])}".replace("\n", " ")
            self._stream.write(f"\r\x1b[K{text[:100]}")
            self._stream.flush()
            self._open = True

    def close(self) -> None:
        if self._open:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._open = False

"""Work as data: a spec in a SQLite row, a lane that carries it to a warm child process, a handler that does it.

`HANDLERS` names everything that can be asked for; listing it loads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of job. `durable` ones get a row that outlives the program; the others are questions of the moment."""

    handler: str
    lane: str
    durable: bool
    help: str


HANDLERS: dict[str, Kind] = {
    "render": Kind("assistant.jobs.handlers:render", "studio", True, "Render a picture"),
    "ingest": Kind("assistant.jobs.handlers:ingest", "library", True, "Read notes into the library"),
    "sync": Kind("assistant.jobs.handlers:sync", "library", True, "Bring the library up to date"),
    "rebuild": Kind("assistant.jobs.handlers:rebuild", "library", True, "Make the index again"),
    "search": Kind("assistant.jobs.handlers:search", "library", False, "Search the library"),
    "ask": Kind("assistant.jobs.handlers:ask", "library", False, "Answer from the library"),
    "expand": Kind("assistant.jobs.handlers:expand", "library", False, "Expand an idea"),
    "documents": Kind("assistant.jobs.handlers:documents", "library", False, "List the library"),
    "warm": Kind("assistant.jobs.handlers:warm", "library", False, "Load what answers need"),
}
LANES = ("library", "studio")

"""The durable queue: one SQLite table. Every process may open it; each change is one transaction.

States: queued -> running -> done | failed | cancelled; a running job whose process is gone is `interrupted` and can be
run again, since its spec is all there is to it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import BadArgument

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  spec TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'queued',
  created REAL NOT NULL,
  started REAL,
  finished REAL,
  pid INTEGER,
  result TEXT,
  message TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS jobs_state ON jobs(state);
"""
FINAL = frozenset({"done", "failed", "cancelled", "interrupted"})


@dataclass(frozen=True)
class Job:
    """One row. Times are seconds since the epoch; `message` says why it failed."""

    id: int
    kind: str
    spec: dict[str, Any]
    state: str
    created: float
    started: float | None
    finished: float | None
    result: dict[str, Any] | None
    message: str

    @property
    def seconds(self) -> float | None:
        if self.started is None:
            return None
        return (self.finished or time.time()) - self.started

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "seconds": self.seconds}


class Queue:
    """The table of jobs at `path`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        with self._open() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.executescript(SCHEMA)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own for each call: the screens' threads and the workers all come here."""
        database = sqlite3.connect(self.path, timeout=10)
        database.row_factory = sqlite3.Row
        try:
            with database:
                yield database
        finally:
            database.close()

    def add(self, kind: str, spec: dict[str, Any]) -> int:
        with self._open() as database:
            cursor = database.execute(
                "INSERT INTO jobs(kind, spec, created) VALUES (?, ?, ?)",
                (kind, json.dumps(spec, ensure_ascii=False), time.time()),
            )
            return int(cursor.lastrowid or 0)

    def start(self, number: int) -> None:
        with self._open() as database:
            database.execute(
                "UPDATE jobs SET state='running', started=?, pid=?, finished=NULL, message='' WHERE id=?",
                (time.time(), os.getpid(), number),
            )

    def finish(self, number: int, state: str, *, result: dict[str, Any] | None = None, message: str = "") -> None:
        """Close the job with one of the final states; a job that is closed stays as it is."""
        with self._open() as database:
            database.execute(
                "UPDATE jobs SET state=?, finished=?, result=?, message=? "
                "WHERE id=? AND state IN ('queued', 'running')",
                (
                    state,
                    time.time(),
                    None if result is None else json.dumps(result, ensure_ascii=False),
                    message,
                    number,
                ),
            )

    def get(self, number: int) -> Job:
        with self._open() as database:
            row = database.execute("SELECT * FROM jobs WHERE id=?", (number,)).fetchone()
        if row is None:
            raise BadArgument(f"there is no job {number}", "`atelier jobs` lists them.")
        return _job(row)

    def list(self, limit: int = 200) -> list[Job]:
        """The newest first."""
        with self._open() as database:
            rows = database.execute("SELECT * FROM jobs ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
        return [_job(row) for row in rows]

    def waiting(self) -> int:
        """How many are queued or running."""
        with self._open() as database:
            row = database.execute("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')").fetchone()
        return int(row[0])

    def mark_interrupted(self) -> int:
        """Close running jobs whose process is gone, and queued ones older than any living runner's.

        Called when a program starts; returns how many were found.
        """
        with self._open() as database:
            rows = database.execute("SELECT id, pid FROM jobs WHERE state='running'").fetchall()
            gone = [row["id"] for row in rows if not _alive(row["pid"])]
            for number in gone:
                database.execute(
                    "UPDATE jobs SET state='interrupted', finished=?, message=? WHERE id=?",
                    (time.time(), "the program ended before the job did", number),
                )
        return len(gone)


def _alive(pid: int | None) -> bool:
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _job(row: sqlite3.Row) -> Job:
    return Job(
        row["id"],
        row["kind"],
        json.loads(row["spec"]),
        row["state"],
        row["created"],
        row["started"],
        row["finished"],
        json.loads(row["result"]) if row["result"] else None,
        row["message"],
    )

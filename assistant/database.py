"""Opening the small SQLite files in which the program keeps what is the person's: talks, prompts, the gallery.

Knows how two processes share one and what a damaged one is told as. Leaves tables and statements to their owners.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assistant.errors import BadArgument


@contextmanager
def opened(path: Path, tables: str) -> Iterator[sqlite3.Connection]:
    """A connection for one transaction, rows by name; file and `tables` are made where they are missing.

    Raises `BadArgument` for a file that is no database or cannot be written.
    """
    database: sqlite3.Connection | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(path, timeout=10)
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA foreign_keys = ON")
        database.executescript(tables)
        with database:
            yield database
    except (sqlite3.DatabaseError, OSError) as error:
        raise BadArgument(f"{path} cannot be used: {error}", "Move the file away; a new one is made.") from error
    finally:
        if database is not None:
            database.close()

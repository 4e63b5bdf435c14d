"""What the last look at weights found, kept in one JSON file, so that a second start opens none of them.

Knows when a remembered answer still holds: size, time of change and the notes beside the file are the same. A cache
that is damaged, or of another version of the recognition, is as good as none.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

# Grows with every change to what is remembered or to how weights are told apart.
VERSION = 1


class Cache:
    """Rows of plain values by path and stamp. Nothing here raises: a cache that cannot be read or written is empty."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows: dict[str, list[Any]] = {}
        self._hashes: dict[str, list[Any]] = {}
        self._changed = False
        if path is None:
            return
        with contextlib.suppress(OSError, ValueError, RecursionError):
            found = json.loads(path.read_bytes())
            if isinstance(found, dict) and found.get("version") == VERSION:
                rows, hashes = found.get("rows"), found.get("hashes")
                if isinstance(rows, dict) and isinstance(hashes, dict):
                    self._rows, self._hashes = rows, hashes

    def get(self, path: str, stamp: tuple[int, ...]) -> list[Any] | None:
        """What was kept for a file that has not changed since."""
        row = self._rows.get(path)
        return row[1] if isinstance(row, list) and len(row) == 2 and row[0] == list(stamp) else None

    def put(self, path: str, stamp: tuple[int, ...], row: list[Any]) -> None:
        self._rows[path] = [list(stamp), row]
        self._changed = True

    def hashes(self, path: Path) -> dict[str, str] | None:
        """The hashes kept for a file that has not changed since."""
        kept = self._hashes.get(str(path))
        return kept[1] if kept is not None and kept[0] == _stamp(path) and isinstance(kept[1], dict) else None

    def put_hashes(self, path: Path, hashes: dict[str, str]) -> None:
        self._hashes[str(path)] = [_stamp(path), hashes]
        self._changed = True

    def named(self, digits: str) -> str:
        """The path of the file one of whose kept hashes is `digits`, "" for none."""
        return next((path for path, (_, found) in self._hashes.items() if digits in found.values()), "")

    def save(self, paths: set[str] | None = None) -> None:
        """Write what has changed; of `paths` only, where given: what is gone is forgotten."""
        if paths is not None and any(path not in paths for path in self._rows):
            self._rows = {path: row for path, row in self._rows.items() if path in paths}
            self._changed = True
        if self._path is None or not self._changed:
            return
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        with contextlib.suppress(OSError, ValueError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"version": VERSION, "rows": self._rows, "hashes": self._hashes}, separators=(",", ":"))
            temporary.write_text(text, "utf-8")
            temporary.replace(self._path)
            self._changed = False
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _stamp(path: Path) -> list[int]:
    try:
        about = path.stat()
    except OSError:
        return []
    return [about.st_size, about.st_mtime_ns]

"""A shelf of prompts: kept with their negatives, marked as favourites, tagged, noted, counted, found again.

Knows SQLite and which of a picture's texts are worth keeping. Reading pictures is `generation.metadata`'s, files of
prompts are `prompt_export`'s; leaves showing the shelf to the screens.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from assistant.database import opened
from assistant.errors import BadArgument, nearest
from assistant.phrases import Counts, frequent
from generation import metadata
from generation.errors import BadImage

_TABLES = """
CREATE TABLE IF NOT EXISTS prompts (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, positive TEXT NOT NULL, negative TEXT NOT NULL,
  notes TEXT NOT NULL, source TEXT NOT NULL, favourite INTEGER NOT NULL, used INTEGER NOT NULL, last TEXT NOT NULL,
  created TEXT NOT NULL, UNIQUE (positive, negative));
CREATE TABLE IF NOT EXISTS tags (
  prompt INTEGER NOT NULL REFERENCES prompts ON DELETE CASCADE, tag TEXT NOT NULL, PRIMARY KEY (prompt, tag));
"""
NAME = 60  # characters of a name made from a prompt
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})


@dataclass(frozen=True)
class Kept:
    """A prompt on the shelf. `source` is the picture it came from or ""; times are ISO 8601, "" for never."""

    id: int
    name: str
    positive: str
    negative: str
    notes: str
    source: str
    favourite: bool
    used: int
    last: str
    created: str
    tags: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "tags": list(self.tags)}


@dataclass(frozen=True)
class Report:
    """What an import found: prompts new and known, pictures that say nothing, {picture: why} that cannot be read."""

    added: tuple[Kept, ...]
    known: tuple[Kept, ...]
    silent: tuple[str, ...]
    broken: dict[str, str]

    def __str__(self) -> str:
        return (
            f"{len(self.added)} new, {len(self.known)} already there, {len(self.silent)} without a prompt, "
            f"{len(self.broken)} not readable"
        )


class Shelf:
    """The prompts in the SQLite file `path`, made with the first one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _open(self) -> AbstractContextManager[sqlite3.Connection]:
        return opened(self.path, _TABLES)

    def add(
        self, positive: str, negative: str = "", *, name: str = "", tags: Sequence[str] = (), notes: str = "",
        source: str = "",
    ) -> Kept:  # fmt: skip
        """Keep a prompt; one that is there already gains the tags, and a name, notes and source where it has none."""
        positive, negative = _clean(positive), _clean(negative)
        if not positive and not negative:
            raise BadArgument("the prompt is empty", "Write something to keep.")
        marks = [_tag(tag) for tag in tags]
        with self._open() as db:
            db.execute(
                "INSERT INTO prompts VALUES (NULL, ?, ?, ?, ?, ?, 0, 0, '', ?) ON CONFLICT (positive, negative) DO"
                " UPDATE SET name = iif(excluded.name = '', name, excluded.name),"
                " notes = iif(notes = '', excluded.notes, notes), source = iif(source = '', excluded.source, source)",
                (_short(name), positive, negative, _clean(notes), _clean(source), _now()),
            )
            row = db.execute("SELECT id FROM prompts WHERE positive = ? AND negative = ?", (positive, negative))
            number = int(row.fetchone()["id"])
            db.execute("UPDATE prompts SET name = ? WHERE id = ? AND name = ''", (_short(positive or negative), number))
            db.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", [(number, mark) for mark in marks])
        return self.get(number)

    def get(self, number: int) -> Kept:
        """Raises `BadArgument` for a number that is none."""
        for kept in self._rows("WHERE p.id = ?", (number,)):
            return kept
        raise BadArgument(f"there is no prompt {number} on the shelf", "List the shelf for the numbers.")

    def find(self, query: str = "", tag: str = "", *, favourites: bool = False) -> list[Kept]:
        """Favourites first, then the latest used or kept; those that hold all words of `query` and the tag."""
        words = query.casefold().split()
        wanted = _tag(tag) if tag.strip() else ""
        return [
            kept
            for kept in self._rows()
            if (not wanted or wanted in kept.tags)
            and (not favourites or kept.favourite)
            and all(word in _text(kept) for word in words)
        ]

    def _rows(self, where: str = "", values: tuple[Any, ...] = ()) -> list[Kept]:
        if not self.path.exists():
            return []
        with self._open() as db:
            rows = db.execute(
                f"SELECT p.* FROM prompts p {where} ORDER BY favourite DESC, max(last, created) DESC, id DESC", values
            ).fetchall()
            tags: dict[int, list[str]] = {}
            for row in db.execute("SELECT prompt, tag FROM tags ORDER BY tag"):
                tags.setdefault(row["prompt"], []).append(row["tag"])
        return [
            Kept(**{**dict(row), "favourite": bool(row["favourite"])}, tags=tuple(tags.get(row["id"], ())))
            for row in rows
        ]

    def _change(self, number: int, statement: str, *values: Any) -> Kept:
        self.get(number)
        with self._open() as db:
            db.execute(statement, (*values, number))
        return self.get(number)

    def favourite(self, number: int, yes: bool = True) -> Kept:
        return self._change(number, "UPDATE prompts SET favourite = ? WHERE id = ?", int(yes))

    def rename(self, number: int, name: str) -> Kept:
        if not _short(name):
            raise BadArgument("the name is empty", "Give the name in quotes.")
        return self._change(number, "UPDATE prompts SET name = ? WHERE id = ?", _short(name))

    def note(self, number: int, notes: str) -> Kept:
        return self._change(number, "UPDATE prompts SET notes = ? WHERE id = ?", _clean(notes))

    def tag(self, number: int, tag: str) -> Kept:
        return self._change(number, "INSERT OR IGNORE INTO tags (tag, prompt) VALUES (?, ?)", _tag(tag))

    def untag(self, number: int, tag: str) -> Kept:
        """Raises `BadArgument` with the nearest tag where the prompt has none of this name."""
        kept = self.get(number)
        if _tag(tag) not in kept.tags:
            raise BadArgument(f'prompt {number} has no tag "{tag}"', nearest(_tag(tag), kept.tags))
        return self._change(number, "DELETE FROM tags WHERE tag = ? AND prompt = ?", _tag(tag))

    def use(self, number: int) -> Kept:
        """Count one more use, now."""
        return self._change(number, "UPDATE prompts SET used = used + 1, last = ? WHERE id = ?", _now())

    def delete(self, number: int) -> Kept:
        gone = self.get(number)
        with self._open() as db:
            db.execute("DELETE FROM prompts WHERE id = ?", (number,))
        return gone

    def tags(self) -> dict[str, int]:
        """Every tag and how many prompts have it."""
        return dict(sorted(Counter(tag for kept in self._rows() for tag in kept.tags).items()))

    def frequent(self, limit: int = 20) -> tuple[Counts, Counts]:
        """(positives, negatives): the phrases of most prompts here, with how many."""
        return frequent([(kept.positive, kept.negative) for kept in self._rows()], limit)

    # Pictures

    def import_picture(self, path: Path) -> Kept | None:
        """The prompt in a picture, kept; None where it says nothing. Raises `BadImage`."""
        info = metadata.read(path)
        if not _clean(info.prompt) and not _clean(info.negative):
            return None
        return self.add(info.prompt, info.negative, source=str(path.absolute()))

    def import_folder(self, folder: Path, *, check: Callable[[], None] = lambda: None) -> Report:
        """The prompts of all pictures below a folder; one bad picture stops nothing. Raises `BadArgument`."""
        if not folder.is_dir():
            raise BadArgument(f"there is no folder {folder}", "Check the path.")
        before = {kept.id for kept in self._rows()}
        added: dict[int, Kept] = {}
        known: dict[int, Kept] = {}
        silent, broken = [], {}
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES and p.is_file()):
            check()
            try:
                kept = self.import_picture(path)
            except BadImage as error:
                broken[str(path)] = error.message
                continue
            if kept is None:
                silent.append(str(path))
            else:
                (known if kept.id in before else added)[kept.id] = kept
        return Report(tuple(added.values()), tuple(known.values()), tuple(silent), broken)


def _text(kept: Kept) -> str:
    return "\n".join([kept.name, kept.positive, kept.negative, kept.notes, *kept.tags]).casefold()


def _clean(text: str) -> str:
    """Without half characters and zero bytes, which SQLite or UTF-8 would refuse."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "").strip()


def _tag(tag: str) -> str:
    tag = " ".join(_clean(tag).casefold().split()).lstrip("#")
    if not tag:
        raise BadArgument("the tag is empty", "Give a word.")
    return tag


def _short(name: str) -> str:
    name = " ".join("".join(c for c in _clean(name) if c.isprintable() or c.isspace()).split())
    return name if len(name) <= NAME else name[: NAME - 1].rstrip() + "…"


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")

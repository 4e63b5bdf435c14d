"""Conversations with the library, kept: every question and answer as it came, found again, renamed, deleted.

A question is written down before it is answered, so a kill costs an answer and never a question. What could not be
answered is listed by itself (`unanswered`). Exporting is `export`'s.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from assistant.database import opened
from assistant.errors import BadArgument

_TABLES = """
CREATE TABLE IF NOT EXISTS conversations (
  id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, created TEXT NOT NULL, changed TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS turns (
  id INTEGER PRIMARY KEY AUTOINCREMENT, conversation INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
  at TEXT NOT NULL, question TEXT NOT NULL, result TEXT);
CREATE INDEX IF NOT EXISTS turns_of ON turns (conversation);
CREATE TABLE IF NOT EXISTS unanswered (
  question TEXT PRIMARY KEY, first TEXT NOT NULL, latest TEXT NOT NULL, times INTEGER NOT NULL, score REAL NOT NULL,
  nearest TEXT NOT NULL);
"""
TITLE = 60  # characters


@dataclass(frozen=True)
class Conversation:
    """One conversation as it is listed; times are ISO 8601 with the zone."""

    id: int
    title: str
    created: str
    changed: str
    turns: int

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Exchange:
    """One question and what was answered (the result of an `ask` job; None while there is none)."""

    id: int
    at: str
    question: str
    result: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


class Conversations:
    """The conversations in the SQLite file `path`, made with the first one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _open(self) -> AbstractContextManager[sqlite3.Connection]:
        return opened(self.path, _TABLES)

    def begin(self, title: str) -> int:
        """A new conversation; returns its number."""
        now = _now()
        with self._open() as db:
            row = db.execute("INSERT INTO conversations VALUES (NULL, ?, ?, ?)", (_short(title), now, now))
            return int(row.lastrowid or 0)

    def ask(self, number: int, question: str) -> int:
        """Write a question down; returns the number of its turn. Raises `BadArgument`."""
        self.get(number)
        with self._open() as db:
            row = db.execute("INSERT INTO turns VALUES (NULL, ?, ?, ?, NULL)", (number, _now(), question))
            db.execute("UPDATE conversations SET changed = ? WHERE id = ?", (_now(), number))
            return int(row.lastrowid or 0)

    def answered(self, turn: int, result: dict[str, Any]) -> None:
        with self._open() as db:
            db.execute("UPDATE turns SET result = ? WHERE id = ?", (json.dumps(result, ensure_ascii=False), turn))

    def get(self, number: int) -> Conversation:
        """Raises `BadArgument` for a number that is none."""
        for conversation in self._rows("WHERE c.id = ?", (number,)):
            return conversation
        raise BadArgument(f"there is no conversation {number}", "`atelier conversations` lists them.")

    def listed(self, query: str = "") -> list[Conversation]:
        """The latest first; with `query` those whose title, questions or answers hold all of its words."""
        found = self._rows()
        words = query.casefold().split()
        if not words:
            return found
        return [one for one in found if all(word in self._text(one) for word in words)]

    def _rows(self, where: str = "", values: tuple[Any, ...] = ()) -> list[Conversation]:
        if not self.path.exists():
            return []
        with self._open() as db:
            rows = db.execute(
                "SELECT c.id, c.title, c.created, c.changed, count(t.id) AS turns FROM conversations c"
                f" LEFT JOIN turns t ON t.conversation = c.id {where} GROUP BY c.id ORDER BY c.changed DESC, c.id DESC",
                values,
            )
            return [Conversation(**dict(row)) for row in rows]

    def _text(self, one: Conversation) -> str:
        parts = [one.title]
        for turn in self.turns(one.id):
            parts += [turn.question, (turn.result or {}).get("answer", "")]
        return "\n".join(parts).casefold()

    def turns(self, number: int) -> list[Exchange]:
        with self._open() as db:
            rows = db.execute(
                "SELECT id, at, question, result FROM turns WHERE conversation = ? ORDER BY id", (number,)
            ).fetchall()
        return [
            Exchange(r["id"], r["at"], r["question"], json.loads(r["result"]) if r["result"] else None) for r in rows
        ]

    def rename(self, number: int, title: str) -> Conversation:
        if not title.strip():
            raise BadArgument("the title is empty", "Give the title in quotes.")
        self.get(number)
        with self._open() as db:
            db.execute("UPDATE conversations SET title = ? WHERE id = ?", (_short(title), number))
        return self.get(number)

    def delete(self, number: int) -> Conversation:
        gone = self.get(number)
        with self._open() as db:
            db.execute("DELETE FROM conversations WHERE id = ?", (number,))
        return gone

    # What the notes lack

    def not_answered(self, question: str, score: float, nearest: list[str]) -> None:
        """Remember a question that was refused; asked again it counts once more."""
        with self._open() as db:
            db.execute(
                "INSERT INTO unanswered VALUES (?, ?, ?, 1, ?, ?) ON CONFLICT (question) DO UPDATE SET"
                " latest = excluded.latest, times = times + 1, score = excluded.score, nearest = excluded.nearest",
                (" ".join(question.split()), _now(), _now(), score, json.dumps(nearest, ensure_ascii=False)),
            )

    def now_answered(self, question: str) -> None:
        """The notes have grown: the question leaves the list."""
        if self.path.exists():
            with self._open() as db:
                db.execute("DELETE FROM unanswered WHERE question = ?", (" ".join(question.split()),))

    def unanswered(self) -> list[dict[str, Any]]:
        """{"question", "first", "latest", "times", "score", "nearest"}, the latest first."""
        if not self.path.exists():
            return []
        with self._open() as db:
            rows = db.execute("SELECT * FROM unanswered ORDER BY latest DESC, question").fetchall()
        return [{**dict(row), "nearest": json.loads(row["nearest"])} for row in rows]


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def _short(title: str) -> str:
    title = " ".join("".join(c for c in title if c.isprintable() or c.isspace()).split())
    return title if len(title) <= TITLE else title[: TITLE - 1].rstrip() + "…"

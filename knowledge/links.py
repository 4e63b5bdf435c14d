"""Who refers to whom: block references and links between pages, as SQL over ``links``, ``blocks`` and
``names``.

What they are worth to a search is decided in knowledge.search.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from knowledge.language import fold
from knowledge.records import Document

_MANY = 500  # values in one statement; SQLite's own limit is 32,766


class Links:
    """The references of one store."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def exist(self) -> bool:
        return self._db.execute("SELECT EXISTS (SELECT 1 FROM links)").fetchone()[0] == 1

    def referenced(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """(chunk, chunk that holds a block it refers to)."""
        return [
            (int(source), int(target))
            for some in batches(ids)
            for source, target in self._db.execute(
                "SELECT DISTINCT l.chunk, b.chunk FROM links l JOIN blocks b ON l.target = '((' || b.id || '))'"
                f" WHERE l.chunk IN ({marks(some)}) AND b.chunk <> l.chunk",
                some,
            )
        ]

    def linked_pages(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """(chunk, id of the document it links to), each pair once."""
        return [
            (int(chunk), int(document))
            for some in batches(ids)
            for chunk, document in self._db.execute(
                "SELECT DISTINCT l.chunk, n.document FROM links l JOIN names n ON n.name = l.target"
                f" JOIN chunks c ON c.id = l.chunk WHERE l.chunk IN ({marks(some)}) AND c.document <> n.document",
                some,
            )
        ]

    def documents_of(self, ids: Sequence[int]) -> dict[int, int]:
        """chunk id -> id of its document."""
        found: dict[int, int] = {}
        for some in batches(ids):
            found.update(self._db.execute(f"SELECT id, document FROM chunks WHERE id IN ({marks(some)})", some))
        return found

    def backlinks(self, path: str) -> list[tuple[str, int, str]]:
        """(path, line, heading) of chunks in other documents that link to this one or to a block of it."""
        rows = self._db.execute(
            "SELECT DISTINCT d.path, c.line_start, c.heading FROM links l JOIN chunks c ON c.id = l.chunk"
            " JOIN documents d ON d.id = c.document WHERE d.path <> ?1 AND (l.target IN (SELECT n.name FROM names n"
            " JOIN documents o ON o.id = n.document WHERE o.path = ?1) OR l.target IN (SELECT '((' || b.id || '))'"
            " FROM blocks b JOIN chunks k ON k.id = b.chunk JOIN documents o ON o.id = k.document WHERE o.path = ?1))"
            " ORDER BY d.path, c.line_start",
            (path,),
        )
        return [(row[0], int(row[1]), row[2]) for row in rows]


def page_names(document: Document) -> list[str]:
    """What links may call a document: its title, file name and aliases, folded."""
    aliases = document.properties.get("alias") or document.properties.get("aliases") or []
    names = [document.title, Path(document.path).stem, *(aliases if isinstance(aliases, list) else [aliases])]
    return list(dict.fromkeys(fold(str(name)).strip() for name in names if str(name).strip()))


def link_targets(link: str) -> list[str]:
    """A link as ``links`` holds it: ``((id))`` for blocks, else the page's folded name; none for addresses.

    Of ``folder/note`` both the whole (a Logseq namespace) and the end (an Obsidian path) are held.
    """
    if link.startswith("((") or "#^" in link:
        return [f"(({link.strip('()').rsplit('#^', 1)[-1]}))"]
    if "://" in link or link.startswith("mailto:"):
        return []
    name = unquote(link.partition("#")[0]).strip()
    name = re.sub(r"\.(md|markdown)$", "", name, flags=re.IGNORECASE)
    return [fold(one) for one in dict.fromkeys((name, name.rsplit("/", 1)[-1])) if one]


def marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def batches(ids: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), _MANY):
        yield list(ids[start : start + _MANY])

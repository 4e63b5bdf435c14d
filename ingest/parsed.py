"""What a reader hands on: the lines of a file and a tree of nodes over them. Knows no format.

Lines are counted from 1. A node covers ``line_start..line_end`` by itself and its children after
that, so a section's own lines are its heading and a Logseq block's own lines are the bullet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from knowledge.errors import KnowledgeError

Check = Callable[[], None]

_LINE_END = re.compile(r"\r\n|\r|\n")


class IngestError(KnowledgeError):
    """What a person named cannot be ingested at all (a path that is not there)."""


class UnreadableError(IngestError):
    """One file cannot be read; ``status`` is ``failed`` or ``skipped`` (nothing to read in it)."""

    def __init__(self, message: str, *, status: str = "failed") -> None:
        super().__init__(message, "The other files are not touched by this.")
        self.status = status


@dataclass(frozen=True)
class Node:
    """A piece of a document.

    ``label`` is what its children stand under (a heading, a parent block); empty for plain text.
    ``search`` is what is indexed of its own lines where that is not the lines themselves; None is
    the lines. ``whole`` pieces (code, tables) are kept in one chunk where it can hold them.
    """

    line_start: int
    line_end: int
    label: str = ""
    children: tuple[Node, ...] = ()
    search: str | None = None
    block_id: str | None = None
    links: tuple[str, ...] = ()
    whole: bool = False

    @property
    def last_line(self) -> int:
        """The last line of the node and everything under it."""
        return self.children[-1].last_line if self.children else self.line_end

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True)
class Page:
    """Lines counted from 1; ``number`` is None for files that have no pages."""

    number: int | None
    lines: tuple[str, ...]
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Parsed:
    """A file as its reader understood it. ``note`` is a remark for the person (pages left out)."""

    kind: str
    title: str
    pages: tuple[Page, ...]
    properties: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    note: str = ""


def split_lines(text: str) -> tuple[str, ...]:
    """The lines of ``text`` as editors count them: ended by LF, CRLF or CR and by nothing else."""
    lines = _LINE_END.split(text)
    if lines and not lines[-1]:
        lines.pop()
    return tuple(lines)

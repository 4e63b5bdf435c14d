"""The records that pass between the readers, the store and the screens. Frozen; no behaviour
beyond text.

Lines are counted from 1 and both ends are included. A line ends at ``\\n``, ``\\r\\n`` or ``\\r``;
the lines of a PDF are those of its extracted text, counted within the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from knowledge.screen import shown


@dataclass(frozen=True)
class Document:
    """One file as it was read. ``path`` is absolute; ``sha256`` is of the bytes; ``kind`` names
    its reader. ``collection`` is the name under which the person keeps its folder; ``date`` is its
    own (``2026-01-31``: of the journal, the front matter, else of the last change).
    """

    path: str
    sha256: str
    size: int
    mtime_ns: int
    kind: str
    title: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    collection: str = ""
    date: str = ""


@dataclass(frozen=True)
class DocumentRow:
    """A document as the library lists it: its status in one word, the reason for it, its chunks."""

    path: str
    sha256: str
    size: int
    mtime_ns: int
    kind: str
    title: str
    properties: Mapping[str, Any]
    tags: tuple[str, ...]
    status: str
    reason: str
    chunks: int
    collection: str = ""
    date: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "tags": list(self.tags), "properties": dict(self.properties)}


@dataclass(frozen=True)
class Chunk:
    """A piece of a document that is found and cited as one.

    ``text`` is verbatim: the lines ``line_start..line_end`` joined by newlines contain it.
    ``heading`` is "page title > heading > parent blocks". ``search_text`` is what is indexed and
    embedded where that is not ``text`` itself (markup and hidden properties left out); empty means
    ``text``. ``blocks`` are the ids of all blocks in it, ``block_id`` the first of them.
    """

    ordinal: int
    text: str
    heading: str
    line_start: int
    line_end: int
    page: int | None = None
    block_id: str | None = None
    links: tuple[str, ...] = ()
    search_text: str = ""
    blocks: tuple[str, ...] = field(default=(), compare=False)

    @property
    def embedded(self) -> str:
        """What the embedder reads: the heading, then the text."""
        body = self.search_text or self.text
        return f"{self.heading}\n{body}" if self.heading else body


@dataclass(frozen=True)
class Passage:
    """A chunk found for a query. ``score`` is in 0..1; ``signals`` holds what made it (see
    knowledge.search).
    """

    chunk_id: int
    path: str
    title: str
    heading: str
    line_start: int
    line_end: int
    page: int | None
    score: float
    text: str
    signals: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        return shown(self.text)


@dataclass(frozen=True)
class Quote:
    """The ``n``-th quote of an answer: verbatim text of its passage, on the lines it names."""

    n: int
    passage: Passage
    text: str
    line_start: int
    line_end: int
    score: float

    @property
    def shown(self) -> str:
        return shown(self.text)


@dataclass(frozen=True)
class Evidence:
    """What the library has for a question.

    ``score`` is the calibrated probability that the passages answer it. Where it is below the
    threshold, ``refused`` is true and ``quotes`` is empty; ``passages`` always holds the nearest
    ones.
    """

    question: str
    quotes: tuple[Quote, ...]
    passages: tuple[Passage, ...]
    score: float
    refused: bool
    signals: Mapping[str, Any] = field(default_factory=dict)

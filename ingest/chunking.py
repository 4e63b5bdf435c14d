"""Parsed documents -> chunks: pieces of about TARGET wordpieces that follow the document's tree.

A section or a block with everything under it is one chunk where it fits; else its own lines come
first and its children are packed together, each under the path of headings above it. A piece that
is too long by itself is cut between lines, then between sentences, then between words; text is
never rewritten, so every chunk is verbatim. Code and tables stay whole while MAXIMUM allows it.

The embedder reads 256 wordpieces (heading and special tokens included) and would silently drop
what comes after; nothing here is longer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from tokenizers import Tokenizer

from ingest.parsed import Node, Page, Parsed
from ingest.readers.markdown import label_of, searchable
from knowledge import sentences
from knowledge.embedders import bundled_folder
from knowledge.errors import EmbedderError
from knowledge.records import Chunk

Count = Callable[[str], int]

TARGET = 200
MAXIMUM = 210
_HEADING_LIMIT = 40  # wordpieces of the heading that the embedder gets to read
_MERGE_SECTIONS = 120  # sections of different headings share a chunk up to here

_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u00ad]\n(?=[^\W\d_])")
_STOP = re.compile(r"[.!?…:。][\"'»”’)\]*_]*\s*$")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]+")
_PIECE = re.compile(r"[^\W_]+|[^\w\s]|_")


def estimate(text: str) -> int:
    """Wordpieces of ``text`` without a tokenizer, on the high side: long and non-Latin words
    split.
    """
    return sum(1 + (len(piece) - 1) // (5 if piece.isascii() else 1) for piece in _PIECE.findall(text))


@lru_cache(maxsize=1)
def counter() -> Count:
    """Counts wordpieces as the bundled embedder does; ``estimate`` where it is not installed."""
    try:
        tokenizer = Tokenizer.from_file(str(bundled_folder() / "tokenizer.json"))
    except (EmbedderError, OSError, ValueError):
        return estimate
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def count(text: str) -> int:
        # The bundled model cuts a Russian word into five and reads none of it: such text is measured in
        # the pieces of a model that does, or its chunks would be single sentences.
        foreign = _CYRILLIC.findall(text)
        rest = _CYRILLIC.sub(" ", text) if foreign else text
        pieces = len(tokenizer.encode(rest, add_special_tokens=False).ids)
        return pieces + sum(1 + len(word) // 6 for word in foreign)

    return count


@dataclass(frozen=True)
class _Piece:
    """A run of lines (or a part of one line) that will be a chunk or a part of one."""

    line_start: int
    line_end: int
    text: str
    search: str
    tokens: int
    heading: tuple[str, ...]
    blocks: tuple[str, ...]
    links: tuple[str, ...]


class _Packer:
    def __init__(self, page: Page, count: Count, check: Callable[[], None]) -> None:
        self.page = page
        self.count = count
        self.check = check

    def pack(self, nodes: Sequence[Node], path: tuple[str, ...]) -> Iterator[_Piece]:
        """Chunks of sibling nodes that stand under ``path``."""
        waiting: list[_Piece] = []
        for node in nodes:
            self.check()
            whole = self.whole(node, path)
            if whole is None:
                yield from _merged(waiting)
                waiting = []
                yield from self.divide(node, path)
                continue
            if not whole.search.strip():
                continue  # an empty bullet; inside a chunk its line comes along by itself
            limit = TARGET
            if waiting and (node.label and node.children):
                limit = _MERGE_SECTIONS
            if waiting and sum(piece.tokens for piece in waiting) + whole.tokens > limit:
                yield from _merged(waiting)
                waiting = []
            waiting.append(whole)
        yield from _merged(waiting)

    def whole(self, node: Node, path: tuple[str, ...]) -> _Piece | None:
        """The node and all under it as one piece; None where that is too long."""
        # A cheap bound first: no wordpiece is shorter than a character.
        lines = self.page.lines[node.line_start - 1 : node.last_line]
        texts = [self.search(one) for one in node.walk()]
        search = "\n".join(text for text in texts if text)
        if len(search) > 12 * MAXIMUM and len(search.split()) > MAXIMUM:
            return None
        tokens = self.count(search)
        if tokens > (MAXIMUM if node.whole else TARGET):
            return None
        found = list(node.walk())
        return _Piece(
            node.line_start,
            node.last_line,
            "\n".join(lines),
            search,
            tokens,
            (*path, node.label) if node.label and node.children else path,
            tuple(one.block_id for one in found if one.block_id),
            tuple(dict.fromkeys(link for one in found for link in one.links)),
        )

    def search(self, node: Node) -> str:
        """What is indexed of the node's own lines."""
        if node.search is not None:
            return node.search
        return "\n".join(self.page.lines[node.line_start - 1 : node.line_end])

    def divide(self, node: Node, path: tuple[str, ...]) -> Iterator[_Piece]:
        """A node that is too long: its own lines, then its children under its label."""
        if not node.children:
            yield from self.cut(node, path)
            return
        below = (*path, node.label) if node.label else path
        own = replace(node, children=())
        text = self.search(own)
        # A label that was shortened does not stand for the text.
        if text.strip() and (label_of(text.lstrip("# ")) != node.label or node.label.endswith("…")):
            # More than a heading: the label is in every chunk below, the rest would be in none.
            first = self.whole(own, path)
            if first is None:
                yield from self.cut(own, path)
            else:
                yield first
            yield from self.pack(node.children, below)
            return
        for number, piece in enumerate(self.pack(node.children, below)):
            yield self.with_heading_line(node, piece) if number == 0 else piece

    def with_heading_line(self, node: Node, piece: _Piece) -> _Piece:
        """The first chunk of a section begins with the section's own heading line."""
        text = "\n".join(self.page.lines[node.line_start - 1 : piece.line_end])
        if piece.tokens + self.count(self.search(replace(node, children=()))) > TARGET or not text.endswith(piece.text):
            return piece
        return replace(
            piece,
            line_start=node.line_start,
            text=text,
            search=f"{self.search(replace(node, children=()))}\n{piece.search}".strip(),
            blocks=(*((node.block_id,) if node.block_id else ()), *piece.blocks),
            links=tuple(dict.fromkeys((*node.links, *piece.links))),
        )

    def cut(self, node: Node, path: tuple[str, ...]) -> Iterator[_Piece]:
        """One long run of lines: packed line by line; a long line sentence by sentence."""
        lines = self.page.lines
        clean = node.search is not None
        group: list[_Piece] = []
        for number in range(node.line_start, node.line_end + 1):
            self.check()
            for text in self.parts(lines[number - 1]):
                search = searchable(text) if clean else text
                piece = _Piece(
                    number,
                    number,
                    text,
                    search,
                    self.count(search),
                    path,
                    (node.block_id,) if node.block_id else (),
                    tuple(link for link in node.links if link in text),
                )
                if group and sum(one.tokens for one in group) + piece.tokens > TARGET:
                    stop = _last_stop(group)
                    yield from _joined(group[:stop])
                    group = group[stop:]
                group.append(piece)
        yield from _joined(group)

    def parts(self, line: str) -> list[str]:
        """A line, or the parts of one that is too long for a chunk by itself."""
        if len(line) <= MAXIMUM or self.count(line) <= TARGET:
            return [line]
        spans = [(one.start, one.end) for one in sentences.split(line)] or [(0, len(line))]
        parts: list[str] = []
        start = 0
        for left, right in spans:
            if left > start and self.count(line[start:right]) > TARGET:
                parts.append(line[start:left])
                start = left
        parts.append(line[start:])
        return [part for whole in parts for part in self.halves(whole)]

    def halves(self, text: str) -> list[str]:
        """Text without sentences, cut near its middle at a space until each part fits."""
        if self.count(text) <= MAXIMUM or len(text) < 2:
            return [text]
        middle = len(text) // 2
        space = text.rfind(" ", middle // 2, middle + middle // 2)
        cut = space + 1 if space > 0 else middle
        return [*self.halves(text[:cut]), *self.halves(text[cut:])]


def _merged(pieces: list[_Piece]) -> Iterator[_Piece]:
    """Sibling pieces as one chunk; the lines between them (blank ones) belong to it."""
    if not pieces:
        return
    if len(pieces) == 1:
        yield pieces[0]
        return
    first, last = pieces[0], pieces[-1]
    heading = first.heading
    for piece in pieces[1:]:
        same = 0
        while same < min(len(heading), len(piece.heading)) and heading[same] == piece.heading[same]:
            same += 1
        heading = heading[:same]
    yield replace(
        first,
        line_end=last.line_end,
        text="",  # taken from the lines when the chunk is made
        search="\n".join(piece.search for piece in pieces if piece.search),
        tokens=sum(piece.tokens for piece in pieces),
        heading=heading,
        blocks=tuple(dict.fromkeys(block for piece in pieces for block in piece.blocks)),
        links=tuple(dict.fromkeys(link for piece in pieces for link in piece.links)),
    )


def _last_stop(group: Sequence[_Piece]) -> int:
    """How many pieces to close a chunk with: up to the last end of a sentence, if late enough."""
    total = sum(piece.tokens for piece in group)
    left = total
    for stop in range(len(group), 0, -1):
        if left < 0.6 * total:
            break
        if _STOP.search(group[stop - 1].text):
            return stop
        left -= group[stop - 1].tokens
    return len(group)


def _joined(pieces: list[_Piece]) -> Iterator[_Piece]:
    """Pieces of one cut run. Parts of one line join by what stands between them in the line."""
    if pieces:
        first, last = pieces[0], pieces[-1]
        if len(pieces) == 1:
            yield first
            return
        yield replace(
            first,
            line_end=last.line_end,
            text=_glued([(piece.line_start, piece.text) for piece in pieces]),
            search=_glued([(piece.line_start, piece.search) for piece in pieces]),
            tokens=sum(piece.tokens for piece in pieces),
            links=tuple(dict.fromkeys(link for piece in pieces for link in piece.links)),
        )


def _glued(parts: Sequence[tuple[int, str]]) -> str:
    """Lines joined by newlines; parts of one line put together as they were."""
    text = parts[0][1]
    for (before, _), (number, part) in pairwise(parts):
        text += part if number == before else f"\n{part}"
    return text


def chunk(parsed: Parsed, *, count: Count | None = None, check: Callable[[], None] = lambda: None) -> list[Chunk]:
    """The chunks of a document in order. ``count`` counts wordpieces (default: the bundled
    model's).
    """
    count = count or counter()
    chunks: list[Chunk] = []
    for page in parsed.pages:
        for piece in _Packer(page, count, check).pack(page.nodes, ()):
            text = piece.text or "\n".join(page.lines[piece.line_start - 1 : piece.line_end])
            if page.number is not None:  # extracted text breaks words at the ends of lines
                piece = replace(piece, search=_HYPHEN.sub("", piece.search))
            if not any(character.isalnum() for character in piece.search or ""):
                continue
            heading = _without_repeats([label_of(parsed.title), *filter(None, piece.heading)])
            chunks.append(
                Chunk(
                    ordinal=len(chunks),
                    text=text,
                    heading=_shortened(heading, count),
                    line_start=piece.line_start,
                    line_end=piece.line_end,
                    page=page.number,
                    block_id=piece.blocks[0] if piece.blocks else None,
                    blocks=piece.blocks,
                    links=piece.links,
                    search_text="" if piece.search == text else piece.search,
                )
            )
    return chunks


def _without_repeats(parts: Sequence[str]) -> list[str]:
    """A page whose title is its top heading names it once."""
    return [part for number, part in enumerate(parts) if number == 0 or part != parts[number - 1]]


def _shortened(parts: Sequence[str], count: Count) -> str:
    """The path of headings, its middle left out where it would crowd out the text."""
    short = " > ".join(parts)
    for dropped in range(1, len(parts) - 1):
        if count(short) <= _HEADING_LIMIT:
            break
        short = " > ".join((parts[0], "…", *parts[1 + dropped :]))
    for length in (60, 45, 30, 20):
        if count(short) <= _HEADING_LIMIT:
            break
        short = " > ".join(
            part if len(part) <= length else f"{part[: length - 1].rstrip()}…" for part in short.split(" > ")
        )
    return short

"""What the readers' tests share: an embedder that counts, the promise of every citation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.parsed import Parsed
from knowledge.hashed import HashedWords
from knowledge.records import Chunk


class Counting(HashedWords):
    """The model-free embedder, keeping the texts it was asked to embed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def encode(
        self, texts: Sequence[str], *, query: bool = False, check: Callable[[], None] | None = None
    ) -> NDArray[np.float32]:
        self.seen.extend(texts)
        return super().encode(texts, query=query, check=check)


def nothing() -> None:
    """A check that never stops."""


def assert_verbatim(parsed: Parsed, chunks: Sequence[Chunk]) -> None:
    """The promise of every citation: the named lines contain the text."""
    pages = {page.number: page.lines for page in parsed.pages}
    for chunk in chunks:
        lines = pages[chunk.page]
        assert 1 <= chunk.line_start <= chunk.line_end <= len(lines)
        assert chunk.text in "\n".join(lines[chunk.line_start - 1 : chunk.line_end])
        assert chunk.text.strip()

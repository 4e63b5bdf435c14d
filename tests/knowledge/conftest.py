"""Fixtures of the library's tests: a fast embedder, the real one (loaded once), small documents."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from knowledge_samples import Put, chunks, document

from knowledge import embedders
from knowledge.embedders import Embedder
from knowledge.errors import EmbedderMissingError
from knowledge.hashed import HashedWords
from knowledge.library import Library


@pytest.fixture
def hashed() -> Embedder:
    return HashedWords()


@pytest.fixture(scope="session")
def minilm() -> Embedder:
    try:
        return embedders.load_embedder("all-MiniLM-L6-v2")
    except EmbedderMissingError as error:
        pytest.skip(f"{error.message}: {error.hint}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real inputs, which is no part of the project."""
    place = os.environ.get("ATELIER_SHARED") or Path(__file__).parents[2].parent / "shared"
    if not (Path(place) / "data").is_dir():
        pytest.skip("the shared data is not here (set ATELIER_SHARED)")
    return Path(place)


@pytest.fixture
def library(tmp_path: Path, hashed: Embedder) -> Iterator[Library]:
    with Library(tmp_path / "library", embedder=hashed, writable=True) as opened:
        yield opened


@pytest.fixture
def put() -> Put:
    """``put(library, path, *texts)``: a document whose chunks are the texts."""

    def make(library: Library, path: str, *texts: str, title: str = "", embed: bool = True) -> None:
        library.put(document(path, title), chunks(*texts, heading=title), embed=embed)

    return make

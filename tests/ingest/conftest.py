"""Fixtures of the readers' tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ingest_checks import Counting

from knowledge.library import Library


@pytest.fixture
def embedder() -> Counting:
    return Counting()


@pytest.fixture
def library(tmp_path: Path, embedder: Counting) -> Iterator[Library]:
    with Library(tmp_path / "library", embedder=embedder, writable=True) as opened:
        yield opened


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real inputs, which is no part of the project."""
    place = os.environ.get("ATELIER_SHARED") or Path(__file__).parents[2].parent / "shared"
    if not (Path(place) / "data").is_dir():
        pytest.skip("the shared data is not here (set ATELIER_SHARED)")
    return Path(place)

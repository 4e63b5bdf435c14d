"""The readers, one leaf a format. Listing them loads none.

``READERS``: kind -> "module:attribute", a callable ``reader(path, *, check) -> Parsed`` that raises
UnreadableError with a one-line reason. ``EXTENSIONS``: file ending -> kind.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ingest.parsed import Parsed


class Reader(Protocol):
    def __call__(self, path: Path, *, check: Callable[[], None]) -> Parsed: ...


READERS: dict[str, str] = {
    "markdown": "ingest.readers.markdown:read",
    "logseq": "ingest.readers.logseq:read",
    "text": "ingest.readers.text:read",
    "pdf": "ingest.readers.pdf:read",
}

EXTENSIONS: dict[str, str] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdown": "markdown",
    ".mkd": "markdown",
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".rst": "text",
    ".org": "text",
    ".tex": "text",
    ".pdf": "pdf",
}


def kind_of(path: Path) -> str | None:
    """The kind of a file by its name and place; None where no reader knows it.

    A Markdown file is ``logseq`` inside a Logseq graph, or where its text is a block outline.
    """
    kind = EXTENSIONS.get(path.suffix.lower())
    if kind != "markdown":
        return kind
    detect = importlib.import_module("ingest.readers.logseq").belongs
    return "logseq" if detect(path) else "markdown"


def reader(kind: str) -> Reader:
    """The reader of a kind in ``READERS``."""
    module, attribute = READERS[kind].split(":")
    found: Reader = getattr(importlib.import_module(module), attribute)
    return found

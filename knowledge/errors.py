"""Everything a person can cause in the library, each with what happened and what to do.

KnowledgeError
├── StoreError               the SQLite file is damaged, newer than this program or not writable
│   └── LibraryBusyError     another process holds the right to write
├── EmbedderError            the embedding model cannot be used
│   ├── EmbedderMissingError its package or folder is not there
│   └── EmbedderChangedError the library's vectors were made by another model
├── QueryError               nothing to search for
├── DocumentNotFoundError    a path the library does not hold
└── EvaluationError          a benchmark folder that is not laid out as BEIR
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KnowledgeError(Exception):
    """``message`` says what happened and names the file or value, ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class StoreError(KnowledgeError):
    """The store cannot be opened, read or written."""


class LibraryBusyError(StoreError):
    """Another process is writing to the library."""


class EmbedderError(KnowledgeError):
    """The embedding model cannot be used."""


class EmbedderMissingError(EmbedderError):
    """The package or the folder of the embedding model is not there."""


class EmbedderChangedError(EmbedderError):
    """The vectors in the library were made by another embedding model."""


class QueryError(KnowledgeError):
    """There is nothing to search for in the query."""


class DocumentNotFoundError(KnowledgeError):
    """The library holds no document of that path."""


class EvaluationError(KnowledgeError):
    """A benchmark folder is not laid out as BEIR lays it out."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """``Did you mean 'x'?`` for the valid name closest to ``name``, or an empty string."""
    close = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.6)
    return f"Did you mean '{close[0]}'?" if close else ""

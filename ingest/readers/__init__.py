"""The readers, one leaf a format. Listing them loads none.

``READERS``: kind -> "module:attribute", a callable ``reader(path, *, check) -> Parsed`` that raises
UnreadableError with a one-line reason. ``EXTENSIONS``: file ending -> kind. ``Formats`` joins both
with those a caller brings (pictures and weights are read by what knows them, not here).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ingest.parsed import Parsed


class Reader(Protocol):
    def __call__(self, path: Path, *, check: Callable[[], None]) -> Parsed: ...


READERS: dict[str, str] = {
    "markdown": "ingest.readers.markdown:read",
    "obsidian": "ingest.readers.obsidian:read",
    "logseq": "ingest.readers.logseq:read",
    "text": "ingest.readers.text:read",
    "code": "ingest.readers.code:read",
    "csv": "ingest.readers.csv_table:read",
    "transcript": "ingest.readers.transcript:read",
    "pdf": "ingest.readers.pdf:read",
    "html": "ingest.readers.html:read",
    "docx": "ingest.readers.docx:read",
    "epub": "ingest.readers.epub:read",
}

EXTENSIONS: dict[str, str] = {
    **dict.fromkeys((".md", ".markdown", ".mdown", ".mkd"), "markdown"),
    **dict.fromkeys((".txt", ".text", ".log", ".rst", ".org", ".tex"), "text"),
    **dict.fromkeys((".py", ".js", ".ts", ".sh", ".lua", ".toml", ".yaml", ".yml", ".ini", ".glsl"), "code"),
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    **dict.fromkeys((".srt", ".vtt"), "transcript"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    ".pdf": "pdf",
    ".docx": "docx",
    ".epub": "epub",
}

# Kinds whose lines are those of the text taken out of the file, not lines an editor would show.
EXTRACTED = frozenset({"pdf", "html", "docx", "epub", "picture", "weights"})


@dataclass(frozen=True)
class Formats:
    """What can be read: file ending -> kind, kind -> "module:attribute"."""

    extensions: Mapping[str, str]
    readers: Mapping[str, str]

    def and_also(self, extensions: Mapping[str, str], readers: Mapping[str, str]) -> Formats:
        """These formats and more; on the same ending the new ones hold."""
        return Formats({**self.extensions, **extensions}, {**self.readers, **readers})

    def reads(self, path: Path) -> bool:
        return path.suffix.lower() in self.extensions

    def kind_of(self, path: Path) -> str | None:
        """The kind of a file by its name and place; None where no reader knows it.

        A Markdown file is ``logseq`` inside a Logseq graph, or where its text is a block outline, and
        ``obsidian`` inside an Obsidian vault.
        """
        kind = self.extensions.get(path.suffix.lower())
        if kind != "markdown":
            return kind
        for special in ("logseq", "obsidian"):
            if importlib.import_module(f"ingest.readers.{special}").belongs(path):
                return special
        return "markdown"

    def reader(self, kind: str) -> Reader:
        """The reader of a kind in ``readers``."""
        module, attribute = self.readers[kind].split(":")
        found: Reader = getattr(importlib.import_module(module), attribute)
        return found


BUILT_IN = Formats(EXTENSIONS, READERS)


def kind_of(path: Path) -> str | None:
    """``BUILT_IN.kind_of``."""
    return BUILT_IN.kind_of(path)


def reader(kind: str) -> Reader:
    """``BUILT_IN.reader``."""
    return BUILT_IN.reader(kind)

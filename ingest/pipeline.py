"""Paths -> library: what is new is read, what is known is left alone, what is gone is dropped.

A file is unchanged when its size and time are, or else its hash; a file that turns up under a new
path with the hash of one that is gone was moved and keeps its chunks and vectors. Every file is
stored by itself, so a kill at any moment costs the file in hand; embedding runs over files in
batches and goes on where it stopped (Library.embed_pending). One bad file is one status.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ingest.chunking import chunk
from ingest.parsed import UnreadableError
from ingest.readers import BUILT_IN, Formats
from ingest.walk import Walk, walk
from knowledge.library import EMBED_BATCH, Library
from knowledge.records import Chunk, Document

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]

# Larger files are data, not notes; they would fill the library with noise and take minutes. Of
# weights only the header is read.
MAX_BYTES = {"pdf": 256 << 20, "epub": 256 << 20, "docx": 256 << 20, "picture": 256 << 20, "weights": 1 << 40}
MAX_TEXT_BYTES = 32 << 20
_HASH_HEAD = 16 << 20  # of larger weights only this much is hashed, with their size
_DATES = ("date", "created", "created-at", "datum", "дата", "published", "updated")
_DATE = re.compile(r"(?<!\d)(\d{4})[-_/.](\d{2})[-_/.](\d{2})(?!\d)")


@dataclass(frozen=True)
class Source:
    """A folder or file to keep in step: ``collection`` is the person's name for it, ``exclude`` the
    patterns that hold for it alone.
    """

    path: Path
    collection: str = ""
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    ``status``: indexed, unchanged, removed, skipped (nothing to read in it) or failed; ``reason``
    is one line, empty where there is nothing to say. ``chunks``: how many the library now holds.
    """

    path: str
    status: str
    reason: str
    chunks: int


class _Guard:
    """The caller's ``check``, remembering what it raised: a cancellation is no fault of a file."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self.stopped = False

    def __call__(self) -> None:
        try:
            self._check()
        except BaseException:
            self.stopped = True
            raise


def ingest(
    paths: Sequence[str | Path | Source],
    library: Library,
    *,
    report: Report = lambda event: None,
    check: Check = lambda: None,
    exclude: Sequence[str] = (),
    formats: Formats = BUILT_IN,
) -> list[Outcome]:
    """Bring the library into step with ``paths``; returns one outcome a file.

    Folders are remembered (Library.roots) and files gone from them are dropped. A file that two
    sources hold belongs to the nearer one. Raises IngestError for a path that is not there (before
    anything is changed), KnowledgeError where the library or the embedder cannot be used, and
    whatever ``check`` raises; all that was stored until then stays.
    """
    guard = _Guard(check)
    sources = [path if isinstance(path, Source) else Source(Path(path)) for path in paths]
    found = Walk()
    homes: dict[Path, Source] = {}
    for source in sources:
        one = walk([source.path], exclude=(*exclude, *source.exclude), formats=formats, check=guard)
        found.roots += [root for root in one.roots if root not in found.roots]
        found.unreadable |= one.unreadable
        found.passed |= one.passed
        for path in one.files:
            if path not in homes or len(str(source.path)) > len(str(homes[path].path)):
                homes[path] = source
    found.files = sorted(homes)
    named = {str(path): source.collection for path, source in homes.items()}
    with library.writing():
        return _Run(library, found, named, formats, report, guard).all()


class _Run:
    def __init__(
        self,
        library: Library,
        found: Walk,
        collections: dict[str, str],
        formats: Formats,
        report: Report,
        check: _Guard,
    ) -> None:
        self.library = library
        self.found = found
        self.collections = collections
        self.formats = formats
        self.report = report
        self.check = check
        self.manifest = library.manifest()
        self.rows = {row.path: row for row in library.documents()}
        self.here = {str(path) for path in found.files}
        self.gone: dict[str, str] | None = None
        self.done = 0
        self.pending = 0

    def all(self) -> list[Outcome]:
        outcomes = [Outcome(_text(path), "skipped", reason, 0) for path, reason in self.found.passed.items()]
        outcomes += [Outcome(_text(path), "failed", reason, 0) for path, reason in self.found.unreadable.items()]
        for path in self.found.files:
            self.check()
            outcomes.append(self.one(path))
            self.done += 1
            self.progress(path.name)
            if self.pending >= EMBED_BATCH:
                self.embed()
        outcomes += self.drop()
        self.embed(whole=True)
        for root in self.found.roots:
            self.library.add_root(str(root))
        return outcomes

    def progress(self, message: str) -> None:
        self.report(
            {
                "kind": "progress",
                "stage": "ingest",
                "done": self.done,
                "total": len(self.found.files),
                "message": message,
            }
        )

    def embed(self, *, whole: bool = False) -> None:
        """Vectors for what waits; ``whole``: the index is brought into step too, which is cheaper at once."""

        def pass_on(event: dict[str, Any]) -> None:
            self.progress(f"{event['stage']} {event['done']} of {event['total']} chunks")

        self.library.embed_pending(report=pass_on, check=self.check, index=whole)
        self.pending = 0

    def one(self, path: Path) -> Outcome:
        """Bring one file into step; nothing but a cancellation or a broken library is raised."""
        text = str(path)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return Outcome(_text(path), "failed", "its name is not valid text", 0)
        try:
            state = path.stat()
        except OSError as error:
            return Outcome(text, "failed", (error.strerror or "cannot be read").lower(), 0)
        known = self.manifest.get(text)
        if known is not None and known[1:] == (state.st_mtime_ns, state.st_size):
            return self.unchanged(text)
        kind = ""
        digest = ""
        try:
            kind = self.formats.kind_of(path) or ""
            most = MAX_BYTES.get(kind, MAX_TEXT_BYTES)
            if state.st_size > most:
                raise UnreadableError(
                    f"too large: {state.st_size >> 20} MB, the limit is {most >> 20} MB",
                    status="skipped",
                )
            digest = self.hash(path, state.st_size if kind == "weights" else 0)
            document = Document(text, digest, state.st_size, state.st_mtime_ns, kind, path.stem)
            document = replace(document, collection=self.collections.get(text, ""))
            if known is not None and known[0] == digest:
                self.library.touch(document)
                return self.unchanged(text)
            parsed = self.formats.reader(kind)(path, check=self.check)
            document = replace(
                document,
                kind=parsed.kind,
                title=parsed.title,
                properties=parsed.properties,
                tags=parsed.tags,
                date=date_of(parsed.properties, state.st_mtime),
            )
            chunks = chunk(parsed, check=self.check)
            if not chunks:
                raise UnreadableError("no text in it", status="skipped")
        except Exception as error:
            if self.check.stopped:
                raise
            return self.refused(text, digest, state, kind, error)
        if known is None and (moved := self.moved(document, chunks)) is not None:
            return moved
        try:
            self.library.put(document, chunks, reason=parsed.note, embed=False)
        except (UnicodeEncodeError, OverflowError, sqlite3.InterfaceError) as error:  # text no database takes
            return self.refused(text, digest, state, kind, error)
        self.pending += len(chunks)
        return Outcome(text, "indexed", parsed.note, len(chunks))

    def hash(self, path: Path, size: int = 0) -> str:
        """SHA-256 of the bytes; of the first 16 MB and the size where ``size`` is larger than that."""
        digest = hashlib.sha256()
        left = _HASH_HEAD if size > _HASH_HEAD else sys.maxsize
        with path.open("rb") as stream:
            while left > 0 and (block := stream.read(min(left, 1 << 20))):
                self.check()
                digest.update(block)
                left -= len(block)
        if size > _HASH_HEAD:
            digest.update(str(size).encode())
        return digest.hexdigest()

    def unchanged(self, path: str) -> Outcome:
        row = self.rows.get(path)
        if row is None:
            return Outcome(path, "unchanged", "", 0)
        if row.collection != self.collections.get(path, ""):
            self.library.set_collection(path, self.collections.get(path, ""))
        status = "unchanged" if row.status == "indexed" else row.status
        return Outcome(path, status, row.reason, row.chunks)

    def refused(self, path: str, digest: str, state: os.stat_result, kind: str, error: Exception) -> Outcome:
        """The status of a file that could not be read, kept so as not to try again in vain."""
        status = "failed"
        if isinstance(error, UnreadableError):
            status, reason = error.status, error.message
        elif isinstance(error, PermissionError):
            reason = "permission denied"
        elif isinstance(error, OSError):
            reason = (error.strerror or "cannot be read").lower()
        else:
            first = (str(error).splitlines() or [""])[0][:120]
            reason = f"could not be understood: {type(error).__name__}: {first}"
        document = Document(path, digest, state.st_size, state.st_mtime_ns, kind, Path(path).stem)
        document = replace(document, collection=self.collections.get(path, ""))
        if digest or status == "skipped":
            self.library.put(document, [], status=status, reason=reason, embed=False)
        elif path in self.manifest:
            # It cannot be opened now, so it cannot be cited; permission may come back unseen.
            self.library.remove(path)
        return Outcome(path, status, reason, 0)

    def moved(self, document: Document, chunks: list[Chunk]) -> Outcome | None:
        """Re-link a document that is known under a path that is gone."""
        if self.gone is None:
            self.gone = {
                sha256: path
                for path, (sha256, _, _) in self.manifest.items()
                if sha256 and path not in self.here and not Path(path).exists()
            }
        old = self.gone.pop(document.sha256, None)
        if old is None:
            return None
        same = self.library.chunks(old) == chunks
        self.library.move(old, document.path, document.mtime_ns)
        if document.collection:
            self.library.set_collection(document.path, document.collection)
        self.manifest.pop(old, None)
        reason = f"moved from {old}"
        if same:
            return Outcome(document.path, "unchanged", reason, len(chunks))
        self.library.put(document, chunks, embed=False)
        self.pending += len(chunks)
        return Outcome(document.path, "indexed", reason, len(chunks))

    def drop(self) -> list[Outcome]:
        """Documents of the named folders whose files are gone (or now excluded)."""
        outcomes = []
        for path in self.manifest:
            if path in self.here:
                continue
            place = Path(path)
            if not any(place.is_relative_to(root) for root in self.found.roots):
                continue
            if any(place.is_relative_to(folder) for folder in self.found.unreadable):
                continue
            if self.library.remove(path):
                outcomes.append(Outcome(path, "removed", "", 0))
        return outcomes


def date_of(properties: Mapping[str, Any], changed: float) -> str:
    """``2026-01-31``: the document's own date, else the day it was last changed (seconds since 1970)."""
    for key in _DATES:
        if match := _DATE.search(str(properties.get(key, ""))):
            return "-".join(match.groups())
    return datetime.fromtimestamp(changed).astimezone().strftime("%Y-%m-%d")


def _text(path: Path) -> str:
    return str(path).encode("utf-8", "replace").decode("utf-8")

"""``Library``: the one object through which other packages use what is known.

It joins the store, the vector index, the embedder, search and evidence. Any number of processes may
have a library open; one at a time writes to it (``writing``) while the others read on. The
embedding model is loaded when it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from knowledge import DEFAULT_EMBEDDER, embedders, evidence, overview, search
from knowledge.conflicts import Conflict, conflicts
from knowledge.embedders import Embedder, level
from knowledge.errors import (
    DocumentNotFoundError,
    EmbedderChangedError,
    LibraryBusyError,
    StoreError,
    nearest,
)
from knowledge.evidence import MAX_QUOTES
from knowledge.filters import EVERYTHING, Filter
from knowledge.glossary import by_sound, in_english
from knowledge.overview import Line
from knowledge.records import Chunk, Document, DocumentRow, Evidence, Passage
from knowledge.rerankers import CrossEncoder, Reranker
from knowledge.search import Found
from knowledge.store import Store
from knowledge.vectors import VectorIndex

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]

PATIENCE = 5.0  # seconds to wait for another process's write
# Chunks embedded between two commits: some seconds of work, all that a kill can cost.
EMBED_BATCH = 256


class Library:
    """The library in ``folder`` (made where there is none).

    ``embedder``: a name of ``knowledge.EMBEDDERS``, a model folder's path, or an Embedder; None is
    the one whose vectors the library holds, else the bundled one. ``reranker``: a cross-encoder or
    its folder, loaded at the first question. ``server``: address of a Chroma server that holds the
    vectors in place of the folder (the store's name there is made from its own). Raises StoreError.
    """

    def __init__(
        self,
        folder: Path,
        *,
        embedder: Embedder | str | None = None,
        writable: bool = False,
        reranker: Reranker | str | None = None,
        server: str = "",
    ) -> None:
        self.folder = Path(folder)
        self.writable = writable
        self._store = Store(self.folder)
        self._index: VectorIndex | None = None
        self._embedder: Embedder | None = None
        self._named = embedder if isinstance(embedder, str) else None
        if embedder is not None and not isinstance(embedder, str):
            self._embedder = embedder
        self._reranker = reranker
        self._server = server
        self._sounds: tuple[int, dict[str, list[str]]] = (-1, {})
        self._lock = FileLock(str(self.folder / "library.lock"))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to write, which one process has at a time; every write takes it by itself.

        Raises LibraryBusyError where another process does not let go of it for PATIENCE seconds.
        """
        if not self.writable:
            raise StoreError(
                f"The library in {self.folder} was opened for reading",
                "Open it with writable=True.",
            )
        try:
            self._lock.acquire(timeout=PATIENCE)
        except Timeout as error:
            raise LibraryBusyError(
                f"Another process is writing to the library in {self.folder}",
                "Wait until its ingest is done, or stop it.",
            ) from error
        try:
            yield
        finally:
            self._lock.release()

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None
        self._store.close()

    @property
    def embedder(self) -> Embedder:
        """The embedding model, loaded now if it was not; raises EmbedderError."""
        if self._embedder is None:
            self._embedder = embedders.load_embedder(
                self._named or self._store.meta("embedder_name") or DEFAULT_EMBEDDER
            )
        return self._embedder

    @property
    def reranker(self) -> Reranker | None:
        """The cross-encoder, loaded now if it was not; raises EmbedderError."""
        if isinstance(self._reranker, str):
            self._reranker = CrossEncoder(Path(self._reranker).expanduser()) if self._reranker else None
        return self._reranker

    def _checked_embedder(self) -> Embedder:
        embedder = self.embedder
        made_by = self._store.meta("embedder")
        if made_by is None and self.writable:
            self._store.set_meta("embedder", embedder.identity)
            self._store.set_meta("embedder_name", self._named or embedder.name)
        elif made_by is not None and made_by != embedder.identity:
            raise EmbedderChangedError(
                f"The library's vectors were made by {made_by}, not by {embedder.identity}",
                "Use that embedder again, or embed anew: atelier doctor --rebuild.",
            )
        return embedder

    def _open_index(self) -> VectorIndex | None:
        """The vector index; None while nothing was ever embedded."""
        identity = self._store.meta("embedder")
        if self._index is None and identity is not None:
            self._index = VectorIndex(self.folder, self._store, identity=identity, server=self._server)
        return self._index

    # Documents

    def manifest(self) -> dict[str, tuple[str, int, int]]:
        """path -> (sha256, mtime_ns, size) of every file that was looked at, of any status."""
        return self._store.manifest()

    def documents(self) -> list[DocumentRow]:
        return self._store.documents()

    def document(self, path: str) -> DocumentRow | None:
        return self._store.document(path)

    def chunks(self, path: str) -> list[Chunk]:
        """The chunks of a document in order; raises DocumentNotFoundError."""
        if self._store.document(path) is None:
            raise DocumentNotFoundError(f"The library holds no document {path}", nearest(path, self._store.manifest()))
        return self._store.chunks(path)

    def put(
        self,
        document: Document,
        chunks: Sequence[Chunk],
        *,
        status: str = "indexed",
        reason: str = "",
        embed: bool = True,
    ) -> None:
        """Replace the document: first the store in one transaction, then the vectors.

        With ``embed=False`` the vectors are left pending until ``embed_pending`` is called, which
        many small files share. A document without chunks states by ``status`` and ``reason`` why
        there are none.
        """
        with self.writing():
            self._store.put(document, chunks, status=status, reason=reason)
            if embed:
                self.embed_pending()

    def embed_pending(self, *, report: Report | None = None, check: Check | None = None, index: bool = True) -> int:
        """Embed every chunk that has no vector and, with ``index``, bring the index into step;
        returns how many were embedded.

        Commits every EMBED_BATCH chunks. Repairs what a crash left between the store and the
        vectors.
        """
        with self.writing():
            return self._embed_pending(report, check, index)

    def _embed_pending(self, report: Report | None, check: Check | None, flush: bool) -> int:
        total = self._store.counts()["pending"]
        done = 0
        while batch := self._store.pending(EMBED_BATCH):
            embedder = self._checked_embedder()
            vectors = embedder.encode([text for _, text in batch], check=check)
            self._store.add_vectors(
                (chunk, vector.astype(np.float32).tobytes()) for (chunk, _), vector in zip(batch, vectors, strict=True)
            )
            done += len(batch)
            if report is not None:
                report({"kind": "progress", "stage": "embed", "done": done, "total": total})
        index = self._open_index() if flush else None
        if index is not None and (done or self._store.waiting(1) or self._store.leaving(1)):
            index.flush(report=report, check=check)
        return done

    def pending(self) -> int:
        """Chunks that wait for a vector."""
        return self._store.counts()["pending"]

    def touch(self, document: Document) -> None:
        with self.writing():
            self._store.touch(document)

    def set_collection(self, path: str, collection: str) -> None:
        """Keep a document under another collection's name."""
        with self.writing():
            self._store.set_collection(path, collection)

    def move(self, old: str, new: str, mtime_ns: int | None = None) -> None:
        with self.writing():
            self._store.move(old, new, mtime_ns)

    def remove(self, path: str) -> bool:
        """Take a document out; False where there is none. The index follows at the next
        ``embed_pending``.
        """
        with self.writing():
            return self._store.remove(path)

    def compact(self) -> None:
        """Leave nothing of removed documents in the store's file; another process that reads delays it."""
        with self.writing():
            self._store.compact()

    def roots(self) -> list[str]:
        """The folders that were ingested and are kept in step."""
        return self._store.roots()

    def add_root(self, path: str) -> None:
        with self.writing():
            self._store.add_root(path)

    def remove_root(self, path: str) -> bool:
        with self.writing():
            return self._store.remove_root(path)

    # Questions

    def explain(self, query: str, within: Filter = EVERYTHING) -> Found:
        """Every chunk that a search for ``query`` considers, with its signals, best first."""
        if (index := self._open_index()) is None:  # nothing was ever embedded: full text alone
            return search.find(self._store, None, query, np.zeros(1, dtype=np.float32), within=within)
        embedder = self._checked_embedder()
        read, weight = query, search.DENSE_WEIGHT
        if not embedder.reads(query):
            # Put into the embedder's language where the field's words suffice; else full text leads.
            read = in_english(query) or query
            weight = search.GLOSSED_DENSE_WEIGHT if read != query else search.UNREAD_DENSE_WEIGHT
        found = search.find(
            self._store,
            index,
            query,
            embedder.encode([read], query=True)[0],
            dense_weight=weight,
            within=within,
            level=partial(level, embedder),
            sounds=self._by_sound() if not query.isascii() else {},
        )
        return found if self.reranker is None else search.rerank(self._store, found, self.reranker)

    def _by_sound(self) -> dict[str, list[str]]:
        """The notes' stems by their sound; gathered once a version (20 ms for 20,000 stems)."""
        version = self._store.version()
        if self._sounds[0] != version:
            self._sounds = (version, by_sound(self._store.vocabulary()))
        return self._sounds[1]

    def paths_of(self, chunk_ids: Sequence[int]) -> dict[int, str]:
        """chunk id -> path of its document, for the ids that exist."""
        return {chunk: path for chunk, (path, _, _) in self._store.located(chunk_ids).items()}

    def search(self, query: str, k: int = 8, within: Filter = EVERYTHING) -> list[Passage]:
        """The ``k`` best passages, best first; raises QueryError, EmbedderError."""
        return self.passages(self.explain(query, within), k)

    def passages(self, found: Found, k: int = 8) -> list[Passage]:
        """The best ``k`` of what ``explain`` found, copies of a better one left out."""
        return search.passages(self._store, found, k)

    def evidence(self, question: str, k: int = 8, within: Filter = EVERYTHING, *, most: int = MAX_QUOTES) -> Evidence:
        """Up to ``most`` verbatim quotes that answer ``question``, or a refusal with the nearest passages."""
        found = self.explain(question, within)
        return evidence.gather(self._store, self.embedder, found, self.passages(found, k), most=most)

    def neighbours(self, passage: Passage) -> list[Chunk]:
        """The chunks before and after a passage in its document."""
        return [chunk for _, chunk in self._store.neighbours(passage.chunk_id)]

    def backlinks(self, path: str) -> list[tuple[str, int, str]]:
        """(path, line, heading) of passages elsewhere that link to this document or a block of it."""
        return self._store.links.backlinks(path)

    def summary(self, path: str, most: int = 7, check: Check | None = None) -> list[Line]:
        """The sentences that stand for a document; raises DocumentNotFoundError."""
        return overview.summarise(path, self.chunks(path), self.embedder, most=most, check=check)

    def comparison(self, one: str, other: str, most: int = 5, check: Check | None = None) -> dict[str, list[Any]]:
        """What two documents share and what each has alone; raises DocumentNotFoundError."""
        mine, theirs = (overview.lines_of(path, self.chunks(path)) for path in (one, other))
        return overview.compare(mine, theirs, self.embedder, most=most, check=check)

    def duplicates(self, check: Check = lambda: None) -> list[tuple[str, str, float]]:
        """(path, path, share) of documents that repeat each other."""
        if (index := self._open_index()) is None:
            return []
        ids, matrix = index.matrix(self.embedder.dimension)
        return overview.near_duplicates(ids, matrix, self.paths_of(ids.tolist()), self.embedder, check=check)

    def conflicts(self, question: str, passages: Sequence[Passage]) -> list[Conflict]:
        """Statements about the question in different documents that do not agree."""
        return conflicts(question, passages)

    # The whole

    def rebuild(self, *, report: Report | None = None, check: Check | None = None) -> None:
        """Make the index again from the store; embed everything anew where the embedder is another
        one.
        """
        with self.writing():
            self._rebuild(report, check)

    def _rebuild(self, report: Report | None, check: Check | None) -> None:
        if self._store.meta("embedder") != self.embedder.identity:
            self._store.drop_vectors()
            self._store.set_meta("embedder", self.embedder.identity)
            self._store.set_meta("embedder_name", self._named or self.embedder.name)
            if self._index is not None:
                self._index.close()
                self._index = None
        if (index := self._open_index()) is not None:
            index.rebuild(report=report, check=check)
        self._store.compact()
        self.embed_pending(report=report, check=check)

    def health(self) -> dict[str, Any]:
        """Counts of the store and the index, the embedder's identity, and problems in words."""
        counts = self._store.counts()
        problems = []
        if (integrity := self._store.check_integrity()) != "ok":
            problems.append(f"The store is damaged: {integrity}")
        if counts["pending"]:
            problems.append(f"{counts['pending']} chunks wait for a vector; ingest again embeds them")
        index = self._open_index()
        held = None if index is None else index.count()
        if index is not None and index.problem and counts["vectors"]:
            problems.append(f"Exact search is used: {index.problem}")
        exact = held is None or index is None or bool(index.problem)
        return {
            "folder": str(self.folder),
            **counts,
            "index": "exact" if exact else "chroma",
            "index_vectors": held,
            "embedder": self._store.meta("embedder"),
            "version": self._store.version(),
            "roots": self._store.roots(),
            "problems": problems,
        }

    def version(self) -> int:
        """Grows with every write; another process compares it to what it saw."""
        return self._store.version()

"""Nearest vectors: a Chroma collection kept in step with the store, exact search without it.

The store holds every vector; what is here can be made again from it at any time (``rebuild``).
Chroma answers while it holds just what the store holds; while another process is writing, or where
the collection does not open, exact search over the store's vectors answers instead (right below
about 50,000 chunks: 20,000 take 3 ms). Only ``flush`` and ``rebuild`` write to Chroma, and their
caller holds the library's lock. Chroma is told nothing but numbers: embeddings are always passed,
its own embedder and its telemetry are off. A Chroma server may hold the vectors instead of a folder.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import chromadb
import numpy as np
from chromadb.config import Settings
from numpy.typing import NDArray

from knowledge.store import Store

Vector = NDArray[np.float32]
Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]

FOLDER_NAME = "chroma"
_COLLECTION = "chunks"
_BATCH = 1000
_WRITER = "index_writer"  # which open index wrote last, in the store


class VectorIndex:
    """The vectors of one library.

    ``problem`` says in one line why Chroma does not answer at the moment; empty: it does.
    """

    def __init__(self, folder: Path, store: Store, *, identity: str, server: str = "") -> None:
        self._folder = folder / FOLDER_NAME
        self._server = server
        self._name_there = f"{_COLLECTION}-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"
        self._store = store
        self._identity = identity
        self._name = uuid.uuid4().hex
        self._client: Any = None
        self._collection: Any = None
        self._checked = False
        self._version = -1
        self._exact: tuple[int, NDArray[np.int64], Vector] | None = None
        self.problem = ""
        self._open()

    def _open(self) -> None:
        self._version = self._store.version()
        if not self._server and not self._folder.is_dir():
            self.problem = "there is no Chroma folder yet"
            return
        try:
            self._client = self._connect()
            self._collection = self._client.get_collection(self._called, embedding_function=None)
            made_by = (self._collection.metadata or {}).get("embedder")
            if made_by != self._identity:
                self._collection = None
                self.problem = f"the Chroma collection was made by {made_by}"
            else:
                self._look()
        except Exception as error:  # Chroma raises its own, Rust's and SQLite's errors
            self._collection = None
            self.problem = f"Chroma cannot be opened: {_line(error)}"

    @property
    def _called(self) -> str:
        """The collection's name: a server may hold those of several libraries."""
        return self._name_there if self._server else _COLLECTION

    def _connect(self) -> Any:
        settings = Settings(anonymized_telemetry=False)
        if not self._server:
            return chromadb.PersistentClient(path=str(self._folder), settings=settings)
        address = urlsplit(self._server if "://" in self._server else f"http://{self._server}")
        secure = address.scheme == "https"
        return chromadb.HttpClient(
            host=address.hostname or "127.0.0.1",
            port=address.port or (443 if secure else 8000),
            ssl=secure,
            settings=settings,
        )

    def _look(self) -> None:
        """Whether the collection holds just what the store holds."""
        self._version = self._store.version()
        held = self.count()
        if held is not None:
            whole = self._complete() and held == self._store.vector_count()
            self.problem = "" if whole else "the Chroma collection is behind the store"

    def _complete(self) -> bool:
        return not self._store.waiting(1) and not self._store.leaving(1)

    def close(self) -> None:
        self._collection = None
        if self._client is not None:
            self._client.close()
            self._client = None

    def reopen(self) -> None:
        """Read the collection from the disk again."""
        self.close()
        self._checked = False
        self._open()

    def count(self) -> int | None:
        """How many vectors Chroma holds; None where it cannot be opened."""
        try:
            return None if self._collection is None else int(self._collection.count())
        except Exception as error:  # a server may go at any time
            self._collection = None
            self.problem = f"Chroma does not answer: {_line(error)}"
            return None

    def flush(self, *, report: Report | None = None, check: Check | None = None) -> None:
        """Bring the collection into step with the store, in batches.

        Safe to stop anywhere and to repeat: a vector is marked only after Chroma has taken it, and
        Chroma takes the same one twice without harm. A collection that still does not hold what the
        store holds when all is told (a kill inside Chroma) is made again.
        """
        self._flush(report, check)
        if self._collection is not None and self.problem and self._complete():
            self._recreate()
            self._flush(report, check)

    def _flush(self, report: Report | None, check: Check | None) -> None:
        if self._store.meta(_WRITER) not in (None, self._name) or (self._server and self._client is None):
            self.reopen()  # another process wrote: our client's view of the files is old; or a server is back
        if not self._server and not self._folder.is_dir():
            self._recreate()
        elif self._collection is None and self._client is not None:
            self._recreate()  # the first time on that server, or a kill before the collection was made
        if self._collection is None:
            return
        self._store.set_meta(_WRITER, self._name)
        if not self._checked and not self._plausible():
            self._recreate()  # a crash inside Chroma, or a collection that came from elsewhere
        if self._collection is None:
            return
        self._checked = True
        while leaving := self._store.leaving(_BATCH):
            if check is not None:
                check()
            if not self._tell("delete", ids=[str(chunk) for chunk in leaving]):
                return
            self._store.mark_indexed(removed=leaving)
        total = self._store.counts()["waiting"]
        done = 0
        while waiting := self._store.waiting(_BATCH):
            if check is not None:
                check()
            chunks = [chunk for chunk, _ in waiting]
            matrix = np.stack([np.frombuffer(blob, dtype=np.float32) for _, blob in waiting])
            if not self._tell("upsert", ids=[str(chunk) for chunk in chunks], embeddings=matrix):
                return
            self._store.mark_indexed(added=chunks)
            done += len(chunks)
            if report is not None:
                report({"kind": "progress", "stage": "index", "done": done, "total": total})
        self._look()

    def rebuild(self, *, report: Report | None = None, check: Check | None = None) -> None:
        """Make the collection again from the store's vectors, in an empty folder."""
        self.close()
        if not self._server:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._recreate()
        self.flush(report=report, check=check)

    def _plausible(self) -> bool:
        """Whether Chroma's count can come from the store's, a crash between the two included."""
        counts = self._store.counts()
        least = counts["vectors"] - counts["waiting"]
        held = self.count()
        return held is None or bool(least <= held <= counts["vectors"] + counts["removed"])

    def _recreate(self) -> None:
        """An empty collection; every vector waits for it."""
        try:
            if self._client is None:
                self._client = self._connect()
            if self._called in {one.name for one in self._client.list_collections()}:
                self._client.delete_collection(self._called)
            self._collection = self._client.create_collection(
                self._called,
                embedding_function=None,
                metadata={"embedder": self._identity},
                configuration={"hnsw": {"space": "cosine", "ef_search": 200}},
            )
        except Exception as error:
            self._collection = None
            self.problem = f"Chroma cannot be opened: {_line(error)}"
            return
        self._checked = True
        self._store.unmark_indexed()
        self._store.set_meta(_WRITER, self._name)

    def _tell(self, method: str, **arguments: Any) -> bool:
        try:
            getattr(self._collection, method)(**arguments)
        except Exception as error:
            self._collection = None
            self.problem = f"Chroma could not be written: {_line(error)}"
            return False
        return True

    def search(
        self, vector: Vector, limit: int, allowed: Sequence[int] | None = None
    ) -> tuple[list[tuple[int, float]], str]:
        """((chunk id, cosine), best first) and which search answered: ``chroma`` or ``exact``.

        Among ``allowed`` chunks the search is always exact: Chroma's own filter takes 20 ms at 20,000.
        """
        if allowed is not None:
            return self._search_exactly(vector, limit, allowed), "exact"
        if self._version != self._store.version() and self._complete():
            self.reopen()  # another process has written and is done
        if self._collection is None or self.problem or self._version != self._store.version():
            return self._search_exactly(vector, limit), "exact"
        try:
            if not (held := self._collection.count()):
                return [], "chroma"
            found = self._collection.query(query_embeddings=[vector], n_results=min(limit, held), include=["distances"])
        except Exception as error:  # e.g. the HNSW "contiguous 2D array" error of chroma#2620
            self.problem = f"Chroma failed on a query: {_line(error)}"
            self._collection = None
            return self._search_exactly(vector, limit), "exact"
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        return [(int(chunk), 1.0 - float(far)) for chunk, far in pairs], "chroma"

    def matrix(self, dimension: int) -> tuple[NDArray[np.int64], Vector]:
        """(chunk ids, their vectors) of the whole store, kept until the store changes."""
        version = self._store.version()
        if self._exact is None or self._exact[0] != version:
            ids: list[int] = []
            blobs: list[bytes] = []
            for chunk, blob in self._store.vectors():
                ids.append(chunk)
                blobs.append(blob)
            matrix = np.frombuffer(b"".join(blobs), dtype=np.float32).reshape(-1, dimension)
            self._exact = (version, np.array(ids, dtype=np.int64), matrix)
        return self._exact[1], self._exact[2]

    def _search_exactly(
        self, vector: Vector, limit: int, allowed: Sequence[int] | None = None
    ) -> list[tuple[int, float]]:
        chunk_ids, matrix = self.matrix(len(vector))
        if allowed is not None:
            rows = np.flatnonzero(np.isin(chunk_ids, np.asarray(allowed, dtype=np.int64)))
            chunk_ids, matrix = chunk_ids[rows], matrix[rows]
        if not len(chunk_ids):
            return []
        cosines = matrix @ vector
        limit = min(limit, len(cosines))
        top = np.argpartition(-cosines, limit - 1)[:limit]
        top = top[np.argsort(-cosines[top], kind="stable")]
        return [(int(chunk_ids[i]), float(cosines[i])) for i in top]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]

"""The truth of the library in one SQLite file: documents, chunks, full text index, vectors, hashes.

What survives a ``kill -9`` is decided here. One file's document, chunks and full text rows are one
transaction, so a file is in the library whole or not at all. Its vectors follow in transactions of
their own: a chunk without a row in ``vectors`` is *pending* and is embedded at the next chance; a
vector whose ``indexed`` is 0 has still to reach the vector index, and ``removed`` lists chunk ids
that have still to leave it. Chunk ids are never used twice.

The vector index itself (knowledge.vectors) and the embedder belong to others; here a vector is a
float32 blob.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from knowledge import schema
from knowledge.errors import StoreError
from knowledge.filters import EVERYTHING, Filter
from knowledge.language import fold, terms
from knowledge.links import Links, batches, link_targets, marks, page_names
from knowledge.records import Chunk, Document, DocumentRow

FILE_NAME = "library.sqlite3"

_CHUNK = "text, search_text, heading, line_start, line_end, page, block_id, links"
_ROW = "path, sha256, size, mtime_ns, kind, title, properties, tags, status, reason, chunks, collection, date"
_BM25 = "bm25(chunk_terms, 1.0, 1.0)"


class Store:
    """One connection to the store of ``folder``; makes it where there is none.

    Raises StoreError where the file is damaged, made by a newer program or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA secure_delete = ON")  # what is removed is overwritten
            self._prepare()
            self.links = Links(self._db)
        except OSError as error:
            raise StoreError(
                f"The library folder {folder} cannot be used: {error.strerror or error}",
                "Choose a folder that can be written to.",
            ) from error
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"The library {self.path} cannot be opened: {error}",
                "Move the file away and ingest again; your notes themselves are untouched.",
            ) from error

    def _prepare(self) -> None:
        self._db.create_function("fold", 1, lambda value: fold(str(value)), deterministic=True)
        found = schema.prepare(self._db)
        if found != schema.VERSION:
            raise StoreError(
                f"The library {self.path} has layout {found}, not {schema.VERSION}",
                "Use the program that made it, or move it away and ingest again.",
            )

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _write(self, *, counts: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction; ``counts``: it changes what a search can find, so the version grows."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                if counts:
                    self._db.execute(
                        "INSERT INTO meta VALUES ('version', '1')"
                        " ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1"
                    )
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"The library {self.path} could not be written: {error}",
                "Check that the disk has room and that the file may be written.",
            ) from error

    # Facts about the whole

    def version(self) -> int:
        return int(self.meta("version") or 0)

    def meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        with self._write(counts=False) as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def counts(self) -> dict[str, int]:
        """documents (indexed), files (any status), chunks, vectors, pending, waiting, removed."""
        queries = {
            "documents": "SELECT count(*) FROM documents WHERE status = 'indexed'",
            "files": "SELECT count(*) FROM documents",
            "chunks": "SELECT count(*) FROM chunks",
            "vectors": "SELECT count(*) FROM vectors",
            "pending": "SELECT count(*) FROM chunks WHERE id NOT IN (SELECT chunk FROM vectors)",
            "waiting": "SELECT count(*) FROM vectors WHERE indexed = 0",
            "removed": "SELECT count(*) FROM removed",
        }
        return {name: int(self._db.execute(sql).fetchone()[0]) for name, sql in queries.items()}

    def chunk_count(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM chunks").fetchone()[0])

    def vector_count(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM vectors").fetchone()[0])

    def compact(self) -> None:
        """Leave nothing of removed documents in the file: neither in the full text index, which drops
        words only when it merges its parts, nor in the log of writes, nor in free pages.
        """
        try:
            self._db.execute("INSERT INTO chunk_terms (chunk_terms) VALUES ('optimize')")
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) and "busy" not in str(error):
                raise StoreError(
                    f"The library {self.path} could not be made smaller: {error}", "Check that the disk has room."
                ) from error

    def check_integrity(self) -> str:
        """``ok``, or what SQLite finds wrong with the file."""
        return str(self._db.execute("PRAGMA quick_check(1)").fetchone()[0])

    # Documents

    def manifest(self) -> dict[str, tuple[str, int, int]]:
        rows = self._db.execute("SELECT path, sha256, mtime_ns, size FROM documents")
        return {path: (sha256, mtime_ns, size) for path, sha256, mtime_ns, size in rows}

    def documents(self) -> list[DocumentRow]:
        return [_document_row(row) for row in self._db.execute(f"SELECT {_ROW} FROM documents ORDER BY path")]

    def document(self, path: str) -> DocumentRow | None:
        row = self._db.execute(f"SELECT {_ROW} FROM documents WHERE path = ?", (path,)).fetchone()
        return None if row is None else _document_row(row)

    def put(
        self,
        document: Document,
        chunks: Sequence[Chunk],
        *,
        status: str = "indexed",
        reason: str = "",
    ) -> list[int]:
        """Replace the document and its chunks in one transaction; returns the ids of its chunks.

        A chunk that the former version or a copy of the file holds too keeps its vector.
        """
        with self._write() as db:
            kept: dict[str, bytes] = {}
            for row in db.execute(
                f"SELECT v.vector, {_CHUNK} FROM documents d JOIN chunks c ON c.document = d.id"
                " JOIN vectors v ON v.chunk = c.id"
                " WHERE d.path = ? OR (d.sha256 = ? AND d.sha256 <> '')",
                (document.path, document.sha256),
            ):
                kept[_chunk(0, row[1:]).embedded] = row[0]
            db.execute("DELETE FROM documents WHERE path = ?", (document.path,))
            cursor = db.execute(
                f"INSERT INTO documents ({_ROW}) VALUES ({marks(_ROW.split(','))})",
                (
                    document.path,
                    document.sha256,
                    document.size,
                    document.mtime_ns,
                    document.kind,
                    document.title,
                    _json(dict(document.properties)),
                    json.dumps(document.tags, ensure_ascii=False),
                    status,
                    reason,
                    len(chunks),
                    document.collection,
                    document.date,
                ),
            )
            db.executemany(
                "INSERT OR IGNORE INTO names VALUES (?, ?)",
                ((name, cursor.lastrowid) for name in page_names(document)),
            )
            return [self._put_chunk(db, cursor.lastrowid, chunk, kept) for chunk in chunks]

    @staticmethod
    def _put_chunk(db: sqlite3.Connection, document: int | None, chunk: Chunk, kept: dict[str, bytes]) -> int:
        cursor = db.execute(
            f"INSERT INTO chunks (document, ordinal, {_CHUNK}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                document,
                chunk.ordinal,
                chunk.text,
                chunk.search_text,
                chunk.heading,
                chunk.line_start,
                chunk.line_end,
                chunk.page,
                chunk.block_id,
                json.dumps(chunk.links, ensure_ascii=False),
            ),
        )
        chunk_id = int(cursor.lastrowid or 0)
        db.execute(
            "INSERT INTO chunk_terms (rowid, heading, body) VALUES (?, ?, ?)",
            (
                chunk_id,
                " ".join(terms(chunk.heading)),
                " ".join(terms(chunk.search_text or chunk.text)),
            ),
        )
        db.executemany(
            "INSERT OR IGNORE INTO links VALUES (?, ?)",
            ((target, chunk_id) for link in chunk.links for target in link_targets(link)),
        )
        db.executemany("INSERT OR IGNORE INTO blocks VALUES (?, ?)", ((b, chunk_id) for b in chunk.blocks))
        if (vector := kept.get(chunk.embedded)) is not None:
            db.execute("INSERT INTO vectors (chunk, vector) VALUES (?, ?)", (chunk_id, vector))
        return chunk_id

    def touch(self, document: Document) -> None:
        """The bytes are the same, the time of change is not."""
        with self._write(counts=False) as db:
            db.execute(
                "UPDATE documents SET mtime_ns = ?, size = ? WHERE path = ?",
                (document.mtime_ns, document.size, document.path),
            )

    def set_collection(self, path: str, collection: str) -> None:
        """The person keeps the document's folder under another name now."""
        with self._write() as db:
            db.execute("UPDATE documents SET collection = ? WHERE path = ?", (collection, path))

    def move(self, old: str, new: str, mtime_ns: int | None = None) -> bool:
        """The file went from ``old`` to ``new``; its chunks and vectors go with it. False: no such
        document.
        """
        with self._write() as db:
            db.execute("DELETE FROM documents WHERE path = ?", (new,))
            done = db.execute(
                "UPDATE documents SET path = ?, mtime_ns = coalesce(?, mtime_ns) WHERE path = ?",
                (new, mtime_ns, old),
            )
            # Links may call it by its new file name from now on.
            db.execute(
                "INSERT OR IGNORE INTO names SELECT ?, id FROM documents WHERE path = ?",
                (fold(Path(new).stem).strip(), new),
            )
            return done.rowcount > 0

    def remove(self, path: str) -> bool:
        with self._write() as db:
            return db.execute("DELETE FROM documents WHERE path = ?", (path,)).rowcount > 0

    def roots(self) -> list[str]:
        return [row[0] for row in self._db.execute("SELECT path FROM roots ORDER BY path")]

    def add_root(self, path: str) -> None:
        if path not in self.roots():
            with self._write(counts=False) as db:
                db.execute("INSERT OR IGNORE INTO roots (path) VALUES (?)", (path,))

    def remove_root(self, path: str) -> bool:
        with self._write(counts=False) as db:
            return db.execute("DELETE FROM roots WHERE path = ?", (path,)).rowcount > 0

    # Chunks

    def chunks(self, path: str) -> list[Chunk]:
        rows = self._db.execute(
            f"SELECT ordinal, {_CHUNK} FROM chunks WHERE document ="
            " (SELECT id FROM documents WHERE path = ?) ORDER BY ordinal",
            (path,),
        )
        return [_chunk(row[0], row[1:]) for row in rows]

    def located(self, ids: Sequence[int]) -> dict[int, tuple[str, str, Chunk]]:
        """chunk id -> (path, document title, chunk), for the ids that exist."""
        found: dict[int, tuple[str, str, Chunk]] = {}
        for some in batches(ids):
            for row in self._db.execute(
                f"SELECT c.id, d.path, d.title, c.ordinal, {_CHUNK} FROM chunks c"
                f" JOIN documents d ON d.id = c.document WHERE c.id IN ({marks(some)})",
                some,
            ):
                found[row[0]] = (row[1], row[2], _chunk(row[3], row[4:]))
        return found

    def bm25(self, stems: Iterable[str], limit: int, within: Filter = EVERYTHING) -> list[tuple[int, float]]:
        """(chunk id, BM25 score, larger is better) of the best chunks with any of the stems."""
        query = " OR ".join(f'"{stem}"' for stem in stems if '"' not in stem)
        if not query:
            return []
        condition, values = within.where()
        joined = " JOIN chunks c ON c.id = chunk_terms.rowid JOIN documents d ON d.id = c.document" if within else ""
        rows = self._db.execute(
            f"SELECT chunk_terms.rowid, {_BM25} FROM chunk_terms{joined}"
            f" WHERE chunk_terms MATCH ? AND {condition} ORDER BY {_BM25} LIMIT ?",
            (query, *values, limit),
        )
        return [(row[0], -row[1]) for row in rows]

    def chunks_within(self, within: Filter) -> list[int]:
        """Ids of the chunks whose documents pass the filter, ascending."""
        condition, values = within.where()
        rows = self._db.execute(
            f"SELECT c.id FROM chunks c JOIN documents d ON d.id = c.document WHERE {condition} ORDER BY c.id", values
        )
        return [row[0] for row in rows]

    def neighbours(self, chunk_id: int) -> list[tuple[int, Chunk]]:
        """The chunks before and after this one in its document, where there are any."""
        rows = self._db.execute(
            f"SELECT o.id, o.ordinal, {', '.join('o.' + name for name in _CHUNK.split(', '))} FROM chunks c"
            " JOIN chunks o ON o.document = c.document AND o.ordinal IN (c.ordinal - 1, c.ordinal + 1)"
            " WHERE c.id = ? ORDER BY o.ordinal",
            (chunk_id,),
        )
        return [(row[0], _chunk(row[1], row[2:])) for row in rows]

    def document_frequencies(self, stems: Iterable[str]) -> dict[str, int]:
        """In how many chunks each stem occurs."""
        found: dict[str, int] = {}
        for stem in stems:
            row = self._db.execute("SELECT doc FROM chunk_vocabulary WHERE term = ?", (stem,)).fetchone()
            found[stem] = int(row[0]) if row else 0
        return found

    def vocabulary(self) -> Iterator[str]:
        """Every stem of the full text index."""
        for row in self._db.execute("SELECT term FROM chunk_vocabulary"):
            yield row[0]

    # Vectors

    def pending(self, limit: int) -> list[tuple[int, str]]:
        """(chunk id, text to embed) of chunks that have no vector yet."""
        rows = self._db.execute(
            f"SELECT id, {_CHUNK} FROM chunks WHERE id NOT IN (SELECT chunk FROM vectors) ORDER BY id LIMIT ?",
            (limit,),
        )
        return [(row[0], _chunk(0, row[1:]).embedded) for row in rows]

    def add_vectors(self, vectors: Iterable[tuple[int, bytes]]) -> None:
        """Vectors for chunks; one whose chunk has gone meanwhile is left out."""
        with self._write() as db:
            db.executemany(
                "INSERT OR REPLACE INTO vectors (chunk, vector) SELECT id, ? FROM chunks WHERE id = ?",
                ((blob, chunk) for chunk, blob in vectors),
            )

    def vectors(self) -> Iterator[tuple[int, bytes]]:
        yield from self._db.execute("SELECT chunk, vector FROM vectors ORDER BY chunk")

    def vectors_of(self, ids: Sequence[int]) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for some in batches(ids):
            found.update(
                self._db.execute(f"SELECT chunk, vector FROM vectors WHERE chunk IN ({marks(some)})", some).fetchall()
            )
        return found

    def waiting(self, limit: int) -> list[tuple[int, bytes]]:
        """Vectors that the vector index does not hold yet."""
        return self._db.execute(
            "SELECT chunk, vector FROM vectors WHERE indexed = 0 ORDER BY chunk LIMIT ?", (limit,)
        ).fetchall()

    def leaving(self, limit: int) -> list[int]:
        """Chunk ids that the vector index still holds and must not."""
        rows = self._db.execute("SELECT chunk FROM removed LIMIT ?", (limit,))
        return [row[0] for row in rows]

    def mark_indexed(self, added: Sequence[int] = (), removed: Sequence[int] = ()) -> None:
        with self._write(counts=False) as db:
            db.executemany("UPDATE vectors SET indexed = 1 WHERE chunk = ?", ((i,) for i in added))
            db.executemany("DELETE FROM removed WHERE chunk = ?", ((i,) for i in removed))

    def unmark_indexed(self) -> None:
        """The vector index is to be made again from nothing."""
        with self._write(counts=False) as db:
            db.execute("UPDATE vectors SET indexed = 0")
            db.execute("DELETE FROM removed")

    def drop_vectors(self) -> None:
        """Every chunk becomes pending: the embedder is another one."""
        with self._write() as db:
            db.execute("DELETE FROM vectors")


def _json(value: Any) -> str:
    """JSON that SQLite reads too: it knows no NaN and no infinity."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return json.dumps(json.loads(text, parse_constant=lambda name: None), ensure_ascii=False)


def _chunk(ordinal: int, row: Sequence[Any]) -> Chunk:
    text, search_text, heading, line_start, line_end, page, block_id, links = row
    return Chunk(
        ordinal=ordinal,
        text=text,
        heading=heading,
        line_start=line_start,
        line_end=line_end,
        page=page,
        block_id=block_id,
        links=tuple(json.loads(links)),
        search_text=search_text,
    )


def _document_row(row: Sequence[Any]) -> DocumentRow:
    path, sha256, size, mtime_ns, kind, title, properties, tags, status, reason, chunks, collection, date = row
    return DocumentRow(
        path,
        sha256,
        size,
        mtime_ns,
        kind,
        title,
        json.loads(properties),
        tuple(json.loads(tags)),
        status,
        reason,
        chunks,
        collection,
        date,
    )

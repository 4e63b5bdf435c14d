"""A library of layout 1 opened by this program."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.pipeline import Source, ingest
from knowledge.errors import StoreError
from knowledge.filters import Filter
from knowledge.hashed import HashedWords
from knowledge.language import terms
from knowledge.library import Library
from knowledge.schema import VERSION
from knowledge.store import FILE_NAME, Store

# As the first release made it.
LAYOUT_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE roots (
  path TEXT PRIMARY KEY, added_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) WITHOUT ROWID;
CREATE TABLE documents (
  id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL, kind TEXT NOT NULL, title TEXT NOT NULL,
  properties TEXT NOT NULL, tags TEXT NOT NULL,
  status TEXT NOT NULL, reason TEXT NOT NULL, chunks INTEGER NOT NULL,
  added_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE INDEX documents_sha256 ON documents (sha256);
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
  ordinal INTEGER NOT NULL, text TEXT NOT NULL, search_text TEXT NOT NULL, heading TEXT NOT NULL,
  line_start INTEGER NOT NULL, line_end INTEGER NOT NULL, page INTEGER, block_id TEXT,
  links TEXT NOT NULL,
  UNIQUE (document, ordinal));
CREATE TABLE vectors (
  chunk INTEGER PRIMARY KEY REFERENCES chunks ON DELETE CASCADE,
  vector BLOB NOT NULL, indexed INTEGER NOT NULL DEFAULT 0);
CREATE INDEX vectors_waiting ON vectors (chunk) WHERE indexed = 0;
CREATE TABLE removed (chunk INTEGER PRIMARY KEY);
CREATE VIRTUAL TABLE chunk_terms
  USING fts5 (heading, body, tokenize = 'unicode61 remove_diacritics 0');
CREATE VIRTUAL TABLE chunk_vocabulary USING fts5vocab (chunk_terms, 'row');
CREATE TRIGGER vector_leaves AFTER DELETE ON vectors WHEN old.indexed = 1
  BEGIN INSERT OR IGNORE INTO removed VALUES (old.chunk); END;
CREATE TRIGGER chunk_leaves AFTER DELETE ON chunks
  BEGIN DELETE FROM chunk_terms WHERE rowid = old.id; END;
PRAGMA user_version = 1;
"""
NOTE = "See [[Lamps]] for tungsten and its watts."


class Counting(HashedWords):
    """The model-free embedder, keeping the texts it was asked to embed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str], **how: Any) -> Any:
        self.seen.extend(texts)
        return super().encode(texts, **how)


def old_library(folder: Path, note: Path) -> None:
    """One file of one chunk, as layout 1 held it; and one that could not be read."""
    folder.mkdir()
    state = note.stat()
    db = sqlite3.connect(folder / FILE_NAME)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(LAYOUT_1)
    embedder = HashedWords()
    db.executemany(
        "INSERT INTO meta VALUES (?, ?)",
        [("version", "7"), ("embedder", embedder.identity), ("embedder_name", embedder.name)],
    )
    db.execute("INSERT INTO roots (path) VALUES (?)", (str(note.parent),))
    row = (
        str(note),
        "of old",
        state.st_size,
        state.st_mtime_ns,
        "markdown",
        "light",
        "{}",
        '["lens"]',
        "indexed",
        "",
        1,
    )
    names = "path, sha256, size, mtime_ns, kind, title, properties, tags, status, reason, chunks"
    insert = f"INSERT INTO documents ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    document = db.execute(insert, row).lastrowid
    db.execute(insert, (f"{note}.bin", "other", 9, 9, "", "bin", "{}", "[]", "failed", "damaged", 0))
    # The heading and the text to embed are what the reader of today gives for the same file.
    said = "See Lamps for tungsten and its watts."
    chunk = db.execute(
        "INSERT INTO chunks (document, ordinal, text, search_text, heading, line_start, line_end, links)"
        " VALUES (?, 0, ?, ?, 'light', 1, 1, ?)",
        (document, NOTE, said, json.dumps(["Lamps"])),
    ).lastrowid
    db.execute("INSERT INTO chunk_terms (rowid, heading, body) VALUES (?, 'light', ?)", (chunk, " ".join(terms(said))))
    vector = embedder.encode([f"light\n{said}"])[0].astype(np.float32).tobytes()
    db.execute("INSERT INTO vectors VALUES (?, ?, 1)", (chunk, vector))
    db.commit()
    db.close()


@pytest.fixture
def note(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    path = tmp_path / "notes" / "light.md"
    path.write_text(NOTE)
    old_library(tmp_path / "library", path)
    return path


def tables(folder: Path) -> dict[str, str]:
    """What SQLite says the file is made of: name -> SQL without its spacing."""
    db = sqlite3.connect(folder / FILE_NAME)
    rows = db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    db.close()
    return {name: "".join(sql.split()) for name, sql in rows}


def test_an_old_file_becomes_like_a_new_one(tmp_path: Path, note: Path) -> None:
    store = Store(tmp_path / "library")
    assert store._db.execute("PRAGMA user_version").fetchone()[0] == VERSION == 2
    assert store.check_integrity() == "ok"
    assert store._db.execute("PRAGMA foreign_key_check").fetchall() == []
    store.close()
    Store(tmp_path / "new").close()
    assert tables(tmp_path / "library") == tables(tmp_path / "new")
    Store(tmp_path / "library").close()  # and stays one when opened again


def test_what_was_held_is_still_held(tmp_path: Path, note: Path) -> None:
    store = Store(tmp_path / "library")
    assert store.counts() == {
        "documents": 1, "files": 2, "chunks": 1, "vectors": 1, "pending": 0, "waiting": 0, "removed": 0,
    }  # fmt: skip
    row = store.document(str(note))
    assert row is not None
    assert (row.title, row.tags, row.status, row.collection, row.date) == ("light", ("lens",), "indexed", "", "")
    assert store.chunks(str(note))[0].text == NOTE
    assert store.meta("version") == "7"
    assert store.roots() == [str(note.parent)]
    assert store.manifest()[f"{note}.bin"] == ("other", 9, 9)  # what held nothing is not read again
    store.close()


def test_old_chunks_are_found_before_anything_is_read_again(tmp_path: Path, note: Path) -> None:
    with Library(tmp_path / "library") as library:
        (found,) = library.search("tungsten")
        assert (found.path, found.text, found.signals["bm25_rank"]) == (str(note), NOTE, 1)
        assert found.signals["dense"] > 0
        assert library.search("tungsten", within=Filter(tag="lens"))
        assert library.search("tungsten", within=Filter(since="2000")) == []  # its date is not known yet


def test_the_next_ingest_reads_the_file_anew_and_keeps_its_vector(tmp_path: Path, note: Path) -> None:
    (note.parent / "Lamps.md").write_text("All about lamps.")
    embedder = Counting()
    with Library(tmp_path / "library", embedder=embedder, writable=True) as library:
        before = dict(library._store.vectors())
        sources = [Source(note.parent, "mine")]
        outcomes = {Path(one.path).name: one.status for one in ingest(sources, library)}
        assert (outcomes["light.md"], outcomes["Lamps.md"]) == ("indexed", "indexed")
        assert not any("tungsten" in text for text in embedder.seen)
        assert any("All about lamps" in text for text in embedder.seen)
        (found,) = library.search("tungsten watts", within=Filter(collection="mine", since="2000", path="light.md"))
        assert library._store.vectors_of([found.chunk_id]) == {found.chunk_id: next(iter(before.values()))}
        assert [path for path, _, _ in library.backlinks(str(note.parent / "Lamps.md"))] == [str(note)]
        assert library.health()["problems"] == []
        assert library.health()["index_vectors"] == 2
        assert {one.status for one in ingest(sources, library)} == {"unchanged"}


def test_a_file_that_changed_meanwhile_is_embedded_anew(tmp_path: Path, note: Path) -> None:
    note.write_text("Now it speaks of candles.")
    os.utime(note, ns=(1, 1))
    embedder = Counting()
    with Library(tmp_path / "library", embedder=embedder, writable=True) as library:
        ingest([note.parent], library)
        assert any("candles" in text for text in embedder.seen)
        assert library._store.bm25(["tungsten"], 5) == []
        assert library.search("candles")[0].signals["bm25_rank"] == 1


def test_an_update_that_fails_leaves_the_old_file_as_it_was(tmp_path: Path, note: Path) -> None:
    db = sqlite3.connect(tmp_path / "library" / FILE_NAME)
    db.execute("CREATE TABLE names (in_the_way TEXT)")
    db.commit()
    db.close()
    before = tables(tmp_path / "library")
    with pytest.raises(StoreError, match="names"):
        Store(tmp_path / "library")
    assert tables(tmp_path / "library") == before
    db = sqlite3.connect(tmp_path / "library" / FILE_NAME)
    assert db.execute("PRAGMA user_version").fetchone()[0] == 1
    assert db.execute("SELECT sha256 FROM documents WHERE status = 'indexed'").fetchall() == [("of old",)]
    db.close()

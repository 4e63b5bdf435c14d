"""The tables of the library's SQLite file, and the way from an older layout to this one.

Vectors are blobs of float32; full text rows hold stems (knowledge.language). ``links`` and
``blocks`` are what backlinks and block references are followed by: a link's target is a page's
folded name or ``((id))``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

VERSION = 2

_TABLES = """
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
"""

# Layout 2: collections and dates of documents; links and blocks as tables. Documents of an older
# layout are read anew at the next scan (their sizes are spoilt for that), their vectors kept. A vector
# that leaves is told to the index whether or not it is marked as held: a kill may have come between.
_SECOND = """
ALTER TABLE documents ADD COLUMN collection TEXT NOT NULL DEFAULT '';
ALTER TABLE documents ADD COLUMN date TEXT NOT NULL DEFAULT '';
CREATE TABLE links (
  target TEXT NOT NULL, chunk INTEGER NOT NULL REFERENCES chunks ON DELETE CASCADE,
  PRIMARY KEY (target, chunk)) WITHOUT ROWID;
CREATE INDEX links_chunk ON links (chunk);
CREATE TABLE blocks (
  id TEXT NOT NULL, chunk INTEGER NOT NULL REFERENCES chunks ON DELETE CASCADE,
  PRIMARY KEY (id, chunk)) WITHOUT ROWID;
CREATE INDEX blocks_chunk ON blocks (chunk);
CREATE TABLE names (
  name TEXT NOT NULL, document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
  PRIMARY KEY (name, document)) WITHOUT ROWID;
CREATE INDEX names_document ON names (document);
DROP TRIGGER vector_leaves;
CREATE TRIGGER vector_leaves AFTER DELETE ON vectors
  BEGIN INSERT OR IGNORE INTO removed VALUES (old.chunk); END;
UPDATE documents SET size = -1, sha256 = '' WHERE status = 'indexed';
"""


def prepare(db: sqlite3.Connection) -> int:
    """Make or bring up the tables, in one transaction; returns the layout the file now has.

    A file of a newer program is left as it is, and its number returned.
    """
    found = int(db.execute("PRAGMA user_version").fetchone()[0])
    if found >= VERSION:
        return found
    # Another process may be doing the same: the second one waits here and then sees the tables.
    db.execute("BEGIN IMMEDIATE")
    try:
        found = int(db.execute("PRAGMA user_version").fetchone()[0])
        steps = (_TABLES, _SECOND)[found:]
        for script in steps:
            for statement in _statements(script):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {max(found, VERSION)}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    return max(found, VERSION)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, triggers whole."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""

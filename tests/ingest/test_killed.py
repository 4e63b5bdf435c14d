"""An ingest killed at any moment: what is stored stays whole, and the next one goes on from there."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ingest_checks import Counting

from ingest.pipeline import ingest
from knowledge.library import Library
from knowledge.records import Chunk, DocumentRow

ROOT = Path(__file__).resolve().parents[2]
KILLS = 50
FILES = 60

# Loads the modules once; every line read is a run in a process of its own, killed after that many seconds
# (never, if they are negative). It answers with the process's exit code and how long it lived.
RUNS = """
import os, signal, sys, time, traceback
from ingest.pipeline import ingest
from knowledge.hashed import HashedWords
from knowledge.library import Library
for line in sys.stdin:
    folder, notes, delay = line.rstrip("\\n").split("\\t")
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            with Library(folder, embedder=HashedWords(), writable=True) as library:
                ingest([notes], library)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if float(delay) >= 0:
        time.sleep(float(delay))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), time.monotonic() - begun, flush=True)
"""
WORDS = ("latent", "sampler", "prompt", "guidance", "noise", "schedule", "tensor", "свет", "кисть", "холст", "рисунок")


def note(chance: random.Random, number: int) -> str:
    """A note of some sections; its number is in it, so no two are copies."""
    parts = [f"# Note {number}-{chance.randrange(10**6)}"]
    for section in range(chance.randint(1, 5)):
        parts.append(f"## Section {section}")
        parts += [" ".join(chance.choices(WORDS, k=chance.randint(20, 120))) + "." for _ in range(chance.randint(1, 4))]
    return "\n\n".join(parts) + "\n"


def change(chance: random.Random, folder: Path) -> None:
    """What a person may do between two runs: some notes written, some thrown away, some renamed."""
    for number in chance.sample(range(FILES), chance.randint(6, 16)):
        path = folder / f"{number:02}.md"
        fate = chance.random()
        if fate < 0.25:
            path.unlink(missing_ok=True)
        elif fate < 0.4 and path.exists():
            path.rename(folder / f"moved-{number:02}-{chance.randrange(10**6)}.md")
        else:
            path.write_text(note(chance, number), encoding="utf-8")


class Runs:
    """Ingests in processes that can be killed."""

    def __init__(self, notes: Path) -> None:
        self.notes = notes
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", RUNS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def run(self, library: Path, delay: float = -1.0) -> tuple[int, float]:
        """(exit code, seconds it lived)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{library}\t{self.notes}\t{delay}\n")
        self.process.stdin.flush()
        code, seconds = self.process.stdout.readline().split()
        return int(code), float(seconds)

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture
def runs(notes: Path) -> Iterator[Runs]:
    started = Runs(notes)
    yield started
    started.close()


def content(library: Library) -> list[tuple[DocumentRow, list[Chunk]]]:
    return [(row, library.chunks(row.path)) for row in library.documents()]


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    database = sqlite3.connect(folder / "library.sqlite3")
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


VECTORS = """
SELECT d.path, c.ordinal, v.vector, v.indexed FROM vectors v JOIN chunks c ON c.id = v.chunk
JOIN documents d ON d.id = c.document ORDER BY d.path, c.ordinal
"""


TERMS = """
SELECT d.path, c.ordinal, t.heading, t.body FROM chunk_terms t LEFT JOIN chunks c ON c.id = t.rowid
LEFT JOIN documents d ON d.id = c.document ORDER BY d.path, c.ordinal
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no kill -9 here")
def test_nothing_is_lost_or_doubled_by_fifty_kills(tmp_path: Path, notes: Path, runs: Runs) -> None:
    chance = random.Random(20260301)
    for number in range(FILES):
        (notes / f"{number:02}.md").write_text(note(chance, number), encoding="utf-8")
    code, took = runs.run(tmp_path / "warm-up")
    assert code == 0
    folder = tmp_path / "killed"
    killed = 0
    for _ in range(KILLS):
        code, _ = runs.run(folder, chance.uniform(0, 0.6 * took))
        assert code in (0, -signal.SIGKILL)  # it may have been done before
        killed += code != 0
        with Library(folder, embedder=Counting()) as library:
            assert not [problem for problem in library.health()["problems"] if "damaged" in problem]
            held = content(library)
        assert all(row.chunks == len(chunks) and row.status == "indexed" for row, chunks in held)
        assert all([chunk.ordinal for chunk in chunks] == list(range(len(chunks))) for _, chunks in held)
        change(chance, notes)
    assert killed >= KILLS // 3

    assert runs.run(folder)[0] == 0
    fresh = tmp_path / "fresh"
    with Library(fresh, embedder=Counting(), writable=True) as library:
        ingest([notes], library)
        expected, wanted = content(library), library.health()
    with Library(folder, embedder=Counting()) as library:
        assert content(library) == expected
        health = library.health()
        assert library.search("latent samplers")
    assert {str(path) for path in notes.iterdir()} == {row.path for row, _ in expected}
    assert health["vectors"] == health["chunks"] > FILES
    assert health["problems"] == []
    same = ("documents", "files", "chunks", "vectors", "pending", "waiting", "removed", "embedder", "roots")
    assert {name: health[name] for name in same} == {name: wanted[name] for name in same}
    if health["index"] == "chroma":
        assert health["index_vectors"] == health["chunks"]
    assert rows(folder, VECTORS) == rows(fresh, VECTORS)
    assert rows(folder, TERMS) == rows(fresh, TERMS)

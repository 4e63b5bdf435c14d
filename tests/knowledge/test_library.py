from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from knowledge_samples import Put, chunks, document

from knowledge.embedders import Embedder
from knowledge.errors import (
    DocumentNotFoundError,
    EmbedderChangedError,
    LibraryBusyError,
    StoreError,
)
from knowledge.hashed import HashedWords
from knowledge.library import Library


class Counting(HashedWords):
    def __init__(self, dimension: int = 256) -> None:
        super().__init__(dimension)
        self.seen: list[str] = []

    def encode(self, texts, *, check=None):  # type: ignore[no-untyped-def]
        self.seen.extend(texts)
        return super().encode(texts, check=check)


def test_one_process_writes_at_a_time(tmp_path: Path, hashed: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knowledge.library.PATIENCE", 0.05)
    with (
        Library(tmp_path, embedder=hashed, writable=True) as one,
        Library(tmp_path, embedder=hashed, writable=True) as other,
    ):
        with one.writing():
            with pytest.raises(LibraryBusyError) as caught:
                other.put(document("/a"), chunks("text"))
            assert caught.value.hint
            one.put(document("/a"), chunks("text"))
        other.put(document("/b"), chunks("text"))
        assert len(one.documents()) == 2


def test_a_library_opened_for_reading_is_not_written(tmp_path: Path, hashed: Embedder) -> None:
    with Library(tmp_path, embedder=hashed) as library:
        with pytest.raises(StoreError, match="for reading"):
            library.remove("/a")
        assert library.search("anything") == []


def test_a_reader_sees_what_a_writer_commits(tmp_path: Path, hashed: Embedder, put: Put) -> None:
    with (
        Library(tmp_path, embedder=hashed, writable=True) as writer,
        Library(tmp_path, embedder=hashed) as reader,
    ):
        put(writer, "/a.md", "alpha")
        seen = reader.version()
        assert reader.search("alpha")[0].path == "/a.md"
        put(writer, "/b.md", "beta")
        assert reader.version() > seen
        assert reader.search("beta")[0].path == "/b.md"
        writer.remove("/a.md")
        assert "/a.md" not in {passage.path for passage in reader.search("alpha")}


def test_a_crash_between_store_and_vectors_is_repaired(tmp_path: Path, put: Put) -> None:
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from knowledge.hashed import HashedWords\n"
        "from knowledge.library import Library\n"
        "from knowledge.records import Chunk, Document\n"
        "class Killed(HashedWords):\n"
        "    def encode(self, texts, *, check=None):\n"
        "        os.kill(os.getpid(), 9)\n"
        "library = Library(Path(sys.argv[1]), embedder=Killed(), writable=True)\n"
        "library.put(Document('/a', 'h', 1, 1, 'text', 'A'), [Chunk(0, 'alpha beta', '', 1, 1)])\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert ended.returncode == -9
    with Library(tmp_path, embedder=HashedWords(), writable=True) as library:
        assert library.pending() == 1
        assert library.search("alpha")[0].path == "/a"  # by its words, before the repair
        assert library.embed_pending() == 1
        health = library.health()
        assert (health["chunks"], health["vectors"], health["index_vectors"]) == (1, 1, 1)
        assert health["problems"] == []


def test_only_changed_chunks_are_embedded_again(tmp_path: Path) -> None:
    embedder = Counting()
    with Library(tmp_path, embedder=embedder, writable=True) as library:
        library.put(document("/a"), chunks("one", "two", "three"))
        library.put(document("/a"), chunks("one", "2", "three"))
        assert embedder.seen == ["one", "two", "three", "2"]
        assert library.health()["index_vectors"] == 3


def test_another_embedder_is_noticed_and_rebuild_takes_it(tmp_path: Path) -> None:
    with Library(tmp_path, embedder=HashedWords(64), writable=True) as library:
        library.put(document("/a"), chunks("alpha"))
    with Library(tmp_path, embedder=HashedWords(32), writable=True) as library:
        with pytest.raises(EmbedderChangedError, match="hashed-words:64") as caught:
            library.search("alpha")
        assert "rebuild" in caught.value.hint
        library.rebuild()
        assert library.search("alpha")[0].signals["index"] == "chroma"
        assert library.health()["embedder"] == "hashed-words:32"


def test_rebuild_makes_the_index_again_without_embedding(tmp_path: Path) -> None:
    embedder = Counting()
    with Library(tmp_path, embedder=embedder, writable=True) as library:
        library.put(document("/a"), chunks("alpha", "beta"))
        embedder.seen.clear()
        library.rebuild()
        assert embedder.seen == []
        assert library.health()["index_vectors"] == 2


def test_the_library_opens_with_the_embedder_that_made_it(tmp_path: Path) -> None:
    with Library(tmp_path, embedder="hashed-words", writable=True) as library:
        library.put(document("/a"), chunks("alpha"))
    with Library(tmp_path) as library:
        assert library.embedder.name == "hashed-words"
        assert library.search("alpha")


def test_a_document_that_is_not_there_names_the_nearest(library: Library, put: Put) -> None:
    put(library, "/notes/samplers.md", "text")
    with pytest.raises(DocumentNotFoundError) as caught:
        library.chunks("/notes/sampler.md")
    assert "/notes/samplers.md" in caught.value.hint


def test_cancelling_keeps_what_was_embedded(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 300:
            raise StopError

    with Library(tmp_path, embedder=HashedWords(), writable=True) as library:
        library.put(document("/a"), chunks(*(f"text {n}" for n in range(600))), embed=False)
        with pytest.raises(StopError):
            library.embed_pending(check=check)
        assert library.pending() == 600 - 256
        library.embed_pending()
        assert library.health()["index_vectors"] == 600


def test_progress_counts_up_to_the_total(library: Library, put: Put) -> None:
    put(library, "/a.md", *(f"text {n}" for n in range(300)), embed=False)
    events: list[dict[str, object]] = []
    library.embed_pending(report=events.append)
    embedded = [(e["done"], e["total"]) for e in events if e["stage"] == "embed"]
    assert embedded == [(256, 300), (300, 300)]
    assert all(event["kind"] == "progress" for event in events)


def test_nothing_of_a_removed_document_stays_in_the_files(tmp_path: Path, hashed: Embedder, put: Put) -> None:
    with Library(tmp_path, embedder=hashed, writable=True) as library:
        for number in range(40):
            put(library, f"/{number}.md", f"plain note number {number} about lenses and light")
        put(library, "/secret.md", "The xylophonist hid the zircon under the quincunx.")
        library.remove("/secret.md")
        library.embed_pending()
        library.compact()
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        for word in (b"xylophonist", b"zircon", b"quincunx", b"xylophon"):
            assert word not in kept
        assert library.search("lenses and light", 3)

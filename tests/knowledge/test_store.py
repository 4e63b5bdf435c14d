from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from knowledge_samples import chunks, document

from knowledge.errors import StoreError
from knowledge.language import terms
from knowledge.records import Chunk
from knowledge.schema import VERSION
from knowledge.store import FILE_NAME, Store


def blob(number: float) -> bytes:
    import numpy as np

    return np.full(4, number, dtype=np.float32).tobytes()


def test_a_document_comes_back_as_it_was_put(tmp_path: Path) -> None:
    store = Store(tmp_path)
    chunk = Chunk(0, "- Шум\n  id:: a", "Page", 3, 4, None, "a", ("((b))", "Page"), "Шум")
    store.put(document("/n/a.md", "Page"), [chunk])
    assert store.chunks("/n/a.md") == [chunk]
    row = store.document("/n/a.md")
    assert row is not None
    assert (row.title, row.status, row.chunks) == ("Page", "indexed", 1)
    assert store.manifest() == {"/n/a.md": ("hash of /n/a.md", 1, 1)}


def test_every_write_that_a_search_can_see_grows_the_version(tmp_path: Path) -> None:
    store = Store(tmp_path)
    versions = [store.version()]
    for action in (
        lambda: store.put(document("/a"), chunks("one")),
        lambda: store.add_vectors([(1, blob(1))]),
        lambda: store.move("/a", "/b"),
        lambda: store.remove("/b"),
    ):
        action()
        versions.append(store.version())
    assert versions == sorted(set(versions))


def test_full_text_finds_other_forms_in_both_languages(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ids = store.put(document("/a"), chunks("Euler samplers are fast", "Настройки сэмплера Эйлера"))
    assert [chunk for chunk, _ in store.bm25(terms("sampler"), 5)] == [ids[0]]
    assert [chunk for chunk, _ in store.bm25(terms("настройка сэмплеров"), 5)] == [ids[1]]
    assert store.bm25(terms("nothing"), 5) == []
    assert store.document_frequencies(terms("sampler euler nothing")) == {
        **dict.fromkeys(terms("sampler euler"), 1),
        **dict.fromkeys(terms("nothing"), 0),
    }


def test_replaced_chunks_leave_the_full_text_and_the_index(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (old,) = store.put(document("/a"), chunks("alpha"))
    store.add_vectors([(old, blob(1))])
    store.mark_indexed(added=[old])
    (new,) = store.put(document("/a"), chunks("beta"))
    assert new != old
    assert store.bm25(["alpha"], 5) == []
    assert store.leaving(10) == [old]
    assert [chunk for chunk, _ in store.pending(10)] == [new]


def test_an_unchanged_chunk_of_a_changed_file_keeps_its_vector(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = store.put(document("/a"), chunks("same", "old"))
    store.add_vectors([(first, blob(1)), (second, blob(2))])
    again, changed = store.put(document("/a"), chunks("same", "new"))
    assert store.vectors_of([again]) == {again: blob(1)}
    assert [chunk for chunk, _ in store.pending(10)] == [changed]


def test_a_moved_document_keeps_chunks_and_vectors(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (chunk,) = store.put(document("/a"), chunks("text"))
    store.add_vectors([(chunk, blob(1))])
    assert store.move("/a", "/b", 7)
    assert store.manifest() == {"/b": ("hash of /a", 7, 1)}
    assert store.pending(10) == []
    assert not store.move("/a", "/c")


def test_a_vector_for_a_chunk_that_has_gone_is_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add_vectors([(99, blob(1))])
    assert store.counts()["vectors"] == 0


def test_a_failed_write_leaves_the_former_document_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(document("/a"), chunks("one"))
    twice = [*chunks("two"), *chunks("three")]  # the same ordinal twice
    with pytest.raises(StoreError):
        store.put(document("/a"), twice)
    assert [chunk.text for chunk in store.chunks("/a")] == ["one"]
    assert [text for _, text in store.pending(9)] == ["one"]


def test_a_second_connection_sees_what_the_first_has_committed(tmp_path: Path) -> None:
    one, other = Store(tmp_path), Store(tmp_path)
    before = other.version()
    one.put(document("/a"), chunks("text"))
    assert other.version() > before
    assert list(other.manifest()) == ["/a"]


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database, but long enough to look at" * 40)
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        Store(tmp_path)
    assert caught.value.hint


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).close()
    database = sqlite3.connect(tmp_path / FILE_NAME)
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    with pytest.raises(StoreError, match="layout"):
        Store(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be used"):
        Store(tmp_path / "file" / "library")

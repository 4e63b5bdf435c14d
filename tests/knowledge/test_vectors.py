from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from knowledge_samples import chunks, document

from knowledge.store import Store
from knowledge.vectors import FOLDER_NAME, VectorIndex


def unit(count: int, dimension: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def filled(folder: Path, vectors: np.ndarray) -> Store:
    store = Store(folder)
    ids = store.put(document("/a"), chunks(*(f"text {number}" for number in range(len(vectors)))))
    store.add_vectors((chunk, row.tobytes()) for chunk, row in zip(ids, vectors, strict=True))
    return store


def opened(folder: Path, store: Store, *, identity: str = "e") -> VectorIndex:
    return VectorIndex(folder, store, identity=identity)


def test_chroma_and_exact_search_agree(tmp_path: Path) -> None:
    vectors = unit(200)
    store = filled(tmp_path, vectors)
    index = opened(tmp_path, store)
    query = unit(1, seed=1)[0]
    exact, used = index.search(query, 10)
    assert used == "exact"  # nothing has reached Chroma yet
    index.flush()
    found, used = index.search(query, 10)
    assert used == "chroma"
    assert [chunk for chunk, _ in found] == [chunk for chunk, _ in exact]
    assert np.allclose([c for _, c in found], [c for _, c in exact], atol=1e-5)
    assert index.count() == 200
    index.close()


def test_removed_chunks_leave_chroma_at_the_next_flush(tmp_path: Path) -> None:
    store = filled(tmp_path, unit(5))
    index = opened(tmp_path, store)
    index.flush()
    store.remove("/a")
    assert index.search(unit(1)[0], 3) == ([], "exact")
    index.flush()
    assert index.count() == 0
    index.close()


def test_exact_search_answers_while_another_process_writes(tmp_path: Path) -> None:
    store = filled(tmp_path, unit(5))
    writer = opened(tmp_path, store)
    writer.flush()
    reader = opened(tmp_path, Store(tmp_path))
    assert reader.search(unit(1)[0], 3)[1] == "chroma"
    (chunk,) = store.put(document("/b"), chunks("more"))
    store.add_vectors([(chunk, unit(1, seed=9)[0].tobytes())])
    found, used = reader.search(unit(1, seed=9)[0], 1)
    assert (found[0][0], used) == (chunk, "exact")
    writer.flush()
    found, used = reader.search(unit(1, seed=9)[0], 1)
    assert (found[0][0], used) == (chunk, "chroma")
    reader.close()
    writer.close()


def test_two_writers_in_turn_lose_nothing(tmp_path: Path) -> None:
    one_store, other_store = filled(tmp_path, unit(5)), Store(tmp_path)
    one, other = opened(tmp_path, one_store), opened(tmp_path, other_store)
    one.flush()
    for number, (store, index) in enumerate([(other_store, other), (one_store, one), (other_store, other)]):
        (chunk,) = store.put(document(f"/{number}"), chunks(f"more {number}"))
        store.add_vectors([(chunk, unit(1, seed=100 + number)[0].tobytes())])
        index.flush()
        assert index.count() == 6 + number
        assert index.search(unit(1, seed=100 + number)[0], 1) == ([(chunk, pytest.approx(1))], "chroma")
    one.close()
    other.close()


def test_a_crash_between_chroma_and_the_store_is_harmless(tmp_path: Path) -> None:
    store = filled(tmp_path, unit(5))
    index = opened(tmp_path, store)
    index.flush()
    store._db.execute("UPDATE vectors SET indexed = 0")  # Chroma had them, the mark was lost
    index.close()
    again = opened(tmp_path, store)
    again.flush()
    assert again.count() == 5
    assert again.search(unit(1)[0], 3)[1] == "chroma"
    again.close()


def test_a_damaged_chroma_folder_falls_back_and_is_made_again(tmp_path: Path) -> None:
    store = filled(tmp_path, unit(5))
    folder = tmp_path / FOLDER_NAME
    folder.mkdir()
    (folder / "chroma.sqlite3").write_bytes(b"no database at all" * 100)
    index = opened(tmp_path, store)
    assert index.problem
    assert index.count() is None
    assert index.search(unit(1)[0], 3)[1] == "exact"
    index.rebuild()
    assert index.count() == 5
    assert not index.problem
    index.close()


def test_a_collection_of_another_embedder_is_not_used(tmp_path: Path) -> None:
    store = filled(tmp_path, unit(5))
    index = opened(tmp_path, store)
    index.flush()
    index.close()
    other = opened(tmp_path, store, identity="another")
    assert "made by e" in other.problem
    assert other.count() is None
    assert other.search(unit(1)[0], 3)[1] == "exact"
    other.close()


def test_a_collection_with_vectors_missing_is_filled_again(tmp_path: Path) -> None:
    store = filled(tmp_path, unit(5))
    index = opened(tmp_path, store)
    index.flush()
    index._collection.delete(ids=["1", "2"])
    index.close()
    again = opened(tmp_path, store)
    again.flush()
    assert again.count() == 5
    again.close()

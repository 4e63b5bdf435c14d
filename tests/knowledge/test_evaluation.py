from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from knowledge.embedders import Embedder
from knowledge.errors import EvaluationError
from knowledge.evaluation import evaluate, ndcg, recall, reciprocal_rank


def test_ndcg_by_hand() -> None:
    gains = {"a": 2, "b": 1}
    ideal = 2 + 1 / math.log2(3)
    assert ndcg(["a", "b"], gains, 10) == pytest.approx(1)
    assert ndcg(["x", "b", "a"], gains, 10) == pytest.approx((1 / math.log2(3) + 1) / ideal)
    assert ndcg(["x", "b", "a"], gains, 2) == pytest.approx(1 / math.log2(3) / ideal)
    assert ndcg(["x"], gains, 10) == 0


def test_recall_and_reciprocal_rank_by_hand() -> None:
    gains = {"a": 1, "b": 1, "c": 0}
    assert recall(["a", "x", "b"], gains, 2) == 0.5
    assert recall(["c"], gains, 5) == 0
    assert reciprocal_rank(["x", "b"], gains, 10) == 0.5
    assert reciprocal_rank(["x", "x", "a"], gains, 2) == 0


def beir(folder: Path) -> Path:
    (folder / "qrels").mkdir()
    corpus = {"d1": "alpha beta", "d2": "gamma delta", "d3": "epsilon zeta"}
    queries = {"q1": "gamma", "q2": "zeta", "q3": "never judged"}
    (folder / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"_id": k, "title": "", "text": v}) for k, v in corpus.items())
    )
    (folder / "queries.jsonl").write_text("\n".join(json.dumps({"_id": k, "text": v}) for k, v in queries.items()))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td2\t1\nq2\td3\t1\n")
    return folder


def test_a_small_folder_is_measured(tmp_path: Path, hashed: Embedder) -> None:
    found = evaluate(beir(tmp_path), embedder=hashed)
    assert (found["queries"], found["documents"], found["chunks"]) == (2, 3, 3)
    assert found["ndcg@10"] == found["recall@5"] == found["mrr@10"] == 1
    assert found["by"] == {"bm25": 1, "dense": 1, "hybrid": 1}
    assert 0 < found["p50_ms"] <= found["p95_ms"]


def test_a_folder_of_another_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"corpus\.jsonl"):
        evaluate(tmp_path)
    folder = beir(tmp_path)
    (folder / "corpus.jsonl").write_text("not json")
    with pytest.raises(EvaluationError, match="not laid out"):
        evaluate(folder)


def part(source: Path, folder: Path, documents: int) -> Path:
    """The first documents of a set with the questions about them."""
    corpus = (source / "corpus.jsonl").read_text(encoding="utf-8").split("\n")[:documents]
    names = {json.loads(line)["_id"] for line in corpus}
    table = (source / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()
    (folder / "qrels").mkdir()
    (folder / "corpus.jsonl").write_text("\n".join(corpus), encoding="utf-8")
    (folder / "queries.jsonl").write_text((source / "queries.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
    kept = [line for line in table[1:] if line.split("\t")[1] in names]
    (folder / "qrels" / "test.tsv").write_text("\n".join([table[0], *kept]))
    return folder


def test_hybrid_on_real_questions(shared: Path, tmp_path: Path, minilm: Embedder) -> None:
    found = evaluate(part(shared / "data" / "beir" / "xquad-en", tmp_path, 20), embedder=minilm)
    by = found["by"]
    assert found["queries"] > 80
    assert by["hybrid"] >= max(by["bm25"], by["dense"]) - 0.005
    assert found["ndcg@10"] >= 0.95


def test_russian_questions_are_answered_by_words_alone(shared: Path, tmp_path: Path, hashed: Embedder) -> None:
    found = evaluate(part(shared / "data" / "beir" / "xquad-ru", tmp_path, 60), embedder=hashed)
    assert found["by"]["bm25"] >= 0.94

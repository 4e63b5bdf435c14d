"""Retrieval measured on a folder in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/test.tsv.

A document's rank is that of its best chunk. nDCG uses the gains as given and log2 discounts
(Järvelin and Kekäläinen 2002); queries without a judged document are left out.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from knowledge import search
from knowledge.embedders import Embedder
from knowledge.errors import EvaluationError
from knowledge.library import Library
from knowledge.records import Chunk, Document

Split = Callable[[str, str], Sequence[Chunk]]
Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]

WAYS = ("bm25", "dense", "hybrid")


def whole(title: str, text: str) -> list[Chunk]:
    """A document as one chunk; the embedder cuts what it cannot read."""
    return [Chunk(0, text, title, 1, text.count("\n") + 1)]


def evaluate(
    folder: Path,
    *,
    embedder: Embedder | str | None = None,
    split: Split = whole,
    k: int = 10,
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> dict[str, Any]:
    """{"ndcg@10", "recall@5", "recall@100", "mrr@10", "p50_ms", "p95_ms", "queries", "documents",
    "chunks", "by": {"bm25", "dense", "hybrid"}} (``by``: nDCG@10). Times are of one warm search,
    the query's embedding included. ``split(title, text)`` makes the chunks of a document. Raises
    EvaluationError for a folder of another layout.
    """
    corpus, queries, judged = load_folder(Path(folder))
    with (
        tempfile.TemporaryDirectory(prefix="atelier-eval-") as place,
        Library(Path(place), embedder=embedder, writable=True) as library,
    ):
        chunks = 0
        for number, (name, (title, text)) in enumerate(corpus.items(), 1):
            check()
            pieces = list(split(title, text))
            chunks += len(pieces)
            document = Document(name, "", len(text), 0, "text", title or name)
            library.put(document, pieces, embed=False)
            if number % 100 == 0:
                report(_progress("corpus", number, len(corpus)))
        library.embed_pending(report=report, check=check)
        rankings: dict[str, dict[str, list[str]]] = {way: {} for way in WAYS}
        times = []
        asked = [(name, text) for name, text in queries.items() if judged.get(name)]
        for number, (name, text) in enumerate(asked, 1):
            check()
            started = time.perf_counter()
            found = library.explain(text)
            library.passages(found, k)
            times.append(1000 * (time.perf_counter() - started))
            for way, ranking in rank_documents(library, found).items():
                rankings[way][name] = ranking
            if number % 50 == 0:
                report(_progress("queries", number, len(asked)))
    return {
        "ndcg@10": _mean(ndcg(rankings["hybrid"][q], judged[q], 10) for q, _ in asked),
        "recall@5": _mean(recall(rankings["hybrid"][q], judged[q], 5) for q, _ in asked),
        "recall@100": _mean(recall(rankings["hybrid"][q], judged[q], 100) for q, _ in asked),
        "mrr@10": _mean(reciprocal_rank(rankings["hybrid"][q], judged[q], 10) for q, _ in asked),
        "p50_ms": round(float(np.percentile(times, 50)), 2),
        "p95_ms": round(float(np.percentile(times, 95)), 2),
        "queries": len(asked),
        "documents": len(corpus),
        "chunks": chunks,
        "by": {way: _mean(ndcg(rankings[way][q], judged[q], 10) for q, _ in asked) for way in WAYS},
    }


def rank_documents(library: Library, found: search.Found) -> dict[str, list[str]]:
    """Paths of documents, best first, by each way of searching."""
    hits = found.hits
    paths = library.paths_of([hit.chunk_id for hit in hits])

    def ordered(chosen: Sequence[search.Hit]) -> list[str]:
        return list(dict.fromkeys(paths[hit.chunk_id] for hit in chosen if hit.chunk_id in paths))

    lexical = [hit for hit in hits if hit.bm25_rank is not None]
    dense = [hit for hit in hits if hit.dense_rank is not None]
    return {
        "bm25": ordered(sorted(lexical, key=lambda hit: hit.bm25_rank or 0)),
        "dense": ordered(sorted(dense, key=lambda hit: hit.dense_rank or 0)),
        "hybrid": ordered(hits),
    }


def ndcg(ranking: Sequence[str], gains: Mapping[str, int], k: int) -> float:
    """Normalised discounted cumulative gain of the first ``k``, 0..1."""

    def discounted(values: Sequence[int]) -> float:
        return sum(gain / math.log2(place + 2) for place, gain in enumerate(values))

    ideal = discounted(sorted(gains.values(), reverse=True)[:k])
    return discounted([gains.get(name, 0) for name in ranking[:k]]) / ideal if ideal else 0.0


def recall(ranking: Sequence[str], gains: Mapping[str, int], k: int) -> float:
    """The share of the relevant documents among the first ``k``."""
    relevant = {name for name, gain in gains.items() if gain > 0}
    return len(relevant.intersection(ranking[:k])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], gains: Mapping[str, int], k: int) -> float:
    """One over the rank of the first relevant document among the first ``k``, else 0."""
    for place, name in enumerate(ranking[:k], 1):
        if gains.get(name, 0) > 0:
            return 1 / place
    return 0.0


def load_folder(
    folder: Path,
) -> tuple[dict[str, tuple[str, str]], dict[str, str], dict[str, dict[str, int]]]:
    """(corpus: id -> (title, text), queries: id -> text, judgements: query -> document -> gain)."""
    for part in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        if not (folder / part).is_file():
            raise EvaluationError(
                f"{folder} has no {part}",
                "Name a folder in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/test.tsv.",
            )
    try:
        corpus = {
            str(row["_id"]): (str(row.get("title") or ""), str(row.get("text") or ""))
            for row in _rows(folder / "corpus.jsonl")
        }
        queries = {str(row["_id"]): str(row["text"]) for row in _rows(folder / "queries.jsonl")}
        judged: dict[str, dict[str, int]] = {}
        table = (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()
        for line in table[1:]:
            if line.strip():
                query, document, gain = line.split("\t")
                if int(gain) > 0:
                    judged.setdefault(query, {})[document] = int(gain)
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(
            f"{folder} is not laid out as BEIR lays it out: {error}",
            "Each line of the JSON files holds _id and text; the table has three columns.",
        ) from error
    return corpus, queries, judged


def _rows(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line.strip()]


def _mean(values: Any) -> float:
    numbers = list(values)
    return round(sum(numbers) / len(numbers), 4) if numbers else 0.0


def _progress(stage: str, done: int, total: int) -> dict[str, Any]:
    return {"kind": "progress", "stage": stage, "done": done, "total": total}

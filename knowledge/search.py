"""Passages for a query: BM25 and dense lists, fused.

Fusion is convex on scores: each list is divided by its own best score, then ``dense_weight`` of
one is added to the rest of the other (Bruch, Gai, Ingber 2023, "An Analysis of Fusion Functions
for Hybrid Retrieval"). Measured with all-MiniLM-L6-v2 on whole documents, nDCG@10 of BM25 / dense
/ RRF (k = 60) / this:

    Cranfield   .530 / .509 / .567 / .575      PubMedQA   .978 / .985 / .985 / .988
    XQuAD en    .972 / .944 / .974 / .981      XQuAD ru   .953 / .176 / .525 / .951

RRF lets a bad list spoil a good one, as the Russian set shows: the model knows no Russian. A chunk
that only one list found is scored by the other as well, so no score is missing for being just
below a cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowledge.errors import QueryError
from knowledge.language import content_terms, fold
from knowledge.records import Passage
from knowledge.store import Store
from knowledge.vectors import VectorIndex

Vector = NDArray[np.float32]

DEPTH = 200
DENSE_WEIGHT = 0.5
UNREAD_DENSE_WEIGHT = 0.2  # for a query in a language the embedder does not read
# Two passages closer than this are the same text copied (a changed date or title apart).
SAME_COSINE = 0.985


@dataclass(frozen=True)
class Hit:
    """A chunk and what speaks for it. ``bm25`` is SQLite's score, ``dense`` the cosine; ranks
    count from 1.
    """

    chunk_id: int
    score: float
    bm25: float
    dense: float
    bm25_rank: int | None
    dense_rank: int | None


@dataclass(frozen=True)
class Found:
    """Everything a search saw, best first, for evidence and for ``--explain``."""

    query: str
    stems: tuple[str, ...]
    vector: Vector
    hits: tuple[Hit, ...]
    index: str


def fuse(
    bm25: Sequence[tuple[int, float]],
    dense: Sequence[tuple[int, float]],
    cosines: dict[int, float],
    *,
    dense_weight: float = DENSE_WEIGHT,
) -> list[Hit]:
    """The union of both lists by convex fusion, best first; ties by chunk id.

    ``cosines`` holds the cosine of chunks that only BM25 found (0 where a chunk has no vector yet).
    """
    lexical, semantic = dict(bm25), {**cosines, **dict(dense)}
    lexical_rank = {chunk: rank for rank, (chunk, _) in enumerate(bm25, 1)}
    dense_rank = {chunk: rank for rank, (chunk, _) in enumerate(dense, 1)}
    best_lexical = max(lexical.values(), default=0.0) or 1.0
    best_dense = max(semantic.values(), default=0.0)
    best_dense = best_dense if best_dense > 0 else 1.0
    hits = []
    for chunk in lexical.keys() | semantic.keys():
        score = (1 - dense_weight) * lexical.get(chunk, 0.0) / best_lexical
        score += dense_weight * max(0.0, semantic.get(chunk, 0.0)) / best_dense
        hits.append(
            Hit(
                chunk,
                score,
                lexical.get(chunk, 0.0),
                semantic.get(chunk, 0.0),
                lexical_rank.get(chunk),
                dense_rank.get(chunk),
            )
        )
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))


def find(
    store: Store,
    index: VectorIndex | None,
    query: str,
    vector: Vector,
    *,
    depth: int = DEPTH,
    dense_weight: float = DENSE_WEIGHT,
) -> Found:
    """Rank chunks for ``query``, whose embedding is ``vector``. Raises QueryError for a query
    without words.
    """
    stems = content_terms(query)
    if not stems:
        raise QueryError("The question holds no words", "Ask in words: letters or digits.")
    bm25 = store.bm25(stems, depth)
    dense, used = ([], "none") if index is None else index.search(vector, depth)
    seen = {chunk for chunk, _ in dense}
    blobs = store.vectors_of([chunk for chunk, _ in bm25 if chunk not in seen])
    cosines = {chunk: float(np.frombuffer(blob, dtype=np.float32) @ vector) for chunk, blob in blobs.items()}
    hits = fuse(bm25, dense, cosines, dense_weight=dense_weight)
    return Found(query, tuple(stems), vector, tuple(hits), used)


def passages(store: Store, found: Found, k: int) -> list[Passage]:
    """The best ``k`` hits as passages, copies of a better one left out."""
    chosen: list[Passage] = []
    texts: set[str] = set()
    matrix = np.zeros((0, len(found.vector)), dtype=np.float32)
    for start in range(0, len(found.hits), 2 * k):
        some = found.hits[start : start + 2 * k]
        located = store.located([hit.chunk_id for hit in some])
        blobs = store.vectors_of([hit.chunk_id for hit in some])
        for hit in some:
            if len(chosen) == k:
                return chosen
            if hit.chunk_id not in located:
                continue
            path, title, chunk = located[hit.chunk_id]
            body = " ".join(fold(chunk.text).split())
            if body in texts:
                continue
            if (blob := blobs.get(hit.chunk_id)) is not None:
                own = np.frombuffer(blob, dtype=np.float32)
                if len(matrix) and float((matrix @ own).max()) > SAME_COSINE:
                    continue
                matrix = np.vstack([matrix, own])
            texts.add(body)
            chosen.append(
                Passage(
                    chunk_id=hit.chunk_id,
                    path=path,
                    title=title,
                    heading=chunk.heading,
                    line_start=chunk.line_start,
                    line_end=chunk.line_end,
                    page=chunk.page,
                    score=round(hit.score, 6),
                    text=chunk.text,
                    signals={
                        "bm25": round(hit.bm25, 4),
                        "bm25_rank": hit.bm25_rank,
                        "dense": round(hit.dense, 4),
                        "dense_rank": hit.dense_rank,
                        "index": found.index,
                    },
                )
            )
    return chosen

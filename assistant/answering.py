"""Evidence -> an answer that can be checked.

Quotes come first and need no language model. A model may add sentences in front; each is held against the quotes and
dropped when it says more than they do. The numbers of the citations are this module's, never the model's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from assistant.llm import SMALL, LanguageModel, Message
from assistant.words import content_words, stems
from knowledge.records import Evidence, Quote

EXTRACTIVE = "extractive"
REFUSAL = "Your notes do not answer this."


@dataclass(frozen=True)
class Citation:
    """One numbered quote with the lines it stands on. `link` opens what the note is about (a picture)."""

    n: int
    path: str
    title: str
    heading: str
    line_start: int
    line_end: int
    page: int | None
    quote: str

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Answer:
    """`text` carries the marks [1], [2] of `citations`; `nearest` are passages offered on a refusal."""

    question: str
    text: str
    refused: bool
    citations: tuple[Citation, ...]
    model: str
    nearest: tuple[Citation, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "answer": self.text,
            "refused": self.refused,
            "citations": [citation.to_json() for citation in self.citations],
            "model": self.model,
            "nearest": [citation.to_json() for citation in self.nearest],
        }


def answer(
    evidence: Evidence,
    model: LanguageModel | None,
    *,
    report: Callable[[dict[str, Any]], None] = lambda event: None,
    check: Callable[[], None] = lambda: None,
) -> Answer:
    """Compose the answer; quotes are reported as `text` events before the model is asked."""
    if evidence.refused or not evidence.quotes:
        nearest = tuple(
            Citation(n, p.path, p.title, p.heading, p.line_start, p.line_end, p.page, _glimpse(p.text))
            for n, p in enumerate(evidence.passages[:3], 1)
        )
        report({"kind": "text", "text": REFUSAL})
        return Answer(evidence.question, REFUSAL, True, (), EXTRACTIVE, nearest)
    citations = tuple(_cited(quote) for quote in evidence.quotes)
    quoted = "\n\n".join(f"“{_flat(c.quote)}” [{c.n}]" for c in citations)
    report({"kind": "text", "text": quoted})
    sentences = list(_sentences(evidence, model, check)) if model is not None else []
    if not sentences or model is None:
        return Answer(evidence.question, quoted, False, citations, EXTRACTIVE)
    lead = " ".join(f"{text} [{n}]" for text, n in sentences)
    return Answer(evidence.question, f"{lead}\n\n{quoted}", False, citations, model.name)


def _cited(quote: Quote) -> Citation:
    passage = quote.passage
    return Citation(
        quote.n,
        passage.path,
        passage.title,
        passage.heading,
        quote.line_start,
        quote.line_end,
        passage.page,
        quote.text,
    )


def _flat(text: str) -> str:
    return " ".join(text.split())


def _glimpse(text: str, limit: int = 240) -> str:
    """The beginning of a passage, cut at a word: still verbatim."""
    if len(text) <= limit:
        return text
    return text[:limit].rsplit(None, 1)[0]


def _sentences(evidence: Evidence, model: LanguageModel, check: Callable[[], None]) -> list[tuple[str, int]]:
    """The model's sentences that pass `supported`, each with the number of its quote."""
    small = 0 < model.parameters < SMALL
    quotes = evidence.quotes[: 1 if small else 4]
    notes = "\n".join(f"- {_flat(quote.text)}" for quote in quotes)
    system = (
        "Answer with one short sentence. Use only words of the note."
        if small
        else "Answer from the notes alone, in at most four sentences. Say only what they say."
    )
    budget = model.context - 400
    while model.count(notes) > budget and len(quotes) > 1:
        quotes = quotes[:-1]
        notes = "\n".join(f"- {_flat(quote.text)}" for quote in quotes)
    reply = "".join(
        model.stream(
            [
                Message("system", system),
                Message("user", f"Notes:\n{notes}\n\nQuestion: {evidence.question}"),
            ],
            max_tokens=60 if small else 260,
            check=check,
        )
    )
    kept: list[tuple[str, int]] = []
    for sentence in re.split(r"(?<=[.!?])\s+", _clean(reply)):
        number = supported(sentence, quotes, evidence.question)
        if number is not None and sentence not in (text for text, _ in kept):
            kept.append((sentence, number))
    return kept[: 1 if small else 4]


def _clean(reply: str) -> str:
    """Without citation marks, control characters or terminal codes of the model's own making."""
    reply = re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]", "", reply)
    reply = "".join(c for c in reply if c.isprintable() or c.isspace())
    return _flat(re.sub(r"\[\d+\]", "", reply))


def supported(sentence: str, quotes: tuple[Quote, ...], question: str) -> int | None:
    """Number of the quote that carries `sentence`, or None.

    Carried means: every number in it stands in the quote, nine in ten of its content words stand there or in the
    question, at least two of them in the quote, words that are neighbours in it are near each other there too
    (SmolLM2-135M answered "the sampler atelier-demo" from a quote about a sampler and, later, a model), and it is no
    mere echo of the question. A sentence cut off by the token limit (no closing mark) is not carried.
    """
    if not sentence.endswith((".", "!", "?")):
        return None
    words = content_words(sentence)
    asked = content_words(question)
    if len(words) < 2 or words <= asked:
        return None
    negated = _negations(sentence)
    best: tuple[float, int] | None = None
    for quote in quotes:
        text = content_words(f"{quote.passage.heading} {quote.text}")
        numbers = {word for word in words if any(c.isdigit() for c in word)}
        if not numbers <= content_words(quote.text) or negated != _negations(quote.text):
            continue
        inside = len(words & text)
        share = len(words & (text | asked)) / len(words)
        if not _near(sentence, quote.text, question):
            continue
        if share >= 0.9 and inside >= 2 and (best is None or inside > best[0]):
            best = (inside, quote.n)
    return best[1] if best else None


def _near(sentence: str, *texts: str) -> bool:
    """Whether each two neighbouring content words of `sentence` stand within four of each other in one of `texts`."""
    said = stems(sentence)
    orders = [stems(text) for text in texts]
    for first, second in pairwise(said):
        if first != second and not any(
            second in order[max(0, n - 4) : n + 5] for order in orders for n, word in enumerate(order) if word == first
        ):
            return False
    return True


def _negations(text: str) -> int:
    """1 when the sentence denies something: a small model drops or adds "not" at will."""
    return int(bool(re.search(r"\b(not|no|never|cannot|without|нет|не|никогда|без)\b|n't\b", text.lower())))

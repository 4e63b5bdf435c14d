"""Whether a sentence of a language model says no more than the notes it was given.

Models are not asked whether they are right: words, numbers, negations and the neighbourhood of words are compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from assistant.words import content_words, stems
from knowledge.screen import shown

_MARK = re.compile(r"\s*\[\^?\d+(?:\s*[,;–-]\s*\d+)*\]")


@dataclass(frozen=True)
class Source:
    """What a sentence may lean on: quote or passage number `n`, its heading and its text."""

    n: int
    heading: str
    text: str


def clean(reply: str) -> str:
    """One line without citation marks, control characters or terminal codes of the model's own making."""
    reply = "".join(c for c in shown(reply) if c.isprintable() or c.isspace())
    return " ".join(_MARK.sub("", reply).split())


def supported(sentence: str, sources: Sequence[Source], question: str, *, strict: bool = True) -> int | None:
    """Number of the source that carries `sentence`, or None.

    Carried means: every number in it stands in the source, nine in ten of its content words stand there or in the
    question, at least two of them in the source, words that are neighbours in it are near each other there too
    (SmolLM2-135M answered "the sampler atelier-demo" from a quote about a sampler and, later, a model), and it is no
    mere echo of the question. Without `strict`, for models that rephrase well, seven in ten words suffice and the
    neighbourhood is not asked for. A sentence cut off by the token limit (no closing mark) is never carried.
    """
    if not sentence.endswith((".", "!", "?")):
        return None
    words = content_words(sentence)
    asked = content_words(question)
    if len(words) < 2 or words <= asked:
        return None
    negated = _denies(sentence)
    numbers = {word for word in words if any(c.isdigit() for c in word)}
    best: tuple[float, int] | None = None
    for source in sources:
        text = content_words(f"{source.heading} {source.text}")
        if not numbers <= content_words(source.text):
            continue
        if strict and (negated != _denies(source.text) or not _near(sentence, source.text, question)):
            continue
        inside = len(words & text)
        share = len(words & (text | asked)) / len(words)
        if share >= (0.9 if strict else 0.7) and inside >= 2 and (best is None or inside > best[0]):
            best = (inside, source.n)
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


def _denies(text: str) -> bool:
    """A small model drops or adds "not" at will."""
    return bool(re.search(r"\b(not|no|never|cannot|without|нет|не|никогда|без)\b|n't\b", text.lower()))

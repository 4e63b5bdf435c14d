"""What a question asks for: its words by weight, and whether the answer is an address or a number."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from knowledge.language import VAGUE_TERMS, terms
from knowledge.store import Store

_VAGUE_WEIGHT = 0.3  # of a word of asking ("work", "mean"), beside one of a subject
_UNSEEN = 0.4  # of the weight of an ordinary word that occurs in no note
_ALIKE = 0.8  # of a word of the same meaning (knowledge.glossary)
_KIN = 0.7  # of a word with the same first _ROOT letters
_ROOT = 5
_ASKS_LINK = re.compile(
    r"\b(?:link|url|address|arxiv|github|website|web page|doi)\b|ссылк|адрес|сайт|где (?:по)?читать|где найти", re.I
)
_ASKS_NUMBER = re.compile(
    r"\b(?:how (?:many|much|long|often|old|far|large|big|tall|fast)"
    r"|what (?:percent\w*|number|year|age|size|rate|amount)|what \w+ rate|which year|when (?:did|was|were|will|is))\b"
    r"|\b(?:сколько|когда|как (?:часто|долго|много)|в каком году|какого размера)\b",
    re.I,
)
_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozens?|twenty|thirty|fifty|hundreds?"
    r"|thousands?|millions?|billions?|half|third|quarter|once|twice|january|february|march|april|may|june|july|august"
    r"|september|october|november|december|century|decades?|none|no|several|few|many|daily|weekly|years?|always|never"
    r"|один|одна|одно|одного|дв[ае]|двух|три|трех|трёх|четыре\w*|пять|пяти|шесть|семь|восемь|девять|десять|сто|сотн\w+"
    r"|тысяч\w*|миллион\w*|миллиард\w*|половин\w+|дважды|январ\w|феврал\w|март\w?|апрел\w|ма[яй]|июн\w|июл\w|август\w?"
    r"|сентябр\w|октябр\w|ноябр\w|декабр\w|век[аеу]?|лет|год\w*|несколько|всегда|никогда)\b",
    re.I,
)


@dataclass(frozen=True)
class Asked:
    """The question's words: the weight of each stem (sum 1), other stems that mean the same, and
    whether it asks for an address or for a number.
    """

    weights: Mapping[str, float]
    alike: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    link: bool = False
    number: bool = False

    def fits(self, text: str) -> bool:
        """Whether ``text`` holds what is asked for: a number where one is, else anything."""
        return not self.number or bool(_NUMBER.search(text))

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


def ask(store: Store, query: str, stems: Sequence[str], alike: Mapping[str, tuple[str, ...]]) -> Asked:
    """The weights are inverse document frequencies, smoothed as in BM25. A word of asking counts
    little; an ordinary word that no note holds counts as much as a common one (people say "dark" for
    "black"), a name that no note holds counts fully: it is what the notes do not know.
    """
    total = store.chunk_count()
    others = {one: alike.get(one, ()) for one in stems}
    counts = store.document_frequencies([*stems, *(o for group in others.values() for o in group)])
    names = _names(query)
    raw: dict[str, float] = {}
    for one in stems:
        count = max([counts[one], *(counts[other] for other in others[one])])
        raw[one] = math.log(1 + (total - count + 0.5) / (count + 0.5))
        if not count and one not in names:
            raw[one] *= _UNSEEN
        if one in VAGUE_TERMS:
            raw[one] *= _VAGUE_WEIGHT
    whole = sum(raw.values()) or 1.0
    return Asked(
        {one: value / whole for one, value in raw.items()},
        alike,
        bool(_ASKS_LINK.search(query)),
        bool(_ASKS_NUMBER.search(query)),
    )


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

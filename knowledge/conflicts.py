"""Passages that say different things about the same: found by rule, shown side by side.

Two sentences are held against each other when they share most of their words. They conflict where
their numbers differ, or one denies what the other says. A hint for the person, no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from knowledge import sentences
from knowledge.language import STOP_WORDS, content_terms, stem, words
from knowledge.records import Passage

_SHARED = 0.5  # of the shorter sentence's words
_LEAST = 3  # words in common
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:[.,]\d+)?(?:\s*[-–]\s*\d+(?:[.,]\d+)?)?\s*(%|px|gb|mb|kb|гб|мб)?", re.I)
_NOT = re.compile(r"\b(?:not|never|no|cannot|without|avoid|нет|не|никогда|нельзя|без)\b|n['’]t\b", re.I)
_RANGE = re.compile(r"(?<=\d)\s*(?:[-–—]|\bto\b|\bдо\b)\s*(?=\d)", re.I)  # 5 to 9 is 5–9
_LIST = re.compile(r"^\s*\d{1,3}[.)]\s")


@dataclass(frozen=True)
class Statement:
    """A sentence of a passage, verbatim, with its line."""

    passage: Passage
    text: str
    line: int


@dataclass(frozen=True)
class Conflict:
    """Two statements and why they do not agree: ``numbers`` or ``negation``."""

    one: Statement
    other: Statement
    why: str


def conflicts(question: str, passages: Sequence[Passage], *, most: int = 3) -> list[Conflict]:
    """Conflicting statements about the question's subject in different documents, the clearest first."""
    asked = set(content_terms(question))
    found: list[tuple[float, Conflict]] = []
    said = [(one, _terms(one.text)) for passage in passages for one in _statements(passage)]
    said = [(one, own) for one, own in said if len(asked & own) >= min(2, len(asked))]
    for number, (one, mine) in enumerate(said):
        for other, theirs in said[number + 1 :]:
            if one.passage.path == other.passage.path:
                continue
            common = mine & theirs
            share = len(common) / max(1, min(len(mine), len(theirs)))
            if len(common) < _LEAST or share < _SHARED:
                continue
            if why := disagree(one.text, other.text):
                found.append((share, Conflict(one, other, why)))
    found.sort(key=lambda item: -item[0])
    return [conflict for _, conflict in found[:most]]


def disagree(one: str, other: str) -> str:
    """``numbers``, ``negation`` or an empty string for two sentences about the same."""
    mine, theirs = _numbers(one), _numbers(other)
    if mine and theirs and not mine & theirs:
        return "numbers"
    if mine == theirs and bool(_NOT.search(one)) != bool(_NOT.search(other)):
        return "negation"
    return ""


def _statements(passage: Passage) -> list[Statement]:
    return [
        Statement(
            passage,
            passage.text[span.start : span.end],
            passage.line_start + passage.text.count("\n", 0, span.start),
        )
        for span in sentences.split(passage.text)
        if span.kind in ("prose", "item")
    ]


def _terms(text: str) -> set[str]:
    plain = sentences.plain(text)
    return {stem(word) for word in words(plain) if word not in STOP_WORDS and not word.isdigit()}


def _numbers(text: str) -> set[str]:
    plain = _RANGE.sub("-", _LIST.sub("", sentences.plain(text)))
    return {re.sub(r"\s+", "", match.group()).replace(",", ".").lower() for match in _NUMBER.finditer(plain)}

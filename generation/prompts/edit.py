"""Changing a prompt's text by key: the weight of a selection."""

from __future__ import annotations

import re

WEIGHTED = re.compile(r":\s*([+-]?[.\d]+)\s*\)$")


def adjust_weight(text: str, start: int, end: int, delta: float) -> tuple[str, int, int]:
    """Raise the weight of text[start:end] by `delta`; returns the new text and the selection's new place.

    `word` becomes `(word:1.1)`; an existing `(word:1.1)` around the selection changes its number, and loses its
    parentheses at 1. Weights stay within 0 and 2. Blanks at the ends of the selection stay outside.
    """
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start >= end:
        return text, start, end
    match = re.match(r":\s*([+-]?[.\d]+)\s*\)", text[end:])
    if start > 0 and text[start - 1] == "(" and match:
        before, after = text[: start - 1], text[end + match.end() :]
        weight = _number(match[1])
    elif text[start] == "(" and (inner := WEIGHTED.search(text[start:end])):
        before, after = text[:start], text[end:]
        weight = _number(inner[1])
        start, end = start + 1, start + inner.start()
    else:
        before, after, weight = text[:start], text[end:], 1.0
    words = text[start:end]
    weight = round(min(2.0, max(0.0, weight + delta)), 2)
    if weight == 1:
        return before + words + after, len(before), len(before) + len(words)
    return (
        f"{before}({words}:{weight:g}){after}",
        len(before) + 1,
        len(before) + 1 + len(words),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0

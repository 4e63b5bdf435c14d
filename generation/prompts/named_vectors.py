"""Words of a prompt that stand for learned vectors: how they are found in a text, and how many tokens they take.

What a meter needs while a person types, from headers alone. Leaves reading the vectors to `generation.embeddings`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from generation import headers
from generation.prompts.tokens import ClipTokenizer

FIRST = 1 << 20  # ids from here on stand for vectors, above every vocabulary
TENSORS = frozenset({"emb_params", "clip_l", "clip_g", "*"})  # what the formats call them


class FirstId(int):
    """The id of an embedding's first vector; its `length` vectors stand in one chunk, as the chunker reads here."""

    length: int = 1


def pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    """Finds any of `names` as whole words in any case, the longest first; None where there is none."""
    folded = {unicodedata.normalize("NFC", name).casefold() for name in names}
    ordered = sorted((name for name in folded if name), key=lambda name: (-len(name), name))
    return re.compile("|".join(_whole(name) for name in ordered), re.IGNORECASE) if ordered else None


def _whole(name: str) -> str:
    """A pattern of the name as a whole word; an edge that is no letter or digit needs no room beside it."""
    before = r"(?<!\w)" if re.match(r"\w", name) else ""
    behind = r"(?!\w)" if re.search(r"\w$", name) else ""
    return before + re.escape(name) + behind


def count(path: Path) -> int:
    """How many vectors an embedding's file holds, from its header; 1 where that does not tell."""
    try:
        shapes = headers.read(path)
    except (OSError, ValueError):
        return 1
    sides = [
        shape for name, shape in shapes.items() if name.rpartition(".")[2] in {"emb_params", "clip_l", "clip_g", "*"}
    ]
    sides = sides or list(shapes.values())
    return int(sides[0][0]) if sides and len(sides[0]) == 2 else 1


class CountingTokenizer(ClipTokenizer):
    """A `ClipTokenizer` that gives a named embedding as many ids as it has vectors: {name: vectors}."""

    def __init__(self, tokenizer: ClipTokenizer, vectors: Mapping[str, int]) -> None:
        self._tokenizer = tokenizer._tokenizer
        self._vectors = {unicodedata.normalize("NFC", name).casefold(): n for name, n in vectors.items()}
        self._pattern = pattern(self._vectors)

    def encode_with_places(self, text: str) -> list[tuple[int, int, int]]:
        text = unicodedata.normalize("NFC", text)
        found: list[tuple[int, int, int]] = []
        last = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            found += self._plain(text, last, match.start())
            first = FirstId(FIRST)
            first.length = self._vectors.get(match[0].casefold(), 1)
            ids = [first, *[FIRST + 1] * (first.length - 1)]
            found += [(token, match.start(), match.end()) for token in ids]
            last = match.end()
        return found + self._plain(text, last, len(text))

    def _plain(self, text: str, start: int, end: int) -> list[tuple[int, int, int]]:
        if start == end:
            return []
        places = super().encode_with_places(text[start:end])
        return [(token, start + first, start + last) for token, first, last in places]

    def encode(self, text: str) -> list[int]:
        return [token for token, _, _ in self.encode_with_places(text)]

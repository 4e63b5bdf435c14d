"""A prompt as the 75-token chunks CLIP sees, with A1111's comma backtracking and BREAK."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

from generation.prompts.grammar import BREAK, parse
from generation.prompts.tokens import ClipTokenizer

SIZE = 75
BACKTRACK = 20
COMMA = 267


@dataclass(frozen=True)
class PromptChunk:
    """`tokens` of at most 75; `text` without syntax; `fragments` [(text, weight)]; `ids` and `weights` a token each.

    `moved` is the text that would have fitted into the chunk before and was taken over at a comma, "" for none.
    """

    tokens: int
    text: str
    fragments: tuple[tuple[str, float], ...]
    ids: tuple[int, ...]
    weights: tuple[float, ...]
    moved: str = ""


def chunk(text: str, tokenizer: ClipTokenizer) -> list[PromptChunk]:
    """The chunks of a prompt, at least one; networks are left out.

    A full chunk whose last comma lies at most 20 tokens back gives what follows it to the next chunk, unless the next
    token is itself a comma. BREAK ends a chunk; a trailing one makes no empty chunk, a leading or doubled one does.
    """
    chunks: list[tuple[list[_Token], int]] = []
    current: list[_Token] = []
    comma, over = -1, 0

    def close() -> None:
        nonlocal current, comma, over
        chunks.append((current, over))
        current, comma, over = [], -1, 0

    for number, (piece, weight) in enumerate(parse(text).flat()):
        if (piece, weight) == BREAK:
            close()
            continue
        normal = unicodedata.normalize("NFC", piece)
        for token, start, end in tokenizer.encode_with_places(normal):
            if token == COMMA:
                comma = len(current)
            elif len(current) == SIZE and comma != -1 and len(current) - comma <= BACKTRACK:
                moved = current[comma + 1 :]
                current = current[: comma + 1]
                close()
                current, over = moved, len(moved)
            # The first token of an embedding says how many vectors must stand in one chunk.
            if len(current) + getattr(token, "length", 1) > SIZE:
                close()
                comma = 0 if token == COMMA else -1
            current.append(_Token(token, weight, number, normal, start, end))
    if current or not chunks:
        close()
    return [_made(part, over) for part, over in chunks]


class _Token(NamedTuple):
    """A token with the piece of the prompt it came from and its place there."""

    id: int
    weight: float
    number: int
    piece: str
    start: int
    end: int


def _made(part: list[_Token], over: int) -> PromptChunk:
    """The chunk of these tokens, the first `over` of which were moved here.

    Fragments are the person's own text, from the first token's place to the last's.
    """
    fragments = _fragments(part)
    return PromptChunk(
        len(part),
        " ".join(text for text, _ in fragments),
        tuple(fragments),
        tuple(token.id for token in part),
        tuple(token.weight for token in part),
        " ".join(text for text, _ in _fragments(part[:over])),
    )


def _fragments(part: list[_Token]) -> list[tuple[str, float]]:
    fragments: list[tuple[str, float]] = []
    first = 0
    for n, token in enumerate(part):
        last = n + 1 == len(part) or part[n + 1].number != token.number
        if last:
            fragments.append((token.piece[part[first].start : token.end], token.weight))
            first = n + 1
    return fragments

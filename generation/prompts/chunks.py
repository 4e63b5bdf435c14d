"""A prompt as the 75-token chunks CLIP sees, with A1111's comma backtracking and BREAK."""

from __future__ import annotations

from dataclasses import dataclass

from generation.prompts.grammar import BREAK, parse
from generation.prompts.tokens import ClipTokenizer

SIZE = 75
BACKTRACK = 20
COMMA = 267


@dataclass(frozen=True)
class PromptChunk:
    """`tokens` of at most 75; `text` without syntax; `fragments` [(text, weight)]; `ids` and `weights` a token each."""

    tokens: int
    text: str
    fragments: tuple[tuple[str, float], ...]
    ids: tuple[int, ...]
    weights: tuple[float, ...]


def chunk(text: str, tokenizer: ClipTokenizer) -> list[PromptChunk]:
    """The chunks of a prompt, at least one; networks are left out.

    A full chunk whose last comma lies at most 20 tokens back gives what follows it to the next chunk, unless the next
    token is itself a comma. BREAK ends a chunk; a trailing one makes no empty chunk, a leading or doubled one does.
    """
    chunks: list[list[tuple[int, float]]] = []
    current: list[tuple[int, float]] = []
    comma = -1

    def close() -> None:
        nonlocal current, comma
        chunks.append(current)
        current, comma = [], -1

    for piece, weight in parse(text).flat():
        if (piece, weight) == BREAK:
            close()
            continue
        for token in tokenizer.encode(piece):
            if token == COMMA:
                comma = len(current)
            elif len(current) == SIZE and comma != -1 and len(current) - comma <= BACKTRACK:
                moved = current[comma + 1 :]
                current = current[: comma + 1]
                close()
                current = moved
            if len(current) == SIZE:
                close()
                comma = 0 if token == COMMA else -1
            current.append((token, weight))
    if current or not chunks:
        close()
    return [_made(part, tokenizer) for part in chunks]


def _made(part: list[tuple[int, float]], tokenizer: ClipTokenizer) -> PromptChunk:
    fragments: list[tuple[list[int], float]] = []
    for token, weight in part:
        if fragments and fragments[-1][1] == weight:
            fragments[-1][0].append(token)
        else:
            fragments.append(([token], weight))
    texts = tuple((tokenizer.decode(ids), weight) for ids, weight in fragments)
    return PromptChunk(
        len(part),
        " ".join(text for text, _ in texts),
        texts,
        tuple(token for token, _ in part),
        tuple(weight for _, weight in part),
    )

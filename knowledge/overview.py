"""What a document says, what two documents share, what all say about a subject: in their own sentences.

Every line of the result is a verbatim sentence with its place, so it is checked like a quote. A
summary takes the sentences nearest to the document's middle and unlike each other (the centroid
method of Radev et al. 2004 with the marginal relevance of Carbonell and Goldstein 1998).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knowledge import sentences
from knowledge.embedders import Embedder
from knowledge.language import words
from knowledge.records import Chunk

_LEAST_WORDS = 6
_MOST_SENTENCES = 400  # of one document; every n-th beyond that
_LAMBDA = 0.7
_SAME = 0.62  # sentences of two documents on one subject
_LEAD = 0.08  # what stands first in a document is weighed up by this, falling to nothing at its end

Check = Callable[[], None]


@dataclass(frozen=True)
class Line:
    """A sentence of a document, verbatim."""

    path: str
    heading: str
    text: str
    line: int
    page: int | None

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def lines_of(path: str, chunks: Sequence[Chunk]) -> list[Line]:
    """The sentences of a document that say something."""
    found = []
    for chunk in chunks:
        for span in sentences.split(chunk.text):
            text = chunk.text[span.start : span.end]
            if span.kind in ("prose", "item") and len(words(sentences.plain(text))) >= _LEAST_WORDS:
                line = chunk.line_start + chunk.text.count("\n", 0, span.start)
                found.append(Line(path, chunk.heading, text, line, chunk.page))
    step = max(1, -(-len(found) // _MOST_SENTENCES))
    return found[::step]


def summarise(
    path: str, chunks: Sequence[Chunk], embedder: Embedder, *, most: int = 7, check: Check | None = None
) -> list[Line]:
    """The sentences that stand for the document, in its order."""
    found = lines_of(path, chunks)
    if len(found) <= most:
        return found
    vectors = _encode(found, embedder, check)
    middle = vectors.mean(0)
    weight = vectors @ (middle / (np.linalg.norm(middle) or 1.0))
    weight = weight + _LEAD * np.linspace(1, 0, len(found), dtype=np.float32)
    return [found[n] for n in sorted(_varied(weight, vectors, most))]


def compare(
    one: Sequence[Line], other: Sequence[Line], embedder: Embedder, *, most: int = 5, check: Check | None = None
) -> dict[str, list[Any]]:
    """{"both": [(Line, Line)..], "only_one": [Line..], "only_other": [Line..]}: pairs on one subject,
    the nearest first, and the sentences of each that are farthest from everything in the other.
    """
    if not one or not other:
        return {"both": [], "only_one": list(one[:most]), "only_other": list(other[:most])}
    mine, theirs = _encode(one, embedder, check), _encode(other, embedder, check)
    cosines = (mine @ theirs.T - embedder.floor) / (1 - embedder.floor)
    pairs: list[tuple[Line, Line]] = []
    free = cosines.copy()
    while len(pairs) < most and free.size:
        row, column = divmod(int(free.argmax()), free.shape[1])
        if free[row, column] < _SAME:
            break
        pairs.append((one[row], other[column]))
        free[row, :], free[:, column] = -1, -1
    return {
        "both": pairs,
        "only_one": _unlike(one, mine, cosines.max(1), most),
        "only_other": _unlike(other, theirs, cosines.max(0), most),
    }


def _unlike(lines: Sequence[Line], vectors: NDArray[np.float32], nearest: NDArray[np.float32], most: int) -> list[Line]:
    """Sentences typical of their own document with nothing near in the other."""
    middle = vectors.mean(0)
    weight = vectors @ (middle / (np.linalg.norm(middle) or 1.0)) - nearest
    alone = np.where(nearest < _SAME, weight, -9.0)
    chosen = [n for n in _varied(alone, vectors, most) if nearest[n] < _SAME]
    return [lines[n] for n in sorted(chosen)]


def _varied(weight: NDArray[np.float32], vectors: NDArray[np.float32], most: int) -> list[int]:
    chosen: list[int] = []
    likeness = np.zeros(len(weight), dtype=np.float32)
    left = np.ones(len(weight), dtype=bool)
    while len(chosen) < min(most, len(weight)):
        value = np.where(left, _LAMBDA * weight - (1 - _LAMBDA) * likeness, -np.inf)
        n = int(value.argmax())
        left[n] = False
        chosen.append(n)
        likeness = np.maximum(likeness, vectors @ vectors[n])
    return chosen


def _encode(lines: Sequence[Line], embedder: Embedder, check: Check | None) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = embedder.encode([sentences.plain(line.text) for line in lines], check=check)
    return vectors


def near_duplicates(
    ids: NDArray[np.int64],
    matrix: NDArray[np.float32],
    homes: dict[int, str],
    embedder: Embedder,
    *,
    least: float = 0.6,
    cosine: float = 0.97,
    check: Check = lambda: None,
) -> list[tuple[str, str, float]]:
    """(path, path, share of the shorter one's chunks that the other holds too) of documents that repeat
    each other, the most alike first. ``ids`` and ``matrix`` are the vectors of all chunks.
    """
    place = {path: n for n, path in enumerate(dict.fromkeys(homes.values()))}
    of = np.array([place.get(homes.get(int(chunk), ""), -1) for chunk in ids])
    counts = np.bincount(of[of >= 0], minlength=len(place))
    shared: dict[tuple[int, int], set[int]] = {}
    bar = cosine * (1 - embedder.floor) + embedder.floor
    for start in range(0, len(ids), 512):
        check()
        rows, columns = np.nonzero(matrix[start : start + 512] @ matrix.T > bar)
        for row, column in zip(rows + start, columns, strict=True):
            if of[row] != of[column] and of[row] >= 0 and of[column] >= 0:
                shared.setdefault((int(of[row]), int(of[column])), set()).add(int(row))
    names = list(place)
    found: dict[tuple[str, str], float] = {}
    for (a, b), rows_of_a in shared.items():
        if counts[a] <= counts[b]:
            share = len(rows_of_a) / int(counts[a])
            pair = (names[a], names[b]) if names[a] < names[b] else (names[b], names[a])
            if share >= least:
                found[pair] = max(found.get(pair, 0.0), round(share, 3))
    return sorted(((a, b, share) for (a, b), share in found.items()), key=lambda item: (-item[2], item[:2]))

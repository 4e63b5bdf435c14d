"""An embedder without a model: words hashed into a fixed number of places (the hashing trick).

Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning". It knows no synonyms
and is no match for a trained model; it serves machines without one, and tests, as it is fast and
always gives the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from knowledge.language import STOP_WORDS, stem, words


class HashedWords:
    """Texts -> unit vectors of ``dimension`` numbers: signed counts of the stems, square-rooted."""

    def __init__(self, dimension: int = 256) -> None:
        self.name = "hashed-words"
        self.identity = f"hashed-words:{dimension}"
        self.dimension = dimension
        self.max_tokens = 1_000_000
        self.floor = 0.0

    def encode(
        self, texts: Sequence[str], *, query: bool = False, check: Callable[[], None] | None = None
    ) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            if check is not None:
                check()
            for word in words(text):
                if word not in STOP_WORDS:
                    place, sign = self._place(stem(word))
                    vectors[row, place] += sign
        vectors = np.sign(vectors) * np.sqrt(np.abs(vectors))
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        empty = length[:, 0] == 0
        vectors[empty, 0] = 1.0  # nothing but stop words: any fixed direction
        length[empty] = 1.0
        unit: NDArray[np.float32] = (vectors / length).astype(np.float32)
        return unit

    def reads(self, text: str) -> bool:
        return True

    def _place(self, term: str) -> tuple[int, float]:
        number = int.from_bytes(hashlib.blake2b(term.encode(), digest_size=8).digest(), "big")
        return number // 2 % self.dimension, 1.0 if number % 2 else -1.0

"""The library's part of `atelier bench`: reading beside the raw encoder, reading again, a question among many chunks.

The notes are made up here: a thousand short Markdown files, each other words in the same sentences.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.pipeline import ingest
from knowledge.embedders import Embedder, load_embedder
from knowledge.hashed import HashedWords
from knowledge.library import EMBED_BATCH, Library
from knowledge.records import Chunk, Document

FILES = 1000
CHUNKS = 20_000
QUESTIONS = 60
SENTENCES = (
    "The {0} needs a {1} when the {2} of the picture is low.",
    "A weight of {3} keeps the {1} near the {0}, and more of it burns the {2} out.",
    "With {3} steps the {2} settles; the {0} changes little after that.",
    "I tried the {1} on three {0} pictures and wrote the {2} down.",
    "Never mix the {0} with a {1}, because the {2} then drifts towards the {1}.",
)
# Six hundred nouns that mean nothing: in notes a word of a question stands in some hundredth of the passages.
_ROOTS = ("gra", "len", "mas", "pro", "sil", "tor", "vel", "bru", "con", "dap", "fil", "hor", "kel", "lum", "nar")
_ENDS = ("ban", "cor", "dent", "ding", "fex", "gel", "hull", "jar", "kin", "loom", "mint", "nor", "pel", "quill",
         "rim", "sket", "tan", "vane", "wick", "zone", "brel", "drum", "flint", "grove", "hinge", "knoll", "ledge",
         "marl", "notch", "plume", "ridge", "shoal", "thorn", "vault", "weir", "yarn", "acle", "ober", "ister",
         "umber")  # fmt: skip
WORDS = tuple(root + end for root in _ROOTS for end in _ENDS)


def note(rng: random.Random) -> str:
    """About 60 words, which is one chunk."""
    lines = [one.format(*rng.sample(WORDS, 3), rng.randint(2, 60)) for one in rng.sample(SENTENCES, 4)]
    return f"# {rng.choice(WORDS)} {rng.randint(1, 9999)}\n\n{' '.join(lines)}\n"


class Split:
    """Passages get the cheap vectors of hashed words, questions the model's own: what a question costs does not
    depend on what the vectors say.
    """

    def __init__(self, model: Embedder) -> None:
        self._model, self._cheap = model, HashedWords(model.dimension)
        self.name = self.identity = "bench"
        self.dimension, self.max_tokens, self.floor = model.dimension, model.max_tokens, model.floor

    def encode(
        self, texts: Sequence[str], *, query: bool = False, check: Callable[[], None] | None = None
    ) -> NDArray[np.float32]:
        return (self._model if query else self._cheap).encode(texts, query=query, check=check)

    def reads(self, text: str) -> bool:
        return self._model.reads(text)


def measure_library(row: Callable[..., None], folder: Path) -> None:
    """Rows of the bench; `folder` is made and may be thrown away."""
    embedder = load_embedder()
    embedder.encode(["warm"])
    rng = random.Random(7)
    notes = folder / "notes"
    notes.mkdir(parents=True)
    for number in range(FILES):
        (notes / f"{number:04}.md").write_text(note(rng), "utf-8")
    with Library(folder / "library", embedder=embedder, writable=True) as library:
        began = time.perf_counter()
        ingest([notes], library)
        first = time.perf_counter() - began
        again = statistics.median(_timed(lambda: ingest([notes], library)) for _ in range(3))
        texts = [chunk.embedded for document in library.documents() for chunk in library.chunks(document.path)]
    began = time.perf_counter()
    waiting = iter(texts)
    while some := list(islice(waiting, EMBED_BATCH)):
        embedder.encode(some)
    raw = time.perf_counter() - began
    row("ingest of 1,000 notes, throughput to the raw encoder's", raw / first, "x", f"bar: 0.85; {first:.1f} s")
    row("ingest of 1,000 notes, first to unchanged", first / again, "x", f"bar: 50; {again * 1000:.0f} ms unchanged")
    with Library(folder / "large", embedder=Split(embedder), writable=True) as library:
        for number in range(CHUNKS // 40):
            texts = [note(rng) for _ in range(40)]
            chunks = [Chunk(n, text, f"bench {number}", n + 1, n + 1) for n, text in enumerate(texts)]
            library.put(Document(f"/bench/{number}.md", "", 1, 1, "markdown", f"bench {number}"), chunks, embed=False)
        library.embed_pending()
        for _ in range(3):
            library.search(f"which {WORDS[0]} keeps the {WORDS[9]}")
        taken = [_timed(partial(library.search, _question(rng))) for _ in range(QUESTIONS)]
        index = library.health()["index"]
    p95 = float(np.percentile(taken, 95))
    row("search among 20,000 passages, p95, warm", p95 * 1000, "ms", f"bar: 60; by {index}")
    model = statistics.median(_timed(lambda: embedder.encode([_question(rng)], query=True)) for _ in range(15))
    row("search among 20,000 passages, median to embedding the question", statistics.median(taken) / model, "x")


def _question(rng: random.Random) -> str:
    one, two, three = rng.sample(WORDS, 3)
    return f"Which {one} keeps the {two} when the {three} is low?"


def _timed(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began

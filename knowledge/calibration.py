"""How the constants of refusal were found (knowledge.evidence.CALIBRATION), and how to find them for
another embedder.

    python -m knowledge.calibration BEIR_FOLDER... [--embedder NAME] [--questions 150]

From each folder in BEIR layout small collections are drawn. Questions whose document is in the
collection are answerable; questions about documents that were left out, and those of the other
folders, are not. A logistic model with weights of 0 or more is fitted to the signals of
``evidence.measure``; questions are weighed so that both kinds count the same.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from knowledge.embedders import Embedder, load_embedder
from knowledge.evaluation import load_folder, whole
from knowledge.evidence import THRESHOLD, answerable
from knowledge.library import Library
from knowledge.records import Document

SIZES = (12, 40, 150)


class Remembering:
    """An embedder that reads each text once: collections of one folder share their documents."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[tuple[str, bool], NDArray[np.float32]] = {}
        self.name, self.identity = embedder.name, embedder.identity
        self.dimension, self.max_tokens, self.floor = embedder.dimension, embedder.max_tokens, embedder.floor

    def encode(
        self, texts: Sequence[str], *, query: bool = False, check: Callable[[], None] | None = None
    ) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if (text, query) not in self._known]
        for text, vector in zip(new, self._embedder.encode(new, query=query, check=check), strict=True):
            self._known[text, query] = vector
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        return np.stack([self._known[text, query] for text in texts])

    def reads(self, text: str) -> bool:
        return self._embedder.reads(text)


def observe(folders: Sequence[Path], embedder: Embedder, questions: int, seed: int = 0) -> list[dict[str, Any]]:
    """One row a question: its signals, whether it is answerable (``kind``), ``reads`` and where it came from."""
    rng = random.Random(seed)
    sets = {folder.name: load_folder(folder) for folder in folders}
    rows: list[dict[str, Any]] = []
    for name, (corpus, queries, judged) in sets.items():
        home = {query: next(iter(found)) for query, found in judged.items() if query in queries and len(found) == 1}
        if not home:
            continue  # several documents answer one question here: nothing can be left out cleanly
        foreign = [text for other, (_, texts, _) in sets.items() if other != name for text in texts.values()]
        for size in SIZES:
            held = set(rng.sample(sorted(corpus), min(size, len(corpus) // 2)))
            own = [queries[q] for q, document in home.items() if document in held]
            left = [queries[q] for q, document in home.items() if document not in held]
            with tempfile.TemporaryDirectory() as place, Library(Path(place), embedder=embedder, writable=True) as lib:
                for one in sorted(held):
                    title, text = corpus[one]
                    lib.put(Document(one, "", len(text), 0, "text", title or one), whole(title, text), embed=False)
                lib.embed_pending()
                for kind, texts in (("own", own), ("left", left), ("foreign", foreign)):
                    for text in rng.sample(texts, min(questions, len(texts))):
                        signals = lib.evidence(text).signals
                        rows.append({**signals, "kind": kind, "set": name, "size": size, "reads": embedder.reads(text)})
                print(f"{name} {size}: {len(rows)} questions", file=sys.stderr, flush=True)
    return rows


def fit(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, float]:
    """The logistic model: ``bias`` and a weight of 0 or more for each signal."""
    values = np.array([[row[name] for name in names] for row in rows])
    wanted = np.array([row["kind"] == "own" for row in rows], dtype=float)
    # Questions of other folders are easy; those of left-out documents decide.
    weight = np.where(wanted == 1, 1 / max(1, wanted.sum()), 0.0)
    for kind, share in (("left", 0.6), ("foreign", 0.4)):
        mine = np.array([row["kind"] == kind for row in rows])
        weight += np.where(mine, share / max(1, mine.sum()), 0.0)

    def loss(theta: NDArray[np.float64]) -> float:
        margin = values @ theta[1:] + theta[0]
        # A little ridge keeps weights finite where signals separate the kinds wholly.
        return float((weight * (np.logaddexp(0, margin) - wanted * margin)).sum() + 2e-4 * (theta[1:] ** 2).sum())

    start = np.array([-5.0, *[2.0] * len(names)])
    found = minimize(loss, start, bounds=[(None, None), *[(0, None)] * len(names)])
    return {"bias": round(float(found.x[0]), 2), **{n: round(float(v), 2) for n, v in zip(names, found.x[1:])}}


def score(rows: Sequence[dict[str, Any]], model: dict[str, float]) -> dict[str, float]:
    """Share answered of each kind, by a model."""
    shares: dict[str, float] = {}
    for kind in ("own", "left", "foreign"):
        mine = [row for row in rows if row["kind"] == kind]
        answered = [answerable(row, model) >= THRESHOLD for row in mine]
        shares[kind] = round(sum(answered) / len(answered), 4) if answered else 0.0
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(prog="knowledge.calibration")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--embedder", default="all-MiniLM-L6-v2")
    parser.add_argument("--questions", type=int, default=150)
    parser.add_argument("--rows", type=Path, help="keep what was observed here, as JSON")
    options = parser.parse_args()
    embedder = Remembering(load_embedder(options.embedder))
    rows = observe(options.folders, embedder, options.questions)
    if options.rows:
        options.rows.write_text(json.dumps(rows), "utf-8")
    for reads in (True, False):
        mine = [row for row in rows if row["reads"] == reads]
        if mine:
            model = fit(mine, ("dense", "sentence", "coverage", "single", "fits"))
            print(json.dumps({"reads": reads, "model": model, "answered": score(mine, model)}))


if __name__ == "__main__":
    main()

"""A cross-encoder over the first passages: reads question and passage together, and orders them.

Any folder of a sequence classification model with one output will do (sentence-transformers'
CrossEncoder layout). None is bundled: none is on PyPI.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from knowledge.errors import EmbedderError, EmbedderMissingError

DEPTH = 30  # passages read; each costs about 10 ms on two cores with a six-layer model


class Reranker(Protocol):
    """(question, texts) -> how well each answers, 0..1."""

    name: str

    def scores(self, question: str, texts: Sequence[str]) -> list[float]: ...


class CrossEncoder:
    """The cross-encoder in ``folder``. Raises EmbedderMissingError or EmbedderError."""

    def __init__(self, folder: Path, *, device: str = "cpu") -> None:
        if not (folder / "config.json").is_file():
            raise EmbedderMissingError(
                f"{folder} is no cross-encoder folder (it has no config.json)",
                "Name a folder with config.json, tokenizer files and the weights, or empty library.reranker.",
            )
        self.name = folder.name
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        package = importlib.import_module("sentence_transformers")
        try:
            self._model: Any = package.CrossEncoder(str(folder), device=device, local_files_only=True)
        except Exception as error:  # the libraries raise what they like for a damaged file
            raise EmbedderError(
                f"The cross-encoder in {folder} cannot be read: {str(error)[:160]!r}",
                "Fetch the folder again, or empty library.reranker.",
            ) from error
        if int(getattr(self._model.config, "num_labels", 1)) != 1:
            raise EmbedderError(
                f"The model in {folder} has {self._model.config.num_labels} outputs, not one",
                "Choose a model that was trained to rank passages.",
            )

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        raw = self._model.predict([(question, text) for text in texts], show_progress_bar=False, convert_to_numpy=True)
        values = np.asarray(raw, dtype=np.float64).reshape(-1)
        if values.min() < 0 or values.max() > 1:  # logits, where the model brings no sigmoid of its own
            values = 1 / (1 + np.exp(-np.clip(values, -30, 30)))
        return [float(value) for value in values]

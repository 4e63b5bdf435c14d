"""Textual inversion: words of a prompt that stand for learned vectors (Gal et al. 2022, arXiv:2208.01618).

Reads A1111's .pt (`string_to_param`), .safetensors (`emb_params`; SDXL: `clip_l` and `clip_g`) and diffusers' .bin
(one tensor under its placeholder); pickles as weights only, so that no code runs. A name becomes one id a vector, from
`FIRST` on, above every vocabulary; while `placed()` holds, the text encoders read such ids as the vectors, so that no
tokenizer and no weight of the model changes. Leaves finding the files to `catalogue`.
"""

from __future__ import annotations

import pickle
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from generation.catalogue import PICKLE, ModelEntry
from generation.errors import BadWeights
from generation.prompts.chunks import SIZE
from generation.prompts.named_vectors import FIRST, FirstId, pattern
from generation.prompts.tokens import ClipTokenizer

# Widths of a file's tensors, one a text encoder -> the family it is made for.
FAMILIES = {(768,): "sd15", (1024,): "sd2", (768, 1280): "sdxl"}
ENCODERS = ("clip_l", "clip_g")  # SDXL's two, in the order of its pipeline


def load(path: Path) -> list[torch.Tensor]:
    """The vectors [n, width] of a file, one tensor a text encoder. Raises `BadWeights` in one line."""
    try:
        if path.suffix.lower() == ".safetensors":
            found: Any = load_file(path)
        else:
            # Files of 2022 hold a ParameterDict, which is a table of tensors and nothing else.
            with torch.serialization.safe_globals([torch.nn.ParameterDict]):
                found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BadWeights(f"the embedding {path} cannot be read: {reason}", "Download it again.") from error
    tensors = _tensors(found)
    shapes = [tuple(t.shape) for t in tensors]
    if not tensors or any(len(shape) != 2 or not 1 <= shape[0] <= SIZE for shape in shapes):
        raise BadWeights(f"{path} is no embedding of 1 to {SIZE} vectors", "Choose another file.")
    if len({shape[0] for shape in shapes}) != 1:
        raise BadWeights(f"{path} holds differently many vectors for the two encoders", "Choose another file.")
    return tensors


def _tensors(found: Any) -> list[torch.Tensor]:
    """The tensors of what a file held, [] where it is of none of the formats."""
    if not isinstance(found, Mapping):
        return []
    params: Any = found.get("string_to_param", found)
    if not isinstance(params, Mapping):
        params = getattr(params, "_parameters", {})
    tensors = {str(key): value for key, value in params.items() if isinstance(value, torch.Tensor)}
    if any(name in tensors for name in ENCODERS):
        chosen = [tensors[name] for name in ENCODERS if name in tensors]
    elif "emb_params" in tensors:
        chosen = [tensors["emb_params"]]
    else:
        chosen = list(tensors.values())
        if len(chosen) != 1:
            return []
    return [t.detach().float()[None] if t.dim() == 1 else t.detach().float() for t in chosen]


def family_of(widths: Sequence[int]) -> str:
    """The family whose text encoders are this wide, `of width 12` where there is none."""
    return FAMILIES.get(tuple(widths), f"of width {' + '.join(map(str, widths))}")


class Embeddings:
    """The embeddings a prompt may name, for one model's text encoders.

    A name is the file's, matched as a whole word in any case. Files are read when they are first named.
    """

    def __init__(self, entries: Sequence[ModelEntry], encoders: Sequence[Any], family: str = "") -> None:
        self._encoders = list(encoders)
        self._widths = tuple(int(e.get_input_embeddings().embedding_dim) for e in encoders) if entries else ()
        self._family = family
        self._files: dict[str, list[ModelEntry]] = {}
        for entry in entries:
            self._files.setdefault(unicodedata.normalize("NFC", entry.name).casefold(), []).append(entry)
        self._pattern = pattern(self._files)
        self._ids: dict[str, list[int]] = {}
        self._tables: list[list[torch.Tensor]] = [[] for _ in encoders]

    def __bool__(self) -> bool:
        return self._pattern is not None

    def split(self, text: str) -> list[tuple[int, int, list[int] | None]]:
        """(start, end, ids) of each stretch of `text`: the ids of an embedding, None for plain text between them."""
        stretches: list[tuple[int, int, list[int] | None]] = []
        last = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            if match.start() > last:
                stretches.append((last, match.start(), None))
            stretches.append((match.start(), match.end(), self.ids(match[0])))
            last = match.end()
        if last < len(text):
            stretches.append((last, len(text), None))
        return stretches

    def ids(self, name: str) -> list[int]:
        """One id a vector; the file is read at the first call. Raises `BadWeights` where it does not fit the model."""
        key = name.casefold()
        if key not in self._ids:
            tensors = self._read(key)
            start = FIRST + sum(len(t) for t in self._tables[0])
            for table, tensor in zip(self._tables, tensors, strict=True):
                table.append(tensor)
            first = FirstId(start)
            first.length = len(tensors[0])
            self._ids[key] = [first, *range(start + 1, start + len(tensors[0]))]
        return self._ids[key]

    def _read(self, key: str) -> list[torch.Tensor]:
        """The vectors of the first file of that name that fits."""
        wrong = ""
        for entry in self._files[key]:
            if entry.problem not in {"", PICKLE}:
                raise BadWeights(f"the embedding {entry.path} cannot be used: {entry.problem}", "Download it again.")
            tensors = load(Path(entry.path))
            widths = tuple(t.shape[1] for t in tensors)
            if widths == self._widths:
                return tensors
            wrong = wrong or family_of(widths)
        mine = self._family or family_of(self._widths)
        raise BadWeights(
            f'the embedding "{self._files[key][0].name}" is made for {wrong}, and this model is {mine}',
            "Leave its name out of the prompt, or choose a model of its family.",
        )

    @contextmanager
    def placed(self) -> Iterator[None]:
        """While it holds, the text encoders read ids from `FIRST` on as the vectors they stand for."""
        with ExitStack() as hooks:
            if any(self._tables):
                for encoder, table in zip(self._encoders, self._tables, strict=True):
                    for handle in placing(encoder, torch.cat(table)):
                        hooks.callback(handle.remove)
            yield


def placing(encoder: Any, vectors: torch.Tensor) -> list[Any]:
    """Hooks that swap rows of `vectors` [rows, width] in behind the encoder's table of tokens.

    The encoder itself sees id 0 there: some find the end of the text by the highest id.
    """
    rows: torch.Tensor | None = None

    def before(module: Any, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        nonlocal rows
        ids = args[0] if args else named["input_ids"]
        rows = ids - FIRST
        plain = ids.masked_fill(ids >= FIRST, 0)
        return ((plain, *args[1:]), named) if args else (args, {**named, "input_ids": plain})

    def after(module: Any, args: tuple[Any, ...], found: torch.Tensor) -> torch.Tensor:
        if rows is None or not bool((rows >= 0).any()):
            return found
        ours = vectors.to(found.device, found.dtype)[rows.clamp(min=0)]
        return torch.where((rows >= 0)[..., None], ours, found)

    table = encoder.get_input_embeddings()
    return [encoder.register_forward_pre_hook(before, with_kwargs=True), table.register_forward_hook(after)]


class PlacingTokenizer(ClipTokenizer):
    """A `ClipTokenizer` that gives a named embedding one id a vector, each with the name's place; for `chunk`."""

    def __init__(self, tokenizer: ClipTokenizer, embeddings: Embeddings) -> None:
        self._tokenizer = tokenizer._tokenizer
        self._plain = tokenizer
        self._embeddings = embeddings

    def encode_with_places(self, text: str) -> list[tuple[int, int, int]]:
        text = unicodedata.normalize("NFC", text)
        found = []
        for start, end, ids in self._embeddings.split(text):
            if ids is None:
                places = self._plain.encode_with_places(text[start:end])
                found += [(token, start + first, start + last) for token, first, last in places]
            else:
                found += [(token, start, end) for token in ids]
        return found

    def encode(self, text: str) -> list[int]:
        return [token for token, _, _ in self.encode_with_places(text)]


class PlacingHuggingFace:
    """A tokenizer of `transformers` as Compel uses it, with the ids of the embeddings named in a text."""

    def __init__(self, tokenizer: Any, embeddings: Embeddings) -> None:
        self._plain = tokenizer
        self._embeddings = embeddings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def __call__(self, texts: list[str], **options: Any) -> Any:
        found = self._plain(texts, **options)
        for number, text in enumerate(texts):
            text = unicodedata.normalize("NFC", text)
            stretches = self._embeddings.split(text)
            if all(ids is None for _, _, ids in stretches):
                continue
            inner: list[int] = []
            for start, end, ids in stretches:
                inner += self._plain(text[start:end], add_special_tokens=False)["input_ids"] if ids is None else ids
            found["input_ids"][number] = [self._plain.bos_token_id, *inner, self._plain.eos_token_id]
        return found

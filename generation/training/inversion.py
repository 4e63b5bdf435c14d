"""Textual inversion: vectors behind a new word of the prompt, learned while every weight of the model stays.

Gal et al. 2022, arXiv:2208.01618. While it is trained the word is placed as a render places an embedding's file, so
that what is learned is what is read. Writes A1111's safetensors: `emb_params`, for SDXL `clip_l` and `clip_g`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from generation import embeddings
from generation.catalogue import ModelEntry
from generation.errors import BadSpec
from generation.networks.exporting import aside
from generation.prompts.named_vectors import FIRST, FirstId, pattern
from generation.training.settings import TrainingSpec
from generation.training.whole import finite


class Placed(embeddings.Embeddings):
    """One word, whose vectors are in memory and learn."""

    def __init__(self, word: str, vectors: int) -> None:
        self._pattern = pattern([word.casefold()])
        first = FirstId(FIRST)
        first.length = vectors
        self._ids = {word.casefold(): [first, *range(FIRST + 1, FIRST + vectors)]}


class Word:
    """The vectors of a word, one table a text encoder. Nothing else of the pipeline learns."""

    def __init__(self, pipe: Any, spec: TrainingSpec, entry: ModelEntry) -> None:
        settings = spec.settings
        self._rate = settings["rate"]
        self.word = settings["word"].strip() or Path(spec.output).stem
        if not any(letter.isalnum() for letter in self.word):
            raise BadSpec(f'"{self.word}" is no word', "Give letters or digits.")
        names = [end for end in ("", "_2") if getattr(pipe, f"text_encoder{end}", None) is not None]
        self._encoders = [getattr(pipe, f"text_encoder{end}") for end in names]
        tokenizers = [getattr(pipe, f"tokenizer{end}") for end in names]
        for module in (pipe.unet, *self._encoders):
            module.requires_grad_(False)
        count = settings["vectors"]
        self._vectors = [
            nn.Parameter(_begin(encoder, tokenizer, settings["begin_from"], count, settings["seed"]))
            for encoder, tokenizer in zip(self._encoders, tokenizers, strict=True)
        ]
        self._placed = Placed(self.word, count)
        self.tokenizers = [embeddings.PlacingHuggingFace(one, self._placed) for one in tokenizers]
        self._hooks = ExitStack()
        for encoder, vectors in zip(self._encoders, self._vectors, strict=True):
            for handle in embeddings.placing(encoder, vectors):
                self._hooks.callback(handle.remove)

    def groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self._vectors), "lr": self._rate, "part": "text_encoder"}]

    def named(self) -> dict[str, Tensor]:
        return {f"vectors.{number}": vectors for number, vectors in enumerate(self._vectors)}

    def write(self, path: Path, metadata: Mapping[str, str]) -> list[Path]:
        names = ("emb_params",) if len(self._vectors) == 1 else embeddings.ENCODERS
        made = {
            name: finite(vectors.detach().float().cpu().clone(), f"the vectors of {self.word}")
            for name, vectors in zip(names, self._vectors, strict=True)
        }
        with aside(path) as temporary:
            save_file(made, temporary, metadata={"format": "pt", **metadata})
        return [path]


@torch.no_grad()
def _begin(encoder: Any, tokenizer: Any, words: str, count: int, seed: int) -> Tensor:
    """[count, width]: the vectors of `words`, again from the first where they are fewer, or noise of its size."""
    table = encoder.get_input_embeddings().weight.float()
    if not words.strip():
        noise = torch.randn((count, table.shape[1]), generator=torch.Generator().manual_seed(seed))
        return noise.to(table.device) * table.std()
    ids = tokenizer([words], truncation=False, verbose=False)["input_ids"][0][1:-1]
    if not ids:
        raise BadSpec(f'"{words}" is no word the text encoder knows', "Name a class, such as dog.")
    return table[[ids[number % len(ids)] for number in range(count)]].clone()

"""Small checkpoints and networks to merge, and what the tests of merging share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from original_files import write
from safetensors.torch import load_file, save_file

from generation.catalogue import Catalogue
from generation.merging.running import merge
from generation.merging.sources import Source

Tensors = dict[str, torch.Tensor]


def variant(path: Path, of: Path, seed: int, share: float = 0.1, dtype: torch.dtype | None = None) -> Path:
    """A checkpoint that was trained on from another: its weights with some noise."""
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for name, value in load_file(of).items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=draw) * share * float(value.float().abs().mean())
            value = (value.float() + noise).to(dtype or value.dtype)
        found[name] = value
    save_file(found, path)
    return path


def models(folder: Path, family: str = "sd15", dtype: torch.dtype = torch.float16) -> Path:
    """a.safetensors, b.safetensors and c.safetensors of one family in `folder`."""
    a = write(folder / "a.safetensors", family, dtype=dtype)
    variant(folder / "b.safetensors", a, 1)
    variant(folder / "c.safetensors", a, 2)
    return folder


def lora(path: Path, layers: dict[str, tuple[tuple[int, ...], int, float]], seed: int) -> Path:
    """A kohya file: stem -> (shape of the weight, rank, alpha)."""
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for stem, (shape, rank, alpha) in layers.items():
        ones = (1,) * (len(shape) - 2)
        found[f"{stem}.lora_up.weight"] = torch.randn(shape[0], rank, *ones, generator=draw) * 0.1
        found[f"{stem}.lora_down.weight"] = torch.randn(rank, *shape[1:], generator=draw) * 0.1
        found[f"{stem}.alpha"] = torch.tensor(alpha)
    save_file(found, path)
    return path


def run(recipe: str, output: Path, **options: Any) -> dict[str, Any]:
    """The merge of a recipe whose names are those of the files beside `output`."""
    return merge(Source(recipe), output, Catalogue([output.parent]), **options)


def change(path: Path, place: str) -> torch.Tensor:
    """What a kohya file adds at a stem, in fp64."""
    tensors = load_file(path)
    up, down = (tensors[f"{place}.lora_{half}.weight"].double() for half in ("up", "down"))
    scale = float(tensors[f"{place}.alpha"]) / down.shape[0]
    return scale * (up.flatten(1) @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])

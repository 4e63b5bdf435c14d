"""The tensors of a checkpoint or VAE by name, from headers alone: a single file's, or a diffusers folder's by part.

A folder's names are `part/name`. Names that only differ by the age of the file are brought to one spelling, and running
averages of the weights (`model_ema.`) are left out: merged weights have none. Light: no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import NamedTuple

from generation import headers
from generation.architecture import VAE
from generation.catalogue import ModelEntry
from generation.diffusers_folders import PARTS
from generation.errors import BadWeights

AVERAGES = ("model_ema.",)
CLIP = "cond_stage_model.transformer."
FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
TYPES = {"fp16": "F16", "bf16": "BF16", "fp32": "F32"}


class Held(NamedTuple):
    """Where a tensor lies: `name` is the file's own; `type` as safetensors calls it."""

    shape: tuple[int, ...]
    type: str
    file: Path
    name: str

    @property
    def is_float(self) -> bool:
        return self.type in FLOATS


@dataclass(frozen=True)
class Contents:
    """`tensors` by the one spelling of their names; `texts` what trainers wrote beside them."""

    entry: ModelEntry
    tensors: Mapping[str, Held] = field(repr=False)
    texts: Mapping[str, str] = field(repr=False)

    @property
    def is_folder(self) -> bool:
        return Path(self.entry.path).is_dir()

    @property
    def shapes(self) -> dict[str, list[int]]:
        return {name: list(held.shape) for name, held in self.tensors.items()}

    def bytes(self, precision: str = "") -> int:
        """What the tensors take in a file of that number format; "" is each one's own."""
        return sum(prod(held.shape) * headers.WIDTHS.get(written(held, precision), 4) for held in self.tensors.values())


def written(held: Held, precision: str) -> str:
    """The type a tensor is written in: whole numbers keep theirs."""
    return TYPES[precision] if precision and held.is_float else held.type


def read(entry: ModelEntry) -> Contents:
    """What the weights hold. Raises `BadWeights` in one line where they cannot be read."""
    path = Path(entry.path)
    try:
        if path.is_dir():
            return _folder(entry, path)
        header = headers.load(path)
    except OSError as error:
        raise _broken(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise _broken(path, str(error)) from error
    # A pickle's header bares the names already; the tensors are found by the same names.
    tensors = {
        spelled(name): Held(tuple(shape), header.types[name], path, name)
        for name, shape in header.shapes.items()
        if not name.startswith(AVERAGES)
    }
    return Contents(entry, tensors, header.texts)


def spelled(name: str) -> str:
    """A single file's name in today's spelling: files of 2022 lack a level in the text encoder's."""
    if name.startswith(CLIP) and not name.startswith(f"{CLIP}text_model."):
        return f"{CLIP}text_model.{name.removeprefix(CLIP)}"
    return name


def part_files(folder: Path) -> list[Path]:
    """A part's files of weights: the plain ones where there are variants (`.fp16.`) beside them."""
    found = sorted(folder.glob("*.safetensors"))
    plain = [file for file in found if not any(mark in file.name for mark in (".fp16", ".bf16", ".non_ema"))]
    return plain or found


def _folder(entry: ModelEntry, path: Path) -> Contents:
    tensors: dict[str, Held] = {}
    places = [(path, "")] if entry.kind == "vae" else [(path / part, f"{part}/") for part in PARTS]
    for folder, prefix in places:
        for file in part_files(folder):
            header = headers.load(file)
            for name, shape in header.shapes.items():
                tensors[prefix + name] = Held(tuple(shape), header.types[name], file, name)
    return Contents(entry, tensors, {})


def vae_names(held: Contents) -> dict[str, str]:
    """The VAE's tensors: name in the original code (without prefix) -> name in `held`."""
    prefix = VAE if any(name.startswith(VAE) for name in held.tensors) else ""
    if held.is_folder and held.entry.kind != "vae":
        prefix = "vae/"
    inner = {name.removeprefix(prefix): name for name in held.tensors if name.startswith(prefix)}
    levels = len({name.split(".")[2] for name in inner if name.startswith("decoder.up_blocks.")})
    return {original_vae(short, levels): name for short, name in inner.items()}


# A VAE's attention in diffusers, today and before 2023 -> the original code's.
_ATTENTION = {
    "group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out",
    "query": "q", "key": "k", "value": "v", "proj_attn": "proj_out",
}  # fmt: skip


def original_vae(name: str, levels: int) -> str:
    """A VAE's tensor in the original code's name, of diffusers' or of that itself; `levels` of the decoder."""
    steps = name.split(".")
    if len(steps) < 4 or "_block" not in steps[1]:
        return name.replace("conv_norm_out.", "norm_out.")
    side, block = steps[:2]
    if block == "mid_block":
        inner = ".".join(steps[4:-1])
        if steps[2] == "attentions":
            return f"{side}.mid.attn_1.{_ATTENTION.get(inner, inner)}.{steps[-1]}"
        return f"{side}.mid.block_{int(steps[3]) + 1}.{inner}.{steps[-1]}"
    number = int(steps[2]) if block == "down_blocks" else levels - 1 - int(steps[2])
    place = f"{side}.{block.removesuffix('_blocks')}.{number}"
    if steps[3] == "resnets":
        return f"{place}.block.{steps[4]}.{'.'.join(steps[5:])}".replace("conv_shortcut", "nin_shortcut")
    return f"{place}.{steps[3].removesuffix('rs')}.{'.'.join(steps[5:])}"


def _broken(path: Path, why: str) -> BadWeights:
    return BadWeights(f"{path} cannot be read: {why}", "Download it again, or choose another file.")

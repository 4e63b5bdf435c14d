"""The tensors of a TorchScript program, taken out of its archive; nothing of the program is run or compiled.

Some networks are given away as programs alone. Their weights lie in the archive as in any file of torch, by the names
of the modules' attributes; `pickles` finds them, the numbers are copied from the archive's parts.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path

import torch

from generation import pickles
from generation.headers import WIDTHS

# safetensors' name of a type -> torch's.
TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Name -> tensor on the CPU. Raises ValueError, OSError, RuntimeError or zipfile.BadZipFile for what is damaged."""
    held = pickles.read_program(path)
    check(held)
    found = {}
    with zipfile.ZipFile(path) as archive:
        folder = next(name for name in archive.namelist() if name.endswith("data.pkl")).removesuffix("data.pkl")
        for name, one in held.items():
            numbers = torch.frombuffer(bytearray(archive.read(f"{folder}data/{one.key}")), dtype=TYPES[one.dtype])
            # A view past the storage's end is torch's RuntimeError.
            found[name] = numbers.as_strided(one.shape, one.strides, one.offset).clone()
    return found


def check(held: Mapping[str, pickles.Held]) -> None:
    """Raises ValueError for a tensor that repeats its numbers: a small file can claim any size so."""
    for name, one in held.items():
        if prod(one.shape) * WIDTHS[one.dtype] > one.size:
            raise ValueError(f'"{pickles.short(name)}" claims more numbers than the file holds')

"""What a file of weights holds, told from its table of contents: names, shapes and types, never a tensor.

Reads safetensors headers by the format's own rules and, through `pickles`, files of torch. Leaves what the names mean
to `recognition` and finding files to `catalogue`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from math import prod
from operator import mul, sub
from pathlib import Path
from typing import Any

from generation import pickles, recognition
from generation.recognition import Shapes

LARGEST_HEADER = 100_000_000  # bytes; the format's own limit
PICKLES = frozenset({".ckpt", ".pt", ".pth", ".bin"})
MOST_SIDES = 8  # of one tensor; a convolution of video has five
# Bytes of one number by safetensors' name of its type.
WIDTHS = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I8": 1, "U8": 1, "BOOL": 1, "C64": 8,
}  # fmt: skip
# Tables that trainers wrap around the weights of a pickle.
WRAPPERS = ("state_dict.", "params_ema.", "params.", "string_to_param.", "g_ema.", "model_state_dict.")


@dataclass(frozen=True)
class Header:
    """`shapes`: name -> sides; `types`: name -> "F16", "F32", ...; `texts`: what trainers wrote beside the weights."""

    shapes: Shapes
    types: dict[str, str]
    texts: dict[str, str]

    def weigh(self, *prefixes: str) -> tuple[int, int]:
        """(numbers, bytes) of the tensors whose names begin with one of `prefixes`; of all without one."""
        chosen = [name for name in self.shapes if not prefixes or name.startswith(prefixes)]
        numbers = {name: prod(self.shapes[name]) for name in chosen}
        return sum(numbers.values()), sum(n * WIDTHS.get(self.types.get(name, ""), 4) for name, n in numbers.items())


def read(path: Path) -> Shapes:
    """Name -> shape of every tensor. Raises ValueError in one line when the file is damaged, OSError as it comes."""
    return load(path).shapes


def read_all(path: Path) -> tuple[Shapes, dict[str, str]]:
    """(shapes as `read` gives them, the texts of `__metadata__`: what trainers wrote about the weights)."""
    found = load(path)
    return found.shapes, found.texts


def load(path: Path) -> Header:
    """The table of contents of a safetensors file or of a pickle of torch. Raises as `read` does."""
    if path.suffix.lower() in PICKLES:
        return _pickled(path)
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        table, start = _table(file.read(8), file, size)
    said = table.pop("__metadata__", None)
    try:
        shapes = {name: value["shape"] for name, value in table.items()}
        types = {name: value["dtype"] for name, value in table.items()}
        places = [value["data_offsets"] for value in table.values()]
        problem = _problem(places, shapes, types, start, size)
    except (AttributeError, KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
        raise ValueError("its header has no shapes: not a safetensors file") from error
    if problem:
        raise ValueError(problem)
    texts = {key: str(value) for key, value in said.items()} if isinstance(said, dict) else {}
    return Header(shapes, types, texts)


def recognise(keys: Mapping[str, list[int]]) -> tuple[str, str]:
    """(kind, family) by names and shapes of tensors; "unknown" for what is none of ours."""
    found = recognition.recognise(keys)
    return found.kind, found.family


def _table(head: bytes, file: Any, size: int) -> tuple[dict[str, Any], int]:
    """(the header's table, where the numbers begin)."""
    if len(head) < 8:
        raise ValueError(f"the file is cut short: a header needs 8 bytes, file has {size}")
    (length,) = struct.unpack("<Q", head)
    if length > LARGEST_HEADER:
        raise ValueError(f"not a safetensors file: its header claims {length:,} bytes")
    if 8 + length > size:
        raise ValueError(f"the file is cut short: header says {8 + length:,} bytes, file has {size:,}")
    try:
        table = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise ValueError("its header is no JSON: not a safetensors file") from error
    if not isinstance(table, dict):
        raise ValueError("its header has no shapes: not a safetensors file")  # noqa: TRY004
    return table, 8 + length


def _problem(places: list[list[int]], shapes: Shapes, types: dict[str, str], start: int, size: int) -> str:
    """What is wrong with the places of the tensors, "" when they fill the file of `size` bytes from `start` on.

    The format's rules: each tensor as long as its shape and type say, one behind the other, no gap, nothing after.
    Written without a loop in Python: a LoRA has 800 tensors, and a person 5,000 LoRAs.
    """
    numbers = [*chain.from_iterable(shapes.values()), *chain.from_iterable(places)]
    if not set(map(type, numbers)) <= {int} or min(numbers, default=0) < 0:
        raise TypeError("a shape or a place is no number")
    if max(map(len, shapes.values()), default=0) > MOST_SIDES or not set(map(len, places)) <= {2}:
        raise TypeError("a shape or a place is too long")
    begins, ends = [place[0] for place in places], [place[1] for place in places]
    # A header whose file ends with it describes weights without holding them; reading it harms nobody.
    if size == start and not any(ends):
        return ""
    widths = list(map(WIDTHS.get, types.values()))
    # Types of half a byte and those to come have no width here; then only the order is looked at.
    if None not in widths and list(map(mul, map(prod, shapes.values()), widths)) != list(map(sub, ends, begins)):
        return "the file is damaged: a tensor is not as long as its shape says"
    if sorted(begins) != [0, *sorted(ends)[:-1]][: len(begins)]:
        return "the file is damaged: the places of its tensors overlap or leave a gap"
    end = max(ends, default=0)
    if start + end > size:
        return f"the file is cut short: header says {start + end:,} bytes, file has {size:,}"
    if start + end < size:
        return f"the file is damaged: {size - start - end:,} bytes stand behind its last tensor"
    return ""


def _pickled(path: Path) -> Header:
    held = pickles.read(path)
    names = {name: bare(name) for name in held}
    shapes = {names[name]: tensor.shape for name, tensor in held.items()}
    return Header(shapes, {names[name]: tensor.dtype for name, tensor in held.items()}, {})


def bare(name: str) -> str:
    """A tensor's name without the tables a trainer wrapped around the weights."""
    for wrapper in WRAPPERS:
        name = name.removeprefix(wrapper)
    return name

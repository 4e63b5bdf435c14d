"""Hashes by which tools and sites name weights: of the whole file, of its tensors, and A1111's oldest.

Knows how each is counted. Reads the file once, in pieces; keeping the result is the catalogue's.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from generation.errors import BadWeights

PIECE = 1 << 20
OLD_START, OLD_LENGTH = 0x100000, 0x10000  # A1111 before 2022-12 hashed 64 KiB from the first mebibyte on


@dataclass(frozen=True)
class Hashes:
    """`sha256` of the file; `autov2`, its first ten digits (A1111's "Model hash"); `autov1`, A1111's oldest, 8 digits;
    `autov3`, twelve digits over a safetensors file's tensors without its header ("" for others): LoRA hashes."""

    sha256: str
    autov1: str
    autov2: str
    autov3: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def count(
    path: Path,
    *,
    report: Callable[[dict[str, Any]], None] = lambda event: None,
    check: Callable[[], None] = lambda: None,
) -> Hashes:
    """The hashes of a file. Raises `BadWeights` where it cannot be read."""
    whole, tensors = hashlib.sha256(), hashlib.sha256()
    try:
        with path.open("rb") as file:
            total = file.seek(0, 2)
            file.seek(OLD_START)
            old = hashlib.sha256(file.read(OLD_LENGTH)).hexdigest()[:8]
            file.seek(0)
            start = 8 + struct.unpack("<Q", file.read(8))[0] if path.suffix == ".safetensors" and total >= 8 else total
            file.seek(0)
            done = 0
            while piece := file.read(PIECE):
                check()
                whole.update(piece)
                if done + len(piece) > start:
                    tensors.update(piece[max(0, start - done) :])
                done += len(piece)
                if done % (PIECE << 5) < PIECE:
                    report({"kind": "progress", "stage": "hashing", "done": done >> 20, "total": total >> 20})
    except OSError as error:
        raise BadWeights(f"{path} cannot be read: {error.strerror or error}", "Choose another file.") from error
    found = whole.hexdigest()
    return Hashes(found, old, found[:10], tensors.hexdigest()[:12] if start < total else "")

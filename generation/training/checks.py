"""How a dataset's pictures look: decoded one by one, blurred ones and those that are there twice found.

Blur by the variance of the Laplacian (Pech-Pacheco et al. 2000); likeness by a perceptual hash of 64 bits, the signs of
the lowest cosine frequencies, and a small copy of the colours, since flat pictures share hashes. Leaves sizes, captions
and crops to `plan`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import laplace

from generation.errors import BadImage
from generation.pictures import read
from generation.training.datasets import Picture, Remark

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
SIDE = 512  # pixels of the longer side at which blur is measured, where the training's are not said
BLURRED = 100.0  # variance of the Laplacian of brightness 0..255 under which a photograph looks soft
FLAT = 4.0  # standard deviation of brightness under which there is nothing to be sharp
NEAR = 8  # bits of 64 that may differ in copies at another size, quality or brightness
COLOUR = 0.06  # mean difference of the small copies, of 1
ROWS = 512  # pictures that are compared with all others at once


@dataclass(frozen=True)
class Look:
    """`sharpness` is the Laplacian's variance, None for a flat picture; `bits` [64] of +1 and -1, `colours` [8, 8, 3]
    in 0..1; `digest` of the file's bytes."""

    path: Path
    sharpness: float | None
    bits: np.ndarray
    colours: np.ndarray
    digest: str


def examine(
    pictures: Sequence[Picture], side: int = SIDE, *, report: Report = lambda event: None, check: Check = lambda: None
) -> tuple[Remark, ...]:
    """Remarks of kinds damaged, blurred and duplicate; a duplicate is told at the later picture of the two.

    Blur is measured at `side` pixels, those of the training: what is soft in a photograph may be sharp enough there.
    """
    remarks, looks = [], []
    for number, picture in enumerate(pictures):
        check()
        report({"kind": "progress", "stage": "checking", "done": number, "total": len(pictures)})
        try:
            look = measure(picture.path, side)
        except BadImage as error:
            said = error.message.removeprefix(f"{picture.path} ")
            remarks.append(Remark("damaged", str(picture.path), f"{said}: the training would stop at it"))
            continue
        looks.append(look)
        if look.sharpness is not None and look.sharpness < BLURRED:
            message = f"looks blurred (sharpness {look.sharpness:.0f}, {BLURRED:.0f} is usual at least)"
            remarks.append(Remark("blurred", str(picture.path), message))
    return (*remarks, *_duplicates(looks, check))


def measure(path: Path, side: int = SIDE) -> Look:
    """How the picture at `path` looks; a file that did not change since is not decoded again.

    Raises `BadImage` where it cannot be decoded.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise BadImage(f"{path} cannot be read: {error.strerror}", "Check its rights.") from error
    return _measured(path, (stat.st_mtime_ns, stat.st_size), side)


@lru_cache(maxsize=20_000)
def _measured(path: Path, stamp: tuple[int, int], side: int) -> Look:
    image = read(path)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BadImage(f"{path} cannot be read: {error.strerror}", "Check its rights.") from error
    grey = image.convert("L")
    small = grey.resize((32, 32), Image.Resampling.LANCZOS)
    # The first cosine is the mean brightness, which says nothing of the shape.
    low = dctn(np.asarray(small, dtype=np.float32), norm="ortho")[:8, :8].ravel()
    bits = np.where(low > np.median(low[1:]), 1, -1).astype(np.float32)
    colours = np.asarray(image.resize((8, 8), Image.Resampling.BOX), dtype=np.float32) / 255
    return Look(path, _sharpness(grey, side), bits, colours, digest)


def _sharpness(grey: Image.Image, side: int) -> float | None:
    scale = side / max(grey.size)
    if scale < 1:
        grey = grey.resize([max(round(side * scale), 1) for side in grey.size], Image.Resampling.BOX)
    values = np.asarray(grey, dtype=np.float32)
    return float(laplace(values).var()) if values.std() >= FLAT else None


def _duplicates(looks: Sequence[Look], check: Check) -> list[Remark]:
    """Each later picture with the first that it repeats."""
    if len(looks) < 2:
        return []
    bits = np.stack([look.bits for look in looks])
    remarks = []
    for begin in range(1, len(looks), ROWS):
        check()
        block = bits[begin : begin + ROWS]
        apart = (64 - block @ bits.T) / 2
        for row, number in enumerate(range(begin, min(begin + ROWS, len(looks)))):
            for other in np.flatnonzero(apart[row, :number] <= NEAR):
                if said := _said(looks[number], looks[int(other)]):
                    remarks.append(Remark("duplicate", str(looks[number].path), said))
                    break
    return remarks


def _said(one: Look, other: Look) -> str:
    if one.digest == other.digest:
        return f"is the same file as {other.path.name}"
    if float(np.abs(one.colours - other.colours).mean()) <= COLOUR:
        return f"looks the same as {other.path.name}"
    return ""

"""Block weights: a number for each block of a UNet, as supermerger counts them, and which block a tensor belongs to.

SD 1 and SD 2 have 26 (BASE, IN00-IN11, M00, OUT00-OUT11), SDXL 20 (BASE, IN00-IN08, M00, OUT00-OUT08). BASE is all that
is outside the UNet, and what stands before its blocks; what stands behind them goes with the last. Light: no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from generation.errors import BadSpec, nearest
from generation.fitting import NAMES, base

DEPTHS = {"sd15": 12, "sd2": 12, "sdxl": 9}
DEFAULT = "default"
UNET = "model.diffusion_model."
_PLACE = re.compile(r"^(input|output)_blocks[._](\d+)[._]")
# A number for all tensors, or one for each block by its name.
Weight = float | dict[str, float]


def names(family: str) -> tuple[str, ...]:
    """The blocks of a family in their order, () where the family is none that is counted."""
    depth = DEPTHS.get(base(family), 0)
    if not depth:
        return ()
    return (
        "BASE",
        *(f"IN{number:02}" for number in range(depth)),
        "M00",
        *(f"OUT{number:02}" for number in range(depth)),
    )


def by_name(value: Any, family: str, what: str = "alpha", low: float = -10, high: float = 10) -> Weight:
    """A recipe's number, list of numbers or table by block, for a model of `family`.

    A table's blocks that are not named have `default`. Raises `BadSpec` for another length, an unknown block, or what
    is no number of the range.
    """
    if not isinstance(value, (Sequence, Mapping)):
        return _number(value, what, low, high)
    known = names(family)
    shown = NAMES.get(base(family), family)
    if not known:
        raise BadSpec(f"{what}: blocks of {shown} are not counted", "Give one number for all of it.")
    if isinstance(value, Mapping):
        for name in value:
            if name not in {*known, DEFAULT}:
                raise BadSpec(f'{what}: there is no block "{name}" in {shown}', nearest(str(name), (*known, DEFAULT)))
        if DEFAULT not in value and len(value) < len(known):
            raise BadSpec(f"{what} does not say what the other blocks have", f'Add "{DEFAULT}": 0.5.')
        return {n: _number(value.get(n, value.get(DEFAULT)), f"{what} of {n}", low, high) for n in known}
    if len(value) != len(known):
        raise BadSpec(
            f"{what} has {len(value)} numbers, and {shown} has {len(known)} blocks",
            f"Give {len(known)}: {known[0]}, {known[1]}-{known[len(known) // 2 - 1]}, M00, OUT00-{known[-1]}.",
        )
    return {name: _number(one, f"{what} of {name}", low, high) for name, one in zip(known, value, strict=True)}


def block_of(original: str, family: str) -> str:
    """The block of a tensor by its name in the original code (`model.diffusion_model.input_blocks.4.1...`)."""
    inner = original.removeprefix(UNET)
    if inner == original or inner.startswith(("time_embed", "label_emb")):
        return "BASE"
    if inner.startswith("middle_block"):
        return "M00"
    if place := _PLACE.match(inner):
        return f"{'IN' if place[1] == 'input' else 'OUT'}{int(place[2]):02}"
    return names(family)[-1]


def at(weight: Weight, original: str, family: str) -> float:
    """The number for one tensor. Blocks past the family's depth, which no known model has, go with the last."""
    if isinstance(weight, float):
        return weight
    block = block_of(original, family)
    return weight.get(block, weight[names(family)[-1]])


def _number(value: Any, what: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadSpec(f"{what} must be a number, not {value!r}", f"Give {low:g} to {high:g}.")
    if not low <= value <= high:
        raise BadSpec(f"{what} {str(value)[:20]} is out of range", f"Give {low:g} to {high:g}.")
    return float(value)

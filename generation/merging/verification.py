"""Whether a merge is right: the written file read again and held against the formulas, and a picture made with it.

Every value of the file has to be a number. A sample of tensors, one of each part and the rest by chance, has to be what
`formulas` gives, to the rounding of the number format. Where signs are elected, one entry in ten thousand may fall the
other way, since sums that are almost even do so by a rounding.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image, ImageStat
from torch import Tensor

from generation import architecture
from generation.catalogue import look
from generation.errors import BadWeights, GenerationError, RenderFailed
from generation.merging import contents, formulas, networks
from generation.merging.contents import Contents
from generation.merging.networks import Given, Made
from generation.merging.streams import Dare, Stream, pieces
from generation.merging.weights import Reader, rows
from generation.networks import files
from generation.specs import RenderSpec

if TYPE_CHECKING:
    from generation.engine import Engine

Check = Callable[[], None]
SAMPLED = 24  # tensors; of them one of each part
LARGEST = 1 << 22  # numbers in a sampled tensor: its fp64 copies take less than a group of the largest tensors
ROUNDING = {"F64": 2.0**-24, "F32": 2.0**-23, "F16": 2.0**-11, "BF16": 2.0**-8, "F8_E4M3": 2.0**-4, "F8_E5M2": 2.0**-3}
SMALLEST = {"F16": 2.0**-25, "BF16": 2.0**-134, "F8_E4M3": 2.0**-10, "F8_E5M2": 2.0**-17}
WORKING = 1e-5  # of the largest entry: sums in fp32 against fp64
FLIPPED = 1e-4  # share of entries whose elected sign may differ
DEVIATIONS = 6.0  # of a binomial share: passed by chance once in 5e8
HINT = "This is an error of the program or of the memory; nothing was written. Try again."
TRIAL = {"prompt": "a house by a lake", "seed": 1, "steps": 4}
PIXELS = 512


@dataclass(frozen=True)
class Verified:
    """`sampled` tensors or layers; `largest_error` among them, absolute; `dropped` the share DARE left out of them."""

    sampled: int
    largest_error: float
    nan: int = 0
    render: str | None = None
    dropped: float | None = None

    def to_json(self) -> dict[str, Any]:
        found = {"sampled": self.sampled, "largest_error": self.largest_error, "nan": self.nan, "render": self.render}
        return found | ({"dropped": self.dropped} if self.dropped is not None else {})


def checkpoint(path: Path, stream: Stream, check: Check) -> Verified:
    """Check a written checkpoint against its stream. Raises `BadWeights` naming the tensor that is wrong."""
    held = contents.read(look(path))
    if held.tensors.keys() != stream.trunk.tensors.keys():
        wrong = min(held.tensors.keys() ^ stream.trunk.tensors.keys())
        raise BadWeights(f"the written file is wrong: {wrong} is not where it should be", HINT)
    largest, kept, drawn = 0.0, 0, 0
    names = sample(held)
    with Reader() as reader:
        for name in held.tensors:
            check()
            _numbers(reader.tensor(held, name), name)
        for name in names:
            check()
            expected = formulas.value(stream, name)
            found = reader.tensor(held, name).double()
            largest = max(largest, compare(found, expected, held.tensors[name].type, name, formulas.elects(stream)))
            if isinstance(stream, Dare) and stream.complete(name):
                for number in range(len(stream.inputs) - 1):
                    mask = formulas.dropped(stream, name, number, expected.shape)
                    kept, drawn = kept + int(mask.sum()), drawn + mask.numel()
    share = None
    if isinstance(stream, Dare) and drawn:
        share = 1 - kept / drawn
        chance = stream.values["drop"]
        if abs(share - chance) > DEVIATIONS * sqrt(chance * (1 - chance) / drawn) + 1 / drawn:
            raise BadWeights(f"the merge dropped {share:.4f} of the entries instead of {chance:g}", HINT)
    return Verified(len(names), largest, dropped=share)


def sample(held: Contents) -> list[str]:
    """Names of tensors to compare, the same for the same file: some of each part, the rest by chance."""
    names = [name for name, one in held.tensors.items() if one.is_float and prod(one.shape) <= LARGEST]
    draw = random.Random(len(names))
    draw.shuffle(names)
    parts: dict[str, str] = {}
    for name in names:
        parts.setdefault(name.partition("/")[0] if held.is_folder else ".".join(name.split(".")[:3]), name)
    first = list(parts.values())[:SAMPLED]
    return [*first, *(name for name in names if name not in first)][: max(SAMPLED, len(first))]


def compare(found: Tensor, expected: Tensor, kind: str, name: str, elected: bool = False) -> float:
    """The largest difference. Raises `BadWeights` where it is more than the rounding of the type and of fp32 sums."""
    if found.shape != expected.shape:
        raise BadWeights(f"{name} of the merge is {list(found.shape)} and should be {list(expected.shape)}", HINT)
    if not found.numel():
        return 0.0
    error = (found - expected).abs()
    allowed = expected.abs() * ROUNDING[kind] + SMALLEST.get(kind, 0.0) + float(expected.abs().max()) * WORKING
    wrong = error > allowed
    if int(wrong.sum()) > (FLIPPED * found.numel() + 1 if elected else 0):
        raise BadWeights(f"the merge is wrong at {name}: {float(error.max()):.3g} beside what it should be", HINT)
    return float(error[~wrong].max()) if bool((~wrong).any()) else 0.0


def _numbers(tensor: Tensor, name: str) -> None:
    if not tensor.is_floating_point():
        return
    for start, stop in pieces(tensor.shape):
        if not bool(torch.isfinite(rows(tensor, start, stop)).all()):
            raise BadWeights(f"{name} of the written file holds values that are no numbers", HINT)


def network(path: Path, made: Made, expected: Callable[[str], Tensor | None], exact: bool, family: str) -> Verified:
    """Check a written network. `expected(place)` is what a layer should add, in fp64, None where that is not known.

    `exact` ones have to give it; others have to be as near as the best of their rank (Eckart and Young). Raises
    `BadWeights` naming the place that is wrong.
    """
    written = networks.given(path.name, files.read(path).layers, family).layers
    if written.keys() != made.layers.keys():
        wrong = min(written.keys() ^ made.layers.keys())
        raise BadWeights(f"the written network is wrong: {wrong} is not where it should be", HINT)
    places = sorted(written)
    random.Random(len(places)).shuffle(places)
    largest, sampled = 0.0, 0
    for place in places:
        if sampled == SAMPLED // 2:
            break
        wanted = expected(place)
        if wanted is None or wanted.numel() > LARGEST:
            continue
        layer = written[place]
        found = networks.dense(layer, path.name, place, torch.float64).reshape(wanted.shape)
        kind = {torch.float16: "F16", torch.bfloat16: "BF16"}.get(layer.tensors["lora_up"].dtype, "F32")
        distance = float((found - wanted).norm())
        # Each half is rounded: the product's error is at most this much of the product of their norms.
        scale = abs(layer.scale(layer.rank))
        halves = [layer.tensors[name].double().norm() for name in ("lora_up", "lora_down")]
        rounding = float(halves[0] * halves[1]) * scale * 2.5 * ROUNDING[kind] + 1e-5 * float(wanted.norm())
        best = 0.0
        if not exact:
            sizes = torch.linalg.svdvals(wanted.flatten(1))
            best = float(sizes[layer.rank :].norm())
        if distance > best + rounding + 1e-12:
            raise BadWeights(f"the merge is wrong at {place}: {distance:.3g} beside what it should be", HINT)
        largest = max(largest, distance - best)
        sampled += 1
    return Verified(sampled, max(0.0, largest))


def joined_value(given: Sequence[Given], weights: Sequence[float]) -> Callable[[str], Tensor | None]:
    """What the sum of networks adds at a place, of their layers as they are, in fp64."""

    def value(place: str) -> Tensor | None:
        total: Tensor | None = None
        for one, weight in zip(given, weights, strict=True):
            if place in one.layers:
                part = weight * networks.dense(one.layers[place], one.name, place, torch.float64)
                total = part if total is None else total + part.reshape(total.shape)
        return total

    return value


def renders(family: str, is_folder: bool) -> bool:
    """Whether a checkpoint of that family can make a test picture."""
    return is_folder or family in architecture.families()


def trial(path: Path, picture: Path, engine: Engine, check: Check) -> str:
    """Make a picture in four steps; returns its size. Raises `RenderFailed` for none, or one of a single colour."""
    defaults = look(path).defaults
    size: Mapping[str, int] = {"width": min(defaults.width, PIXELS), "height": min(defaults.height, PIXELS)}
    try:
        made = engine.render(RenderSpec.from_json({**TRIAL, **size, "model": str(path)}), picture, check=check)
        with Image.open(made.path) as opened:
            spread = max(ImageStat.Stat(opened.convert("RGB")).stddev)
    except GenerationError as error:
        raise RenderFailed(f"the merge cannot be rendered: {error.message}", error.hint) from error
    finally:
        engine.unload()
    if spread < 1:
        raise RenderFailed("the merge renders a picture of a single colour", "Give smaller weights, or fp32.")
    return f"{size['width']}x{size['height']}"

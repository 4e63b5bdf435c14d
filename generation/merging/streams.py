"""What a recipe makes of one tensor, some rows at a time: sd-mecha's arithmetic over values that are streams too.

A stream gives rows of a tensor in fp32 and holds nothing but what one tensor needs, so that a merge takes the memory of
a few pieces whatever the models' size. What needs a whole tensor first is found in a pass of its own: the threshold of
TIES (one difference in memory), the angle of slerp (nothing in memory). sd-mecha 1.1.8's own DARE and extended TIES
scale the result by a model-stock factor where none is asked for, so DARE is put together here of its dropout and TIES.
Leaves LoRAs and VAEs to `attached`, files to `plans`, and the same sums as the papers have them to `formulas`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from math import prod, sqrt
from typing import Any

import torch
from sd_mecha.extensions.builtin.merge_methods import linear, ties
from torch import Tensor

from generation.errors import BadWeights
from generation.fitting import named
from generation.merging import blocks, places
from generation.merging.contents import Contents
from generation.merging.weights import Reader, rows

# Numbers in a piece. Dropping draws by the piece, so that another size is another merge of the same seed.
PIECE = 1 << 18
PARALLEL = 1e-6  # sine of the angle below which slerp is a weighted sum


def pieces(shape: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(start, stop) of rows that hold up to `PIECE` numbers together, at least one row."""
    total = shape[0] if shape else 1
    step = max(1, PIECE // max(1, prod(shape[1:])))
    for start in range(0, total, step):
        yield start, min(start + step, total)


class Stream:
    """One value of a recipe. `trunk` is the checkpoint whose tensors it has, `inputs` the streams it is made of."""

    def __init__(self, *inputs: Stream) -> None:
        self.inputs = inputs
        self.trunk: Contents = inputs[0].trunk

    def has(self, name: str) -> bool:
        return self.inputs[0].has(name)

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows of a tensor in fp32, of the trunk's shape."""
        raise NotImplementedError

    def shape(self, name: str) -> tuple[int, ...]:
        return self.trunk.tensors[name].shape


class Model(Stream):
    """A checkpoint's own tensors. Raises `BadWeights` for values that are no numbers."""

    def __init__(self, held: Contents, reader: Reader) -> None:
        self.inputs = ()
        self.trunk = held
        self.reader = reader

    def has(self, name: str) -> bool:
        return name in self.trunk.tensors

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        found = rows(self.reader.tensor(self.trunk, name), start, stop)
        if not bool(torch.isfinite(found).all()):
            raise BadWeights(
                f"{name} of {self.trunk.entry.path} holds values that are no numbers",
                f"Choose another file: this {named(self.trunk.entry).partition(' ')[2]} gives black pictures.",
            )
        return found


class Mixed(Stream):
    """Streams mixed by a number of each block; a tensor that one of them lacks stays the first's."""

    def __init__(self, inputs: Sequence[Stream], values: Mapping[str, Any], family: str) -> None:
        super().__init__(*inputs)
        self.values = values
        self._family = family
        self._weight = blocks.by_name(values["alpha"], family)
        self._originals = places.originals(self.trunk) if isinstance(self._weight, dict) else {}

    def alpha(self, name: str) -> float:
        return blocks.at(self._weight, self._originals.get(name, name), self._family)

    def complete(self, name: str) -> bool:
        return all(one.has(name) for one in self.inputs)

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        first = self.inputs[0].rows(name, start, stop)
        if not self.complete(name):
            return first
        return self.mixed(name, [first, *(self.like(one, first, name, start, stop) for one in self.inputs[1:])], start)

    def like(self, other: Stream, first: Tensor, name: str, start: int, stop: int) -> Tensor:
        """Another's rows in the first's shape: an inpainting model's further channels stay as they are."""
        return widened(other.rows(name, start, stop), first)

    def mixed(self, name: str, parts: list[Tensor], start: int) -> Tensor:
        """The rows of the result from those of the inputs."""
        raise NotImplementedError


def widened(found: Tensor, first: Tensor) -> Tensor:
    """`found` with the further channels of `first`, where it has the same shape but for fewer of them."""
    if found.shape == first.shape:
        return found
    wider = first.clone()
    wider[:, : found.shape[1]] = found
    return wider


class WeightedSum(Mixed):
    def mixed(self, name: str, parts: list[Tensor], start: int) -> Tensor:
        a, b = ({name: part} for part in parts)
        found: Tensor = linear.weighted_sum.__wrapped__(a, b, torch.tensor(self.alpha(name)), key=name)
        return found


def _added(name: str, a: Tensor, change: Tensor, alpha: Tensor) -> Tensor:
    found: Tensor = linear.add_difference.__wrapped__({name: a}, {name: change}, alpha, key=name)
    return found


class AddDifference(Mixed):
    def mixed(self, name: str, parts: list[Tensor], start: int) -> Tensor:
        a, b, c = parts
        return _added(name, a, linear.subtract.__wrapped__(b, c), torch.tensor(self.alpha(name)))


class TrainDifference(Mixed):
    def mixed(self, name: str, parts: list[Tensor], start: int) -> Tensor:
        a, b, c = parts
        mask = linear.train_difference_mask.__wrapped__(a, b, c, torch.tensor(self.alpha(name)))
        return _added(name, a, linear.subtract.__wrapped__(b, c), mask)


class Slerp(Mixed):
    """Both tensors lie in one plane: sd-mecha turns them there, as two vectors of two numbers, in fp64."""

    def __init__(self, inputs: Sequence[Stream], values: Mapping[str, Any], family: str) -> None:
        super().__init__(inputs, values, family)
        self._found: tuple[str, float, float] = "", 0.0, 0.0

    def mixed(self, name: str, parts: list[Tensor], start: int) -> Tensor:
        if self._found[0] != name:
            self._found = name, *self._shares(name)
        _, one, other = self._found
        return parts[0].mul_(one).add_(parts[1], alpha=other)

    def _shares(self, name: str) -> tuple[float, float]:
        """What a and b are multiplied by."""
        aa = bb = ab = 0.0
        for start, stop in pieces(self.shape(name)):
            a = self.inputs[0].rows(name, start, stop)
            b = self.like(self.inputs[1], a, name, start, stop).double().flatten()
            a = a.double().flatten()
            aa, bb, ab = aa + float(a @ a), bb + float(b @ b), ab + float(a @ b)
        alpha = self.alpha(name)
        long, other = sqrt(aa), sqrt(bb)
        cosine = max(-1.0, min(1.0, ab / (long * other))) if long and other else 1.0
        sine = sqrt(1 - cosine * cosine)
        if sine < PARALLEL:
            return 1 - alpha, alpha
        plane = torch.tensor([[long, 0.0], [other * cosine, other * sine]], dtype=torch.float64)
        x, y = linear.slerp.__wrapped__(plane[0], plane[1], torch.tensor(alpha, dtype=torch.float64)).tolist()
        share = y / (other * sine)
        return (x - share * other * cosine) / long, share


class Ties(Mixed):
    def __init__(self, inputs: Sequence[Stream], values: Mapping[str, Any], family: str) -> None:
        super().__init__(inputs, values, family)
        self._found: tuple[str, tuple[float, ...]] = "", ()

    def mixed(self, name: str, parts: list[Tensor], start: int) -> Tensor:
        changes = [linear.subtract.__wrapped__(part, parts[0]) for part in parts[1:]]
        for change, least in zip(changes, self.thresholds(name), strict=True):
            change[change.abs() < least] = 0
        merged = ties.ties_sum.__wrapped__(*changes, k=1.0, vote_sgn=self.values["vote"] == "mass")
        return _added(name, parts[0], merged, torch.tensor(self.alpha(name)))

    def thresholds(self, name: str) -> tuple[float, ...]:
        """The size from which on an entry of each difference is among its `density` largest."""
        if self._found[0] == name:
            return self._found[1]
        count = prod(self.shape(name))
        dropped = int((1 - self.values["density"]) * count)
        found = (0.0,) * (len(self.inputs) - 1)
        if dropped:
            sizes = torch.empty(count)
            found = tuple(self._size(name, other, sizes, dropped) for other in self.inputs[1:])
        self._found = name, found
        return found

    def _size(self, name: str, other: Stream, sizes: Tensor, place: int) -> float:
        done = 0
        for start, stop in pieces(self.shape(name)):
            first = self.inputs[0].rows(name, start, stop)
            change = self.like(other, first, name, start, stop).sub_(first).abs_().flatten()
            sizes[done : done + change.numel()] = change
            done += change.numel()
        values = sizes.numpy()
        values.partition(place)  # in place, where kthvalue would take three more of the size
        return float(values[place])


class Dare(Mixed):
    def mixed(self, name: str, parts: list[Tensor], start: int) -> Tensor:
        changes = [
            ties.dropout.__wrapped__(
                linear.subtract.__wrapped__(part, parts[0]),
                probability=self.values["drop"],
                seed=self.seed(name, number, start),
            )
            for number, part in enumerate(parts[1:])
        ]
        match self.values["combine"]:
            case "ties":
                merged = ties.ties_sum.__wrapped__(*changes, k=1.0, vote_sgn=True)
            case how:
                merged = torch.stack(changes).sum(0) / (len(changes) if how == "mean" else 1)
        return _added(name, parts[0], merged, torch.tensor(self.alpha(name)))

    def seed(self, name: str, number: int, start: int) -> int:
        """Of what is dropped of one input's piece: another for each, the same again for the same recipe."""
        text = f"{self.values['seed']}/{name}/{number}/{start}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")

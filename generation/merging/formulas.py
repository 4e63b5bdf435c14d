"""What a merge should give, of whole tensors in fp64 and as the papers state it: what the written file is checked with.

Shares the reading of files with `streams`, and the drawing of what DARE drops, which is a matter of the seed; none of
the arithmetic. Slow, and takes memory for whole tensors: for a sample.
"""

from __future__ import annotations

from math import prod

import numpy
import torch
from torch import Tensor

from generation.merging.attached import AddLora, BakeVae, view
from generation.merging.streams import (
    AddDifference,
    Dare,
    Mixed,
    Model,
    Slerp,
    Stream,
    Ties,
    TrainDifference,
    WeightedSum,
    pieces,
)
from generation.networks.deltas import bias_delta, delta


def value(stream: Stream, name: str) -> Tensor:
    """The whole tensor that `stream` should give, in fp64."""
    if isinstance(stream, Model):
        return stream.reader.tensor(stream.trunk, name).double()
    if isinstance(stream, AddLora):
        return _with_lora(stream, name)
    if isinstance(stream, BakeVae):
        if name in stream.sources:
            return value(stream.inputs[1], stream.sources[name]).reshape(stream.shape(name))
        return value(stream.inputs[0], name)
    assert isinstance(stream, Mixed)
    first = value(stream.inputs[0], name)
    if not stream.complete(name):
        return first
    others = [_like(value(one, name), first) for one in stream.inputs[1:]]
    return _mixed(stream, name, first, others)


def elects(stream: Stream) -> bool:
    """Whether signs are elected anywhere in it: an entry that is almost even may fall either way by a rounding."""
    own = isinstance(stream, Ties) or (isinstance(stream, Dare) and stream.values["combine"] == "ties")
    return own or any(elects(one) for one in stream.inputs)


def _like(other: Tensor, first: Tensor) -> Tensor:
    if other.shape == first.shape:
        return other
    return torch.cat([other, first[:, other.shape[1] :]], dim=1)


def _mixed(stream: Mixed, name: str, a: Tensor, others: list[Tensor]) -> Tensor:
    alpha = stream.alpha(name)
    match stream:
        case WeightedSum():
            return a * (1 - alpha) + others[0] * alpha
        case AddDifference():
            return a + (others[0] - others[1]) * alpha
        case TrainDifference():
            b, c = others
            far = (b - a).abs()
            whole = far + (b - c).abs()
            share = torch.where(whole > 0, far / whole, torch.zeros_like(whole))
            return a + 1.8 * alpha * share * (b - c)
        case Slerp():
            return _slerp(a, others[0], alpha)
        case Ties():
            # fp32, so that the same entries are the largest
            kept = [_trimmed((one.float() - a.float()).double(), stream.values["density"]) for one in others]
            return a + alpha * _elected(kept, stream.values["vote"] == "mass")
        case Dare():
            kept = [(one - a) * dropped(stream, name, number, a.shape) for number, one in enumerate(others)]
            kept = [one / (1 - stream.values["drop"]) for one in kept]
            match stream.values["combine"]:
                case "ties":
                    return a + alpha * _elected(kept, True)
                case how:
                    return a + alpha * sum(kept) / (len(kept) if how == "mean" else 1)
    raise TypeError(type(stream).__name__)


def _slerp(a: Tensor, b: Tensor, alpha: float) -> Tensor:
    """Directions on the sphere, lengths linearly; a weighted sum where the directions are one, or none."""
    long, other = a.norm(), b.norm()
    if not float(long) or not float(other):
        return a * (1 - alpha) + b * alpha
    one, two = a / long, b / other
    # Half the chord is exact where the cosine, next to 1, is not.
    angle = 2 * torch.atan2((one - two).norm(), (one + two).norm())
    if float(torch.sin(angle)) < 1e-6:
        return a * (1 - alpha) + b * alpha
    mixed = torch.sin((1 - alpha) * angle) * one + torch.sin(alpha * angle) * two
    return mixed / torch.sin(angle) * (long * (1 - alpha) + other * alpha)


def _trimmed(difference: Tensor, density: float) -> Tensor:
    """The largest entries, `density` of all and those as large as the least of them."""
    count = difference.numel()
    keep = count - int((1 - density) * count)
    least = torch.topk(difference.abs().flatten(), keep).values[-1]
    return torch.where(difference.abs() >= least, difference, torch.zeros_like(difference))


def _elected(differences: list[Tensor], by_mass: bool) -> Tensor:
    """The mean, entry by entry, of those differences that have the elected sign (arXiv:2306.01708, algorithm 1)."""
    together = torch.stack(differences)
    elected = (together if by_mass else together.sign()).sum(0).sign()
    agree = (together.sign() == elected) & (together != 0)
    count = agree.sum(0)
    return torch.where(agree, together, torch.zeros_like(together)).sum(0) / count.clamp(min=1)


def dropped(stream: Dare, name: str, number: int, shape: tuple[int, ...] | torch.Size) -> Tensor:
    """1 where an entry of an input's difference is kept, 0 where it is dropped; drawn again from the seed."""
    found = []
    for start, stop in pieces(shape):
        sides = (stop - start, *shape[1:]) if shape else ()
        draw = numpy.random.default_rng(stream.seed(name, number, start))
        found.append(torch.from_numpy(draw.binomial(1, 1 - stream.values["drop"], sides or (1,))).double().flatten())
    return torch.cat(found).reshape(shape if prod(shape) else (0,))


def _with_lora(stream: AddLora, name: str) -> Tensor:
    found = value(stream.inputs[0], name).clone()
    for layer, slot, kind, strength in stream.steps.get(name, ()):
        part = view(found, slot)
        part += strength * (bias_delta(layer, part) if kind == "bias" else delta(layer, part))
    return found

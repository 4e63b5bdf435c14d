"""LoRAs made of LoRAs and of checkpoints: joined end to end or by singular values, resized, extracted.

Multiplying (A1 + A2)(B1 + B2), as some scripts do, adds A1 B2 + A2 B1, which nobody trained. Joined end to end the rank
is the sum of the ranks and nothing is lost; by singular values the result is the nearest of its rank (Eckart, Young).
Knows the arithmetic on layers; leaves reading to `networks.files`, writing to `networks.exporting`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod, sqrt
from typing import Any

import torch
from torch import Tensor

from generation.errors import BadWeights
from generation.merging import places
from generation.merging.attached import view
from generation.merging.streams import Stream, pieces
from generation.networks.deltas import METHODS, Layer
from generation.networks.keys import UNET

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
# Methods whose change does not depend on the weight, so that it can be known without one.
DENSE = ("lora", "loha", "lokr", "full")
BEYOND = frozenset({"dora_scale", "magnitude", "diff_b", "b_norm", "lora_up_bias"})
# What trainers give LoRAs to, and other programs look for: attention and what stands beside it, convolutions if asked.
LINEAR, CONVOLUTIONS = ("_attentions_",), ("_resnets_", "samplers_")
TEXT = ("self_attn", "mlp")


@dataclass(frozen=True)
class Made:
    """Layers by place. `kept` is the share of the change's Frobenius norm that the layers hold, `outside` that of the
    whole change which lies in tensors that have no layer (None where it is not known)."""

    layers: Mapping[str, Layer] = field(repr=False)
    kept: float = 1.0
    outside: float | None = None


@dataclass(frozen=True)
class Given:
    """A read network, its layers in diffusers' names."""

    name: str
    layers: Mapping[str, Layer] = field(repr=False)


def given(name: str, layers: Mapping[str, Layer], family: str) -> Given:
    """A network's layers under one spelling of their names."""
    return Given(name, {places.canonical(place, family): layer for place, layer in layers.items()})


def concatenated(networks: Sequence[Given], values: Mapping[str, Any], *, report: Report, check: Check) -> Made:
    """The sum of the networks, exactly: halves put end to end. Raises `BadWeights` for what is no plain LoRA."""
    layers = {}
    for place, parts in _together(networks, values["weights"]).items():
        check()
        for name, layer, _ in parts:
            if layer.method != "lora" or {"lora_mid", *BEYOND} & set(layer.tensors):
                raise BadWeights(
                    f"{place} of {name} is no plain LoRA, so that it cannot be put end to end", "Use svd_loras."
                )
        layers[place] = _joint([(layer, weight) for _, layer, weight in parts], place)
    return Made(layers)


def joined(networks: Sequence[Given], values: Mapping[str, Any], *, report: Report, check: Check) -> Made:
    """The sum of the networks in a smaller rank, the nearest there is. Raises `BadWeights` as `dense`."""
    return _reduced(_together(networks, values["weights"]), values, report, check)


def resized(networks: Sequence[Given], values: Mapping[str, Any], *, report: Report, check: Check) -> Made:
    """A network in another rank, the nearest there is. Raises `BadWeights` as `dense`."""
    return _reduced(_together(networks, [1.0]), values, report, check)


def extracted(models: Sequence[Stream], values: Mapping[str, Any], *, report: Report, check: Check) -> Made:
    """The difference of two checkpoints as a LoRA, by singular values. Raises `BadWeights` where they are the same."""
    tuned, base = models
    known = places.of(base.trunk)
    layers: dict[str, Layer] = {}
    kept = inside = 0.0
    for number, (place, slots) in enumerate(known.slots.items()):
        check()
        rank = rank_for(place, base.shape(slots["weight"].tensor), values) if "weight" in slots else 0
        if not rank or not tuned.has(slots["weight"].tensor):
            continue
        if number % 8 == 0:
            report({"kind": "progress", "stage": "extracting", "done": number, "total": len(known.slots)})
        change = difference(tuned, base, slots["weight"])
        norm = float(change.double().square().sum())
        if not norm:
            continue
        up, down, own = low_rank(change.flatten(1), rank, 0.0)
        layers[place] = _layer(up, down, change.shape)
        kept, inside = kept + own * own * norm, inside + norm
    whole = 0.0
    for name in base.trunk.tensors:
        check()
        if base.trunk.tensors[name].is_float and tuned.has(name):
            whole += _distance(tuned, base, name)
    if not layers:
        what = "differ only in what a LoRA does not hold" if whole else "are the same"
        raise BadWeights(f"{tuned.trunk.entry.name} and {base.trunk.entry.name} {what}", "Give two that differ.")
    return Made(layers, sqrt(kept / inside), sqrt(max(0.0, 1 - inside / whole)) if whole else 0.0)


def rank_for(place: str, shape: Sequence[int], values: Mapping[str, Any]) -> int:
    """The rank that a layer of this place and shape is extracted in, 0 where it is left out."""
    part, _, module = place.partition(".")
    kernel = len(shape) == 4 and tuple(shape[2:]) != (1, 1)
    usual = any(word in f"_{module}" for word in (LINEAR if part == UNET else TEXT))
    convolutional = part == UNET and any(word in module for word in CONVOLUTIONS)
    if len(shape) not in {2, 4} or not (usual or (convolutional and values["conv_rank"])):
        return 0
    return min(values["conv_rank"] if kernel else values["rank"], shape[0])


def difference(tuned: Stream, base: Stream, slot: places.Slot) -> Tensor:
    """What is to be added to a place of `base` to have that of `tuned`, in fp32."""
    shape = base.shape(slot.tensor)
    change = tuned.rows(slot.tensor, 0, shape[0])
    if change.shape != shape:
        raise BadWeights(
            f"{slot.tensor} is {list(change.shape)} in one and {list(shape)} in the other", "Choose others."
        )
    change.sub_(base.rows(slot.tensor, 0, shape[0]))
    return view(change, slot)


def _distance(tuned: Stream, base: Stream, name: str) -> float:
    found = 0.0
    for start, stop in pieces(base.shape(name)):
        one, other = tuned.rows(name, start, stop), base.rows(name, start, stop)
        if one.shape == other.shape:
            found += float(one.sub_(other).double().square().sum())
    return found


def _together(networks: Sequence[Given], weights: Sequence[float]) -> dict[str, list[tuple[str, Layer, float]]]:
    """Place -> (network's name, layer, weight) of every network that has it."""
    found: dict[str, list[tuple[str, Layer, float]]] = {}
    for network, weight in zip(networks, weights, strict=True):
        for place, layer in network.layers.items():
            found.setdefault(place, []).append((network.name, layer, weight))
    return found


def _joint(parts: list[tuple[Layer, float]], place: str) -> Layer:
    """Plain LoRAs put end to end. Alpha carries the largest of their scales, so that no half grows small in fp16."""
    scales = [weight * layer.scale(layer.rank) for layer, weight in parts]
    largest = max(map(abs, scales)) or 1.0
    shape = max((tuple(layer.tensors["lora_down"].shape[1:]) for layer, _ in parts), key=len)
    widths = {prod(layer.tensors["lora_down"].shape[1:]) for layer, _ in parts}
    if len(widths) > 1 or len({layer.tensors["lora_up"].shape[0] for layer, _ in parts}) > 1:
        raise BadWeights(f"the networks have other shapes at {place}", "Join LoRAs of one family.")
    down = torch.cat([layer.tensors["lora_down"].float().reshape(-1, *shape) for layer, _ in parts])
    ups = [layer.tensors["lora_up"].float().flatten(1) * (s / largest) for (layer, _), s in zip(parts, scales)]
    up = torch.cat(ups, dim=1)
    rank = down.shape[0]
    return Layer("lora", {"lora_up": _as_kernel(up, len(shape)), "lora_down": down}, largest * rank)


def _reduced(
    together: dict[str, list[tuple[str, Layer, float]]], values: Mapping[str, Any], report: Report, check: Check
) -> Made:
    layers: dict[str, Layer] = {}
    kept = whole = 0.0
    for number, (place, parts) in enumerate(together.items()):
        check()
        if number % 8 == 0:
            report({"kind": "progress", "stage": "reducing", "done": number, "total": len(together)})
        if all(layer.method == "lora" and not {"lora_mid", *BEYOND} & set(layer.tensors) for _, layer, _ in parts):
            joint = _joint([(layer, weight) for _, layer, weight in parts], place)
            scale = joint.scale(joint.rank)
            halves = joint.tensors["lora_up"].flatten(1) * scale, joint.tensors["lora_down"].flatten(1)
            shape = torch.Size([halves[0].shape[0], *joint.tensors["lora_down"].shape[1:]])
            up, down, own, norm = low_rank_of_product(*halves, values["rank"], values["keep"])
        else:
            total = summed(parts, place, torch.float32)
            shape, norm = total.shape, float(total.double().square().sum())
            up, down, own = low_rank(total.flatten(1), values["rank"], values["keep"])
        layers[place] = _layer(up, down, shape)
        kept, whole = kept + own * own * norm, whole + norm
    return Made(layers, sqrt(kept / whole) if whole else 1.0)


def summed(parts: Sequence[tuple[str, Layer, float]], place: str, dtype: torch.dtype) -> Tensor:
    """The changes of several networks at one place, added up, each times its weight."""
    total: Tensor | None = None
    for name, layer, weight in parts:
        change = dense(layer, name, place, dtype) * weight
        if total is not None and total.shape != change.shape:
            if total.numel() != change.numel() or total.shape[0] != change.shape[0]:
                raise BadWeights(f"the networks have other shapes at {place}", "Join LoRAs of one family.")
            change = change.reshape(total.shape)
        total = change if total is None else total + change
    assert total is not None
    return total


def dense(layer: Layer, name: str, place: str, dtype: torch.dtype) -> Tensor:
    """What a layer adds to any weight. Raises `BadWeights` where that depends on the weight, or is no matrix."""
    if layer.method not in DENSE or BEYOND & set(layer.tensors):
        kind = "DoRA" if {"dora_scale", "magnitude"} & set(layer.tensors) else layer.method
        raise BadWeights(f"{place} of {name} is of the method {kind}, which is no sum of matrices",
                         "Put it into a checkpoint with add_lora.")  # fmt: skip
    try:
        change, rank = METHODS[layer.method].equation(layer, torch.empty(0, dtype=dtype), None)
    except (ValueError, RuntimeError) as error:
        raise BadWeights(f"{place} of {name} cannot be used: its halves do not meet", "Choose another file.") from error
    if change.dim() < 2:
        raise BadWeights(f"{place} of {name} is no matrix", "Put it into a checkpoint with add_lora.")
    return change * layer.scale(rank)


def low_rank(matrix: Tensor, rank: int, keep: float) -> tuple[Tensor, Tensor, float]:
    """(up [out, r], down [r, in], share kept) nearest to a matrix; the sizes go half into each."""
    u, sizes, v = torch.linalg.svd(matrix.float(), full_matrices=False)
    count, own = _count(sizes.double().square(), rank, keep)
    roots = sizes[:count].sqrt()
    return u[:, :count] * roots, roots[:, None] * v[:count], own


def low_rank_of_product(up: Tensor, down: Tensor, rank: int, keep: float) -> tuple[Tensor, Tensor, float, float]:
    """As `low_rank`, of up @ down without making it; and the product's squared norm."""
    left, one = torch.linalg.qr(up.double())
    right, other = torch.linalg.qr(down.double().T)
    u, sizes, v = torch.linalg.svd(one @ other.T, full_matrices=False)
    squares = sizes.square()
    count, own = _count(squares, rank, keep)
    roots = sizes[:count].sqrt()
    made = (left @ u[:, :count]) * roots, roots[:, None] * (v[:count] @ right.T)
    return made[0].float().contiguous(), made[1].float().contiguous(), own, float(squares.sum())


def _count(squares: Tensor, rank: int, keep: float) -> tuple[int, float]:
    """(how many directions, the share of the norm they hold), of squared singular values, largest first."""
    whole = float(squares.sum())
    if not whole:
        return 1, 1.0
    sums = squares.cumsum(0) / whole
    count = len(squares)
    if keep:
        count = min(count, int((sums.sqrt() < keep).sum()) + 1)
    if rank:
        count = min(count, rank)
    return count, sqrt(min(1.0, float(sums[count - 1])))


def _layer(up: Tensor, down: Tensor, shape: torch.Size | tuple[int, ...]) -> Layer:
    tensors = {"lora_up": _as_kernel(up, len(shape) - 1), "lora_down": down.reshape(-1, *shape[1:])}
    return Layer("lora", tensors, float(down.shape[0]))


def _as_kernel(up: Tensor, sides: int) -> Tensor:
    """A convolution's second half is a convolution of one pixel."""
    return up[:, :, None, None].contiguous() if sides == 3 else up.contiguous()

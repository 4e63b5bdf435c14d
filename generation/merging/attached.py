"""What is put into a checkpoint: a network's changes, another VAE. Streams like those of `streams`.

A plain LoRA's rows are made with the rows of the weight; what depends on a whole weight (DoRA, OFT, (IA)^3, Kronecker's
product) is made once for each tensor. The sums are those of `networks.applied`. Leaves the equations to
`networks.deltas`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from generation.errors import BadWeights
from generation.merging import places
from generation.merging.contents import vae_names
from generation.merging.places import Slot
from generation.merging.streams import Model, Stream
from generation.networks.deltas import Layer, bias_delta, has_bias, unscaled
from generation.networks.keys import UNET


class AddLora(Stream):
    """The same sums as `networks.Applied` makes in a loaded model; `unused` counts layers without a place here."""

    def __init__(self, model: Stream, layers: Mapping[str, Layer], values: Mapping[str, Any], name: str) -> None:
        super().__init__(model)
        text = values["weight"] if values["text"] is None else values["text"]
        known = places.of(model.trunk)
        self.steps: dict[str, list[tuple[Layer, Slot, str, float]]] = {}
        self.unused = 0
        for place, layer in layers.items():
            slots = known.find(place)
            self.unused += not slots
            strength = values["weight"] if place.startswith(f"{UNET}.") else text
            for kind in ("weight", "bias"):
                if kind in slots and strength and (has_bias(layer) if kind == "bias" else layer.method != "bias"):
                    self.steps.setdefault(slots[kind].tensor, []).append((layer, slots[kind], kind, strength))
        if self.unused == len(layers):
            raise BadWeights(f"{name} has no layer of {model.trunk.entry.name}", "Choose a LoRA of its family.")
        for tensor, steps in self.steps.items():
            for layer, slot, kind, _ in steps:
                try:
                    change(layer, torch.empty(_sides(self.shape(tensor), slot), device="meta"), kind)
                except (ValueError, RuntimeError) as error:
                    raise BadWeights(f"{name} does not fit {model.trunk.entry.name} at {tensor}",
                                     "Choose a LoRA of its family.") from error  # fmt: skip
        self._whole: tuple[str, Tensor] | None = None

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        steps = self.steps.get(name)
        if steps is None:
            return self.inputs[0].rows(name, start, stop)
        if all(_by_rows(layer, slot, kind) for layer, slot, kind, _ in steps):
            found = self.inputs[0].rows(name, start, stop)
            for layer, slot, _, strength in steps:
                _add_rows(found, layer, slot, strength, start)
            return found
        if self._whole is None or self._whole[0] != name:
            self._whole = None
            value = self.inputs[0].rows(name, 0, self.shape(name)[0])
            for layer, slot, kind, strength in steps:
                part = view(value, slot)
                found, scale = change(layer, part.contiguous(), kind)
                part.add_(found, alpha=strength * scale)
            self._whole = name, value
        return self._whole[1][start:stop].clone()


def view(value: Tensor, slot: Slot) -> Tensor:
    """The part of a whole tensor that a slot means, as the module has it."""
    if slot.rows is not None:
        value = value[slot.rows[0] : slot.rows[0] + slot.rows[1]]
    return value.T if slot.turned else value


def change(layer: Layer, value: Tensor, kind: str) -> tuple[Tensor, float]:
    """What a layer adds to a weight or bias at strength 1, and the number it is to be multiplied by."""
    return (bias_delta(layer, value), 1.0) if kind == "bias" else unscaled(layer, value)


def _sides(shape: tuple[int, ...], slot: Slot) -> tuple[int, ...]:
    if slot.rows is not None:
        return (slot.rows[1], *shape[1:])
    return shape[::-1] if slot.turned else shape


def _by_rows(layer: Layer, slot: Slot, kind: str) -> bool:
    """Whether a layer's rows can be made by themselves: a plain LoRA's can."""
    plain = layer.method == "lora" and not {"lora_mid", "dora_scale", "magnitude"} & set(layer.tensors)
    return plain and kind == "weight" and not slot.turned


def _add_rows(found: Tensor, layer: Layer, slot: Slot, strength: float, start: int) -> None:
    """Add a LoRA's rows to those of `found`, the first of which is `start`."""
    first, number = slot.rows or (0, start + found.shape[0])
    low, high = max(start, first), min(start + found.shape[0], first + number)
    if low >= high:
        return
    up = layer.tensors["lora_up"].flatten(1)[low - first : high - first].float()
    part = found[low - start : high - start]
    product = up @ layer.tensors["lora_down"].float().flatten(1)
    if product.numel() != part.numel():  # an inpainting model's first convolution has further channels
        inner = part[:, : layer.tensors["lora_down"].shape[1]]
        inner.add_(product.reshape(inner.shape), alpha=strength * layer.scale(layer.rank))
        return
    part.add_(product.reshape(part.shape), alpha=strength * layer.scale(layer.rank))


class BakeVae(Stream):
    """A checkpoint with another's VAE."""

    def __init__(self, model: Stream, vae: Model) -> None:
        super().__init__(model, vae)
        theirs = vae_names(vae.trunk)
        self.sources = {ours: theirs[name] for name, ours in vae_names(self.trunk).items() if name in theirs}

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        if name not in self.sources:
            return self.inputs[0].rows(name, start, stop)
        shape = self.shape(name)
        # A 1x1 convolution in one naming is a matrix in the other.
        return self.inputs[1].rows(self.sources[name], start, stop).reshape(stop - start, *shape[1:])

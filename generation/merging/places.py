"""Which tensor of a checkpoint a network's layer is for, and the reverse, in single files and diffusers folders.

A place is "part.module", the module in diffusers' name with underscores, as in `networks.files`. OpenCLIP keeps
queries, keys and values in one matrix, so that a place may be some rows of a tensor. Leaves the sums to `streams`,
`attached` and `networks`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from generation import architecture, diffusers_folders
from generation.architecture import UNET
from generation.errors import BadWeights
from generation.fitting import base
from generation.merging.contents import Contents
from generation.networks import keys, modules
from generation.single_files import OPEN_CLIP

_RESBLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)$")


class Slot(NamedTuple):
    """A tensor, or `rows` of it: (first, number). `turned` ones are stored the other way round."""

    tensor: str
    rows: tuple[int, int] | None = None
    turned: bool = False


@dataclass(frozen=True)
class Places:
    """`slots`: place in diffusers' name -> {"weight": slot, "bias": slot}; `others`: every other spelling -> that."""

    slots: dict[str, dict[str, Slot]] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    def find(self, place: str) -> dict[str, Slot]:
        """The slots of a place in any spelling, {} where the checkpoint has none."""
        return self.slots.get(self.others.get(place, place), {})

    def add(self, place: str, name: str, slot: Slot) -> None:
        self.slots.setdefault(place, {})[name] = slot


def of(held: Contents) -> Places:
    """The places of a checkpoint. Raises `BadWeights` where it is of no family whose parts are known."""
    found = Places()
    try:
        pairs = _pairs(held)
        encoders = {} if held.is_folder else architecture.published(held.entry.family)["encoders"]
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise BadWeights(
            f"the layers of {held.entry.path} are not known: {' '.join(str(error).split())[:100]}",
            "Choose a checkpoint of SD 1.5, SD 2 or SDXL.",
        ) from error
    for tensor in held.tensors:
        stem, _, kind = tensor.rpartition(".")
        if held.is_folder:
            part, _, module = stem.partition("/")
            if part in {keys.UNET, keys.TEXT, keys.TEXT_2} and kind in {"weight", "bias"}:
                module = _plain(module)
                found.add(f"{part}.{module if part == keys.UNET else _bare(module)}", kind, Slot(tensor))
        elif stem.startswith(UNET) and kind in {"weight", "bias"}:
            found.add(f"{keys.UNET}.{_renamed(_plain(stem.removeprefix(UNET)), pairs)}", kind, Slot(tensor))
        else:
            part, prefix = next(((p, x) for p, x in encoders.items() if tensor.startswith(x)), ("", ""))
            if part:
                _encoder(found, part, tensor, prefix, held)
    _spell(found, pairs)
    return found


def originals(held: Contents) -> dict[str, str]:
    """Tensor -> its name in the original code, which tells its block; only the UNet's of a folder are others."""
    if not held.is_folder:
        return {name: name for name in held.tensors}
    back = [(ours, other) for other, ours in _pairs(held)]
    back.sort(key=lambda pair: -len(pair[0]))
    found = {}
    for name in held.tensors:
        part, _, module = name.partition("/")
        found[name] = f"{UNET}{_renamed(_plain(module), back)}" if part == keys.UNET else name
    return found


def canonical(place: str, family: str) -> str:
    """A place of a network's file in diffusers' name, by the family's published depth where it is known."""
    part, _, module = place.partition(".")
    if part != keys.UNET:
        return f"{part}.{_bare(module)}"
    if base(family) not in architecture.families():
        return place
    return f"{part}.{_renamed(module, _sorted(modules.configured(architecture.published(base(family))['unet'])))}"


Pairs = list[tuple[str, str]]  # (the original code's name, diffusers'), longer ones first


def _sorted(pairs: object) -> Pairs:
    return sorted(pairs, key=lambda pair: -len(pair[0]))  # type: ignore[call-overload, no-any-return]


def _pairs(held: Contents) -> Pairs:
    if held.is_folder:
        config = diffusers_folders.read_json(Path(held.entry.path) / "unet" / "config.json")
    else:
        usual = architecture.published(held.entry.family)["unet"]
        config = architecture.unet(usual, held.shapes, UNET)
    return _sorted(modules.configured(config))


def _renamed(module: str, pairs: Pairs) -> str:
    for theirs, ours in pairs:
        if module == theirs or module.startswith(f"{theirs}_"):
            return ours + module.removeprefix(theirs)
    return module


def _plain(name: str) -> str:
    return name.replace(".", "_")


def _bare(module: str) -> str:
    """A text encoder's module without the level that transformers has taken out."""
    return module.removeprefix("text_model_")


def _encoder(found: Places, part: str, tensor: str, prefix: str, held: Contents) -> None:
    """The places of a text encoder's tensor in a single file."""
    inner = tensor.removeprefix(prefix)
    if inner == "text_projection":
        found.add(f"{part}.text_projection", "weight", Slot(tensor, None, True))
        return
    layer = _RESBLOCK.match(inner)
    if layer is None:
        stem, _, kind = inner.rpartition(".")
        if kind in {"weight", "bias"}:
            found.add(f"{part}.{_bare(_plain(stem))}", kind, Slot(tensor))
        return
    place = f"{part}.encoder_layers_{layer[1]}_"
    if together := re.fullmatch(r"attn\.in_proj_(weight|bias)", layer[2]):
        side = held.tensors[tensor].shape[0] // 3
        for number, name in enumerate("qkv"):
            found.add(f"{place}self_attn_{name}_proj", together[1], Slot(tensor, (number * side, side)))
        return
    stem, _, kind = layer[2].rpartition(".")
    if stem in OPEN_CLIP and kind in {"weight", "bias"}:
        found.add(place + _plain(OPEN_CLIP[stem]), kind, Slot(tensor))


def _spell(found: Places, pairs: Pairs) -> None:
    """Every other name of each place."""
    back = [(ours, theirs) for theirs, ours in pairs]
    back.sort(key=lambda pair: -len(pair[0]))
    for place in list(found.slots):
        part, _, module = place.partition(".")
        if part == keys.UNET:
            found.others[f"{part}.{_renamed(module, back)}"] = place
        else:
            found.others[f"{part}.text_model_{module}"] = place

"""What a recipe will give, found before a weight is read: which files, whether they go together, what is missing.

Reads headers only. Knows the rules of what can be merged with what. Leaves doing it to `running`. Light: no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from generation import fitting
from generation.catalogue import Catalogue, ModelEntry
from generation.errors import BadSpec, BadWeights, GenerationError
from generation.merging import CHECKPOINT, METHODS, NETWORK, VAE, blocks, contents
from generation.merging.contents import TYPES, Contents
from generation.merging.recipes import BadRecipe, Call, Named, Node, Recipe, walk
from generation.networks.named import LORA_FILES, USABLE

# Tensors of a kind that two models of one family share; fewer means that they are of other makes.
SHARED = 0.5
SMALL = "sd15-small"
WIDER = {8, 9}  # channels that inpainting and instruct models read, where others read 4


@dataclass(frozen=True)
class Plan:
    """`entries` by the recipe's names; `trunk` has the names and shapes of the result (None for networks of networks).

    `missing` are tensors of the trunk that another model lacks, which stay the trunk's; `extra` those that only another
    has, which are left out: each (name in the recipe, tensor).
    """

    recipe: Recipe
    entries: Mapping[str, ModelEntry]
    contents: Mapping[str, Contents] = field(repr=False)
    trunk: Contents | None = field(repr=False)
    family: str
    missing: tuple[tuple[str, str], ...]
    extra: tuple[tuple[str, str], ...]

    @property
    def gives(self) -> str:
        return METHODS[self.recipe.result.method].gives

    @property
    def is_folder(self) -> bool:
        return self.gives == CHECKPOINT and self.trunk is not None and self.trunk.is_folder

    def to_json(self, precision: str = "") -> dict[str, Any]:
        """What a dry run tells. `bytes` and `tensors` are None for a network, whose ranks the weights decide."""
        held = self.trunk if self.gives == CHECKPOINT else None
        types = (
            sorted({contents.written(one, precision) for one in held.tensors.values() if one.is_float}) if held else []
        )
        return {
            "method": self.recipe.result.method,
            "gives": self.gives,
            "family": self.family,
            "folder": self.is_folder,
            "tensors": len(held.tensors) if held else None,
            "bytes": held.bytes(precision) if held else None,
            "dtype": "+".join(types) if held else TYPES[precision or "fp16"],
            "missing": [{"model": model, "tensor": tensor} for model, tensor in self.missing],
            "extra": [{"model": model, "tensor": tensor} for model, tensor in self.extra],
            "inputs": [{"name": name, "path": one.path, "kind": one.kind} for name, one in self.entries.items()],
        }


def plan(recipe: Recipe, catalogue: Catalogue, folder: Path | None = None, places: Mapping[str, str] = {}) -> Plan:
    """The plan of a recipe. Names are those of the catalogue, or paths, from `folder` as well; `places` are paths that
    names had when the recipe was run before.

    Raises `BadRecipe` with the place in the recipe where a name is unknown, or weights of a wrong kind or family.
    """
    entries: dict[str, ModelEntry] = {}
    held: dict[str, Contents] = {}
    for kind, named in _used(recipe.result):
        try:
            entry = entries.get(named.name) or _find(named.name, catalogue, folder, places)
            _require(entry, kind)
            entries[named.name] = entry
            if kind != NETWORK and named.name not in held:
                held[named.name] = contents.read(entry)
        except GenerationError as error:
            raise _at(named, error) from error
    trunk_name = _trunk(recipe.result)
    trunk = held.get(trunk_name) if trunk_name else None
    family = _family(recipe, entries, trunk)
    missing: list[tuple[str, str]] = []
    extra: list[tuple[str, str]] = []
    for kind, named in dict.fromkeys(_used(recipe.result)):
        if trunk is not None and kind == CHECKPOINT and named.name != trunk_name:
            lacks, more = _compared(named, held[named.name], trunk)
            missing += [(named.name, tensor) for tensor in lacks]
            extra += [(named.name, tensor) for tensor in more]
    for call in walk(recipe.result):
        if isinstance(call, Call):
            _check_call(call, held, family)
    return Plan(recipe, entries, held, trunk, family, tuple(missing), tuple(extra))


def _used(node: Node, kind: str = "") -> list[tuple[str, Named]]:
    """(kind it is used as, name) of all weights in a tree, in order."""
    if isinstance(node, Named):
        return [(kind, node)]
    takes = METHODS[node.method].takes
    found = []
    for number, inner in enumerate(node.inputs):
        found += _used(inner, takes[min(number, len(takes) - 1)])
    return found


def _trunk(node: Node) -> str:
    """The name of the checkpoint that the result has its tensors from, "" for networks made of networks."""
    while isinstance(node, Call):
        if METHODS[node.method].takes[0] != CHECKPOINT:
            return ""
        node = node.inputs[1 if node.method == "extract_lora" else 0]
    return node.name


def _find(name: str, catalogue: Catalogue, folder: Path | None, places: Mapping[str, str]) -> ModelEntry:
    if name in places and Path(places[name]).exists():
        return catalogue.find(places[name])
    beside = folder / name if folder is not None else None
    if beside is not None and not Path(name).exists() and ("/" in name or "." in name) and beside.exists():
        return catalogue.find(str(beside.absolute()))
    return catalogue.find(name)


def _require(entry: ModelEntry, kind: str) -> None:
    if kind == NETWORK:
        if entry.problem not in USABLE:
            raise BadWeights(f"{entry.path} cannot be used: {entry.problem}", "Choose another file.")
        if entry.kind not in {*LORA_FILES, "unknown"} or Path(entry.path).is_dir():
            raise BadWeights(f"{entry.name} is not a LoRA but {fitting.named(entry)}", "Name a LoRA or LyCORIS there.")
        return
    fitting.require(entry, *((VAE, CHECKPOINT) if kind == VAE else (CHECKPOINT,)))
    if entry.kind == VAE and entry.format not in {"", "diffusers"}:
        raise BadWeights(f"{entry.name} is no VAE of the usual kind but a {entry.format} one", "Choose another VAE.")


def _family(recipe: Recipe, entries: Mapping[str, ModelEntry], trunk: Contents | None) -> str:
    """The family of the result. Raises `BadRecipe` where the inputs are of several."""
    first = trunk.entry if trunk is not None else None
    for kind, named in _used(recipe.result):
        entry = entries[named.name]
        if first is None or (first.family == "unknown" and trunk is None):
            first = entry
            continue
        # A network for a small model has a large one's names; its shapes are compared when it is put in.
        small = kind == NETWORK and first.family == SMALL
        why = "" if small else fitting.reason(entry, first) if kind != CHECKPOINT else _other(entry, first)
        if entry.problem in USABLE and why and entry.path not in why:
            raise _at(named, BadWeights(why, "Give weights of one family."))
    assert first is not None
    return first.family


def _other(entry: ModelEntry, first: ModelEntry) -> str:
    one, two = fitting.base(entry.family), fitting.base(first.family)
    if one == two:
        return ""
    shown = ["of an unknown family" if f == "unknown" else fitting.NAMES.get(f, f) for f in (one, two)]
    return f"{entry.name} is {shown[0]}, and {first.name} is {shown[1]}"


def _compared(named: Named, other: Contents, trunk: Contents) -> tuple[list[str], list[str]]:
    """(tensors of the trunk that `other` lacks, those only it has). Raises `BadRecipe` where they do not fit."""
    if other.is_folder != trunk.is_folder:
        kinds = ["a diffusers folder" if one.is_folder else "a single file" for one in (other, trunk)]
        raise _at(named, BadWeights(f"{other.entry.name} is {kinds[0]}, and {trunk.entry.name} is {kinds[1]}",
                                    "Give both in one layout."))  # fmt: skip
    both = [name for name in trunk.tensors if name in other.tensors and trunk.tensors[name].is_float]
    for name in both:
        mine, theirs = trunk.tensors[name].shape, other.tensors[name].shape
        if mine != theirs and not is_wider(mine, theirs):
            hint = "Put the inpainting model first." if is_wider(theirs, mine) else "Give models of one make."
            raise _at(named, BadWeights(f"{name} is {list(theirs)} in {other.entry.name} and {list(mine)} in "
                                        f"{trunk.entry.name}", hint))  # fmt: skip
    if len(both) < SHARED * len(trunk.tensors):
        raise _at(named, BadWeights(f"{other.entry.name} has {len(both)} of the {len(trunk.tensors)} tensors of "
                                    f"{trunk.entry.name}", "Give models of one make."))  # fmt: skip
    return [n for n in trunk.tensors if n not in other.tensors], [n for n in other.tensors if n not in trunk.tensors]


def is_wider(mine: tuple[int, ...], theirs: tuple[int, ...]) -> bool:
    """Whether `mine` is the first convolution of an inpainting or instruct model, and `theirs` that of a plain one."""
    same = len(mine) == len(theirs) == 4 and (mine[0], *mine[2:]) == (theirs[0], *theirs[2:])
    return same and theirs[1] == 4 and mine[1] in WIDER


def _check_call(call: Call, held: Mapping[str, Contents], family: str) -> None:
    try:
        for name in METHODS[call.method].blocks:
            parameter = next(one for one in METHODS[call.method].parameters if one.name == name)
            blocks.by_name(call.values[name], family, name, parameter.low, parameter.high)
    except BadSpec as error:
        raise _at(call, error) from error
    vae = call.inputs[1] if call.method == "bake_vae" else None
    trunk = held.get(_trunk(call))
    if isinstance(vae, Named) and trunk is not None:
        ours, theirs = contents.vae_names(trunk), contents.vae_names(held[vae.name])
        if not ours:
            raise _at(call, BadWeights(f"{trunk.entry.name} has no VAE that could be replaced", "Choose another."))
        for name, tensor in ours.items():
            if name not in theirs:
                raise _at(vae, BadWeights(f"{vae.name} lacks {name} of a VAE", "Choose another VAE."))
            mine, other = trunk.tensors[tensor].shape, held[vae.name].tensors[theirs[name]].shape
            if prod(mine) != prod(other) or mine[:1] != other[:1]:
                raise _at(vae, BadWeights(f"{name} is {list(other)} in {vae.name} and should be {list(mine)}",
                                          "Choose a VAE of its family."))  # fmt: skip


def _at(node: Node, error: GenerationError) -> BadRecipe:
    return BadRecipe(error.message, error.hint, node.line, node.column)

"""A recipe from its text to a file that was checked: read, planned, streamed, written aside, verified, moved.

What is wrong anywhere on the way, and a cancel, leaves no file. The result's metadata hold the recipe's text and its
inputs with their hashes, so that the result can be given again where a recipe is expected.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sd_mecha
import torch
from sd_mecha.extensions.builtin.merge_methods import linear

from generation import hashes, headers
from generation.catalogue import Catalogue, ModelEntry
from generation.errors import BadSpec
from generation.merging import (
    CHECKPOINT,
    METHODS,
    NETWORK,
    PRECISIONS,
    contents,
    formulas,
    networks,
    verification,
    writing,
)
from generation.merging.networks import Given, Made
from generation.merging.plans import Plan
from generation.merging.recipes import Call, Named, Node
from generation.merging.sources import RECIPE, SUFFIX, Source, planned
from generation.merging.streams import Model, Stream
from generation.merging.tally import Tally
from generation.merging.weights import Reader
from generation.networks import exporting, files

if TYPE_CHECKING:
    from generation.engine import Engine

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
# Methods that sd-mecha's own format can say, for its readers; ours can say all.
SPOKEN = ("weighted_sum", "add_difference", "train_difference", "slerp")


def merge(
    given: Source,
    output: Path,
    catalogue: Catalogue,
    *,
    precision: str = "",
    engine: Engine | None = None,
    force: bool = False,
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> dict[str, Any]:
    """Make what the recipe says and write it to `output`: a .safetensors file, or a folder where folders are merged.

    `precision` is one of `PRECISIONS`; "" keeps each tensor's type (fp16 for networks). With an `engine` a checkpoint
    that can be rendered is. Returns {"path", "method", "tensors", "bytes", "family", "verified", "peak_bytes",
    "seconds", "notes", ...}. Raises `BadRecipe`, `BadWeights`, `BadSpec`, `RenderFailed` with nothing written.
    """
    began = time.perf_counter()
    if precision and precision not in PRECISIONS:
        raise BadSpec(f'the precision cannot be "{precision}"', f"Choose: {', '.join(PRECISIONS)}.")
    found = planned(given, catalogue)
    output = _target(output, found, force)
    inputs, notes = _hashed(found, given, catalogue, report, check)
    notes += _remarks(found)
    aside = output.with_name(f".{output.stem}.{os.getpid()}.part{'' if found.is_folder else SUFFIX}")
    picture = aside.with_name(f"{aside.name}.png")
    texts = {RECIPE: json.dumps({"recipe": found.recipe.text, "inputs": inputs, "precision": precision or "own"})}
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with Reader() as reader, torch.inference_mode():
            work = _Work(found, reader, report, check)
            made = _written(work, found, output.stem, aside, precision, texts)
        if engine is not None and found.gives == CHECKPOINT:
            if verification.renders(found.family, found.is_folder):
                report({"kind": "progress", "stage": "rendering", "done": 0, "total": None})
                made["verified"]["render"] = verification.trial(aside, picture, engine, check)
            else:
                notes.append(
                    f"models of the family {found.family} cannot be rendered here, so that no picture was made"
                )
        check()
        _move(aside, output)
    except OSError as error:
        raise BadSpec(f"{output} cannot be written: {error.strerror or error}", "Choose another file.") from error
    finally:
        with contextlib.suppress(OSError):  # where not even the folder is one
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink(missing_ok=True)
            picture.unlink(missing_ok=True)
    for note in notes:
        report({"kind": "note", "message": note})
    return {
        "path": str(output),
        "method": found.recipe.result.method,
        "gives": found.gives,
        "family": found.family,
        **made,
        "notes": notes + work.notes,
        "seconds": round(time.perf_counter() - began, 2),
    }


class _Work:
    """A plan with its files open: streams of its checkpoints, layers of its networks."""

    def __init__(self, found: Plan, reader: Reader, report: Report, check: Check) -> None:
        self._plan, self._reader = found, reader
        self.report, self.check = report, check
        self.notes: list[str] = []

    def stream(self, node: Node) -> Stream:
        """The stream of what gives a checkpoint or VAE."""
        if isinstance(node, Named):
            return Model(self._plan.contents[node.name], self._reader)
        method = METHODS[node.method]
        maker = _found(method.run)
        model = self.stream(node.inputs[0])
        if NETWORK in method.takes:
            made = self.network(node.inputs[1])
            added = maker(model, made.layers, node.values, made.name)
            if added.unused:
                self.notes.append(f"{added.unused} of {len(made.layers)} layers of {made.name} have no place")
            return added  # type: ignore[no-any-return]
        others = [self.stream(one) for one in node.inputs[1:]]
        if not node.values:
            return maker(model, *others)  # type: ignore[no-any-return]
        return maker([model, *others], node.values, self._plan.family)  # type: ignore[no-any-return]

    def network(self, node: Node) -> Given:
        """The layers of what gives a network, in diffusers' names."""
        if isinstance(node, Named):
            entry = self._plan.entries[node.name]
            return networks.given(entry.name, files.read(Path(entry.path)).layers, self._plan.family)
        return Given(node.method, self.made(node)[0].layers)

    def made(self, node: Call) -> tuple[Made, Sequence[Any]]:
        """A network made by a method, and what it was made of."""
        inner = self.stream if METHODS[node.method].takes[0] == CHECKPOINT else self.network
        inputs = [inner(one) for one in node.inputs]
        return _found(METHODS[node.method].run)(inputs, node.values, report=self.report, check=self.check), inputs


def _found(place: str) -> Any:
    module, attribute = place.split(":")
    return getattr(import_module(module), attribute)


def _written(
    work: _Work, found: Plan, title: str, aside: Path, precision: str, texts: dict[str, str]
) -> dict[str, Any]:
    """Write the result aside and check it; what is to be told of it."""
    call = found.recipe.result
    spoken = exporting.specification(found.family, title, _resolution(found))
    if found.gives == NETWORK:
        with Tally() as tally:
            made, inputs = work.made(call)
        merged = {"modelspec.merged_from": ", ".join(found.recipe.names()), "ss_output_name": title}
        written = exporting.write(aside, made.layers, family=found.family, metadata={**spoken, **merged, **texts},
                                  precision=precision or "fp16")  # fmt: skip
        work.check()
        verified = verification.network(aside, made, _wanted(call, inputs), call.method == "concat_loras", found.family)
        ranks = sorted({layer.rank or 0 for layer in made.layers.values()})
        return {
            "tensors": len(headers.read(aside)),
            "bytes": written,
            "verified": verified.to_json(),
            "peak_bytes": tally.peak,
            "layers": len(made.layers),
            "ranks": [ranks[0], ranks[-1]],
            "kept": made.kept,
            "outside": made.outside,
        }
    stream = work.stream(call)
    spoken["modelspec.architecture"] = spoken["modelspec.architecture"].removesuffix("/lora")
    spoken["modelspec.merged_from"] = ", ".join(found.recipe.names())
    if theirs := _mecha(call, found):
        texts["mecha_recipe"] = theirs
    # A v-prediction model's marks are empty tensors, and go along; its scheduler's words are the trunk's.
    write = writing.folder if found.is_folder else writing.single
    tally = Tally()
    written = write(stream, aside, precision, {**spoken, **texts}, tally, work.report, work.check)
    work.report({"kind": "progress", "stage": "verifying", "done": 0, "total": None})
    verified = verification.checkpoint(aside, stream, work.check)
    return {
        "tensors": len(stream.trunk.tensors),
        "bytes": written,
        "verified": verified.to_json(),
        "peak_bytes": tally.peak,
    }


def _wanted(call: Call, inputs: Sequence[Any]) -> Callable[[str], torch.Tensor | None]:
    """What a written network's layer should add, of what it was made of, in fp64."""
    if call.method != "extract_lora":
        return verification.joined_value(inputs, call.values.get("weights", [1.0]))
    tuned, base = inputs
    slots = networks.places.of(base.trunk).slots

    def value(place: str) -> torch.Tensor | None:
        slot = slots[place]["weight"]
        if base.trunk.tensors[slot.tensor].shape[0] > verification.LARGEST:
            return None
        return networks.view(formulas.value(tuned, slot.tensor) - formulas.value(base, slot.tensor), slot)

    return value


def _resolution(found: Plan) -> tuple[int, int]:
    entry = found.trunk.entry if found.trunk is not None else next(iter(found.entries.values()))
    return entry.defaults.width, entry.defaults.height


def _mecha(node: Call, found: Plan) -> str:
    """The recipe in sd-mecha's own format, "" where that cannot say it: folders, block weights, what is ours alone."""

    def spoken(one: Node) -> Any:
        if isinstance(one, Named):
            return sd_mecha.model(Path(found.entries[one.name].path))
        alpha = one.values["alpha"]
        inputs = [spoken(inner) for inner in one.inputs]
        match one.method:
            case "add_difference":
                return linear.add_difference(inputs[0], linear.subtract(*inputs[1:]), alpha=alpha)
            case "train_difference":
                mask = linear.train_difference_mask(*inputs, alpha=alpha)
                return linear.add_difference(inputs[0], linear.subtract(*inputs[1:]), alpha=mask)
        return _found(f"sd_mecha:{one.method}")(*inputs, alpha=alpha)

    def can(one: Node) -> bool:
        if isinstance(one, Named):
            return Path(found.entries[one.name].path).suffix == SUFFIX
        return one.method in SPOKEN and isinstance(one.values["alpha"], float) and all(map(can, one.inputs))

    if not can(node):
        return ""
    text: str = sd_mecha.serialize(spoken(node), finalize=False)
    return text


def _target(output: Path, found: Plan, force: bool) -> Path:
    """Where the result goes. Raises `BadSpec` for an input, for what is there already, and for a wrong ending."""
    output = output.expanduser().absolute()
    if any(output == Path(one.path) or output in Path(one.path).parents for one in found.entries.values()):
        raise BadSpec(f"{output} is one of the recipe's inputs", "Give another -o.")
    if found.is_folder:
        if output.suffix in {SUFFIX, *headers.PICKLES}:
            raise BadSpec(
                f"{output.name} is a file's name, and the merge of folders is a folder", "Leave the ending out."
            )
    elif output.suffix != SUFFIX:
        raise BadSpec(f"{output.name} does not end with {SUFFIX}", f"Give -o {output.stem}{SUFFIX}.")
    if output.exists():
        replaceable = output.is_dir() == found.is_folder and (
            not output.is_dir() or (output / f"{RECIPE}.json").is_file()
        )
        if not force or not replaceable:
            raise BadSpec(
                f"{output} is there already", "Give another -o, or --force." if replaceable else "Give another -o."
            )
    return output


def _hashed(
    found: Plan, given: Source, catalogue: Catalogue, report: Report, check: Check
) -> tuple[list[dict[str, str]], list[str]]:
    """(each input with its hash, what is to be said about those that are not what they were)."""
    inputs, notes = [], []
    for name, entry in found.entries.items():
        own = digest(entry, catalogue, report, check)
        inputs.append({"name": name, "path": entry.path, "sha256": own})
        before = given.inputs.get(name, {}).get("sha256", "")
        if before and before != own:
            notes.append(f"{name} is not what it was when the recipe was stored: {own[:10]} instead of {before[:10]}")
    return inputs, notes


def digest(entry: ModelEntry, catalogue: Catalogue, report: Report, check: Check) -> str:
    """The SHA-256 of a file; of a folder that of the hashes of its weights, in the order of their paths."""
    path = Path(entry.path)
    if not path.is_dir():
        return catalogue.hashes(entry, report=report, check=check).sha256
    whole = hashlib.sha256()
    for file in sorted({held.file for held in contents.read(entry).tensors.values()}):
        whole.update(hashes.count(file, report=report, check=check).sha256.encode())
    return whole.hexdigest()


def _remarks(found: Plan) -> list[str]:
    notes = []
    for what, tensors in (("stay the first's: missing in", found.missing), ("are left out: only in", found.extra)):
        models = dict.fromkeys(model for model, _ in tensors)
        for model in models:
            own = [tensor for name, tensor in tensors if name == model]
            notes.append(f"{len(own)} tensors {what} {model} ({own[0]}{', ...' if len(own) > 1 else ''})")
    return notes


def _move(aside: Path, output: Path) -> None:
    """Put the result in its place; a folder that was there is put aside first and goes when the new one stands."""
    if not aside.is_dir():
        aside.chmod(0o644)
        aside.replace(output)
        return
    former = aside.with_name(f"{aside.name}.former")
    if output.exists():
        output.replace(former)
    aside.replace(output)
    shutil.rmtree(former, ignore_errors=True)

"""Where a recipe comes from: one line, a text file, or what a merge wrote into its result. Light: no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from generation import headers
from generation.catalogue import Catalogue
from generation.errors import BadSpec, BadWeights
from generation.merging.plans import Plan, plan
from generation.merging.recipes import parse

LARGEST_TEXT = 200_000  # bytes of a recipe's file
SUFFIX = ".safetensors"
RECIPE = "atelier_merge"  # key in a result's metadata, and stem of the file in a folder


@dataclass(frozen=True)
class Source:
    """A recipe with where it stands. `inputs` are those of the merge it was taken from: name -> {"path", "sha256"}."""

    text: str
    folder: Path | None = None
    inputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def source(given: str) -> Source:
    """The recipe of one line, of a text file, or stored in a merge's result. Raises `BadSpec`, `BadWeights`."""
    path = Path(given).expanduser()
    try:
        there = "\n" not in given and path.exists()
    except (OSError, ValueError):  # too long for a name
        there = False
    if not there:
        if "(" not in given:
            raise BadSpec(f'there is no recipe "{given[:80]}"', 'Give a file, or weighted_sum("a", "b", alpha=0.5).')
        return Source(given)
    try:
        if path.is_dir():
            return _stored(path, json.loads((path / f"{RECIPE}.json").read_text("utf-8")))
        if path.suffix.lower() in {SUFFIX, *headers.PICKLES}:
            said = headers.load(path).texts.get(RECIPE, "")
            if not said:
                raise BadWeights(
                    f"{path} was not made by a merge of this program", "Give a recipe, or a merge's result."
                )
            return _stored(path, json.loads(said))
        if path.stat().st_size > LARGEST_TEXT:
            raise BadSpec(f"{path} is larger than a recipe can be", "Choose a text file.")
        return Source(path.read_text("utf-8"), path.absolute().parent)
    except FileNotFoundError as error:
        raise BadWeights(
            f"{path} was not made by a merge of this program", "Give a recipe, or a merge's result."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it holds no recipe that can be read"
        raise BadSpec(f"{path} cannot be read: {reason}", "Choose another file.") from error


def _stored(path: Path, found: Any) -> Source:
    inputs = found.get("inputs") if isinstance(found, dict) else None
    if not isinstance(inputs, list) or not isinstance(found.get("recipe"), str):
        raise BadWeights(f"the recipe in {path} is damaged", "Give the recipe itself.")
    known = {
        str(one["name"]): {"path": str(one.get("path", "")), "sha256": str(one.get("sha256", ""))}
        for one in inputs
        if isinstance(one, dict) and "name" in one
    }
    return Source(found["recipe"], None, known)


def planned(given: Source, catalogue: Catalogue) -> Plan:
    """What the recipe will give; no weight is read. Raises `BadRecipe`."""
    places = {name: one["path"] for name, one in given.inputs.items()}
    return plan(parse(given.text), catalogue, given.folder, places)

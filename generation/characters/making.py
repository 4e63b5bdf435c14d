"""What a tree comes to: the prompt that calls its leaves up, or one LoRA that holds them all.

Leaves that are merges are made once, beside the tree, and made again when their recipe changes. The one LoRA is the
exact concatenation of the leaves at the weights that act. Leaves the merges themselves to `merging`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generation.catalogue import Catalogue, ModelEntry, look
from generation.characters.trees import Acting, Part, Tree
from generation.errors import BadSpec, BadWeights
from generation.fitting import require
from generation.merging.running import merge
from generation.merging.sources import Source

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
FORBIDDEN = set("<>:")  # what would end a name inside <lora:...>


def files(
    tree: Tree, catalogue: Catalogue, *, report: Report = lambda event: None, check: Check = lambda: None
) -> dict[str, Path]:
    """Path of a leaf -> its network's file, of every leaf that acts; merges are made where they are missing.

    Raises `BadWeights`, `UnknownModel`, or what the merge raises.
    """
    return {one.part.path: _file(one.part, tree, catalogue, report, check) for one in tree.leaves()}


def _file(part: Part, tree: Tree, catalogue: Catalogue, report: Report, check: Check) -> Path:
    if part.merge:
        return _merged(part, tree, catalogue, report, check)
    folder = tree.file.parent if tree.file else Path.cwd()
    for name in (part.lora, f"{part.lora}.safetensors"):
        if (beside := folder / Path(name).expanduser()).is_file():
            return _network(look(beside), part)
    return _network(catalogue.find(part.lora), part)


def _network(entry: ModelEntry, part: Part) -> Path:
    require(entry, "lora")
    if FORBIDDEN & set(entry.path):
        raise BadWeights(f"the path of {part.path} cannot stand in a prompt: {entry.path}", "Take < > and : out of it.")
    return Path(entry.path).absolute()


def _merged(part: Part, tree: Tree, catalogue: Catalogue, report: Report, check: Check) -> Path:
    folder = tree.file.parent if tree.file else Path.cwd()
    digest = hashlib.sha256(part.merge.encode()).hexdigest()[:12]
    path = folder / f".{tree.name}.parts" / f"{part.path}-{digest}.safetensors"
    if not path.is_file():
        made = merge(Source(part.merge, folder, {}), path, catalogue, report=report, check=check)
        if made["gives"] != "lora":
            path.unlink(missing_ok=True)
            raise BadSpec(f"the merge of {part.path} gives a {made['gives']}, not a LoRA", "Use extract_lora(...).")
    return path


def prompt(tree: Tree, text: str, found: dict[str, Path]) -> str:
    """`text` (or the tree's own prompt) with the words of the leaves and a `<lora:...>` for each."""
    leaves = tree.leaves()
    words = [_weighted(one) for one in leaves if one.part.words]
    called = [
        f"<lora:{found[one.part.path]}:{_plain(one.weight * one.part.text)}:{_plain(one.weight)}>" for one in leaves
    ]
    return " ".join(
        [", ".join(part for part in (text.strip() or tree.prompt.strip(), *words) if part), *called]
    ).strip()


def _weighted(one: Acting) -> str:
    """The words at the weight that acts, as A1111 writes it; at 1 as they are."""
    weight = round(one.weight, 2)
    return one.part.words if weight == 1 else f"({one.part.words}:{weight:g})"


def _plain(number: float) -> str:
    return f"{round(number, 4):g}"


def export(
    tree: Tree,
    output: Path,
    catalogue: Catalogue,
    *,
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> dict[str, Any]:
    """The tree as one LoRA at `output`: ranks add up, nothing is lost. Returns the merge's result.

    A leaf's own strength for text encoders cannot be said in one sum over both; raises `BadSpec` where one is not 1,
    and where nothing acts.
    """
    leaves = tree.leaves()
    if not leaves:
        raise BadSpec("no part of the character acts", "Give a part a weight.")
    if other := next((one.part for one in leaves if one.part.text != 1), None):
        raise BadSpec(
            f"{other.path} has a strength of {other.text:g} for text encoders, which one LoRA cannot keep apart",
            "Export the prompt, or set text to 1.",
        )
    found = files(tree, catalogue, report=report, check=check)
    names = ", ".join(_quoted(str(found[one.part.path])) for one in leaves)
    weights = ", ".join(_plain(one.weight) for one in leaves)
    if len(leaves) == 1:
        # The method wants two: half of it and half of it is the whole.
        half = _plain(leaves[0].weight / 2)
        names, weights = f"{names}, {names}", f"{half}, {half}"
    folder = tree.file.parent if tree.file else None
    recipe = f"concat_loras({names}, weights=[{weights}])"
    return merge(Source(recipe, folder, {}), output, catalogue, force=True, report=report, check=check)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

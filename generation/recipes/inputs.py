"""What a recipe runs on: pictures of folders, patterns and names, or prompts; each with a folder name of its own."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation.errors import BadImage, BadSpec
from generation.recipes import Recipe

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Input:
    """`stem` names its folder of outputs, alone among those of a run; `path` is "" where there is a prompt alone."""

    stem: str
    path: str = ""
    prompt: str = ""


def gather(recipe: Recipe, given: Sequence[str] = ()) -> list[Input]:
    """Those `given`, else the recipe's own. Raises `BadSpec` or `BadImage` where one is missing or fits no stage."""
    found: list[tuple[str, str, str]] = []
    if given:
        for text in given:
            found += [(path.stem, str(path), "") for path in _pictures(text, Path())]
    elif isinstance(recipe.inputs, dict):
        prompts = recipe.inputs.get("prompts")
        if (
            set(recipe.inputs) != {"prompts"}
            or not isinstance(prompts, list)
            or not all(isinstance(prompt, str) and prompt.strip() for prompt in prompts)
        ):
            raise BadSpec(
                "inputs are a folder, files, patterns, or a list of prompts", "Write inputs: {prompts: [...]}."
            )
        found = [(_words(prompt), "", prompt) for prompt in prompts]
    elif recipe.inputs:
        texts = recipe.inputs if isinstance(recipe.inputs, list) else [recipe.inputs]
        for one in texts:
            if not isinstance(one, str):
                raise BadSpec(f"an input is a path, not {one!r}", "Put it in quotes.")
            found += [(path.stem, str(path), "") for path in _pictures(one, recipe.folder)]
    if recipe.takes_prompt and not all(prompt for _, _, prompt in found):
        raise BadSpec(f"{recipe.name} takes prompts, and pictures were given", "Write inputs: {prompts: [...]}.")
    if recipe.takes_input and any(not path for _, path, _ in found):
        raise BadSpec(f"{recipe.name} takes pictures, and prompts were given", "Name pictures as inputs.")
    if not found:
        if recipe.takes_input or recipe.takes_prompt:
            raise BadSpec(f"{recipe.name} has no input", "Name pictures or a folder behind the recipe.")
        found = [("once", "", "")]
    taken: set[str] = set()
    made = []
    for stem, path, prompt in found:
        stem = re.sub(r"[^\w\-. ]", "_", stem).strip(". ") or "input"
        alone, count = stem, 1
        while alone.lower() in taken:  # a file system may not tell cases apart
            count += 1
            alone = f"{stem}-{count}"
        taken.add(alone.lower())
        made.append(Input(alone, path, prompt))
    return made


def _pictures(text: str, folder: Path) -> list[Path]:
    path = folder / Path(text).expanduser()
    if path.is_dir():
        inside = sorted(one for one in path.iterdir() if one.suffix.lower() in PICTURES and one.is_file())
        if not inside:
            raise BadImage(f"there are no pictures in {path}", "Choose another folder.")
        return [one.absolute() for one in inside]
    if path.is_file():
        return [path.absolute()]
    found = glob.glob(str(path), recursive=True)  # noqa: PTH207 (an absolute pattern)
    matched = sorted(Path(one).absolute() for one in found if Path(one).is_file())
    if not matched:
        raise BadImage(f"there is no picture {path}", "Check the path or pattern.")
    return matched


def _words(prompt: str) -> str:
    return "-".join(re.findall(r"[^\W_]+", prompt.lower())[:6])[:60]


def as_json(one: Input) -> dict[str, Any]:
    return {"stem": one.stem, "path": one.path, "prompt": one.prompt}

"""A recipe made of a render: its own settings, and those of the pictures it was made from as far as they are there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from generation import metadata
from generation.errors import BadImage, BadSpec, GenerationError
from generation.recipes import INPUT
from generation.recipes.reading import FIELDS, parse
from generation.specs import RenderSpec

DEEPEST = 20  # pictures made of pictures


def of_picture(path: Path) -> dict[str, Any]:
    """The recipe that makes a picture again, as plain data. Raises `BadImage` for one without settings."""
    path = path.expanduser().absolute()
    stages, first = _stages(path, set())
    if not stages:
        raise BadImage(f"{path} carries no settings", "Choose a picture that was generated.")
    name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in path.stem).strip("-") or "recipe"
    return {"name": name, **({"inputs": first} if first else {}), "stages": stages}


def _stages(path: Path, seen: set[Path]) -> tuple[list[dict[str, Any]], str]:
    """(stages that end in the picture, the file they start from or "")."""
    try:
        known = metadata.read(path).spec()
        spec = RenderSpec.from_json(known) if known else None
    except GenerationError:
        if not seen:
            raise
        spec = None
    if spec is None or path in seen or len(seen) > DEEPEST:
        return [], str(path)
    usual = RenderSpec("")
    stage: dict[str, Any] = {"id": "", "do": spec.operation}
    settings = {name: value for name, value in spec.options.items() if name != "image" and value != ""}
    before: list[dict[str, Any]] = []
    first = ""
    image = str(spec.options.get("image", ""))
    if image:
        before, first = _stages(Path(image), {*seen, path}) if Path(image).is_file() else ([], image)
        stage["from"] = before[-1]["id"] if before else INPUT
    stage["id"] = f"{len(before) + 1}-{spec.operation}"
    for name in FIELDS:
        value = getattr(spec, name)
        if value != getattr(usual, name) or name in {"seed", "model"}:
            stage[name] = [dict(one) for one in value] if isinstance(value, tuple) else value
    if settings:
        stage["with"] = settings
    return [*before, stage], first


def save(picture: Path, output: Path) -> Path:
    """Write the recipe of a picture; it is read once before it counts. Raises `BadImage` or `BadSpec`."""
    text = yaml.safe_dump(of_picture(picture), sort_keys=False, allow_unicode=True, width=100)
    output = output.expanduser().absolute()
    parse(text, output)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        temporary.write_text(text, "utf-8")
        temporary.replace(output)
    except OSError as error:
        raise BadSpec(f"{output} cannot be written: {error.strerror}", "Choose another place.") from error
    finally:
        temporary.unlink(missing_ok=True)
    return output

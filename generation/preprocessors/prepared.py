"""A file to a condition of a size: read, fitted, preprocessed.

Knows that a preprocessor works best at the size it is used at, so that a line is one pixel wide there. Leaves what the
kinds do to their modules.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

from generation.errors import BadSpec
from generation.pictures import fitted, read
from generation.preprocessors import find, parameters
from generation.preprocessors.poses import from_keypoints


def prepare(
    kind: str, path: str | Path, size: tuple[int, int] | None, how: str = "crop", values: dict[str, Any] | None = None
) -> Image.Image:
    """The condition RGB at `size` (width, height), or at the file's own for None, which is fitted as `how` says.

    Raises `BadSpec` for a kind or parameter, `BadImage` for the file, `BadWeights` for what the kind needs.
    """
    what, settings = find(kind), parameters(kind, values or {})
    file = Path(path).expanduser()
    if file.suffix.lower() == ".json":
        if not what.keypoints:
            raise BadSpec(f"{kind} reads pictures, not {file.name}", "For keypoints choose openpose.")
        return from_keypoints(file, size, how, **settings)
    picture = read(file)
    return run(kind, picture if size is None else fitted(picture, size, how), settings)


def run(kind: str, picture: Image.Image, values: dict[str, Any]) -> Image.Image:
    """The condition of a picture, as large as the picture."""
    module, _, function = find(kind).run.partition(":")
    made: Image.Image = getattr(import_module(module), function)(picture, **parameters(kind, values))
    return made

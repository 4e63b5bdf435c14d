"""Whether a stage's picture is still that of its settings: a hash of all that decides it, kept in a file beside it.

What decides it: what is done with which settings, the bytes of the pictures it takes, and the weights it names by
size and time of change (a checkpoint of gigabytes is not read for it).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from generation.catalogue import Catalogue
from generation.errors import GenerationError
from generation.prompts.grammar import parse
from generation.specs import RenderSpec

LAYOUT = 1  # of what is hashed; another number makes every stage again


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def key(do: str, what: RenderSpec | dict[str, Any], pictures: Iterable[str], catalogue: Catalogue) -> str:
    """The hash of a stage that takes `pictures` (paths, which count by their bytes alone)."""
    hashes = {path: file_hash(Path(path)) for path in sorted(set(pictures))}

    def by_bytes(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: by_bytes(inner) for name, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [by_bytes(inner) for inner in value]
        if isinstance(value, str) and value in hashes:
            return hashes[value]
        # A mask or reference that no stage made lies in a file as well.
        if isinstance(value, str) and "/" in value:
            with contextlib.suppress(OSError, ValueError):  # a prompt with a slash, too long for a name
                about = Path(value).stat()
                return [value, about.st_size, about.st_mtime_ns]
        return value

    shown = what.to_json() if isinstance(what, RenderSpec) else what
    weights = _weights(what, catalogue) if isinstance(what, RenderSpec) else []
    whole = [LAYOUT, do, by_bytes(shown), list(hashes.values()), weights]
    return hashlib.sha256(json.dumps(whole, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def holds(picture: Path, wanted: str) -> bool:
    """Whether `picture` is there as it was made under the key `wanted`."""
    try:
        known = json.loads(beside(picture).read_text("utf-8"))
        return bool(known["key"] == wanted and known["sha256"] == file_hash(picture))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def beside(picture: Path) -> Path:
    return picture.with_suffix(".json")


def _weights(spec: RenderSpec, catalogue: Catalogue) -> list[Any]:
    """[name, path, size, time of change] of all weights that the spec names."""
    names = {spec.model, spec.vae, str(spec.modifiers.get("refiner", "")), str(spec.options.get("upscaler", ""))}
    names |= {str(entry.get("model", "")) for entry in (*spec.controls, *spec.references)}
    names |= {network.name for network in parse(spec.prompt).networks}
    found: list[Any] = []
    for name in sorted(names - {""}):
        try:
            entry = catalogue.find(name)
            found.append([name, entry.path, entry.size, Path(entry.path).stat().st_mtime_ns])
        except (GenerationError, OSError):
            found.append([name])
    return found

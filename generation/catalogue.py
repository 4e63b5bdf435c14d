"""Which weights there are: found by walking folders, told apart by headers, never loaded.

Knows the layouts of A1111, ComfyUI and InvokeAI and the keys that name a family. Leaves loading to `loading`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation import headers
from generation.errors import BadSpec, UnknownModel, nearest
from generation.specs import ModelDefaults, RenderSpec

BUNDLED = Path(__file__).parent / "weights" / "atelier-demo"
DEEPEST = 6
SUFFIXES = {".safetensors", ".ckpt", ".pt", ".pth", ".bin"}
DEFAULTS = {
    "sdxl": ModelDefaults(1024, 1024, 25, 6.0, "DPM++ 2M Karras"),
    "sd2": ModelDefaults(768, 768, 25, 7.0, "DPM++ 2M Karras"),
}
# Folders of A1111, ComfyUI and InvokeAI -> what lies in them, for files whose own bytes do not tell.
FOLDERS = {
    "stable-diffusion": "checkpoint", "checkpoints": "checkpoint", "main": "checkpoint",
    "lora": "lora", "loras": "lora", "lycoris": "lora", "vae": "vae", "controlnet": "controlnet",
    "embedding": "embedding", "embeddings": "embedding",
}  # fmt: skip
# Classes in a diffusers folder's config.json.
CLASSES = {"AutoencoderKL": "vae", "ControlNetModel": "controlnet"}
PICKLE = "a pickle, which can run code; convert it to safetensors"
NOT_YET = "its weights are not there yet"
NO_FOLDER = "no diffusers checkpoint: model_index.json or unet/config.json is missing"
SKIPPED = {
    ".git",
    "__pycache__",
    "node_modules",
    "venv",
    ".venv",
    "extensions",
    "custom_nodes",
    "outputs",
}


@dataclass(frozen=True)
class ModelEntry:
    """One set of weights. `size` in bytes; `problem` says why it cannot be used ("" when it can)."""

    name: str
    path: str
    kind: str
    family: str
    size: int
    defaults: ModelDefaults
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        names = ("name", "path", "kind", "family", "size", "problem")
        return {**{n: getattr(self, n) for n in names}, "defaults": vars(self.defaults)}


class Catalogue:
    """The bundled checkpoint and everything under `roots`; scanned once."""

    def __init__(self, roots: Sequence[Path] = ()) -> None:
        self._roots = list(roots)
        self._entries: list[ModelEntry] | None = None

    def entries(self) -> list[ModelEntry]:
        """The bundled one first, the rest by name. A root that is missing or cannot be read holds nothing."""
        if self._entries is None:
            found = [look(path) for root in self._roots if root.is_dir() for path in _walk(root)]
            # A root inside another one, or given twice, lists its files once.
            unique = {entry.path: entry for entry in found}
            unique.pop(str(BUNDLED), None)
            self._entries = [look(BUNDLED), *sorted(unique.values(), key=lambda e: (e.name.lower(), e.path))]
        return self._entries

    def find(self, name: str) -> ModelEntry:
        """By name, file name or existing path. Raises `UnknownModel` with the nearest name.

        Of several with one name, a checkpoint that can be used comes first.
        """
        entries = self.entries()
        named = [entry for entry in entries if name in {entry.name, Path(entry.path).name, entry.path}]
        if named:
            return min(named, key=lambda entry: (entry.kind != "checkpoint", entry.problem != ""))
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # too long, a zero byte, no home
            path = Path(name).expanduser()
            if name and path.exists():
                return look(path.absolute())
        names = [entry.name for entry in entries]
        raise UnknownModel(
            f'there is no model "{name}"',
            nearest(name, names) or "`atelier models list` shows them; studio.models adds folders.",
        )


def _walk(root: Path) -> Iterator[Path]:
    """Files of weights and diffusers folders under `root`; links that lead round in a circle are not followed twice."""
    seen: set[str] = set()
    base = len(root.parts)
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        real = str(here.resolve())
        if real in seen or len(here.parts) - base > DEEPEST:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [f for f in sorted(folders) if f not in SKIPPED and not f.startswith(".")]
        if "model_index.json" in files or _is_part(here, files):
            folders.clear()
            yield here
            continue
        yield from (here / f for f in sorted(files) if Path(f).suffix.lower() in SUFFIXES)


def _is_part(folder: Path, files: Sequence[str]) -> bool:
    """Whether this is a VAE or a ControlNet in diffusers' layout."""
    if "config.json" not in files or not any(name.startswith("diffusion_pytorch_model") for name in files):
        return False
    try:
        return _json(folder / "config.json").get("_class_name") in CLASSES
    except (OSError, ValueError, RecursionError):
        return False


def look(path: Path) -> ModelEntry:
    """The entry of a file or a diffusers folder; never raises for what is damaged."""
    kind, family, size = "unknown", "unknown", 0
    try:
        if path.is_dir() or path == BUNDLED:
            return _folder(path)
        size = path.stat().st_size
        suffix = path.suffix.lower()
        if suffix == ".safetensors":
            kind, family = headers.recognise(headers.read(path))
            problem = ""
        else:
            problem = PICKLE if suffix in SUFFIXES else "no file of weights"
    except OSError as error:
        problem = f"it cannot be read: {error.strerror or error}"
    except ValueError as error:
        problem = str(error)
    kind = _kind_by_place(path) if kind == "unknown" and problem else kind
    return _entry(path.stem, path, kind, family, size, problem)


def _kind_by_place(path: Path) -> str:
    """The kind by the nearest folder that a tool keeps for it."""
    return next((FOLDERS[part.lower()] for part in reversed(path.parts[:-1]) if part.lower() in FOLDERS), "unknown")


def _entry(name: str, path: Path, kind: str, family: str, size: int, problem: str = "") -> ModelEntry:
    defaults = DEFAULTS.get(family, ModelDefaults())
    return ModelEntry(name, str(path), kind, family, size, defaults, problem)


def _folder(path: Path) -> ModelEntry:
    """The entry of a diffusers folder: a whole pipeline, or a VAE or ControlNet alone."""
    size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    try:
        if (path / "config.json").is_file() and not (path / "model_index.json").exists():
            kind = CLASSES.get(str(_json(path / "config.json").get("_class_name")), "unknown")
            if kind != "unknown":
                return _entry(path.name, path, kind, "unknown", size, _without_weights(path))
        about = _json(path / "atelier.json") if (path / "atelier.json").is_file() else {}
        name, family = str(about.get("name", path.name)), str(about.get("family", ""))
        defaults, problem = _defaults(about, family)
        if path == BUNDLED and not (path / "model_index.json").is_file():
            return ModelEntry(name, str(path), "checkpoint", family or "sd15-small", size, defaults, NOT_YET)
        family = family or _folder_family(_json(path / "model_index.json"), _json(path / "unet" / "config.json"))
        defaults, problem = _defaults(about, family)
    except (OSError, ValueError, RecursionError):
        return _entry(path.name, path, "checkpoint", "unknown", size, NO_FOLDER)
    problem = problem or _without_weights(path / "unet")
    return ModelEntry(name, str(path), "checkpoint", family, size, defaults, problem)


def _without_weights(folder: Path) -> str:
    """Why a part of a pipeline cannot be loaded, "" when it can: all of its safetensors are there and whole."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return f"{folder.name}/*.safetensors is missing"
    for file in files:
        try:
            headers.read(file)
        except (OSError, ValueError) as error:
            return f"{folder.name}/{file.name}: {error}"
    return ""


def _defaults(about: dict[str, Any], family: str) -> tuple[ModelDefaults, str]:
    """(defaults, problem): the family's, with what `atelier.json` says on top where a render can hold it."""
    usual = DEFAULTS.get(family, ModelDefaults())
    values = {f.name: about.get(f.name, getattr(usual, f.name)) for f in dataclasses.fields(usual)}
    try:
        RenderSpec("", **values)
        if None in values.values():
            raise BadSpec("a default is null")
    except BadSpec as error:
        return usual, f"atelier.json: {error.message}"
    return ModelDefaults(**values), ""


def _json(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text("utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is no table")  # noqa: TRY004 - callers look for one error
    return found


def _folder_family(index: dict[str, Any], unet: dict[str, Any]) -> str:
    name = str(index.get("_class_name", ""))
    if "XL" in name:
        return "sdxl"
    width = unet.get("cross_attention_dim")
    if width == 1024:
        return "sd2"
    if width != 768:
        return "sd15-small"
    return "sd15-inpainting" if unet.get("in_channels") == 9 else "sd15"

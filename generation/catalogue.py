"""Which weights there are: found by walking folders, told apart by headers, never loaded.

Knows the layouts of A1111, ComfyUI and InvokeAI and the keys that name a family. Leaves loading to `loading`.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation.errors import UnknownModel, nearest
from generation.specs import ModelDefaults

BUNDLED = Path(__file__).parent / "weights" / "atelier-demo"
LARGEST_HEADER = 100_000_000
DEEPEST = 6
SUFFIXES = {".safetensors", ".ckpt", ".pt", ".pth", ".bin"}
DEFAULTS = {
    "sdxl": ModelDefaults(1024, 1024, 25, 6.0, "DPM++ 2M Karras"),
    "sd2": ModelDefaults(768, 768, 25, 7.0, "DPM++ 2M Karras"),
}
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
        """The bundled one first, the rest by name."""
        if self._entries is None:
            found = [look(path) for root in self._roots if root.is_dir() for path in _walk(root)]
            unique = {entry.path: entry for entry in found}
            self._entries = [look(BUNDLED), *sorted(unique.values(), key=lambda e: e.name.lower())]
        return self._entries

    def find(self, name: str) -> ModelEntry:
        """By name, file name or existing path. Raises `UnknownModel` with the nearest name."""
        entries = self.entries()
        for entry in entries:
            if name in {entry.name, Path(entry.path).name, entry.path}:
                return entry
        path = Path(name).expanduser()
        if path.exists():
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
        if "model_index.json" in files:
            folders.clear()
            yield here
            continue
        yield from (here / f for f in sorted(files) if Path(f).suffix.lower() in SUFFIXES)


def look(path: Path) -> ModelEntry:
    """The entry of a file or a diffusers folder; never raises for what is damaged."""
    if path.is_dir():
        return _folder(path)
    try:
        size = path.stat().st_size
        if path.suffix.lower() == ".safetensors":
            keys = header(path)
            kind, family = recognise(keys)
            return _entry(path.stem, path, kind, family, size)
    except (OSError, ValueError) as error:
        return _entry(path.stem, path, "unknown", "unknown", 0, str(error))
    return _entry(
        path.stem,
        path,
        "unknown",
        "unknown",
        size,
        "a pickle, which can run code; convert it to safetensors",
    )


def _entry(name: str, path: Path, kind: str, family: str, size: int, problem: str = "") -> ModelEntry:
    defaults = DEFAULTS.get(family, ModelDefaults())
    return ModelEntry(name, str(path), kind, family, size, defaults, problem)


def _folder(path: Path) -> ModelEntry:
    try:
        size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
        about = _json(path / "atelier.json") if (path / "atelier.json").is_file() else {}
        index = _json(path / "model_index.json")
        unet = _json(path / "unet" / "config.json")
        kind = "checkpoint"
    except (OSError, ValueError):
        return _entry(path.name, path, "checkpoint", "unknown", 0, NO_FOLDER)
    weights = list((path / "unet").glob("*.safetensors"))
    family = about.get("family") or _folder_family(index, unet)
    usual = DEFAULTS.get(family, ModelDefaults())
    defaults = ModelDefaults(
        *(about.get(name, getattr(usual, name)) for name in ("width", "height", "steps", "cfg", "sampler"))
    )
    problem = "" if weights else "unet/*.safetensors is missing"
    return ModelEntry(about.get("name", path.name), str(path), kind, family, size, defaults, problem)


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


def header(path: Path) -> dict[str, list[int]]:
    """Key -> shape of every tensor of a safetensors file. Raises ValueError in one line when it is damaged."""
    size = path.stat().st_size
    if size < 8:
        raise ValueError(f"the file is cut short: {size} bytes")
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(LARGEST_HEADER, size - 8):
            raise ValueError(f"the file is cut short or no safetensors: its header claims {length:,} bytes")
        try:
            table = json.loads(file.read(length))
        except ValueError as error:
            raise ValueError("its header is no JSON: not a safetensors file") from error
    tensors = {k: v for k, v in table.items() if k != "__metadata__"}
    try:
        end = max((v["data_offsets"][1] for v in tensors.values()), default=0)
        if 8 + length + end > size:
            raise ValueError(f"the file is cut short: {8 + length + end:,} bytes are needed, {size:,} are there")
        return {key: list(v["shape"]) for key, v in tensors.items()}
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError("its header has no shapes: not a safetensors file") from error


def recognise(keys: dict[str, list[int]]) -> tuple[str, str]:
    """(kind, family) by names and shapes of tensors."""

    def has(part: str) -> bool:
        return any(part in key for key in keys)

    if has("model.diffusion_model.input_blocks.0.0.weight"):
        channels = keys["model.diffusion_model.input_blocks.0.0.weight"][1]
        if has("conditioner.embedders.1"):
            return "checkpoint", "sdxl"
        if has("conditioner.embedders.0.model"):
            return "checkpoint", "sdxl-refiner"
        base = "sd2" if has("cond_stage_model.model.transformer") else "sd15"
        return "checkpoint", f"{base}-inpainting" if channels == 9 else base
    if has("lora_down") or has("lora_up") or has("lora_A.") or has(".lokr_w") or has(".hada_w") or has(".lora."):
        return "lora", "sdxl" if has("lora_te2_") or has("input_blocks_4_1") else _by_width(keys)
    if has("control_model.") or has("controlnet_cond_embedding"):
        return "controlnet", _by_width(keys)
    if has("emb_params") or {"clip_l", "clip_g"} & set(keys):
        return "embedding", "sdxl" if "clip_g" in keys else "sd15"
    if (has("decoder.up.") or has("decoder.up_blocks.")) and has("encoder."):
        return "vae", "unknown"
    if has("motion_modules"):
        return "motion", "sd15"
    return "unknown", "unknown"


def _by_width(keys: dict[str, list[int]]) -> str:
    """The family by the width of the text the cross-attention reads."""
    for key, shape in keys.items():
        if "attn2" in key and ("to_k" in key) and ("down" in key or "weight" in key) and len(shape) >= 2:
            return {768: "sd15", 1024: "sd2", 2048: "sdxl"}.get(shape[1], "unknown")
    return "unknown"

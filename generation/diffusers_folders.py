"""Folders in diffusers' layout: a whole pipeline, or a part of one. Their JSON files say what they are.

Knows model_index.json, each part's config.json and Atelier's own atelier.json. Leaves loading to `loading`.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation import headers, pickles
from generation.defaults import defaults_of
from generation.errors import BadSpec
from generation.recognition import CHANNELS, FAMILIES
from generation.specs import ModelDefaults, RenderSpec
from generation.video_models import VIDEO_MODELS, VideoModel

NO_FOLDER = "no diffusers checkpoint: model_index.json or unet/config.json is missing"
# Classes in a part's config.json -> kind and format.
CLASSES = {
    "AutoencoderKL": ("vae", "diffusers"), "AutoencoderTiny": ("vae", "tiny"),
    "ControlNetModel": ("controlnet", "diffusers"), "ControlNetUnionModel": ("controlnet", "union"),
    "T2IAdapter": ("t2i-adapter", "diffusers"), "MotionAdapter": ("motion", "diffusers"),
    "UNet2DConditionModel": ("unet", "diffusers"),
}  # fmt: skip
# Libraries a part may come from. For any other name diffusers would run <name>.py of the part's own folder.
LIBRARIES = ("diffusers", "transformers", "stable_diffusion", "stable_diffusion_xl")
# Parts of a pipeline whose weights must be there.
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


@dataclass(frozen=True)
class Folder:
    """What a folder is; the fields are those of a catalogue's entry."""

    name: str
    kind: str
    family: str
    size: int
    defaults: ModelDefaults
    problem: str = ""
    format: str = "diffusers"
    prediction: str = ""


def look(path: Path) -> Folder:
    """What the folder `path` is; never raises for what is damaged."""
    name, size = _name(path), 0
    try:
        size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
        if (path / "config.json").is_file() and not (path / "model_index.json").exists():
            return _part(path, name, size)
        about = read_json(path / "atelier.json") if (path / "atelier.json").is_file() else {}
        index = read_json(path / "model_index.json")
        if (video := VIDEO_MODELS.get(str(index.get("_class_name")))) is not None:
            return _video(path, name, size, index, video)
        unet = read_json(path / "unet" / "config.json")
        prediction = _prediction(path)
        family = str(about.get("family") or "") or _family(index, unet, prediction)
    except (OSError, ValueError, RecursionError):
        return Folder(name, "checkpoint", "unknown", size, defaults_of("unknown"), NO_FOLDER)
    defaults, problem = own_defaults(about, family, name)
    named = [part for part in PARTS if _is_named(index, part)]
    # An index that names no part at all still needs the one every checkpoint has.
    problem = problem or _code(index)
    lacks = next((lack for part in named or ["unet"] if (lack := without_weights(path / part))), "")
    return Folder(
        str(about.get("name", name)), "checkpoint", family, size, defaults, problem or lacks, "diffusers", prediction
    )


def _video(path: Path, name: str, size: int, index: dict[str, Any], video: VideoModel) -> Folder:
    """A video model's folder: every part that the index names must be there."""
    width, height = video.size
    usual = ModelDefaults(width, height, video.steps, video.cfg)
    parts = [part for part in index if _is_named(index, part) and (path / part / "config.json").is_file()]
    lacks = next((lack for part in parts if (lack := without_weights(path / part))), "")
    named = [part for part in index if _is_named(index, part) and not (path / part).is_dir()]
    missing = f"its part {named[0]} is missing" if named else "" if parts else "its parts are missing"
    return Folder(name, "video", video.name, size, usual, _code(index) or missing or lacks)


def own_defaults(about: dict[str, Any], family: str, name: str = "") -> tuple[ModelDefaults, str]:
    """(defaults, problem): the family's, with what `atelier.json` says on top where a render can hold it."""
    usual = defaults_of(family, name)
    values = {f.name: about.get(f.name, getattr(usual, f.name)) for f in dataclasses.fields(usual)}
    try:
        RenderSpec("", **values)
        if None in values.values():
            raise BadSpec("a default is null")
    except BadSpec as error:
        return usual, f"atelier.json: {error.message}"
    return ModelDefaults(**values), ""


def without_weights(folder: Path) -> str:
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


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's table. Raises OSError, or ValueError where it is none."""
    found = json.loads(path.read_text("utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is no table")  # noqa: TRY004 - callers look for one error
    return found


def _part(path: Path, name: str, size: int) -> Folder:
    config = read_json(path / "config.json")
    made = str(config.get("_class_name"))
    kind, form = CLASSES.get(made, ("unknown", ""))
    if kind == "unknown":
        problem = f"a part of a pipeline that nothing here uses: {pickles.short(made)}"
        return Folder(name, "unknown", "unknown", size, defaults_of("unknown"), problem, "")
    width = config.get("cross_attention_dim")
    family = FAMILIES.get(width, "unknown") if isinstance(width, int) else "unknown"
    if kind == "vae":
        # The two VAEs have one shape and differ in the scale of their latents.
        family = {0.18215: "sd15", 0.13025: "sdxl"}.get(config.get("scaling_factor", 0), "unknown")
    return Folder(name, kind, family, size, defaults_of(family), without_weights(path), form)


def _name(path: Path) -> str:
    """The folder's name; in Hugging Face's cache, where that is a hash, the model's."""
    if path.parent.name == "snapshots" and path.parent.parent.name.startswith("models--"):
        return path.parent.parent.name.rpartition("--")[2]
    return path.name


def _code(index: dict[str, Any]) -> str:
    """What in the index would make diffusers run a file of the folder or import another library, "" for nothing."""
    if not isinstance(index.get("_class_name", ""), str):
        return "holds code: a pipeline of its own"
    for name, value in index.items():
        library = value[0] if isinstance(value, list) and value else None
        if library is not None and library not in LIBRARIES and not name.startswith("_"):
            return f'holds code: its {pickles.short(name)} is of "{pickles.short(library)}"'
    return ""


def _is_named(index: dict[str, Any], part: str) -> bool:
    value = index.get(part)
    return isinstance(value, list) and len(value) == 2 and value[0] is not None


def _prediction(path: Path) -> str:
    try:
        said = str(read_json(path / "scheduler" / "scheduler_config.json").get("prediction_type", ""))
    except (OSError, ValueError, RecursionError):
        return ""
    return {"v_prediction": "v", "epsilon": "epsilon"}.get(said, "")


def _family(index: dict[str, Any], unet: dict[str, Any], prediction: str) -> str:
    name, width = str(index.get("_class_name", "")), unet.get("cross_attention_dim")
    if "XL" in name:
        family = "sdxl-refiner" if width == 1280 else "sdxl"
    elif width in {768, 1024}:
        family = FAMILIES[width]
    else:
        return "sd15-small"
    variant = CHANNELS.get(unet.get("in_channels", 4), "")
    return family + (variant or ("-v" if family == "sd2" and prediction == "v" else ""))

"""From a training folder to the checkpoint that is committed: diffusers layout, half precision, 40 MB at most."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler
from transformers import CLIPTextModel

from generation.demo import train_unet
from generation.errors import GenerationError

LARGEST = 40_000_000  # bytes
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
ABOUT = {
    "name": "atelier-demo",
    "family": "sd15-small",
    "width": 64,
    "height": 64,
    "steps": 20,
    "cfg": 4.0,
    "sampler": "DPM++ 2M",
    "licence": "Apache-2.0",
}


def export(folder: Path, target: Path) -> int:
    """Write the averaged weights of `folder` into `target` beside its tokenizer; returns the bytes of the whole.

    Works in the middle of training, too. Each component is written aside and moved into place.
    """
    if not (target / "tokenizer" / "vocab.json").is_file():
        raise GenerationError(f"{target} has no tokenizer", "Run `tokenizer` first.")
    state = torch.load(folder / "unet.state.pt", weights_only=True, map_location="cpu")
    unet = train_unet.build()
    unet.load_state_dict(state["average"][0])
    parts: dict[str, Any] = {
        "unet": unet.half(),
        "vae": AutoencoderKL.from_pretrained(folder / "vae").half(),
        "text_encoder": CLIPTextModel.from_pretrained(folder / "text_encoder").half(),
        "scheduler": EulerDiscreteScheduler(**{k: v for k, v in train_unet.SCHEDULE.items() if k != "clip_sample"}),
    }
    for name, part in parts.items():
        aside = target / f".{name}"
        shutil.rmtree(aside, ignore_errors=True)
        part.save_pretrained(aside)
        _tidy(aside)
        shutil.rmtree(target / name, ignore_errors=True)
        aside.rename(target / name)
    for name, content in (("model_index.json", INDEX), ("atelier.json", ABOUT)):
        temporary = target / f".{name}"
        temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        temporary.replace(target / name)
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    if size > LARGEST:
        raise GenerationError(f"the checkpoint takes {size:,} bytes", f"At most {LARGEST:,} are allowed.")
    return size


def _tidy(folder: Path) -> None:
    """Forget the training folder's name, and let everyone read the files (safetensors writes them for the owner)."""
    for file in folder.iterdir():
        file.chmod(0o644)
        if file.suffix == ".json":
            config = json.loads(file.read_text("utf-8"))
            config.pop("_name_or_path", None)
            file.write_text(json.dumps(config, indent=2) + "\n", "utf-8")

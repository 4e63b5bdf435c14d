"""CLIP's image encoders from local files: found by the width of their features, and what they see in a picture.

Sizes come from the tensors themselves, so that a lone file of ComfyUI's `clip_vision` folder does as well as a folder
of the IP-Adapter's authors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import init_empty_weights
from PIL import Image, ImageOps
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from generation import headers
from generation.catalogue import Catalogue, ModelEntry
from generation.errors import BadWeights
from generation.references.files import Adapter
from generation.single_files import _filled, read

# The encoders that published adapters read: (what, width of hidden features, width of projected ones).
KNOWN = (("CLIP ViT-H/14", 1280, 1024), ("CLIP ViT-bigG/14", 1664, 1280), ("CLIP ViT-L/14", 1024, 768))
FOLDERS = ("image_encoder", "models/image_encoder", "sdxl_models/image_encoder", "clip_vision")
NAMES = ("model.safetensors", "pytorch_model.safetensors", "pytorch_model.bin")
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's training pictures
CLASS, PROJECTION = "vision_model.embeddings.class_embedding", "visual_projection.weight"


def find(adapter: Adapter, place: ModelEntry, catalogue: Catalogue, wanted: str = "") -> Path:
    """The file of the image encoder that `adapter` (of `place`) was made with; `wanted` names one.

    Looked for beside the adapter and in the catalogue. Raises `BadWeights` that says which one is missing.
    """
    if wanted:
        path = _file(Path(catalogue.find(wanted).path))
        if path is None or not _fits(path, adapter):
            raise BadWeights(f"{wanted} is not the image encoder of {place.name}", _remedy(adapter))
        return path
    for path in _candidates(Path(place.path), catalogue):
        if _fits(path, adapter):
            return path
    raise BadWeights(f"the image encoder of {place.name} is not here", _remedy(adapter))


def _candidates(adapter: Path, catalogue: Catalogue) -> Iterator[Path]:
    folders = [folder / name for folder in list(adapter.parents)[:3] for name in FOLDERS]
    listed = [Path(entry.path) for entry in catalogue.entries() if entry.kind == "image-encoder"]
    for place in [*folders, *listed]:
        if (found := _file(place)) is not None:
            yield found


def _file(place: Path) -> Path | None:
    if place.is_file():
        return place
    return next((place / name for name in NAMES if (place / name).is_file()), None)


def _fits(path: Path, adapter: Adapter) -> bool:
    try:
        shapes = headers.load(path).shapes
    except (OSError, ValueError):
        return False
    width = shapes.get(PROJECTION if adapter.kind == "plain" else CLASS, [0])[0]
    return width == adapter.width and PROJECTION in shapes


def _remedy(adapter: Adapter) -> str:
    projected = adapter.kind == "plain"
    name = next((what for what, hidden, out in KNOWN if adapter.width == (out if projected else hidden)), "")
    which = name or f"the one with {'projected' if projected else 'hidden'} features of width {adapter.width}"
    return f"Put {which} (model.safetensors) into a folder image_encoder beside the adapter."


def load(path: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """The encoder of a file in transformers' names. Raises `BadWeights`."""
    tensors = read(path)
    try:
        config = CLIPVisionConfig(**_config(path, {key: list(value.shape) for key, value in tensors.items()}))
    except (KeyError, IndexError) as error:
        raise BadWeights(f"{path} is no image encoder in transformers' names", "Choose another file.") from error
    with init_empty_weights(include_buffers=False):
        model = CLIPVisionModelWithProjection(config)
    return _filled(model, tensors, "image encoder", dtype).to(device)


def _config(path: Path, shapes: dict[str, list[int]]) -> dict[str, Any]:
    """What the tensors say, and of a config.json beside them what they cannot: heads and activation."""
    hidden = shapes[CLASS][0]
    patch = shapes["vision_model.embeddings.patch_embedding.weight"][-1]
    places = shapes["vision_model.embeddings.position_embedding.weight"][0]
    prefix = "vision_model.encoder.layers."
    told: dict[str, Any] = {}
    try:
        told = json.loads(path.with_name("config.json").read_text("utf-8"))
        told = told.get("vision_config") or told
    except (OSError, ValueError, AttributeError):
        told = {}
    return {
        "hidden_size": hidden,
        "patch_size": patch,
        "image_size": round((places - 1) ** 0.5) * patch,
        "num_hidden_layers": len({key[len(prefix) :].split(".")[0] for key in shapes if key.startswith(prefix)}),
        "intermediate_size": shapes[f"{prefix}0.mlp.fc1.weight"][0],
        "projection_dim": shapes[PROJECTION][0],
        # Heads are of width 64 in the smaller ones, and sixteen in those of LAION.
        "num_attention_heads": told.get("num_attention_heads", 16 if hidden > 1024 else max(hidden // 64, 1)),
        "hidden_act": told.get("hidden_act", "quick_gelu" if hidden in {768, 1024} else "gelu"),
    }


def pixels(picture: Image.Image, side: int) -> torch.Tensor:
    """[1, 3, side, side]: the middle square, normalised as CLIP's training pictures were."""
    square = ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.BICUBIC)
    array = (np.asarray(square, dtype=np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(array).permute(2, 0, 1)[None]


@torch.no_grad()
def features(encoder: Any, picture: Image.Image, *, projected: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(of the picture, of no picture): [1, projection], or [1, places + 1, hidden] of the layer before the last.

    No picture is zeros: as features where they are projected, as pixels where they are hidden (the authors' code).
    """
    given = pixels(picture, encoder.config.image_size).to(encoder.device, encoder.dtype)
    if projected:
        found = encoder(given).image_embeds
        return found, torch.zeros_like(found)
    one, none = (encoder(given * n, output_hidden_states=True).hidden_states[-2] for n in (1, 0))
    return one, none

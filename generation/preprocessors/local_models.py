"""Depth, surface normals and segmentation by models of the person's own, in folders of transformers' layout.

Knows which way round each kind of depth model counts, and the colours the ControlNets expect. Nothing is downloaded: a
folder that is missing or incomplete is an error that names it. Only safetensors are read.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from scipy import ndimage
from transformers import (
    AutoModelForDepthEstimation,
    AutoModelForSemanticSegmentation,
    AutoModelForUniversalSegmentation,
    AutoTokenizer,
    pipeline,
)

from generation.errors import BadWeights
from generation.preprocessors.palette import ADE20K

DEPTH = "Give weights: a folder of a depth model, such as Depth-Anything-V2-Small-hf."
SEGMENTATION = "Give weights: a folder of a segmentation model trained on ADE20K, such as upernet-convnext-small."
MAKERS: dict[str, tuple[Any, ...]] = {
    "depth-estimation": (AutoModelForDepthEstimation,),
    "image-segmentation": (AutoModelForSemanticSegmentation, AutoModelForUniversalSegmentation),
}
UNIVERSAL = ("oneformer", "mask2former", "maskformer")
# Models that give distances; all others give nearness.
METRIC = ("zoedepth", "glpn", "depth_pro")


def depth(image: Image.Image, *, weights: str = "") -> Image.Image:
    """Grey by nearness, the nearest white. Raises `BadWeights` naming the folder to provide."""
    return Image.fromarray((_nearness(image, weights) * 255).round().astype(np.uint8)).convert("RGB")


def normal(image: Image.Image, *, weights: str = "", strength: float = 2.0) -> Image.Image:
    """Surface normals from nearness, as ControlNet 1.1 reads them: blue faces the camera, red left, green up."""
    near = _nearness(image, weights)
    return slopes(near, strength)


def slopes(near: np.ndarray, strength: float) -> Image.Image:
    """Normals of nearness [h, w] in 0..1; `strength` is the rise over the whole picture that counts as 45 degrees."""
    scale = strength * max(near.shape)
    smooth = ndimage.gaussian_filter(near, 1.0, mode="nearest")
    down, across = np.gradient(smooth) if min(near.shape) > 1 else (np.zeros_like(near), np.zeros_like(near))
    vector = np.stack([across * scale, down * scale, np.ones_like(near)], -1)
    vector /= np.linalg.norm(vector, axis=-1, keepdims=True)
    return Image.fromarray(((vector + 1) / 2 * 255).round().astype(np.uint8))


def segmentation(image: Image.Image, *, weights: str = "") -> Image.Image:
    """What is where, in ADE20K's colours; what the model does not name stays black."""
    model = _model("image-segmentation", weights, SEGMENTATION)
    labels: dict[str, int] = model.model.config.label2id
    if len(labels) > len(ADE20K):
        raise BadWeights(f"{weights} tells {len(labels)} classes apart, ADE20K has {len(ADE20K)}", SEGMENTATION)
    picture = image.convert("RGB")
    made = np.zeros((picture.height, picture.width, 3), np.uint8)
    for part in model(picture, subtask="semantic"):
        made[np.asarray(part["mask"]) > 127] = ADE20K[int(labels[part["label"]])]
    return Image.fromarray(made)


def _nearness(image: Image.Image, weights: str) -> np.ndarray:
    """[h, w] float32 in 0..1, 1 the nearest."""
    model = _model("depth-estimation", weights, DEPTH)
    config = model.model.config
    found = model(image.convert("RGB"))["predicted_depth"].squeeze().float().cpu().numpy()
    if config.model_type in METRIC or getattr(config, "depth_estimation_type", "") == "metric":
        found = 1 / np.maximum(found, 1e-3)
    if found.shape != (image.height, image.width):
        found = ndimage.zoom(found, (image.height / found.shape[0], image.width / found.shape[1]), order=1)
    low, high = float(found.min()), float(found.max())
    return ((found - low) / (high - low or 1.0)).astype(np.float32)


def _model(task: str, weights: str, hint: str) -> Any:
    if not weights:
        raise BadWeights(f"{task.replace('-', ' ')} needs a model that does not come with the program", hint)
    folder = Path(weights).expanduser()
    if not (folder / "config.json").is_file():
        raise BadWeights(f"{folder} is no folder of a model: config.json is missing", hint)
    if not list(folder.glob("*.safetensors")):
        raise BadWeights(f"{folder} holds no safetensors", hint)
    return _loaded(task, folder, (folder / "config.json").stat().st_mtime_ns, hint)


@lru_cache(maxsize=1)
def _loaded(task: str, folder: Path, changed: int, hint: str) -> Any:
    """The last model used stays in memory: several frames or a second pass ask for the same one."""
    device = 0 if torch.cuda.is_available() else -1
    own = {"local_files_only": True, "trust_remote_code": False}
    try:
        makers = MAKERS[task]
        # Models that tell things apart by masks have a class of their own; its processor may read a text as well.
        universal = json.loads((folder / "config.json").read_text("utf-8")).get("model_type") in UNIVERSAL
        model = makers[universal and len(makers) > 1].from_pretrained(folder, use_safetensors=True, **own)
        words = AutoTokenizer.from_pretrained(folder, **own) if (folder / "tokenizer_config.json").is_file() else None
        reader = _reader(folder)
        return pipeline(task, model=model, image_processor=reader, tokenizer=words, device=device)
    # transformers answers a folder of another kind, damage and missing parts with errors of many kinds.
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        if "orchvision" in reason:
            hint = "Run: pip install torchvision, or choose another model."
        raise BadWeights(f"{folder} cannot be used for {task.replace('-', ' ')}: {reason}", hint) from error


def _reader(folder: Path) -> Any:
    """What brings pixels into the model's form, in the variant on PIL: transformers' automatic one wants torchvision.

    KeyError for a folder that does not name one, AttributeError for a name that transformers does not have.
    """
    told = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
    name = told.get("image_processor_type") or told["feature_extractor_type"].replace(
        "FeatureExtractor", "ImageProcessor"
    )
    maker = getattr(transformers, f"{name.removesuffix('Fast').removesuffix('Pil')}Pil")
    return maker.from_pretrained(folder, local_files_only=True)

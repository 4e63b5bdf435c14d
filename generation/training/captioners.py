"""Captions by models in local folders: BLIP as transformers write it, and WD taggers as ONNX with their list of tags.

BLIP (Li et al. 2022, arXiv:2201.12086) writes a sentence, a tagger names what it sees. Knows their files and how they
want a picture. Leaves which captions are written to the caller.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from generation import headers
from generation.diffusers_folders import read_json
from generation.errors import BadWeights

Captioner = Callable[[Image.Image], str]
BLIP = {"blip": "BlipForConditionalGeneration", "blip-2": "Blip2ForConditionalGeneration"}
# CLIP's normalisation, which BLIP's own files name; they count where a folder says others.
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
LONGEST = 40  # tokens of a sentence
BEAMS = 3
# SmilingWolf's taggers: categories of selected_tags.csv, and the thresholds of their own demonstration.
GENERAL, CHARACTER = "0", "4"
THRESHOLDS = {GENERAL: 0.35, CHARACTER: 0.85}
SHORTEST = 3  # letters up to which a tag is a face such as ^_^ and keeps its underscores
NEEDED = "Give a folder of BLIP (config.json, model.safetensors) or of a WD tagger (model.onnx, selected_tags.csv)."


def load(folder: Path, device: str = "cpu", *, threshold: float | None = None) -> Captioner:
    """What captions a picture. `threshold` is the tagger's for general tags, 0 to 1.

    Raises `BadWeights` naming the file or package that is missing.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise BadWeights(f"there is no folder {folder}", NEEDED)
    if (folder / "selected_tags.csv").is_file() or any(folder.glob("*.onnx")):
        return _tagger(folder, threshold)
    if not (folder / "config.json").is_file():
        raise BadWeights(f"{folder} holds no captioning model: there is no config.json", NEEDED)
    try:
        config = read_json(folder / "config.json")
    except (OSError, ValueError) as error:
        raise BadWeights(f"{folder / 'config.json'} cannot be read", "Copy the folder again.") from error
    if config.get("model_type") not in BLIP:
        raise BadWeights(f"{folder} is of the kind {config.get('model_type', 'unknown')}", NEEDED)
    return _blip(folder, config, device)


def _blip(folder: Path, config: dict[str, Any], device: str) -> Captioner:
    if not any(folder.glob("*.safetensors")):
        raise BadWeights(f"{folder} has no weights in safetensors", "Convert them, or copy model.safetensors there.")
    import transformers
    from transformers import AutoTokenizer

    try:
        for path in folder.glob("*.safetensors"):
            headers.load(path)
        made, loaded = getattr(transformers, BLIP[config["model_type"]]).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
        if loaded["missing_keys"]:
            raise ValueError(f"{min(loaded['missing_keys'])} is missing in its weights")
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        ways = read_json(folder / "preprocessor_config.json")
        side = int(config["vision_config"].get("image_size", 384))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        said = " ".join(str(error).split())[:120]
        raise BadWeights(f"{folder} cannot be loaded: {said}", "Copy the whole folder again.") from error
    model, begins = made.to(device).eval(), config.get("text_config", {}).get("bos_token_id", 30522)
    mean, deviation = (np.asarray(ways.get(key) or usual, dtype=np.float32)
                       for key, usual in (("image_mean", MEAN), ("image_std", DEVIATION)))  # fmt: skip

    @torch.inference_mode()
    def caption(image: Image.Image) -> str:
        # BLIP was trained on pictures squeezed into a square.
        squeezed = image.resize((side, side), Image.Resampling.BICUBIC)
        values = (np.asarray(squeezed, dtype=np.float32) / 255 - mean) / deviation
        pixels = torch.from_numpy(values).permute(2, 0, 1)[None].to(device)
        said = model.generate(pixel_values=pixels, max_new_tokens=LONGEST, num_beams=BEAMS)[0].tolist()
        # The mark that a sentence begins with is none of the tokenizer's special ones.
        said = said[1:] if said and said[0] == begins else said
        return " ".join(str(tokenizer.decode(said, skip_special_tokens=True)).split())

    return caption


def _tagger(folder: Path, threshold: float | None) -> Captioner:
    listed = folder / "selected_tags.csv"
    weights = folder / "model.onnx"
    if not weights.is_file():
        weights = next(iter(sorted(folder.glob("*.onnx"))), weights)
    for path in (weights, listed):
        if not path.is_file():
            raise BadWeights(f"{folder} lacks {path.name}", NEEDED)
    try:
        import onnxruntime
    except ImportError as error:
        raise BadWeights("taggers need the package onnxruntime", "pip install 'atelier[faces]'") from error
    tags = _tags(listed)
    try:
        session = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises types of its own
        raise BadWeights(f"{weights} is no ONNX file that can be run", "Copy it again.") from error
    taken, given = session.get_inputs()[0], session.get_outputs()[0]
    shape, outputs = taken.shape, given.shape[-1]
    if len(shape) != 4 or shape[3] != 3 or (isinstance(outputs, int) and outputs != len(tags)):
        raise BadWeights(f"{weights} has {outputs} outputs and {listed.name} {len(tags)} tags", NEEDED)
    side = shape[1] if isinstance(shape[1], int) else 448
    limits = THRESHOLDS | ({} if threshold is None else {GENERAL: threshold})

    def caption(image: Image.Image) -> str:
        square = Image.new("RGB", (max(image.size),) * 2, "white")
        square.paste(image, ((square.width - image.width) // 2, (square.height - image.height) // 2))
        pixels = np.asarray(square.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)
        shares = session.run([given.name], {taken.name: np.ascontiguousarray(pixels[None, :, :, ::-1])})[0][0]
        there = [(float(share), name) for share, (name, kind) in zip(shares, tags, strict=True)
                 if kind in limits and share >= limits[kind]]  # fmt: skip
        return ", ".join(name for _, name in sorted(there, key=lambda one: -one[0]))

    return caption


def _tags(path: Path) -> list[tuple[str, str]]:
    """(tag, category) in the order of the outputs."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found = [(row["name"], row["category"]) for row in rows]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise BadWeights(f"{path} is no list of tags (name, category)", "Copy it again.") from error
    if not found or any(name is None or kind is None for name, kind in found):
        raise BadWeights(f"{path} is no list of tags (name, category)", "Copy it again.")
    return [(name if len(name) <= SHORTEST else name.replace("_", " "), kind) for name, kind in found]

"""Weights -> a diffusers pipeline, without ever asking a network.

Knows folders and single files, devices and number formats. Leaves what is rendered to the engine.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from generation.catalogue import ModelEntry
from generation.errors import BadWeights

diffusers_logging.disable_progress_bar()
transformers_logging.disable_progress_bar()

CONFIGS = Path(__file__).parent / "configs"
# Family -> (folder of configs, pipeline). A single file holds weights alone; without a local config diffusers would
# look for one on the network.
SINGLE_FILES: dict[str, tuple[str, Any]] = {
    "sd15": ("sd15", StableDiffusionPipeline),
    "sdxl": ("sdxl", StableDiffusionXLPipeline),
}


def choose_device(wanted: str | None = None) -> tuple[str, torch.dtype]:
    """(device, dtype): CUDA in half precision, else Apple's GPU in half, else the CPU in single precision."""
    if wanted is None:
        if torch.cuda.is_available():
            wanted = "cuda"
        elif torch.backends.mps.is_available():
            wanted = "mps"
        else:
            wanted = "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise BadWeights("no CUDA device was found", "Set studio.device to auto, or install the driver.")
    return wanted, torch.float32 if wanted == "cpu" else torch.float16


def load(entry: ModelEntry, device: str, dtype: torch.dtype) -> Any:
    """The pipeline of a checkpoint, on `device`. Raises `BadWeights` with the cause and the remedy."""
    if entry.problem:
        raise BadWeights(f"{entry.path} cannot be used: {entry.problem}", "Choose another model.")
    if entry.kind != "checkpoint":
        raise BadWeights(
            f"{entry.name} is not a checkpoint but a {entry.kind}",
            "Choose a checkpoint as the model.",
        )
    path = Path(entry.path)
    try:
        pipe = _folder(path, dtype) if path.is_dir() else _single_file(path, entry.family, dtype)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise BadWeights(
            f"{path} could not be loaded: {reason}", "Download it again, or choose another model."
        ) from error
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def _folder(path: Path, dtype: torch.dtype) -> Any:
    extra = {"safety_checker": None} if _is_sd15(path) else {}
    return DiffusionPipeline.from_pretrained(
        path, torch_dtype=dtype, local_files_only=True, use_safetensors=True, **extra
    )


def _is_sd15(path: Path) -> bool:
    """Only Stable Diffusion 1.x pipelines take (and warn without) the safety checker's argument."""
    index = (path / "model_index.json").read_text("utf-8")
    return '"StableDiffusionPipeline"' in index


def _single_file(path: Path, family: str, dtype: torch.dtype) -> Any:
    if family not in SINGLE_FILES:
        raise BadWeights(
            f"{path.name} is of the family {family}, which cannot be rendered from a single file yet",
            "Give it as a diffusers folder.",
        )
    name, pipeline = SINGLE_FILES[family]
    config = CONFIGS / name
    if not (config / "model_index.json").is_file():
        raise BadWeights(
            f"{path.name} is a single file, and the configuration of {family} is not shipped yet",
            "Give it as a diffusers folder.",
        )
    return pipeline.from_single_file(path, config=str(config), torch_dtype=dtype, local_files_only=True)

"""Weights -> a diffusers pipeline, a VAE or a ControlNet, without ever asking a network.

Knows folders, which pipeline each family makes of a single file, devices and number formats, and how a plan of
`memory` is carried out. Leaves reading single files to `single_files` and what is rendered to the engine.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import diffusers
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPTokenizer
from transformers.utils import logging as transformers_logging

from generation import architecture, fitting, single_files
from generation.catalogue import ModelEntry
from generation.diffusers_folders import read_json
from generation.errors import BadWeights
from generation.prompts.tokens import BUNDLED as VOCABULARY

if TYPE_CHECKING:
    from generation.memory import Plan

diffusers_logging.disable_progress_bar()
transformers_logging.disable_progress_bar()

TILE = 512  # pixels, as `memory` counts on
PLACES = 77  # of CLIP's text encoders: 75 tokens, a beginning and an end


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


def load(entry: ModelEntry, device: str, dtype: torch.dtype, *, vae: ModelEntry | None = None) -> Any:
    """The pipeline of a checkpoint, on `device`; `vae` takes the place of its own.

    Raises `BadWeights` with the cause and the remedy, for what the catalogue can tell before anything is read.
    """
    pipe = _pipeline(entry, dtype, vae)
    return pipe.to(device)


def prepare(entry: ModelEntry, plan: Plan, *, vae: ModelEntry | None = None) -> Any:
    """The pipeline of a checkpoint as `plan` says: number format, where its parts wait, the VAE in tiles."""
    pipe = _pipeline(entry, plan.torch_dtype, vae)
    if plan.offload == "model":
        pipe.enable_model_cpu_offload(device=plan.device)
    elif plan.offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=plan.device)
    else:
        pipe.to(plan.device)
    if plan.vae_tiling:
        _tile(pipe.vae)
    return pipe


def _tile(vae: Any) -> None:
    """Decode in tiles of 512 pixels, one picture after the other; SDXL's own tiles of 1,024 would save nothing."""
    vae.enable_tiling()
    vae.enable_slicing()
    if hasattr(vae, "tile_latent_min_size"):
        scale = 2 ** (len(vae.config.block_out_channels) - 1)
        vae.tile_sample_min_size = min(vae.tile_sample_min_size, TILE)
        vae.tile_latent_min_size = vae.tile_sample_min_size // scale


def load_vae(entry: ModelEntry, dtype: torch.dtype, family: str = "") -> Any:
    """A VAE alone, of a file or a folder, for a model of `family`: the scale of latents is no part of the weights."""
    fitting.require(entry, "vae")
    path = Path(entry.path)
    if entry.format == "tiny":
        return _tiny(path, dtype)
    if entry.format.startswith("latents"):
        raise BadWeights(f"{entry.name} makes latents of {entry.format[7:]} channels", "Choose a VAE of 4 channels.")
    if path.is_dir():
        return _from_folder(AutoencoderKL, path, dtype)
    family = fitting.base(family or (entry.family if entry.family != "unknown" else "sd15"))
    tensors = single_files.read(path)
    prefix = architecture.VAE if any(key.startswith(architecture.VAE) for key in tensors) else ""
    own = {key: value for key, value in tensors.items() if key.startswith(prefix) and "loss." not in key}
    shapes = {key: list(value.shape) for key, value in own.items()}
    usual = architecture.published(family if family in architecture.families() else "sd15")["vae"]
    # The VAE whose weights were shrunk so that half precision holds them; its name is all that tells.
    usual["force_upcast"] = usual["force_upcast"] and not {"fp16", "fix"} <= set(_words(entry.name))
    return _tried(path, lambda: single_files.build("vae", architecture.vae(usual, shapes, prefix), own, dtype))


def load_controlnet(entry: ModelEntry, dtype: torch.dtype) -> Any:
    """A ControlNet alone, of a file in the original names or diffusers', or of a folder."""
    fitting.require(entry, "controlnet")
    path = Path(entry.path)
    if entry.format not in {"", "diffusers"}:
        raise BadWeights(
            f"{entry.name} is a ControlNet in the format {entry.format}, which is not supported",
            "Choose the plain ControlNet of the same kind.",
        )
    if path.is_dir():
        return _from_folder(ControlNetModel, path, dtype)
    family = fitting.base(entry.family)
    if family not in {"sd15", "sd2", "sdxl"}:
        raise BadWeights(f"{entry.name} is a ControlNet for a model nobody here knows", "Choose one for SD or SDXL.")
    tensors = single_files.read(path)
    prefix = architecture.CONTROL
    if any(key.startswith(prefix) for key in tensors):
        tensors = {key: value for key, value in tensors.items() if key.startswith(prefix)}
    shapes = {key: list(value.shape) for key, value in tensors.items()}
    usual = architecture.published(family)["unet"]
    # Shuffle gives no places, only colours; its file is like every other's.
    usual["global_pool_conditions"] = "shuffle" in entry.name.lower()
    config = _tried(path, lambda: architecture.controlnet(usual, shapes))
    return _tried(path, lambda: single_files.build("controlnet", config, tensors, dtype))


def tokenizers(family: str) -> dict[str, Any]:
    """CLIP's tokenizers for the encoders of a family; SD 2's and SDXL's second fill up with "!", which is id 0."""
    config = architecture.published(family)
    pads = {"text_encoder": config["pad"], "text_encoder_2": "!"}
    return {name.replace("text_encoder", "tokenizer"): _tokenizer(pads[name]) for name in config["encoders"]}


@lru_cache(maxsize=2)
def _tokenizer(pad: str) -> Any:
    """CLIP's tokenizer, made once: each that is let go leaves 9 MB behind (measured with transformers 5.5)."""
    return CLIPTokenizer.from_pretrained(VOCABULARY, pad_token=pad, model_max_length=PLACES, local_files_only=True)


def _pipeline(entry: ModelEntry, dtype: torch.dtype, vae: ModelEntry | None) -> Any:
    """The pipeline on the CPU, after everything that can be told without reading weights was asked."""
    fitting.require(entry, *fitting.MODELS)
    if vae is not None:
        fitting.fit(vae, entry)
    path = Path(entry.path)
    if path.is_dir():
        pipe = _tried(path, lambda: _folder(path, dtype))
        if vae is not None:
            pipe.register_modules(vae=load_vae(vae, dtype, entry.family))
    else:
        config = single_files.configuration(path, entry.family)
        if vae is None and "vae" not in config:
            raise BadWeights(f"{path} cannot be loaded: it holds no VAE", "Choose a VAE beside it, or another model.")
        other = load_vae(vae, dtype, entry.family) if vae is not None else None
        pipe = _tried(path, lambda: _single_file(path, entry, config, dtype, other))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _single_file(path: Path, entry: ModelEntry, config: dict[str, Any], dtype: torch.dtype, vae: Any) -> Any:
    tensors = single_files.read(path)
    parts: dict[str, Any] = dict(tokenizers(entry.family))
    for name, prefix in config["encoders"].items():
        parts[name] = single_files.text_encoder(name, config[name], tensors, prefix, dtype)
    for name, prefix in (("unet", architecture.UNET), ("vae", architecture.VAE)):
        if name == "vae" and vae is not None:
            parts[name] = vae
            continue
        own = {key: value for key, value in tensors.items() if key.startswith(prefix)}
        parts[name] = single_files.build(name, config[name], own, dtype)
        for key in own:
            del tensors[key]
    about = config["scheduler"] | ({"prediction_type": "v_prediction"} if entry.prediction == "v" else {})
    parts["scheduler"] = getattr(diffusers, about["_class_name"]).from_config(about)
    options = dict(config.get("options", {}))
    maker = getattr(diffusers, config["pipeline"])
    if "XL" not in config["pipeline"]:
        parts |= {"safety_checker": None, "feature_extractor": None}
        options["requires_safety_checker"] = False
    elif "text_encoder" not in parts:
        parts |= {"text_encoder": None, "tokenizer": None}
    return maker(**parts, **options)


def _folder(path: Path, dtype: torch.dtype) -> Any:
    index = read_json(path / "model_index.json")
    # Only Stable Diffusion 1.x pipelines take (and warn without) the safety checker's argument.
    extra: dict[str, Any] = {"safety_checker": None} if index.get("_class_name") == "StableDiffusionPipeline" else {}
    for name in ("tokenizer", "tokenizer_2"):
        if index.get(name) == ["transformers", "CLIPTokenizer"]:
            extra[name] = _tokenizer_of(path / name, (path / name).stat().st_mtime_ns)
    if not any(file.name.count(".") == 1 for file in (path / "unet").glob("*.safetensors")):
        # A folder may hold half-precision files alone, under names that diffusers must be told.
        extra["variant"] = "fp16"
    return DiffusionPipeline.from_pretrained(
        path, torch_dtype=dtype, local_files_only=True, use_safetensors=True, **extra
    )


@lru_cache(maxsize=4)
def _tokenizer_of(folder: Path, changed: int) -> Any:
    """A folder's own tokenizer, made once for the same reason."""
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def _from_folder(maker: Any, path: Path, dtype: torch.dtype) -> Any:
    half = not any(file.name.count(".") == 1 for file in path.glob("*.safetensors"))
    variant = {"variant": "fp16"} if half else {}
    return _tried(
        path,
        lambda: maker.from_pretrained(path, torch_dtype=dtype, local_files_only=True, use_safetensors=True, **variant),
    )


def _tiny(path: Path, dtype: torch.dtype) -> Any:
    """A tiny VAE (TAESD) of diffusers' layout: the single files hold an encoder or a decoder alone."""
    if path.is_dir():
        return _from_folder(AutoencoderTiny, path, dtype)
    raise BadWeights(f"{path.name} holds half of a tiny VAE", "Give it as a diffusers folder.")


def _words(name: str) -> list[str]:
    return name.lower().replace("_", "-").replace(".", "-").split("-")


def _tried(path: Path, make: Any) -> Any:
    """What `make` makes; any way in which weights can be wrong becomes one line."""
    try:
        return make()
    except BadWeights as error:
        raise BadWeights(f"{path}: {error.message}" if str(path) not in error.message else error.message,
                         error.hint) from error  # fmt: skip
    except (*single_files.DAMAGED, IndexError, AttributeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:160]
        raise BadWeights(
            f"{path} could not be loaded: {reason}", "Download it again, or choose another model."
        ) from error

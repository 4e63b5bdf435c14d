"""Single files of weights -> the parts of a pipeline: read as weights only, sizes from the file, never a network.

Knows how a safetensors file or a pickle becomes tensors, and the text encoders' names. UNets, VAEs and ControlNets are
renamed by diffusers. Leaves which pipeline they make to `loading` and their sizes to `architecture`.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_controlnet_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from generation import architecture, headers, pickles
from generation.errors import BadWeights

Tensors = dict[str, torch.Tensor]
DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, TypeError, SafetensorError, pickle.UnpicklingError)
# Class of a part, and diffusers' converter of the original names. Its `from_single_file` would do both, but looks for
# configurations on the network and tells of a missing tensor only by failing to copy it.
MAKERS = {
    "unet": (UNet2DConditionModel, convert_ldm_unet_checkpoint),
    "vae": (AutoencoderKL, convert_ldm_vae_checkpoint),
    "controlnet": (ControlNetModel, convert_controlnet_checkpoint),
}
# OpenCLIP's names of a layer -> transformers'.
OPEN_CLIP = {
    "ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}  # fmt: skip


class LeftBehind:
    """Stands for what a trainer left beside the weights in a pickle; takes anything and keeps nothing."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read(path: Path) -> Tensors:
    """Name -> tensor of a file, on the CPU, mapped from the disk where that can be. Raises `BadWeights` in one line."""
    try:
        if path.suffix.lower() not in headers.PICKLES:
            return load_file(path)
        # Read as instructions first: a file that holds code is refused by name before torch opens it.
        pickles.read(path)
        # torch's own answer is that one callable stands for one name; each left-behind name gets a class of its own.
        known = [(type("LeftBehind", (LeftBehind,), {}), name) for name in sorted(pickles.LEFT_BEHIND)]
        with torch.serialization.safe_globals([torch.nn.ParameterDict, *known]):
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except DAMAGED as error:
        raise BadWeights(
            f"{path} could not be read: {_line(error)}", "Download it again, or choose another model."
        ) from error
    while isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping):
        raise BadWeights(f"{path} holds no table of tensors", "Choose another file.")
    return {headers.bare(str(key)): value for key, value in found.items() if isinstance(value, torch.Tensor)}


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def build(kind: str, config: dict[str, Any], tensors: Tensors, dtype: torch.dtype) -> Any:
    """The UNet, VAE or ControlNet ("unet", "vae", "controlnet") of `config` with these weights.

    Raises `BadWeights` naming a tensor the file lacks or that has another shape.
    """
    maker, rename = MAKERS[kind]
    with init_empty_weights():
        model = maker.from_config(config)
    if model.state_dict().keys() <= tensors.keys():
        found = tensors
    else:
        # diffusers' converters take tensors out of the table they are given, and put None for what they miss.
        found = {key: value for key, value in rename(dict(tensors), config).items() if value is not None}
    if kind == "controlnet":
        prefix = architecture.CONTROL if f"{architecture.CONTROL}label_emb.0.0.weight" in tensors else ""
        for number, name in ((0, "linear_1"), (2, "linear_2")):
            for end in ("weight", "bias"):
                if (theirs := f"{prefix}label_emb.0.{number}.{end}") in tensors:
                    found[f"add_embedding.{name}.{end}"] = tensors[theirs]
    return _filled(model, found, kind, dtype)


def _filled(model: Any, found: Tensors, name: str, dtype: torch.dtype) -> Any:
    """The empty model with those of the tensors that it has. Raises `BadWeights` for one that lacks or is misshapen."""
    wanted = model.state_dict()
    chosen = {key: found[key] for key in wanted if key in found}
    lacks = [key for key in wanted if key not in chosen]
    if lacks:
        more = f" and {len(lacks) - 1} more" if len(lacks) > 1 else ""
        raise BadWeights(f"the file lacks {lacks[0]}{more} of its {name}", "Download it again, or choose another file.")
    for key, value in chosen.items():
        if value.shape != wanted[key].shape:
            sides = f"{list(value.shape)} and should be {list(wanted[key].shape)}"
            raise BadWeights(f"{key} of the {name} is {sides}", "Choose another file.")
    model.load_state_dict({key: value.to(dtype) for key, value in chosen.items()}, assign=True)
    return model.eval()


def text_encoder(name: str, config: dict[str, Any], tensors: Tensors, prefix: str, dtype: torch.dtype) -> Any:
    """CLIP's text encoder with the weights behind `prefix`: with its projection where it is SDXL's second.

    Raises `BadWeights` naming a tensor the file lacks or that has another shape.
    """
    maker = CLIPTextModelWithProjection if name == "text_encoder_2" else CLIPTextModel
    inner = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    open_clip = "positional_embedding" in inner
    found = _from_open_clip(inner, config["num_hidden_layers"]) if open_clip else _from_clip(inner)
    with init_empty_weights():
        model = maker(CLIPTextConfig(**config))
    # Newer transformers have no `text_model` level in the encoder without a projection.
    if not any(key.startswith("text_model.") for key in model.state_dict()):
        found = {key.removeprefix("text_model."): value for key, value in found.items()}
    return _filled(model, found, name, dtype)


def _from_clip(inner: Tensors) -> Tensors:
    """OpenAI's encoder in transformers' names; the files of 2022 lack the `text_model` level."""
    return {key if key.startswith(("text_model.", "text_proj")) else f"text_model.{key}": v for key, v in inner.items()}


def _from_open_clip(inner: Tensors, depth: int) -> Tensors:
    """OpenCLIP's encoder: queries, keys and values stand in one matrix, and the projection the other way round."""
    found = {
        "text_model.embeddings.token_embedding.weight": inner["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": inner["positional_embedding"],
        "text_model.final_layer_norm.weight": inner["ln_final.weight"],
        "text_model.final_layer_norm.bias": inner["ln_final.bias"],
    }
    if "text_projection" in inner:
        found["text_projection.weight"] = inner["text_projection"].T.contiguous()
    elif "text_projection.weight" in inner:
        found["text_projection.weight"] = inner["text_projection.weight"]
    for number in range(depth):
        old, new = f"transformer.resblocks.{number}.", f"text_model.encoder.layers.{number}."
        for kind in ("weight", "bias"):
            for theirs, ours in OPEN_CLIP.items():
                found[f"{new}{ours}.{kind}"] = inner[f"{old}{theirs}.{kind}"]
            parts = inner[f"{old}attn.in_proj_{kind}"].chunk(3)
            for name, part in zip("qkv", parts, strict=True):
                found[f"{new}self_attn.{name}_proj.{kind}"] = part.contiguous()
    return found


def configuration(path: Path, family: str) -> dict[str, Any]:
    """The configurations of a checkpoint's parts, from its header alone. Raises `BadWeights` for what it lacks."""
    try:
        return architecture.configure(family, headers.load(path).shapes)
    except KeyError as error:
        raise BadWeights(
            f"{path.name} is of the family {family}, which cannot be loaded from a single file",
            "Give it as a diffusers folder, or choose a model of SD 1.5, SD 2 or SDXL.",
        ) from error
    except (OSError, ValueError, IndexError) as error:
        raise BadWeights(
            f"{path} cannot be loaded: {_line(error)}", "Download it again, or choose another model."
        ) from error

"""A whole model trained: DreamBooth, or a fine-tune of a small one; written as the base was, file or folder.

A single file comes out with the original code's names, every tensor that was not trained as the base has it, so that
A1111 and ComfyUI load it as they load the base. A diffusers folder comes out as a folder. Knows how diffusers' names go
back. Leaves the training to `loop`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from safetensors.torch import save_file
from torch import Tensor, nn

from generation import single_files
from generation.catalogue import ModelEntry
from generation.errors import BadSpec, BadWeights
from generation.networks.exporting import PRECISIONS, aside
from generation.networks.keys import TEXT, TEXT_2, UNET
from generation.training.settings import TrainingSpec

WEIGHTS = ("diffusion_pytorch_model", "model", "pytorch_model")  # files of a part's weights in a diffusers folder


class Whole:
    """A pipeline's UNet and, with a text rate, its text encoders, learning in single precision."""

    def __init__(self, pipe: Any, spec: TrainingSpec, entry: ModelEntry) -> None:
        self._settings, self._entry = spec.settings, entry
        if spec.settings["rate"] == 0 and spec.settings["text_rate"] == 0:
            raise BadSpec("nothing is to be trained", "Give a rate.")
        self._roots: dict[str, nn.Module] = {}
        for part in (UNET, TEXT, TEXT_2):
            root = getattr(pipe, part, None)
            if root is None:
                continue
            root.requires_grad_(False)
            if spec.settings["rate" if part == UNET else "text_rate"]:
                self._roots[part] = root.float().requires_grad_(True)

    def groups(self) -> list[dict[str, Any]]:
        settings = self._settings
        return [
            {
                "params": list(root.parameters()),
                "lr": settings["rate"] if part == UNET else settings["text_rate"],
                "part": part,
            }
            for part, root in self._roots.items()
        ]

    def named(self) -> dict[str, Tensor]:
        return {f"{part}.{name}": p for part, root in self._roots.items() for name, p in root.named_parameters()}

    def write(self, path: Path, metadata: Mapping[str, str]) -> list[Path]:
        """The checkpoint. Raises `BadWeights` for values that are no numbers or too large for the format."""
        dtype = PRECISIONS[self._settings["save_precision"]]
        trained = {
            part: {
                name: finite(value.detach().to("cpu", dtype, copy=True).contiguous(), f"{name} of the {part}")
                for name, value in root.state_dict().items()
                if value.is_floating_point()
            }
            for part, root in self._roots.items()
        }
        base = Path(self._entry.path)
        if base.is_dir():
            return [_folder(base, path.with_suffix("") if path.suffix == ".safetensors" else path, trained, metadata)]
        return [_file(base, path, self._entry.family, trained, dtype, metadata)]


def finite(tensor: Tensor, what: str) -> Tensor:
    if not bool(torch.isfinite(tensor).all()):
        raise BadWeights(f"{what} holds values that are no numbers", "Train again at a lower rate.")
    return tensor


def _folder(base: Path, target: Path, trained: Mapping[str, dict[str, Tensor]], metadata: Mapping[str, str]) -> Path:
    """The base's folder with the trained parts' weights, written whole and moved."""
    whole, old = (target.with_name(f".{target.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(base, whole, ignore=shutil.ignore_patterns("README.md", "measured.json", "*.png"))
        for part, tensors in trained.items():
            folder = whole / part
            stem = next((name for name in WEIGHTS if any(folder.glob(f"{name}*"))), WEIGHTS[0])
            for file in [*folder.glob("*.safetensors"), *folder.glob("*.bin"), *folder.glob("*.index.json")]:
                file.unlink()
            save_file(tensors, folder / f"{stem}.safetensors", metadata={"format": "pt"})
        (whole / "training.json").write_text(json.dumps(dict(metadata), indent=2, ensure_ascii=False) + "\n", "utf-8")
        for file in whole.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
        if target.exists():
            target.rename(old)
        whole.rename(target)
    except OSError as error:
        raise BadSpec(f"{target} cannot be written: {error.strerror or error}", "Choose another folder.") from error
    finally:
        shutil.rmtree(whole, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return target


def _file(
    base: Path,
    target: Path,
    family: str,
    trained: Mapping[str, dict[str, Tensor]],
    dtype: torch.dtype,
    metadata: Mapping[str, str],
) -> Path:
    """The base's file with the trained tensors under the names they have there."""
    tensors = single_files.read(base)
    config = single_files.configuration(base, family)
    made = {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
    for part, own in trained.items():
        back = _unet(tensors, config, own) if part == UNET else _text(tensors, config["encoders"][part], own)
        missing = [name for name in back if name not in made]
        if missing or not back:
            raise BadWeights(
                f"{base.name} has no place for {missing[0] if missing else part}", "Write a folder instead."
            )
        made |= back
    with aside(target) as temporary:
        save_file({name: value.contiguous() for name, value in made.items()}, temporary, {"format": "pt", **metadata})
    return target


def _unet(tensors: Mapping[str, Tensor], config: Mapping[str, Any], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Original name -> trained tensor. Diffusers' converter only renames: each tensor is told by being the same one."""
    theirs = {id(value): name for name, value in tensors.items()}
    renamed = convert_ldm_unet_checkpoint(dict(tensors), dict(config["unet"]))
    return {theirs[id(value)]: own[name] for name, value in renamed.items() if name in own}


def _text(tensors: Mapping[str, Tensor], prefix: str, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Original name -> trained tensor of a text encoder, OpenAI's or OpenCLIP's."""
    # transformers may have taken the level `text_model` out.
    whole = {n if n.startswith(("text_model.", "text_proj")) else f"text_model.{n}": value for n, value in own.items()}
    found = {}
    for name in tensors:
        if not name.startswith(prefix):
            continue
        inner = name.removeprefix(prefix)
        for made in (inner, f"text_model.{inner}"):
            if made in whole:
                found[name] = whole[made]
        if name not in found and (value := _open_clip(inner, whole)) is not None:
            found[name] = value
    return found


def _open_clip(name: str, whole: Mapping[str, Tensor]) -> Tensor | None:
    """OpenCLIP's tensor of transformers' ones: queries, keys and values in one matrix, the projection turned."""
    plain = {
        "token_embedding.weight": "embeddings.token_embedding.weight",
        "positional_embedding": "embeddings.position_embedding.weight",
        "ln_final.weight": "final_layer_norm.weight",
        "ln_final.bias": "final_layer_norm.bias",
    }
    if name in plain:
        return whole[f"text_model.{plain[name]}"]
    if name == "text_projection" and "text_projection.weight" in whole:
        return whole["text_projection.weight"].T.contiguous()
    if not name.startswith("transformer.resblocks."):
        return None
    _, _, number, rest = name.split(".", 3)
    ours = f"text_model.encoder.layers.{number}."
    inner, _, kind = rest.rpartition(".")
    if inner == "attn" and kind.startswith("in_proj_"):
        return torch.cat([whole[f"{ours}self_attn.{q}_proj.{kind[8:]}"] for q in "qkv"])
    return whole.get(f"{ours}{single_files.OPEN_CLIP.get(inner, inner)}.{kind}")

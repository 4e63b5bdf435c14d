"""Layers -> a file that kohya's tools, A1111, ComfyUI and diffusers load: safetensors, kohya's keys and metadata.

SD 1.5 and its relatives keep diffusers' block names (`lora_unet_down_blocks_0_...`, `lora_te_...`), SDXL has the
original code's (`lora_unet_input_blocks_4_1_...`, `lora_te1_`, `lora_te2_`), as kohya-ss/sd-scripts writes them. Alpha
is written as it was trained; diffusers' own converter would put the rank there. Knows names, number formats and the
hashes in the metadata. Leaves what the layers mean to `deltas`.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from generation import architecture
from generation.errors import BadSpec, BadWeights
from generation.networks.deltas import Layer
from generation.networks.keys import TEXT, TEXT_2, UNET
from generation.networks.modules import configured

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
# Tensors that bear the word "weight" behind their name.
WEIGHTED = ("lora_up", "lora_down", "lora_mid")
ORIGINAL = ("sdxl",)  # families whose UNet is named as in the original code
ARCHITECTURES = {
    "sd15": "stable-diffusion-v1", "sd2": "stable-diffusion-v2-512", "sdxl": "stable-diffusion-xl-v1-base",
}  # fmt: skip
BASES = {"sd15": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}
LEGACY = (0x100000, 0x10000)  # where A1111's first hash of a model began, and over how many bytes


def key(place: str, family: str, unet: Mapping[str, Any] | None = None) -> str:
    """The beginning of a layer's keys: of "unet.down_blocks_1_..." in diffusers' names, dots as underscores.

    `unet` is the UNet's configuration, where it is not of the family's own depth. Raises `BadSpec` for a part that
    networks are not written for.
    """
    part, _, module = place.partition(".")
    original = family in ORIGINAL
    if part == UNET:
        return f"lora_unet_{_renamed(module, unet or _published(family)) if original else module}"
    if part not in {TEXT, TEXT_2} or not module:
        raise BadSpec(f'"{place}" is no place of a network', "Give the UNet's or a text encoder's modules.")
    # transformers has taken this out of its names; the files keep it.
    if module != "text_projection":
        module = f"text_model_{module.removeprefix('text_model_')}"
    return f"lora_te{('1' if part == TEXT else '2') if original else ''}_{module}"


def _renamed(module: str, unet: Mapping[str, Any]) -> str:
    depth = (tuple(unet["down_block_types"]), tuple(unet["up_block_types"]), unet["layers_per_block"])
    for ours, other in _originals(*depth):
        if module == ours or module.startswith(f"{ours}_"):
            return other + module.removeprefix(ours)
    return module  # in the original code's names already


@lru_cache(maxsize=4)
def _published(family: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = architecture.published(family)["unet"]
    return found


@lru_cache(maxsize=4)
def _originals(down: tuple[str, ...], up: tuple[str, ...], layers: int) -> tuple[tuple[str, str], ...]:
    """(diffusers' name, the original one), longer names first: `..._resnets_1` is a beginning of `..._resnets_10`."""
    pairs = configured({"down_block_types": down, "up_block_types": up, "layers_per_block": layers})
    return tuple(sorted(((ours, other) for other, ours in pairs), key=lambda pair: -len(pair[0])))


def tensors(
    layers: Mapping[str, Layer], family: str, precision: str = "fp16", unet: Mapping[str, Any] | None = None
) -> dict[str, Tensor]:
    """The file's tensors of `layers`, whose names are "part.module" as `key` takes them.

    Raises `BadWeights` for a value that is no number, or too large for the number format.
    """
    dtype = PRECISIONS[precision]
    found: dict[str, Tensor] = {}
    for place, layer in sorted(layers.items()):
        stem = key(place, family, unet)
        for name, value in sorted(layer.tensors.items()):
            made = value.detach().to("cpu", dtype, copy=True).contiguous()
            if not bool(torch.isfinite(made).all()):
                why = "is no number" if not bool(torch.isfinite(value).all()) else f"is too large for {precision}"
                raise BadWeights(f"a weight of {place} {why}", "Train again at a lower rate, or write fp32.")
            found[f"{stem}.{name}.weight" if name in WEIGHTED else f"{stem}.{name}"] = made
        if (rank := layer.rank) is not None:
            # The root of the rank cannot be said in a file of this kind: alpha takes it.
            alpha = layer.scale(rank) / layer.factor * rank
            said = torch.tensor(alpha, dtype=dtype)
            found[f"{stem}.alpha"] = said if float(said) == alpha else torch.tensor(alpha, dtype=torch.float32)
            if layer.factor != 1.0:
                found[f"{stem}.scalar"] = torch.tensor(layer.factor, dtype=torch.float32)
    return found


def specification(family: str, title: str, resolution: tuple[int, int], prediction: str = "epsilon") -> dict[str, str]:
    """The `modelspec.*` entries (Stability's ModelSpec 1.0.0) of a network, and kohya's word for its base."""
    original = family in ORIGINAL
    known = ARCHITECTURES.get(family)
    home = "https://github.com/Stability-AI/generative-models" if original else "diffusers"
    found = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{known or family}/lora",
        "modelspec.implementation": home,
        "modelspec.title": title,
        "modelspec.resolution": f"{resolution[0]}x{resolution[1]}",
        "modelspec.date": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "modelspec.prediction_type": "v" if prediction == "v_prediction" else prediction,
    }
    if base := BASES.get(family):
        found["ss_base_model_version"] = base
    return found


def write(
    path: Path,
    layers: Mapping[str, Layer],
    *,
    family: str,
    metadata: Mapping[str, str],
    precision: str = "fp16",
    unet: Mapping[str, Any] | None = None,
) -> int:
    """The network's file, written aside and moved; returns its bytes.

    `metadata` gets the two hashes by which A1111 and its relatives know a network again. Raises `BadWeights` as
    `tensors`, `BadSpec` where nothing can be written.
    """
    made = tensors(layers, family, precision, unet)
    if not made:
        raise BadWeights("the network has no layers", "Choose other layers.")
    with aside(path) as temporary:
        save_file(made, temporary, metadata={"format": "pt"})
        whole, legacy = _hashes(temporary)
        hashes = {"sshs_model_hash": whole, "sshs_legacy_hash": legacy}
        save_file(made, temporary, metadata={"format": "pt", **metadata, **hashes})
    return path.stat().st_size


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A name beside `path` to write weights to, which takes its place when all went well and is gone when not.

    Raises `BadSpec` where nothing can be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise BadSpec(f"{path} cannot be written: {error.strerror or error}", "Choose another file.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _hashes(path: Path) -> tuple[str, str]:
    """(SHA-256 of what stands behind the header, the first eight digits of A1111's old hash of a part of the file).

    The second depends on the header's length as well, which kohya takes without the metadata.
    """
    with path.open("rb") as file:
        begin = int.from_bytes(file.read(8), "little") + 8
        file.seek(begin)
        whole = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(LEGACY[0])
        legacy = hashlib.sha256(file.read(LEGACY[1])).hexdigest()[:8]
    return whole, legacy

"""What a safetensors file holds, told from its header: key names and shapes, never a tensor.

Knows the key names of checkpoints, LoRAs, embeddings, VAEs and ControlNets. Leaves finding files to `catalogue`.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

LARGEST_HEADER = 100_000_000  # bytes; the format's own limit
FIRST = "model.diffusion_model.input_blocks.0.0.weight"
DEEP = "model.diffusion_model.input_blocks.8.1.transformer_blocks."
# Width of the text that the cross-attention reads -> family.
WIDTHS = {768: "sd15", 1024: "sd2", 2048: "sdxl"}
LORA = (
    "lora_down",
    "lora_up",
    "lora_A.",
    ".lokr_w",
    ".hada_w",
    ".lora.",
    ".lora_linear_layer.",
    "_lora.",
    "_lora1.",
    ".oft_",
)
# Transformers of other houses (Flux, SD3, Qwen, Z-Image, Wan): known as what they are not.
FOREIGN = (
    "double_blocks",
    "single_blocks",
    "transformer_blocks_0_attn_add",
    "single_transformer_blocks",
    "joint_blocks",
)

Shapes = dict[str, list[int]]


def read(path: Path) -> Shapes:
    """Key -> shape of every tensor. Raises ValueError in one line when the file is damaged, OSError as it comes."""
    return read_all(path)[0]


def read_all(path: Path) -> tuple[Shapes, dict[str, str]]:
    """(shapes as `read` gives them, the texts of `__metadata__`: what trainers wrote about the weights)."""
    size = path.stat().st_size
    if size < 8:
        raise ValueError(f"the file is cut short: a header needs 8 bytes, file has {size}")
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > LARGEST_HEADER:
            raise ValueError(f"not a safetensors file: its header claims {length:,} bytes")
        if 8 + length > size:
            raise ValueError(f"the file is cut short: header says {8 + length:,} bytes, file has {size:,}")
        try:
            table = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise ValueError("its header is no JSON: not a safetensors file") from error
    try:
        tensors = {key: value for key, value in table.items() if key != "__metadata__"}
        needed = 8 + length + max((int(value["data_offsets"][1]) for value in tensors.values()), default=0)
        shapes = {key: [int(side) for side in value["shape"]] for key, value in tensors.items()}
        said = table.get("__metadata__") or {}
        texts = {str(key): str(value) for key, value in said.items()} if isinstance(said, dict) else {}
    except (AttributeError, KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
        raise ValueError("its header has no shapes: not a safetensors file") from error
    if needed > size:
        raise ValueError(f"the file is cut short: header says {needed:,} bytes, file has {size:,}")
    return shapes, texts


def recognise(keys: Shapes) -> tuple[str, str]:
    """(kind, family) by names and shapes of tensors; "unknown" for what is none of ours."""

    def has(*parts: str) -> bool:
        return any(part in key for key in keys for part in parts)

    if has(*LORA):
        return "lora", _lora_family(keys, foreign=has(*FOREIGN))
    if has("control_model.", "controlnet_cond_embedding", "controlnet_blocks."):
        return "controlnet", "unknown" if has(*FOREIGN) else _by_width(keys)
    if FIRST in keys:
        return _checkpoint(keys)
    if has("motion_modules"):
        return "motion", "sd15"
    if "clip_l" in keys or "clip_g" in keys:
        return "embedding", "sdxl" if "clip_g" in keys else "sd15"
    if _is_embedding(keys):
        return "embedding", WIDTHS.get(next(iter(keys.values()))[-1], "unknown")
    if has("decoder.up.", "decoder.up_blocks.") and has("encoder.") and not has("diffusion_model", "unet."):
        return "vae", "unknown"
    return "unknown", "unknown"


def _side(keys: Shapes, key: str, index: int) -> int:
    shape = keys.get(key, [])
    return shape[index] if index < len(shape) else 0


def _checkpoint(keys: Shapes) -> tuple[str, str]:
    def begins(prefix: str) -> bool:
        return any(key.startswith(prefix) for key in keys)

    channels = _side(keys, FIRST, 1)
    if begins("conditioner.embedders.1."):
        # SSD-1B and Vega are SDXL with blocks left out: another UNet, which SDXL's configuration does not fit.
        whole = begins(f"{DEEP}9.") or not begins(f"{DEEP}0.")
        family = "sdxl" if whole else "unknown"
    elif begins("conditioner.embedders.0.model."):
        family = "sdxl-refiner"
    elif begins("cond_stage_model.model."):
        family = "sd2"
    else:
        # Without a text encoder the cross-attention tells; a file with neither is taken for the oldest.
        clip = begins("cond_stage_model.transformer.") or not _text_width(keys)
        family = "sd15" if clip else _by_width(keys)
    # Eight channels are InstructPix2Pix, nine inpainting; both need pipelines of their own.
    return "checkpoint", family + {9: "-inpainting", 8: "-edit"}.get(channels, "")


def _is_embedding(keys: Shapes) -> bool:
    """`emb_params` alone, or one or a few vectors under their own placeholder."""
    if "emb_params" in keys:
        return True
    shapes = list(keys.values())
    return len(shapes) == 1 and len(shapes[0]) in {1, 2} and shapes[0][-1] in {768, 1024, 1280}


def _lora_family(keys: Shapes, *, foreign: bool) -> str:
    if foreign:
        return "unknown"
    if any(part in key for key in keys for part in ("lora_te2_", "text_encoder_2.")):
        return "sdxl"
    return _by_width(keys)


def _text_width(keys: Shapes) -> int:
    """Columns of the first matrix that reads the text in a cross-attention, in any tool's spelling; 0 without one."""
    for key, shape in keys.items():
        if "attn2" not in key or ("to_k" not in key and "to_v" not in key) or len(shape) < 2:
            continue
        # Of a LoRA's two matrices the one going down has the text's width.
        if any(part in key for part in ("lora_up", ".up.", "lora_B", "hada_w1", "lokr_w")):
            continue
        return shape[1]
    return 0


def _by_width(keys: Shapes) -> str:
    return WIDTHS.get(_text_width(keys), "unknown")

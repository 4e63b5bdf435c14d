"""Which weights these are: kind, base family and format, by the names and shapes of their tensors alone.

Knows the names that CompVis' and Stability's checkpoints, diffusers, kohya's scripts, PEFT, LyCORIS, ControlNet,
T2I-Adapter, IP-Adapter, AnimateDiff and the upscalers write. Leaves reading them from a file to `headers`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

FIRST = "model.diffusion_model.input_blocks.0.0.weight"
FIRST_MOTION = re.compile(r"down_blocks\.0\.motion_modules\.0\..*proj_in\.weight$")
DEEP = "model.diffusion_model.input_blocks.8.1.transformer_blocks."
# Width of the text that the cross-attention reads -> family.
FAMILIES = {768: "sd15", 1024: "sd2", 1280: "sdxl-refiner", 2048: "sdxl"}
# Channels the UNet reads: latents alone; with a depth map; with another picture; with a mask and the masked picture.
CHANNELS = {5: "-depth", 8: "-pix2pix", 9: "-inpainting"}
# Parts of names that only networks put on top of a model have, in any trainer's spelling -> format.
NETWORKS = {
    ".hada_w1": "lycoris-loha", ".lokr_w": "lycoris-lokr", ".oft_": "lycoris-oft", ".on_input": "lycoris-ia3",
    ".a1.weight": "lycoris-glora", ".lora_A.": "peft", ".lora_linear_layer.": "diffusers", "_lora.": "diffusers",
    "_lora1.": "diffusers", ".lora_down": "kohya", ".lora.down": "diffusers", ".lora.up": "diffusers",
    ".lora_up": "kohya",
}  # fmt: skip
# Transformers of other houses (Flux, SD3, Qwen, Z-Image, Wan): known as what they are not.
FOREIGN = (
    "double_blocks",
    "single_blocks",
    "transformer_blocks_0_attn_add",
    "single_transformer_blocks",
    "joint_blocks",
)
# Of a network's matrices, those whose columns are not the text's width.
UPWARDS = ("lora_up", ".up.", "lora_B", "hada_w1_a", "hada_w2_a", "lokr_w", "alpha", "dora_scale")
HYPERNETWORK = re.compile(r"^(?:320|640|768|1024|1280)\.[01]\.")
COMPACT = re.compile(r"^body\.\d+\.(?:weight|bias)$")
# Names that tell an upscaler: ESRGAN before and after BasicSR, SwinIR and its relatives.
UPSCALERS = ("model.1.sub.0.", "RRDB_trunk.", "body.0.rdb1.", "layers.0.residual_group.", "upsampler.dysample")
FACES = ("stylegan_decoder.", "final_linear.weight", "idx_pred_layer", "quantize.embedding.weight")

KINDS = (
    "checkpoint", "lora", "embedding", "vae", "controlnet", "t2i-adapter", "ip-adapter", "motion", "hypernetwork",
    "upscaler", "face", "unet", "text-encoder", "image-encoder", "video",
)  # fmt: skip

Shapes = dict[str, list[int]]
Names = Mapping[str, list[int]]


class What(NamedTuple):
    """`kind` and `family`, "unknown" for what is none of ours; `format` where a kind comes in several."""

    kind: str
    family: str
    format: str = ""


def recognise(keys: Names) -> What:
    """What a file with these tensors is."""
    text = "\n".join(keys)

    def has(*parts: str) -> bool:
        return any(part in text for part in parts)

    foreign = has(*FOREIGN)
    for rule in (_adapter, _network, _control, _checkpoint, _small, _restorer):
        found = rule(keys, text)
        if found is not None:
            return found._replace(family="unknown") if foreign else found
    return What("unknown", "unknown")


def _adapter(keys: Names, text: str) -> What | None:
    """IP-Adapter, whose FaceID files hold a LoRA too, T2I-Adapter, and AnimateDiff's motion modules."""
    if "image_proj." in text and ("to_k_ip" in text or "ip_adapter." in text):
        width = next((shape[1] for key, shape in keys.items() if "to_k_ip" in key and len(shape) == 2), 0)
        return What("ip-adapter", FAMILIES.get(width, "unknown"), "faceid" if "_lora" in text else "")
    if "motion_modules." in text:
        # SDXL's UNet has three levels, the older ones four; all begin with 320 channels.
        family = "sd15" if "blocks.3.motion_modules." in text else "sdxl"
        width = next((shape[0] for key, shape in keys.items() if FIRST_MOTION.search(key)), 320)
        family = family if width == 320 else "unknown"
        if "controlnet_cond_embedding" in text:
            return What("controlnet", family, "sparsectrl")
        if "lora" in text:
            return What("motion", "sd15", "lora")
        return What("motion", family)
    if "adapter.body." in text or ("body.0.block1." in text and "conv_in.weight" in keys):
        prefix = "adapter." if "adapter." in text else ""
        first = keys.get(f"{prefix}conv_in.weight") or keys.get(f"{prefix}body.0.in_conv.weight") or []
        # Pixels are folded into channels, 8x8 before SD 1.5's latents and 16x16 before SDXL's: one or three a pixel.
        channels = first[1] if len(first) > 1 else 0
        return What("t2i-adapter", {64: "sd15", 192: "sd15", 256: "sdxl", 768: "sdxl"}.get(channels, "unknown"))
    return None


def _network(keys: Names, text: str) -> What | None:
    """LoRA and its relatives."""
    if "lora_controlnet" in keys:
        return What("controlnet", _by_width(keys), "control-lora")
    if text.startswith("lllite_") or "\nlllite_" in text:
        return What("controlnet", "sdxl", "lllite")
    # The ends of names are few and tell it; the names themselves are 60 kB in a usual LoRA.
    ends = "\n".join({key[-32:] for key in keys})
    form = next((name for part, name in NETWORKS.items() if part in ends), "")
    if not form and ("lora_unet_" in text or "lora_te" in text) and (".diff" in text or ".w_norm" in text):
        form = "lycoris-full"
    if not form:
        return None
    if form == "lycoris-glora" and "lora_unet_" not in text:
        return None
    return What("lora", _lora_family(keys, text), form)


def _control(keys: Names, text: str) -> What | None:
    parts = ("control_model.", "controlnet_cond_embedding", "controlnet_blocks.", "input_hint_block.0.")
    if not any(part in text for part in parts):
        return None
    if "control_add_embedding" in text or "task_embedding" in text:
        return What("controlnet", _by_width(keys), "union")
    family = _by_width(keys)
    if family == "unknown" and "add_embedding.linear_1.weight" in keys:
        family = "sdxl"  # its small ControlNet reads no text at all
    diffusers = "controlnet_cond_embedding" in text
    return What("controlnet", family, "diffusers" if diffusers else "")


def _checkpoint(keys: Names, text: str) -> What | None:
    if FIRST not in keys:
        if "conv_in.weight" in keys and "down_blocks." in text and "up_blocks." in text and "attn2" in text:
            family = _by_width(keys)
            extra = CHANNELS.get(_side(keys, "conv_in.weight", 1), "")
            return What("unet", family + extra if family != "unknown" else family, "diffusers")
        return None
    channels = _side(keys, FIRST, 1)
    if "conditioner.embedders.1." in text:
        # SSD-1B and Vega are SDXL with blocks left out: another UNet, which SDXL's configuration does not fit.
        whole = f"{DEEP}9." in text or f"{DEEP}0." not in text
        family = "sdxl" if whole else "unknown"
    elif "conditioner.embedders.0.model." in text:
        family = "sdxl-refiner"
    elif "cond_stage_model.model." in text:
        family = "sd2"
    else:
        # Without a text encoder the cross-attention tells; a file with neither is taken for the oldest.
        clip = "cond_stage_model.transformer." in text or not _text_width(keys)
        family = "sd15" if clip else _by_width(keys)
    if channels == 7:
        return What("checkpoint", "unknown", "upscaler")  # the x4 upscaler reads latents and the small picture
    return What("checkpoint", family + CHANNELS.get(channels, "") if family != "unknown" else family)


def _small(keys: Names, text: str) -> What | None:
    """Embeddings, VAEs, hypernetworks and text encoders alone."""
    if "clip_l" in keys or "clip_g" in keys:
        return What("embedding", "sdxl" if "clip_g" in keys else "sd15")
    if any(HYPERNETWORK.match(key) for key in keys):
        return What("hypernetwork", "sd2" if any(key.startswith("1024.") for key in keys) else "sd15")
    shapes = list(keys.values())
    if "emb_params" in keys or (len(shapes) == 1 and len(shapes[0]) in {1, 2} and shapes[0][-1] in {768, 1024, 1280}):
        width = (keys.get("emb_params") or shapes[0] or [0])[-1]
        return What("embedding", {768: "sd15", 1024: "sd2"}.get(width, "unknown"))
    if ("decoder.up." in text or "decoder.up_blocks." in text) and "encoder." in text:
        if "diffusion_model" in text or "unet." in text:
            return None
        latents = next((shape[1] for k, shape in keys.items() if k.endswith("decoder.conv_in.weight") and shape[1:]), 4)
        return What("vae", "unknown", "" if latents == 4 else f"latents{latents}")
    if "decoder.layers.1.conv.0.weight" in keys or keys.keys() >= {"1.weight", "3.conv.0.weight"}:
        return What("vae", "unknown", "tiny")
    if "text_model.encoder.layers.0." in text and "diffusion_model" not in text:
        return What("text-encoder", "unknown")
    if "vision_model.encoder.layers.0." in text or "visual.transformer.resblocks.0." in text:
        return What("image-encoder", "unknown")
    return None


def _restorer(keys: Names, text: str) -> What | None:
    """Upscalers and networks that mend faces."""
    if any(part in text for part in FACES):
        return What("face", "unknown")
    if any(part in text for part in UPSCALERS) or (keys and all(COMPACT.match(key) for key in keys)):
        return What("upscaler", "unknown")
    return None


def _side(keys: Names, key: str, index: int) -> int:
    shape = keys.get(key, [])
    return shape[index] if index < len(shape) else 0


def _lora_family(keys: Names, text: str) -> str:
    if "lora_te2_" in text or "text_encoder_2." in text:
        return "sdxl"
    family = _by_width(keys)
    if family != "unknown":
        return family
    if _text_width(keys):
        return "unknown"
    # Trained without cross-attention: the names of blocks only one of the families has.
    if "input_blocks_4_1_transformer_blocks_1" in text or "blocks_1_attentions_0_transformer_blocks_1" in text:
        return "sdxl"
    if re.search(r"blocks[._]1[._]attentions[._]0[._]transformer_blocks[._]1", text):
        return "sdxl"
    encoder = next((shape for key, shape in keys.items() if _reads_text(key) and len(shape) > 1), [])
    if encoder and ("lora_te_" in text or "text_encoder." in text):
        return {768: "sd15", 1024: "sd2"}.get(encoder[1], "unknown")
    # SDXL's first level has no attention at all.
    return "sd15" if re.search(r"down_blocks[._]0[._]attentions|input_blocks[._]1[._]1[._]", text) else "unknown"


def _reads_text(key: str) -> bool:
    """Whether this is the matrix going down of a text encoder's attention."""
    return ("text_model" in key or "text_encoder" in key) and "q_proj" in key and not any(u in key for u in UPWARDS)


def _text_width(keys: Names) -> int:
    """Columns of the first matrix that reads the text in a cross-attention, in any tool's spelling; 0 without one."""
    for key, shape in keys.items():
        if "attn2" not in key or ("to_k" not in key and "to_v" not in key):
            continue
        if ".lokr_w1" in key and len(shape) >= 2:
            # A Kronecker product: its columns are the product of both factors' columns.
            return _kronecker(keys, key.partition(".lokr_w1")[0])
        if len(shape) >= 2 and not any(part in key for part in UPWARDS):
            return shape[1]
    return 0


def _kronecker(keys: Names, name: str) -> int:
    first = _side(keys, f"{name}.lokr_w1", 1) or _side(keys, f"{name}.lokr_w1_b", 1)
    second = _side(keys, f"{name}.lokr_w2", 1) or _side(keys, f"{name}.lokr_w2_b", 1)
    return first * second


def _by_width(keys: Names) -> str:
    return FAMILIES.get(_text_width(keys), "unknown")

"""Names of tensors in network files -> which part of a pipeline, which module, which tensor of the method.

Knows the spellings of kohya, LyCORIS, diffusers (old and PEFT), PEFT itself, ComfyUI, OneTrainer and ai-toolkit. A
module's name comes out with underscores for dots, as kohya writes it, since that spelling cannot be undone. Leaves
what the tensors mean to `deltas`, and which module bears the name to `modules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

UNET, TEXT, TEXT_2 = "unet", "text_encoder", "text_encoder_2"
# Width of the text that cross-attention reads -> family.
FAMILIES = {768: "sd15", 1024: "sd2", 2048: "sdxl"}

# Beginning of a key -> part of the pipeline; the first that fits is taken.
PREFIXES = (
    ("lora_unet_", UNET), ("lora_te1_", TEXT), ("lora_te2_", TEXT_2), ("lora_te_", TEXT),
    ("lycoris_unet_", UNET), ("lycoris_te1_", TEXT), ("lycoris_te2_", TEXT_2), ("lycoris_te_", TEXT),
    ("lycoris_", UNET), ("oft_unet_", UNET),
    ("model.diffusion_model.", UNET), ("diffusion_model.", UNET), ("unet.", UNET),
    ("text_encoders.clip_l.transformer.", TEXT), ("text_encoders.clip_g.transformer.", TEXT_2),
    ("text_encoder_2.", TEXT_2), ("text_encoder.", TEXT),
)  # fmt: skip
# ai-toolkit counts the text encoders from 0.
FROM_ZERO = (("lora_te0_", TEXT), ("lora_te1_", TEXT_2))
WRAPPERS = ("base_model.model.",)
UNDERSCORED = ("lora_", "lycoris_", "oft_")

# Ends of keys that tell a network by themselves, and the name of the tensor in `deltas`. `\w+` is PEFT's adapter name.
ENDS = (
    (re.compile(r"\.lora_A(?:\.\w+)?\.weight$"), "lora_down"),
    (re.compile(r"\.lora_B(?:\.\w+)?\.weight$"), "lora_up"),
    (re.compile(r"\.lora_B(?:\.\w+)?\.bias$"), "lora_up_bias"),
    (re.compile(r"\.lora_magnitude_vector(?:\.\w+){0,2}$"), "magnitude"),
    (re.compile(r"(?:\.lora|\.lora_linear_layer|_lora)\.down\.weight$"), "lora_down"),
    (re.compile(r"(?:\.lora|\.lora_linear_layer|_lora)\.up\.weight$"), "lora_up"),
    (re.compile(r"\.(lora_down|lora_up|lora_mid)\.weight$"), ""),
    (re.compile(r"\.((?:hada|lokr|oft|lora)_\w+|dora_scale|w_norm|b_norm|diff|diff_b)$"), ""),
    (re.compile(r"\.(alpha|rescale|scalar)$"), ""),
)
# Ends that say something only behind kohya's prefix: a checkpoint's own keys end so too.
KOHYA_ENDS = re.compile(r"\.([ab][12m](?=\.weight$)|[^.]+)(?:\.weight)?$")
OLD_END = re.compile(r"_lora\.(?:down|up)\.weight$")
# Projections as diffusers' first LoRA files name them -> the module's name.
OLD_UNET = {"to_out": "to_out.0"}
OLD_TEXT = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


def from_zero(keys: Iterable[str]) -> bool:
    """Whether a file counts its text encoders from 0."""
    return any(key.startswith("lora_te0_") for key in keys)


def split(key: str, zero: bool = False) -> tuple[str, str, str] | None:
    """(part, module, tensor) of a key, None where it belongs to no network. `zero`: see `from_zero`.

    `lora_te1_...` is the first encoder, in SD 1.5 too: diffusers writes it so.
    """
    for wrapper in WRAPPERS:
        key = key.removeprefix(wrapper)
    found = _tensor(key)
    if found is None:
        return None
    stem, tensor = found
    prefixes = (*FROM_ZERO, *PREFIXES) if zero else PREFIXES
    prefix, part = next(((start, name) for start, name in prefixes if stem.startswith(start)), ("", UNET))
    name = stem.removeprefix(prefix).replace(".processor", "")
    if OLD_END.search(key):
        before, dot, last = name.rpartition(".")
        name = before + dot + (OLD_UNET if part == UNET else OLD_TEXT).get(last, last)
    return part, name.replace(".", "_"), tensor


def _tensor(key: str) -> tuple[str, str] | None:
    """(what stands before, tensor) of a key."""
    for pattern, tensor in ENDS:
        match = pattern.search(key)
        if match:
            return key[: match.start()], tensor or match[1]
    if key.startswith(UNDERSCORED):
        match = KOHYA_ENDS.search(key)
        if match:
            return key[: match.start()], match[1]
    return None

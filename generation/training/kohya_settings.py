"""Settings as kohya's tools and guides write them -> ours: `train_batch_size = 3, max_token_length = 225, ...`.

Reads a TOML file of sd-scripts, or any text that states such pairs, as notes do. Knows the names, and which of them
change nothing here (attention kernels, loaders of data). Leaves where a text comes from to the caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from generation.errors import BadSpec
from generation.parameters import Parameter
from generation.training.settings import OPTIMIZERS, SCHEDULERS, table

PAIR = re.compile(
    r"""(?<![\w.])(?P<name>[A-Za-z][A-Za-z_ ]*?[A-Za-z])["']?\s*(?:=|:)\s*
        (?P<value>"[^"\n]*"|'[^'\n]*'|\[[^\]\n]*\]|[^\s,;]+)
        (?=[\s,;]|$)(?!\s*=)""",
    re.VERBOSE,
)
# kohya's name, in small letters -> ours.
NAMES = {
    "resolution": "resolution", "crop_size": "resolution", "min_bucket_reso": "bucket_min",
    "max_bucket_reso": "bucket_max", "bucket_reso_steps": "bucket_step", "bucket_no_upscale": "upscale",
    "caption_dropout_rate": "caption_dropout", "caption_dropout_every_n_epochs": "caption_dropout_every",
    "caption_tag_dropout_rate": "tag_dropout", "caption_prefix": "prefix", "caption_suffix": "suffix",
    "shuffle_caption": "shuffle", "keep_tokens": "keep_tokens", "token_warmup_min": "warmup_min",
    "token_warmup_step": "warmup_steps", "flip_aug": "flip", "num_repeats": "repeats", "dataset_repeats": "repeats",
    "optimizer_type": "optimizer", "learning_rate": "rate", "unet_lr": "rate", "unet_learning_rate": "rate",
    "text_encoder_lr": "text_rate", "text_encoder_learning_rate": "text_rate",
    "text_encoder_training_steps": "text_steps", "unet_training_steps": "steps", "max_train_steps": "steps",
    "max_train_epochs": "epochs", "num_epochs": "epochs", "train_batch_size": "batch", "batch_size": "batch",
    "gradient_accumulation_steps": "accumulate", "gradient_checkpointing": "checkpointing",
    "max_grad_norm": "max_grad_norm", "lr_scheduler": "scheduler", "lr_warmup_steps": "warmup",
    "min_snr_gamma": "min_snr_gamma", "noise_offset": "noise_offset", "seed": "seed",
    "max_token_length": "max_tokens", "clip_skip": "clip_skip", "mixed_precision": "precision",
    "save_precision": "save_precision", "save_every_n_epochs": "save_every_epochs", "save_every_n_steps": "save_every",
    "cache_latents": "cache_latents", "network_dim": "rank", "network_alpha": "alpha", "conv_dim": "conv_rank",
    "conv_alpha": "conv_alpha", "network_dropout": "dropout", "prior_loss_weight": "prior_weight",
    "sample_every_n_steps": "sample_every", "weight_decay": "weight_decay", "lora_rank": "rank",
}  # fmt: skip
# They change the time or the look of a log there, and nothing here.
WITHOUT_EFFECT = frozenset({
    "xformers", "sdpa", "mem_eff_attn", "max_data_loader_n_workers", "persistent_data_loader_workers", "color_aug",
    "enable_bucket", "cache_latents_to_disk", "save_model_as", "lowram", "v2", "v_parameterization", "logging_dir",
    "log_prefix", "output_dir", "output_name", "train_data_dir", "reg_data_dir", "pretrained_model_name_or_path",
    "vae", "caption_extension", "network_module", "full_fp16", "no_half_vae",
})  # fmt: skip
# How notes say it in sentences; an image seen so often is so many epochs.
SENTENCES = tuple(
    (re.compile(pattern, re.IGNORECASE), ours)
    for pattern, ours in (
        (r"\b(\d+)\s+steps\s+(?:per|for\s+each|an|a)\s+(?:\w+\s+)?(?:image|picture)", "epochs"),
        (r"\b(\d+)\s+epochs\b", "epochs"),
        (r"\btook\s+(\d+)\s+steps\b", "steps"),
        (r"\b(?:for|of)\s+(\d+)\s+steps\b", "steps"),
        (r"(?<!encoder )\blearning\s+rate\s+(?:of\s+|is\s+)?(\d[\d.]*(?:e-?\d+)?)", "rate"),
        (r"\btext\s+encoder\b[^.]*\blearning\s+rate\s+(?:of\s+)?(\d[\d.]*(?:e-?\d+)?)", "text_rate"),
        (r"\bbatch\s+size\s+(?:of\s+|is\s+)?(\d+)", "batch"),
        (r"\brank\s+(?:of\s+|is\s+)?(\d+)", "rank"),
        (r"\balpha\s+(?:of\s+|is\s+)?(\d+(?:\.\d+)?)", "alpha"),
        (r"\b(\d+)\s+class\s+(?:images|pictures)\b", "prior_images"),
        (r"\boptimizer\s+(AdamW8bit|AdamW|Prodigy|Adafactor)\b", "optimizer"),
    )
)


@dataclass(frozen=True)
class Said:
    """`setting` of ours with its `value`, and the `text` that says so; `setting` "" for what has no effect here."""

    setting: str
    value: Any
    text: str


def parse(text: str, kind: str) -> list[Said]:
    """The settings that a text states for a kind of training, the first of each name. Raises `BadSpec` for a value that
    cannot be; what names no setting is passed over."""
    there = {parameter.name: parameter for parameter in table(kind)}
    found: dict[str, Said] = {}
    for match in PAIR.finditer(text.replace("**", "")):
        # Notes put words before a name ("Parameters: Unet learning rate: 2e-6"): the longest ending that is one counts.
        words = match["name"].lower().replace("-", "_").split()
        name = next((n for k in range(len(words)) if (n := "_".join(words[k:])) in {*NAMES, *WITHOUT_EFFECT}), "")
        value = match["value"].strip("\"'").rstrip(".")
        shown = f"{name} = {value}"
        if name in WITHOUT_EFFECT:
            if name == "color_aug" and _yes(value):
                raise BadSpec("color_aug is not done here", "Set color_aug to false: colours are part of a subject.")
            found.setdefault(name, Said("", value, shown))
        elif name in NAMES and NAMES[name] in there:
            ours = NAMES[name]
            # The rate of the UNet is the closer word for it than the one for all.
            if ours not in found or name.startswith("unet_"):
                found[ours] = Said(ours, _value(there[ours], name, value), shown)
    for pattern, ours in SENTENCES:
        if ours in there and ours not in found and (told := pattern.search(text)):
            value = told[1].rstrip(".")
            found[ours] = Said(ours, _value(there[ours], ours, value), " ".join(told[0].split()))
    return list(found.values())


def _yes(value: str) -> bool:
    return value.lower() in {"true", "yes", "1"}


def _value(parameter: Parameter, name: str, value: str) -> Any:
    special: dict[str, Callable[[str], Any]] = {
        "bucket_no_upscale": lambda text: not _yes(text),
        "optimizer_type": lambda text: _named(text, OPTIMIZERS),
        "lr_scheduler": lambda text: _named(text, SCHEDULERS),
        "mixed_precision": lambda text: {"no": "fp32"}.get(text.lower(), text.lower()),
        "save_precision": lambda text: {"float": "fp32"}.get(text.lower(), text.lower()),
        # sd-scripts takes "512" and "512,768".
        "resolution": lambda text: int(re.sub(r"[\[\]() ]", "", text).split(",")[0].split("x")[0]),
        "lr_warmup_steps": lambda text: int(float(text)),
    }
    try:
        if name in special:
            return parameter.checked(special[name](value))
        if parameter.kind == "integer":
            return parameter.checked(int(float(value)))
        return parameter.parsed(value)
    except ValueError as error:
        raise BadSpec(f"{name} cannot be {value}", parameter.help + ".") from error


def _named(value: str, names: tuple[str, ...]) -> str:
    return next((name for name in names if name.lower() == value.lower()), value)

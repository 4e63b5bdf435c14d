"""What a trained file says of itself: kohya's `ss_*` entries and Stability's ModelSpec, which A1111 and others show.

Knows their names. Leaves the hashes, which depend on the file, to `networks.exporting`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from generation.networks.exporting import specification
from generation.training.examples import Item
from generation.training.settings import TrainingSpec

# Our setting -> the entry that other tools read.
ENTRIES = {
    "rate": "ss_unet_lr", "text_rate": "ss_text_encoder_lr", "accumulate": "ss_gradient_accumulation_steps",
    "batch": "ss_batch_size_per_device", "scheduler": "ss_lr_scheduler", "warmup": "ss_lr_warmup_steps",
    "max_grad_norm": "ss_max_grad_norm", "min_snr_gamma": "ss_min_snr_gamma", "noise_offset": "ss_noise_offset",
    "seed": "ss_seed", "flip": "ss_flip_aug", "shuffle": "ss_shuffle_caption", "keep_tokens": "ss_keep_tokens",
    "caption_dropout": "ss_caption_dropout_rate", "caption_dropout_every": "ss_caption_dropout_every_n_epochs",
    "tag_dropout": "ss_caption_tag_dropout_rate", "max_tokens": "ss_max_token_length", "clip_skip": "ss_clip_skip",
    "checkpointing": "ss_gradient_checkpointing", "cache_latents": "ss_cache_latents", "optimizer": "ss_optimizer",
    "prior_weight": "ss_prior_loss_weight", "epochs": "ss_num_epochs",
    "bucket_min": "ss_min_bucket_reso", "bucket_max": "ss_max_bucket_reso",
}  # fmt: skip
TAGS = 200  # the most frequent ones of a folder


def describe(
    spec: TrainingSpec,
    *,
    model: str,
    family: str,
    prediction: str,
    resolution: tuple[int, int],
    found: Sequence[Item],
    priors: int,
    steps: int,
    batches: int,
    precision: str,
    began: float,
) -> dict[str, str]:
    """The entries of the last file, all text; `began` in seconds since the epoch, `steps` those done."""
    settings = spec.settings
    name = spec.output.replace("\\", "/").rpartition("/")[2].removesuffix(".safetensors")
    said: dict[str, Any] = {theirs: settings[ours] for ours, theirs in ENTRIES.items() if ours in settings}
    said |= {
        "ss_output_name": name,
        "ss_sd_model_name": model,
        "ss_v2": family.startswith("sd2"),
        "ss_learning_rate": settings["rate"],
        "ss_mixed_precision": "no" if precision == "fp32" else precision,
        "ss_num_train_images": sum(item.repeats for item in found),
        "ss_num_reg_images": priors,
        "ss_num_batches_per_epoch": batches,
        "ss_max_train_steps": steps,
        "ss_steps": steps,
        "ss_resolution": str(resolution),
        "ss_enable_bucket": True,
        "ss_bucket_no_upscale": not settings["upscale"],
        "ss_bucket_info": json.dumps(_buckets(found)),
        "ss_dataset_dirs": json.dumps(_folders(found), ensure_ascii=False),
        "ss_tag_frequency": json.dumps(_tags(found), ensure_ascii=False),
        "ss_training_started_at": began,
        "ss_training_finished_at": time.time(),
        "ss_training_comment": "Atelier",
    }
    return {
        **{key: str(value) for key, value in said.items()},
        **specification(family, name, resolution, prediction),
    }


def _buckets(found: Sequence[Item]) -> dict[str, Any]:
    counts = Counter(item.placed.bucket for item in found for _ in range(item.repeats))
    rows = {
        str(n): {"resolution": list(size), "count": count} for n, (size, count) in enumerate(sorted(counts.items()))
    }
    error = sum(abs(item.placed.ar_error) for item in found) / len(found)
    return {"buckets": rows, "mean_img_ar_error": error}


def _folder(item: Item) -> str:
    return item.picture.folder or item.picture.path.parent.name


def _folders(found: Sequence[Item]) -> dict[str, Any]:
    counts = Counter((_folder(item), item.repeats) for item in found)
    return {folder: {"n_repeats": repeats, "img_count": count} for (folder, repeats), count in counts.items()}


def _tags(found: Sequence[Item]) -> dict[str, dict[str, int]]:
    by_folder: dict[str, Counter[str]] = {}
    for item in found:
        counter = by_folder.setdefault(_folder(item), Counter())
        caption = item.picture.caption or item.picture.tokens
        counter.update(tag.strip() for tag in caption.split(",") if tag.strip())
    return {folder: dict(counter.most_common(TAGS)) for folder, counter in by_folder.items()}

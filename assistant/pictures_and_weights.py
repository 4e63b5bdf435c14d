"""Pictures and weights as documents of the library: a picture is what was asked for it, weights are what their
trainer wrote into their header.

Readers in the sense of ingest.readers, kept here because they need generation's knowledge of the formats. The lines
are plain sentences made from the metadata, so that each can be quoted by itself.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generation import headers, metadata
from generation.errors import GenerationError
from ingest.parsed import Page, Parsed, UnreadableError, split_lines
from ingest.readers import BUILT_IN, Formats
from ingest.readers.markdown import blocks

_LONGEST = 2000  # characters of one value; ComfyUI's whole graph is no sentence
_TAGS_SHOWN = 40

# What kohya's trainers write -> what it is called in a sentence.
_TRAINING = {
    "ss_output_name": "name",
    "ss_sd_model_name": "base model",
    "ss_base_model_version": "base family",
    "ss_network_module": "kind of network",
    "ss_network_dim": "rank",
    "ss_network_alpha": "alpha",
    "ss_num_train_images": "training images",
    "ss_num_reg_images": "regularisation images",
    "ss_steps": "steps",
    "ss_num_epochs": "epochs",
    "ss_learning_rate": "learning rate",
    "ss_unet_lr": "UNet learning rate",
    "ss_text_encoder_lr": "text encoder learning rate",
    "ss_optimizer": "optimizer",
    "ss_lr_scheduler": "learning rate schedule",
    "ss_resolution": "resolution",
    "ss_clip_skip": "clip skip",
    "ss_noise_offset": "noise offset",
    "ss_min_snr_gamma": "min-SNR gamma",
    "ss_training_comment": "comment",
    "modelspec.title": "title",
    "modelspec.author": "author",
    "modelspec.description": "description",
    "modelspec.trigger_phrase": "trigger phrase",
    "modelspec.usage_hint": "usage",
    "modelspec.date": "date",
    "modelspec.license": "license",
}


def formats(*, pictures: bool = True) -> Formats:
    """The library's own formats, weights, and pictures where they are wanted."""
    extensions = {".safetensors": "weights"}
    if pictures:
        extensions |= dict.fromkeys((".png", ".jpg", ".jpeg", ".webp"), "picture")
    here = "assistant.pictures_and_weights:"
    return BUILT_IN.and_also(extensions, {"picture": here + "read_picture", "weights": here + "read_weights"})


def read_picture(path: Path, *, check: Callable[[], None]) -> Parsed:
    """The prompt and settings of a generated picture, of any tool generation.metadata knows."""
    check()
    try:
        info = metadata.read(path)
    except GenerationError as error:
        raise UnreadableError(error.message.replace(str(path), path.name)) from error
    prompt = " ".join(str(info.prompt).split())
    if not prompt and not info.settings:
        raise UnreadableError("no generation settings in it", status="skipped")
    lines = [f"# Picture: {prompt[:120] or path.stem}", ""]
    if prompt:
        lines += [f"The prompt of the picture {path.name} was “{prompt}”.", ""]
    if negative := " ".join(str(info.negative).split()):
        lines += [f"Its negative prompt was “{negative}”.", ""]
    said = {str(k): " ".join(str(v).split()) for k, v in info.settings.items() if str(v).strip() and len(str(v)) < 200}
    if said:
        listed = ", ".join(f"{name} {value}" for name, value in said.items())
        lines += [f"It was made by {info.tool or 'an unknown tool'} with {listed}.", ""]
    lines.append(f"The picture is {info.width}x{info.height} pixels.")
    return _parsed("picture", path, prompt[:120] or path.stem, lines, {"tool": info.tool, **said}, check)


def read_weights(path: Path, *, check: Callable[[], None]) -> Parsed:
    """Kind and family of a safetensors file by its keys, and what its metadata says."""
    check()
    try:
        shapes, texts = headers.read_all(path)
    except ValueError as error:
        raise UnreadableError(str(error)) from error
    except PermissionError as error:
        raise UnreadableError("permission denied") from error
    kind, family = headers.recognise(shapes)
    title = texts.get("modelspec.title") or texts.get("ss_output_name") or path.stem
    what = {"lora": "a LoRA", "vae": "a VAE", "controlnet": "a ControlNet", "unknown": "weights of an unknown kind"}
    line = f"The file {path.name} is {what.get(kind, f'a {kind}')}"
    line += f" for {family}" if family != "unknown" else ""
    lines = [f"# Weights: {title}", "", f"{line}, with {len(shapes)} tensors, {path.stat().st_size / 1e6:,.1f} MB.", ""]
    properties: dict[str, Any] = {"kind": kind, "family": family}
    for key, name in _TRAINING.items():
        value = " ".join(texts.get(key, "").split())[:_LONGEST]
        if value and value != "None":
            lines += [f"The {name} of {path.stem} is {value}.", ""]
            properties[name] = value
    if tags := frequent_tags(texts.get("ss_tag_frequency", "")):
        lines += [f"The tags {path.stem} was trained on most are {', '.join(tags)}.", ""]
        properties["tags"] = tags[:_TAGS_SHOWN]
    return _parsed("weights", path, title, lines, properties, check)


def frequent_tags(frequencies: str) -> list[str]:
    """The commonest tags of kohya's `ss_tag_frequency` ({folder: {tag: count}} as JSON), most frequent first."""
    try:
        folders = json.loads(frequencies)
        counts: dict[str, int] = {}
        for tags in folders.values():
            for tag, count in tags.items():
                counts[tag.strip()] = counts.get(tag.strip(), 0) + int(count)
    except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):
        return []
    return sorted((tag for tag in counts if tag), key=lambda tag: (-counts[tag], tag))[:_TAGS_SHOWN]


def _parsed(
    kind: str, path: Path, title: str, text: list[str], properties: dict[str, Any], check: Callable[[], None]
) -> Parsed:
    # Long prompts wrap, so that a citation names lines and not one endless line.
    wrapped = [part for line in text for part in (textwrap.wrap(line, 200, break_on_hyphens=False) or [""])]
    lines = split_lines("\n".join(wrapped))
    return Parsed(kind, title, (Page(None, lines, tuple(blocks(lines, 1, check))),), properties)

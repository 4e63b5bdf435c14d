"""Captions: where they lie beside pictures, and the words of one that a training step reads.

The rules are those of kohya-ss/sd-scripts in its order: prefix and suffix, dropout, wildcards, kept tokens, warm-up of
tokens, shuffle, dropout of tags. Leaves edits of the files to `caption_edits` and the tokenizer to the training.
"""

from __future__ import annotations

import codecs
import random
import re
from dataclasses import dataclass
from pathlib import Path

from generation.errors import BadSpec

SUFFIXES = (".txt", ".caption")
LARGEST = 100_000  # bytes; three chunks of CLIP's tokens are under 2,000 letters
CHOICE = re.compile(r"\{\{|\}\}|\{([^{}]*\|[^{}]*)\}")  # doubled braces stand for themselves


@dataclass(frozen=True)
class CaptionRules:
    """What a training does to a caption each time that it is read; by default nothing.

    `dropout` and `tag_dropout` are shares, 0 to 1: the whole caption left out, each tag left out. With
    `dropout_every_epochs` n every nth epoch, the first included, has no captions. The first `keep_tokens` tags are
    neither shuffled nor dropped. Over the first `warmup_steps` steps the other tags grow from `warmup_min` to all.
    Tags are split at `separator`. Raises `BadSpec` for values out of range.
    """

    prefix: str = ""
    suffix: str = ""
    dropout: float = 0.0
    dropout_every_epochs: int = 0
    tag_dropout: float = 0.0
    keep_tokens: int = 0
    shuffle: bool = False
    warmup_min: int = 1
    warmup_steps: int = 0
    separator: str = ","

    def __post_init__(self) -> None:
        for name, value in (("dropout", self.dropout), ("tag dropout", self.tag_dropout)):
            if not 0 <= value <= 1:
                raise BadSpec(f"a {name} of {value} is no share of the captions", "Give 0 to 1.")
        counts = {
            "epochs between dropouts": self.dropout_every_epochs,
            "kept tokens": self.keep_tokens,
            "tokens to begin with": self.warmup_min,
            "steps of token warm-up": self.warmup_steps,
        }
        for name, count in counts.items():
            if count < 0:
                raise BadSpec(f"there cannot be {count} {name}", "Give 0 or more.")
        if not self.separator.strip():
            raise BadSpec("tags cannot be split at nothing", "Give a separator such as a comma.")


def drawn(caption: str, rules: CaptionRules, rng: random.Random, *, step: int, epoch: int) -> str:
    """The caption as it is read at `step` of `epoch`, both from 0; the same `rng` state gives the same words.

    Without shuffle, warm-up and dropout of tags its commas and blanks stay as they were written.
    """
    caption = f"{rules.prefix} {caption}" if rules.prefix else caption
    caption = f"{caption} {rules.suffix}" if rules.suffix else caption
    # Drawn even where the epoch decides, so that one setting does not change the draws of the others.
    dropped = rules.dropout > 0 and rng.random() < rules.dropout
    if dropped or (rules.dropout_every_epochs and epoch % rules.dropout_every_epochs == 0):
        return ""
    caption = chosen(caption, rng)
    if rules.shuffle or rules.tag_dropout > 0 or step < rules.warmup_steps:
        tags = split(caption, rules.separator)
        kept, free = tags[: rules.keep_tokens], tags[rules.keep_tokens :]
        if step < rules.warmup_steps:
            grown = step * (len(free) - rules.warmup_min) // rules.warmup_steps
            free = free[: max(grown + rules.warmup_min, 0)]
        if rules.shuffle:
            rng.shuffle(free)
        if rules.tag_dropout > 0:
            free = [tag for tag in free if rng.random() >= rules.tag_dropout]
        caption = f"{rules.separator} ".join((*kept, *free))
    return caption.strip()


def chosen(caption: str, rng: random.Random) -> str:
    """One of each {a|b}, evenly; {{ and }} become single braces, and braces without a bar stay."""

    def one(match: re.Match[str]) -> str:
        return match[0][0] if match[1] is None else rng.choice(match[1].split("|"))

    return CHOICE.sub(one, caption)


def split(caption: str, separator: str = ",") -> list[str]:
    """The tags of a caption without the blanks around them and without empty ones."""
    return [tag for part in caption.split(separator) if (tag := part.strip())]


def beside(picture: Path) -> tuple[str, str]:
    """(caption, what is wrong): "" each where there is none. The first of `SUFFIXES` that says anything counts."""
    wrong = ""
    for suffix in SUFFIXES:
        path = picture.with_suffix(suffix)
        if not path.is_file():
            continue
        try:
            text = one_line(content(path))
        except BadSpec as error:
            wrong = f"its caption {error.message.removeprefix(f'{path.parent}/')}"
        else:
            if text:
                return text, ""
            wrong = wrong or f"its caption {path.name} is empty"
    return "", wrong


def content(path: Path) -> str:
    """The text of a caption's file as it stands. Raises `BadSpec` for what cannot be read or is no text."""
    try:
        if path.stat().st_size > LARGEST:
            raise BadSpec(f"{path} is larger than {LARGEST // 1000} kB", "Give a caption.")
        return decoded(path.read_bytes())
    except OSError as error:
        raise BadSpec(f"{path} cannot be read: {error.strerror}", "Check its rights.") from error
    except ValueError as error:
        raise BadSpec(f"{path} {error}", "Save it as UTF-8.") from error


def decoded(data: bytes) -> str:
    """The text of UTF-8, or of UTF-16 that says so in its first bytes. Raises ValueError for anything else."""
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError("is no text in UTF-8") from error
    if "\0" in text:
        raise ValueError("is no text")
    return text


def one_line(text: str) -> str:
    """The caption with its lines joined and its spaces single; of what JSON may escape, halves of characters go."""
    kept = "".join(letter for letter in text if not "\ud800" <= letter <= "\udfff" and letter != "\0")
    return " ".join(kept.split())

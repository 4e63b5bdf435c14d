"""Edits of a dataset's captions: found and replaced, prefixed, tags removed, counted; and the files that hold them.

Pure: what a file would hold after an edit is returned, and who asked for it writes it. Captions of a JSONL file are
changed in its lines, others in the file beside the picture that says something, or in `<name>.txt`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation.errors import BadSpec
from generation.training.captions import SUFFIXES, beside, content, one_line, split
from generation.training.datasets import CAPTION_KEYS, IMAGE_KEYS, Dataset

SPARE_COMMAS = re.compile(r"\s*,(?:\s*,)+\s*")
WORD = re.compile(r"[^\W\d_][\w'-]{2,}")


@dataclass(frozen=True)
class Edit:
    """Done in this order: every `find` becomes `replace` (as they stand, capitals count), tags of `remove` go (capitals
    do not count), `prefix` and `suffix` are put on where they are not there yet.

    They are set off by a comma; a blank at the seam of prefix or suffix takes its place: "photo of ".
    """

    find: str = ""
    replace: str = ""
    remove: tuple[str, ...] = ()
    prefix: str = ""
    suffix: str = ""

    def __post_init__(self) -> None:
        if self.replace and not self.find:
            raise BadSpec("there is something to put in, but nothing to find", "Give what is to be found.")


def edited(caption: str, edit: Edit) -> str:
    """The caption after the edit; unchanged to the letter where nothing of the edit applies."""
    text = caption
    if edit.find and edit.find in text:
        text = SPARE_COMMAS.sub(", ", text.replace(edit.find, edit.replace)).strip(", ")
    gone = {tag.strip().casefold() for tag in edit.remove}
    tags = split(text)
    if any(tag.casefold() in gone for tag in tags):
        text = ", ".join(tag for tag in tags if tag.casefold() not in gone)
    prefix, suffix = edit.prefix.strip(), edit.suffix.strip()
    if prefix and not text.startswith(prefix):
        seam = " " if edit.prefix[-1] in " ," else ", "
        text = f"{prefix}{seam}{text}" if text else prefix.strip(", ")
    if suffix and not text.endswith(suffix):
        seam = " " if edit.suffix[0] == " " else "" if edit.suffix[0] == "," else ", "
        text = f"{text}{seam}{suffix}" if text else suffix.strip(", ")
    return one_line(text) if text != caption else caption


def statistics(captions: Sequence[str], most: int = 200) -> dict[str, Any]:
    """{"captions", "without", "tags": [{"tag", "count"}], "words": [..], "longest"}: the `most` frequent ones, capitals
    not counted; each once a caption."""
    tags: Counter[str] = Counter()
    words: Counter[str] = Counter()
    written: dict[str, str] = {}
    for caption in captions:
        there = {tag.casefold(): tag for tag in reversed(split(caption))}
        for folded, tag in there.items():
            written.setdefault(folded, tag)
        tags.update(there.keys())
        words.update({word.casefold() for word in WORD.findall(caption)})
    ranked = sorted(tags.items(), key=lambda one: (-one[1], one[0]))[:most]
    said = sorted(words.items(), key=lambda one: (-one[1], one[0]))[:most]
    return {
        "captions": sum(1 for caption in captions if caption),
        "without": sum(1 for caption in captions if not caption),
        "tags": [{"tag": written[tag], "count": count} for tag, count in ranked],
        "words": [{"word": word, "count": count} for word, count in said],
        "longest": max((len(caption.split()) for caption in captions), default=0),
    }


def files(dataset: Dataset, wanted: Mapping[Path, str]) -> dict[Path, tuple[str | None, str]]:
    """By file (what it holds now or None, what it shall hold), for pictures -> captions; only files that change.

    Raises `BadSpec` for a caption's file that cannot be read: it would be lost.
    """
    if dataset.layout == "jsonl":
        listed = dataset.path / "metadata.jsonl" if dataset.path.is_dir() else dataset.path
        now = content_of_list(listed)
        lines = [_line(line, listed, wanted) for line in now.split("\n")]
        after = "\n".join(lines)
        return {listed: (now, after)} if after != now else {}
    found: dict[Path, tuple[str | None, str]] = {}
    for picture, caption in wanted.items():
        path = place(picture)
        before = content(path) if path.is_file() else None
        if one_line(before or "") != caption:
            found[path] = (before, f"{caption}\n" if caption else "")
    return found


def place(picture: Path) -> Path:
    """The file of a picture's caption: the one that says something, else one that is there, else `<name>.txt`."""
    there = [picture.with_suffix(suffix) for suffix in SUFFIXES if picture.with_suffix(suffix).is_file()]
    if not there:
        return picture.with_suffix(SUFFIXES[0])
    said, wrong = beside(picture)
    if wrong and not said:
        content(there[0])  # raises where it is more than empty
    return next((path for path in there if said and one_line(content(path)) == said), there[0])


def content_of_list(path: Path) -> str:
    """The text of a JSONL file. Raises `BadSpec`."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSpec(f"{path} cannot be changed: it is no text in UTF-8", "Save it again as UTF-8.") from error


def _line(line: str, listed: Path, wanted: Mapping[Path, str]) -> str:
    """The line with its picture's new caption; as it stands where there is none, or it is no entry."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return line
    if not isinstance(entry, dict):
        return line
    name = next((entry[key] for key in IMAGE_KEYS if key in entry), None)
    if not isinstance(name, str) or (picture := listed.parent / Path(name).expanduser()) not in wanted:
        return line
    key = next((key for key in CAPTION_KEYS if key in entry), CAPTION_KEYS[0])
    caption = wanted[picture]
    if one_line(str(entry.get(key, ""))) == caption:
        return line
    return json.dumps({**entry, key: caption}, ensure_ascii=False)

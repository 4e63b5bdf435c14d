"""What a training learns from: pictures and captions of any folder, of kohya's layout, or of a JSONL file.

Knows where pictures, captions and repeats stand and what is wrong with them one by one; sizes come from the files'
headers. Nothing is decoded and nothing heavy imported. Leaves how pictures look to `checks`, captions and their sizes
to `captions`, and what is made of it all to `plan`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation import metadata
from generation.errors import BadImage, BadSpec
from generation.training import captions
from generation.training.orientation import turned

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
# Pictures that other tools train on and that are not read here.
OTHERS = (".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".jxl")
NUMBERED = re.compile(r"^(\d{1,6})_(.*)$", re.DOTALL)
MOST_REPEATS = 10_000
MANY_REPEATS = 500
MOST_PICTURES = 200_000
LARGEST_PICTURE = 64_000_000  # pixels that `pictures.read` takes
LARGEST_LIST = 256_000_000  # bytes of a JSONL file
IMAGE_KEYS = ("image", "file_name", "file", "path", "image_path")
CAPTION_KEYS = ("caption", "text", "prompt")
Check = Callable[[], None]


@dataclass(frozen=True)
class Picture:
    """A picture of a dataset. `width` and `height` in pixels as it is shown; `repeats` None where the layout says none.

    `caption` is "" where there is none, and then `tokens`, the class tokens of its folder, stand in.
    """

    path: Path
    width: int
    height: int
    caption: str
    repeats: int | None = None
    tokens: str = ""
    folder: str = ""


@dataclass(frozen=True)
class Remark:
    """Something a person should know before training. `kind` is one word; `path` "" where it is about the whole."""

    kind: str
    path: str
    message: str


@dataclass(frozen=True)
class Dataset:
    """`layout` is folder, kohya or jsonl; `remarks` tell what was left out or is missing.

    `regularisation` are the pictures of kohya's `reg` beside `img`.
    """

    path: Path
    layout: str
    pictures: tuple[Picture, ...]
    remarks: tuple[Remark, ...] = ()
    regularisation: tuple[Picture, ...] = ()


def read(path: Path, check: Check = lambda: None) -> Dataset:
    """The dataset at `path`: a folder, or a JSONL file. A file that cannot be used is left out with a remark.

    A folder whose subfolders (or those of its `img`) are named `<repeats>_<class tokens>` has kohya's layout, any other
    is searched for pictures to its bottom; one that holds `metadata.jsonl` is read by it. Raises `BadSpec` where
    nothing usable is found.
    """
    path = path.expanduser().absolute()
    reading = _Reading(check)
    try:
        if path.is_file():
            layout = "jsonl"
            pictures = reading.lines(path)
        elif not path.is_dir():
            raise BadSpec(f"there is no folder or file {path}", "Name a folder of pictures, or a JSONL file.")
        elif (path / "metadata.jsonl").is_file():
            layout = "jsonl"
            pictures = reading.lines(path / "metadata.jsonl")
        elif numbered := _numbered(path):
            layout = "kohya"
            pictures = reading.numbered(numbered)
            if len(numbered) > 1 or numbered[0] != path:
                reading.beside(numbered)
        else:
            layout = "folder"
            pictures = reading.folder(path)
        if not pictures:
            first = next(iter(reading.remarks), None)
            why = f": {Path(first.path).name} {first.message.removesuffix(': left out')}" if first else ""
            there = ", ".join(kind.removeprefix(".") for kind in PICTURES)
            raise BadSpec(
                f"{path} holds no picture to train on{why}", f"Put {there} files there, captions beside them."
            )
        reg = path / "reg"
        regularisation = reading.numbered(_numbered(reg)) if layout == "kohya" and reg.is_dir() else ()
    except OSError as error:
        raise BadSpec(f"{error.filename or path} cannot be read: {error.strerror}", "Check its rights.") from error
    except ValueError as error:  # a zero byte in the name
        raise BadSpec("the path of the dataset is no path", "Check the path.") from error
    return Dataset(path, layout, tuple(pictures), tuple(reading.remarks), tuple(regularisation))


def _numbered(path: Path) -> list[Path]:
    """The folders of kohya's layout: below `path`, below its `img`, or `path` itself; those with pictures alone."""
    for base in (path, path / "img"):
        if base.is_dir():
            found = [below for below in sorted(base.iterdir()) if below.is_dir() and NUMBERED.match(below.name)]
            if found := [below for below in found if any(_files(below, deep=False))]:
                return found
    return [path] if NUMBERED.match(path.name) and any(_files(path, deep=False)) else []


def _files(folder: Path, *, deep: bool) -> Iterator[Path]:
    """Files by name, hidden ones left out; links to folders are not followed, which might go round."""
    for here, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith(".")) if deep else []
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in (*PICTURES, *OTHERS):
                yield Path(here, name)


class _Reading:
    def __init__(self, check: Check) -> None:
        self.remarks: list[Remark] = []
        self._check = check
        self._seen: set[Path] = set()

    def folder(self, folder: Path) -> list[Picture]:
        found = (self._picture(path, str(path.parent.relative_to(folder))) for path in _files(folder, deep=True))
        return [picture for picture in found if picture]

    def numbered(self, folders: list[Path]) -> list[Picture]:
        found = []
        for folder in folders:
            parts = NUMBERED.match(folder.name)
            assert parts
            repeats = int(parts[1])
            if not 1 <= repeats <= MOST_REPEATS:
                self._say("repeats", folder, f"repeats {repeats} times, which is not 1 to {MOST_REPEATS}: left out")
                continue
            if repeats > MANY_REPEATS:
                self._say("repeats", folder, f"the name says {repeats} repeats; rename the folder if that is a date")
            tokens = " ".join(parts[2].split())
            made = (self._picture(path, folder.name, repeats, tokens) for path in _files(folder, deep=False))
            found += [picture for picture in made if picture]
        return found

    def beside(self, folders: list[Path]) -> None:
        """Pictures that lie around the numbered folders: kohya's tools say nothing and leave them out."""
        base = folders[0].parent
        below = [path for path in sorted(base.iterdir()) if path.is_dir() and path not in folders]
        left = sum(1 for _ in _files(base, deep=False))
        left += sum(1 for path in below if path.name not in {"reg", "img"} for _ in _files(path, deep=True))
        left += sum(sum(1 for _ in _files(path, deep=True)) - sum(1 for _ in _files(path, deep=False))
                    for path in folders)  # fmt: skip
        if left:
            self._say("layout", base, f"{left} pictures lie outside the folders with repeats in their names: left out")

    def lines(self, path: Path) -> list[Picture]:
        if path.suffix.lower() not in {".jsonl", ".json"}:
            raise BadSpec(f"{path} is neither a folder nor a JSONL file", "Name a folder of pictures, or a JSONL file.")
        if path.stat().st_size > LARGEST_LIST:
            raise BadSpec(f"{path} is larger than {LARGEST_LIST // 10**6} MB", "Split it.")
        try:
            text = captions.decoded(path.read_bytes())
        except ValueError as error:
            raise BadSpec(f"{path} is no text in UTF-8", "Save it again as UTF-8.") from error
        found = []
        # Not splitlines(): a caption may hold a separator of Unicode's.
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                picture = self._entry(line, path)
            except ValueError as error:
                self._say("line", path, f"line {number}: {error}: left out")
                continue
            found += [picture] if picture else []
        return found

    def _entry(self, line: str, listed: Path) -> Picture | None:
        """The picture of a line; raises ValueError with what is wrong."""
        try:
            entry: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError("no JSON") from error
        if not isinstance(entry, dict):
            raise ValueError("no JSON object")  # noqa: TRY004 - one kind of error for a line
        name = next((entry[key] for key in IMAGE_KEYS if key in entry), None)
        if not isinstance(name, str) or not name.strip() or "\0" in name:
            raise ValueError(f"names no picture ({', '.join(IMAGE_KEYS)})")
        repeats = entry.get("repeats")
        if repeats is not None and (type(repeats) is not int or not 1 <= repeats <= MOST_REPEATS):
            raise ValueError(f"repeats must be a whole number from 1 to {MOST_REPEATS}")
        caption = next((entry[key] for key in CAPTION_KEYS if key in entry), None)
        if caption is not None and not isinstance(caption, str):
            raise ValueError("the caption is no text")
        path = listed.parent / Path(name).expanduser()
        if path in self._seen:
            raise ValueError(f"{path.name} was named before")
        try:
            there = path.is_file()
        except (OSError, ValueError) as error:  # a name too long, or half a character
            raise ValueError("names what cannot be a file") from error
        if not there:
            raise ValueError(f"there is no picture {path}")
        return self._picture(path, "", repeats, caption=None if caption is None else captions.one_line(caption))

    def _picture(
        self, path: Path, folder: str, repeats: int | None = None, tokens: str = "", caption: str | None = None
    ) -> Picture | None:
        """The picture with its caption (the one beside it where none is given); None, with a remark, if unusable."""
        self._check()
        self._seen.add(path)
        if len(self._seen) > MOST_PICTURES:
            raise BadSpec(f"there are more than {MOST_PICTURES} pictures", "Name a smaller folder.")
        if path.suffix.lower() not in PICTURES:
            kind = path.suffix.removeprefix(".").upper() or "a file without an ending"
            self._say("format", path, f"{kind} is not read: left out; save it as PNG, JPEG or WebP")
            return None
        try:
            info = metadata.read(path)
        except BadImage as error:
            self._say("damaged", path, f"{error.message.removeprefix(f'{path} ')}: left out")
            return None
        if info.width * info.height > LARGEST_PICTURE:
            self._say("damaged", path, f"has {info.width}x{info.height} pixels, too many to be read: left out")
            return None
        size = (info.height, info.width) if turned(path) else (info.width, info.height)
        if caption is None:
            caption, wrong = captions.beside(path)
            if wrong:
                self._say("caption", path, wrong)
        return Picture(path, *size, caption, repeats, tokens, "" if folder == "." else folder)

    def _say(self, kind: str, path: Path, message: str) -> None:
        """Keep a remark; what it is about is left out by the caller."""
        self.remarks.append(Remark(kind, str(path), message))

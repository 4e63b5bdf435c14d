"""What a picture says about its making, read from the file's own bytes.

Knows PNG chunks, JPEG markers and WebP chunks: sizes and texts. Nothing is decoded, and every length is bounded. Leaves
EXIF to `exif`, and what a text means to `metadata_tools`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from generation import containers, exif, metadata_tools
from generation.errors import BadImage

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_TEXT = 8_000_000  # bytes of one text, unpacked
LARGEST_TEXTS = 32_000_000  # of all texts of a picture; a bomb may hold many
LARGEST_FILE = 512_000_000
# JPEG frames; C4, C8 and CC are tables.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
START_OF_SCAN, APP1, COMMENT = 0xDA, 0xE1, 0xFE
ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without a length
END_OF_IMAGE = b"\xff\xd9"

Parsed = tuple[int, int, dict[str, str]]


@dataclass(frozen=True)
class ImageInfo:
    """`tool` is who made it ("" when unknown), `settings` its parameters, `raw` every text as it stands.

    width and height in pixels; `fields` are those of a render spec that are known (see `spec`).
    """

    path: str
    format: str
    width: int
    height: int
    tool: str = ""
    prompt: str = ""
    negative: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data: everything, with `spec` in place of `fields`."""
        shown = {name: value for name, value in vars(self).items() if name != "fields"}
        return {**shown, "spec": self.spec()}

    def spec(self) -> dict[str, Any] | None:
        """Fields for `RenderSpec.from_json`, as far as they are known; None when nothing is."""
        if all(value in ("", None) for value in self.fields.values()):
            return None
        return {"prompt": "", **self.fields}


def read(path: Path) -> ImageInfo:
    """The metadata of a picture or video. Raises `BadImage` for what is no picture, is empty, or is cut short."""
    data = _bytes(path)
    try:
        if data.startswith(PNG):
            kind, (width, height, texts) = "PNG", _png(data)
        elif data.startswith(b"\xff\xd8"):
            kind, (width, height, texts) = "JPEG", _jpeg(data)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            kind, (width, height, texts) = "WebP", _webp(data)
        elif found_reader := containers.reader(data):
            kind, (width, height, texts) = found_reader[0], found_reader[1](data)
        else:
            raise BadImage(f"{path} is no PNG, JPEG, WebP, GIF, MP4 or WebM", "Choose another picture.")
    except (struct.error, IndexError, ValueError, zlib.error) as error:
        raise BadImage(f"{path} is damaged or cut short", "Copy it again from where it came.") from error
    found = metadata_tools.understand(texts)
    return ImageInfo(
        str(path), kind, width, height, found.tool, found.prompt, found.negative, found.settings, texts, found.fields
    )


def _bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise BadImage(f"{path} is a folder", "Name a picture.")
        size = path.stat().st_size
        # A pipe or a device says 0 as well, and reading one might never end.
        if size == 0:
            raise BadImage(f"{path} is empty (0 bytes)", "Choose another picture.")
        if size > LARGEST_FILE:
            raise BadImage(f"{path} is larger than {LARGEST_FILE // 10**6} MB", "Choose another picture.")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadImage(f"there is no picture {path}", "Check the path.") from error
    except OSError as error:
        raise BadImage(f"{path} cannot be read: {error.strerror}", "Check its rights.") from error
    except ValueError as error:  # a zero byte in the name
        raise BadImage("the path of the picture is no path", "Check the path.") from error


class _Texts:
    """Texts by their keys, bounded one by one and together; what is over the bound is cut."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._left = LARGEST_TEXTS

    @property
    def room(self) -> int:
        return max(0, min(LARGEST_TEXT, self._left))

    def put(self, key: bytes, value: bytes, encoding: str, *, packed: bool = False) -> None:
        # decompress takes 0 as "without a bound".
        if not self.room:
            return
        value = zlib.decompressobj().decompress(value, self.room) if packed else value[: self.room]
        self._left -= len(value)
        self.found[key.decode("latin-1")] = value.decode(encoding, "replace")

    def exif(self, block: bytes) -> None:
        for key, text in exif.texts(block, self.room).items():
            self._left -= len(text)
            self.found.setdefault(key, text)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """PNG chunks (kind, body); raises ValueError where the file ends too early."""
    at = len(PNG)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            raise ValueError("cut short")
        # Pixels are many and of no use here; they are not copied.
        yield kind, b"" if kind == b"IDAT" else data[at + 8 : at + 8 + length]
        if kind == b"IEND":
            return
        at += 12 + length
    raise ValueError("no end")


def _png(data: bytes) -> Parsed:
    texts = _Texts()
    width = height = 0
    for kind, body in _png_chunks(data):
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", body)
        elif kind in {b"tEXt", b"zTXt", b"iTXt"}:
            key, _, rest = body.partition(b"\0")
            if kind == b"tEXt":
                texts.put(key, rest, "latin-1")
            elif kind == b"zTXt":
                texts.put(key, rest[1:], "latin-1", packed=True)
            else:
                # Packed or not, the method, the language, the translated key, the text.
                packed = bool(rest[0])
                _language, _, rest = rest[2:].partition(b"\0")
                texts.put(key, rest.partition(b"\0")[2], "utf-8", packed=packed)
        elif kind == b"eXIf":
            texts.exif(body)
    if not width or not height:
        raise ValueError("no header")
    return width, height, texts.found


def _jpeg(data: bytes) -> Parsed:
    texts = _Texts()
    width = height = 0
    at = 2
    while True:
        if data[at] != 0xFF:
            raise ValueError("no marker")
        marker = data[at + 1]
        if marker == 0xFF:  # filling
            at += 1
            continue
        if marker in ALONE:
            at += 2
            continue
        if marker == START_OF_SCAN:
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if marker == APP1 and body.startswith(b"Exif\0\0"):
            texts.exif(body[6:])
        elif marker == COMMENT:
            texts.put(b"comment", body, "utf-8")
        elif marker in FRAMES:
            height, width = struct.unpack_from(">HH", body, 1)
        at += 2 + length
    if not width or data.rfind(END_OF_IMAGE, at) < 0:
        raise ValueError("no frame, or no end")
    return width, height, texts.found


def _webp(data: bytes) -> Parsed:
    texts = _Texts()
    width = height = 0
    (promised,) = struct.unpack_from("<I", data, 4)
    if 8 + promised > len(data):
        raise ValueError("cut short")
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length]
        if kind == b"VP8X":
            width = int.from_bytes(body[4:7], "little") + 1
            height = int.from_bytes(body[7:10], "little") + 1
        elif kind == b"VP8 " and not width:
            width, height = (n & 0x3FFF for n in struct.unpack_from("<HH", body, 6))
        elif kind == b"VP8L" and not width:
            bits = int.from_bytes(body[1:5], "little")
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        elif kind == b"EXIF":
            texts.exif(body.removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2
    if not width:
        raise ValueError("no size")
    return width, height, texts.found

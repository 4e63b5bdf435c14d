"""What a picture says about its making: any tool's metadata, read from the file's own bytes.

PNG text chunks, EXIF user comments of JPEG and WebP; A1111, ComfyUI, InvokeAI, Fooocus, NovelAI and Atelier. Nothing is
decoded: sizes come from headers, and every length is bounded.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from generation import comfy, infotext
from generation.errors import BadImage

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_TEXT = 8_000_000  # bytes of one text, unpacked
LARGEST_FILE = 512_000_000
USER_COMMENT, EXIF_POINTER, IMAGE_DESCRIPTION = 0x9286, 0x8769, 0x010E


@dataclass(frozen=True)
class ImageInfo:
    """`tool` is who made it ("" when unknown), `settings` its parameters, `raw` every text as it stands."""

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
        shown = {name: value for name, value in vars(self).items() if name != "fields"}
        return {**shown, "spec": self.spec()}

    def spec(self) -> dict[str, Any] | None:
        """The fields of a render spec, as far as they are known; None when there is no prompt."""
        return dict(self.fields) if self.fields.get("prompt") else None


def read(path: Path) -> ImageInfo:
    """The metadata of a picture. Raises `BadImage` for what is no picture, is empty, or is cut short."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise BadImage(f"{path} is a folder", "Name a picture.")
        if size == 0:
            raise BadImage(f"{path} is empty (0 bytes)", "Choose another picture.")
        if size > LARGEST_FILE:
            raise BadImage(f"{path} is larger than {LARGEST_FILE // 10**6} MB", "Choose another picture.")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise BadImage(f"there is no picture {path}", "Check the path.") from error
    except OSError as error:
        raise BadImage(f"{path} cannot be read: {error.strerror}", "Check its rights.") from error
    try:
        if data.startswith(PNG):
            width, height, texts = _png(data)
            kind = "PNG"
        elif data.startswith(b"\xff\xd8"):
            width, height, texts = _jpeg(data)
            kind = "JPEG"
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            width, height, texts = _webp(data)
            kind = "WebP"
        else:
            raise BadImage(f"{path} is no PNG, JPEG or WebP", "Choose another picture.")
    except (struct.error, IndexError, ValueError, zlib.error) as error:
        raise BadImage(f"{path} is damaged or cut short", "Copy it again from where it came.") from error
    return ImageInfo(str(path), kind, width, height, raw=texts, **_understand(texts))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """PNG chunks (kind, body); raises ValueError where the file ends too early."""
    at = len(PNG)
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("cut short")
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if at + 12 + length > len(data):
            raise ValueError("cut short")
        yield kind, data[at + 8 : at + 8 + length]
        if kind == b"IEND":
            return
        at += 12 + length
    raise ValueError("no end")


def _unpack(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, LARGEST_TEXT)


def _png(data: bytes) -> tuple[int, int, dict[str, str]]:
    texts: dict[str, str] = {}
    width = height = 0
    for kind, body in _chunks(data):
        if kind == b"IHDR":
            width, height = struct.unpack(">II", body[:8])
        elif kind == b"tEXt":
            key, _, value = body.partition(b"\0")
            texts[key.decode("latin-1")] = value[:LARGEST_TEXT].decode("latin-1")
        elif kind == b"zTXt":
            key, _, value = body.partition(b"\0")
            texts[key.decode("latin-1")] = _unpack(value[1:]).decode("latin-1")
        elif kind == b"iTXt":
            key, _, rest = body.partition(b"\0")
            packed, rest = rest[0], rest[2:]
            _, _, rest = rest.partition(b"\0")
            _, _, value = rest.partition(b"\0")
            value = _unpack(value) if packed else value[:LARGEST_TEXT]
            texts[key.decode("latin-1")] = value.decode("utf-8", "replace")
        elif kind == b"eXIf":
            texts.update(_exif(body))
    if not width:
        raise ValueError("no header")
    return width, height, texts


def _jpeg(data: bytes) -> tuple[int, int, dict[str, str]]:
    texts: dict[str, str] = {}
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise ValueError("no marker")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        body = data[at + 4 : at + 2 + length]
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            texts.update(_exif(body[6:]))
        elif marker == 0xFE:
            texts["comment"] = body.decode("utf-8", "replace")
        elif marker in {
            *range(0xC0, 0xC4),
            *range(0xC5, 0xC8),
            *range(0xC9, 0xCC),
            *range(0xCD, 0xD0),
        }:
            height, width = struct.unpack(">HH", body[1:5])
            return width, height, texts
        at += 2 + length
    raise ValueError("no frame")


def _webp(data: bytes) -> tuple[int, int, dict[str, str]]:
    texts: dict[str, str] = {}
    width = height = 0
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack("<4sI", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"VP8X":
            width = int.from_bytes(body[4:7], "little") + 1
            height = int.from_bytes(body[7:10], "little") + 1
        elif kind == b"VP8 " and not width:
            width, height = (n & 0x3FFF for n in struct.unpack("<HH", body[6:10]))
        elif kind == b"VP8L" and not width:
            bits = int.from_bytes(body[1:5], "little")
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        elif kind == b"EXIF":
            texts.update(_exif(body.removeprefix(b"Exif\0\0")))
        at += 8 + length + length % 2
    if not width:
        raise ValueError("no size")
    return width, height, texts


def _exif(data: bytes) -> dict[str, str]:
    """The user comment (as `parameters`) and the description of a TIFF block; {} when it is damaged."""
    order = "<" if data[:2] == b"II" else ">"
    texts: dict[str, str] = {}

    def directory(at: int, depth: int) -> None:
        (count,) = struct.unpack(f"{order}H", data[at : at + 2])
        for n in range(min(count, 200)):
            entry = data[at + 2 + 12 * n : at + 14 + 12 * n]
            tag, kind, size, value = struct.unpack(f"{order}HHII", entry)
            if tag == EXIF_POINTER and depth < 2:
                directory(value, depth + 1)
            elif tag in {USER_COMMENT, IMAGE_DESCRIPTION} and kind in {1, 2, 7}:
                content = data[value : value + size] if size > 4 else entry[8 : 8 + size]
                name = "parameters" if tag == USER_COMMENT else "description"
                texts[name] = _comment(content[:LARGEST_TEXT], order)

    try:
        (first,) = struct.unpack(f"{order}I", data[4:8])
        directory(first, 0)
    except struct.error:
        return texts
    return {key: value for key, value in texts.items() if value}


def _comment(content: bytes, order: str) -> str:
    """A user comment by its 8-byte label; UTF-16 is big-endian as A1111 writes it, whatever the block's order."""
    label, body = content[:8], content[8:]
    if label.startswith(b"UNICODE"):
        big = body.decode("utf-16-be", "replace")
        little = body.decode("utf-16-le", "replace")
        # Prompts are mostly ASCII: the right order has more of it.
        return max((big, little), key=lambda text: sum(c < "\x80" for c in text)).rstrip("\0")
    if label.startswith(b"ASCII"):
        return body.decode("utf-8", "replace").rstrip("\0")
    return content.decode("utf-8", "replace").strip("\0")


def _understand(texts: dict[str, str]) -> dict[str, Any]:
    """Tool, prompt, negative, settings and spec fields of a picture's texts."""
    for key, tool, reader in (
        ("atelier", "Atelier", _atelier),
        ("invokeai_metadata", "InvokeAI", _invoke),
        ("sd-metadata", "InvokeAI", _invoke_old),
        ("prompt", "ComfyUI", _comfy),
    ):
        if key in texts:
            try:
                found = reader(json.loads(texts[key]))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue
            if found:
                return _result(tool, *found)
    if texts.get("Software") == "NovelAI" and "Comment" in texts:
        try:
            found = _novel(texts.get("Description", ""), json.loads(texts["Comment"]))
            return _result("NovelAI", *found)
        except (ValueError, TypeError, AttributeError):
            pass
    if "parameters" in texts:
        text = texts["parameters"]
        if text.lstrip().startswith("{"):
            try:
                return _result("Fooocus", *_fooocus(json.loads(text)))
            except (ValueError, TypeError, AttributeError):
                pass
        parsed = infotext.read(text)
        if parsed["params"]:
            return _result("A1111", infotext.to_spec(parsed), parsed["params"])
        return _result("", {"prompt": parsed["prompt"]}, {})
    if "Dream" in texts:
        quoted = texts["Dream"].split('"')
        fields = {"prompt": quoted[1]} if len(quoted) > 1 else {}
        return _result("InvokeAI", fields, {"Dream": texts["Dream"]})
    return {}


def _result(tool: str, fields: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "tool": tool,
        "prompt": str(fields.get("prompt", "")),
        "negative": str(fields.get("negative", "")),
        "settings": settings,
        "fields": fields,
    }


Found = tuple[dict[str, Any], dict[str, Any]]


def _atelier(data: dict[str, Any]) -> Found:
    settings = {k: v for k, v in data.items() if k not in {"prompt", "negative"}}
    return dict(data), settings


def _numbers(data: dict[str, Any], names: dict[str, tuple[str, type]]) -> dict[str, Any]:
    """Fields of a spec from another tool's keys; values of a wrong type are left out."""
    fields: dict[str, Any] = {}
    for key, (name, kind) in names.items():
        try:
            if data.get(key) is not None:
                fields[name] = kind(data[key])
        except (ValueError, TypeError):
            continue
    return fields


def _invoke(data: dict[str, Any]) -> Found:
    names: dict[str, tuple[str, type]] = {
        "positive_prompt": ("prompt", str), "negative_prompt": ("negative", str), "seed": ("seed", int),
        "steps": ("steps", int), "cfg_scale": ("cfg", float), "width": ("width", int), "height": ("height", int),
    }  # fmt: skip
    settings = {k: v for k, v in data.items() if k not in {"positive_prompt", "negative_prompt"}}
    return _numbers(data, names), settings


def _invoke_old(data: dict[str, Any]) -> Found:
    image = data["image"]
    prompt = image["prompt"]
    if isinstance(prompt, list):
        prompt = ", ".join(part["prompt"] for part in prompt)
    names: dict[str, tuple[str, type]] = {
        "seed": ("seed", int), "steps": ("steps", int), "cfg_scale": ("cfg", float), "width": ("width", int),
        "height": ("height", int),
    }  # fmt: skip
    return {"prompt": prompt, **_numbers(image, names)}, {k: v for k, v in image.items() if k != "prompt"}


def _comfy(data: dict[str, Any]) -> Found | None:
    return comfy.read(data)


def _fooocus(data: dict[str, Any]) -> Found:
    names: dict[str, tuple[str, type]] = {
        "prompt": ("prompt", str), "negative_prompt": ("negative", str), "seed": ("seed", int),
        "steps": ("steps", int), "guidance_scale": ("cfg", float),
    }  # fmt: skip
    return _numbers(data, names), {k: v for k, v in data.items() if "prompt" not in k}


def _novel(prompt: str, data: dict[str, Any]) -> Found:
    names: dict[str, tuple[str, type]] = {
        "uc": ("negative", str), "seed": ("seed", int), "steps": ("steps", int), "scale": ("cfg", float),
        "width": ("width", int), "height": ("height", int),
    }  # fmt: skip
    return {"prompt": prompt, **_numbers(data, names)}, {k: v for k, v in data.items() if k != "uc"}

"""How a camera held a picture: EXIF's orientation, from the file's own bytes and without decoding.

Phones write a portrait as a lying picture and a note to turn it. `pictures.read` turns it, so a plan must know as well.
Knows where JPEG, PNG and WebP keep a TIFF block and the one tag in it; leaves its texts to `exif`.
"""

from __future__ import annotations

import struct
from pathlib import Path

ORIENTATION, SHORT = 0x0112, 3
TURNED = frozenset({5, 6, 7, 8})  # the values that exchange width and height (TIFF 6.0, page 36)
HEAD = 1 << 18  # bytes looked through; cameras put EXIF first, a PNG may hold it behind its pixels
MOST_ENTRIES = 200


def turned(path: Path) -> bool:
    """Whether width and height are exchanged when the picture is shown; False where nothing readable says so."""
    try:
        with path.open("rb") as file:
            return _orientation(_block(file.read(HEAD))) in TURNED
    except (OSError, ValueError, IndexError, struct.error):
        return False


def _block(data: bytes) -> bytes:
    """The TIFF block of a picture's first bytes, or b""."""
    if data.startswith(b"\xff\xd8"):
        at = 2
        while data[at] == 0xFF and data[at + 1] != 0xDA:
            if data[at + 1] == 0xFF:  # filling
                at += 1
                continue
            (length,) = struct.unpack_from(">H", data, at + 2)
            body = data[at + 4 : at + 2 + length]
            if data[at + 1] == 0xE1 and body.startswith(b"Exif\0\0"):
                return body[6:]
            at += 2 + length
    elif data.startswith(b"\x89PNG"):
        at = 8
        while at + 8 <= len(data):
            length, kind = struct.unpack_from(">I4s", data, at)
            if kind == b"eXIf":
                return data[at + 8 : at + 8 + length]
            at += 12 + length
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        at = 12
        while at + 8 <= len(data):
            kind, length = struct.unpack_from("<4sI", data, at)
            if kind == b"EXIF":
                return data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0")
            at += 8 + length + length % 2
    return b""


def _orientation(block: bytes) -> int:
    if block[:2] not in {b"II", b"MM"}:
        return 1
    order = "<" if block[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", block, 4)
    (count,) = struct.unpack_from(f"{order}H", block, at)
    for number in range(min(count, MOST_ENTRIES)):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, at + 2 + 12 * number)
        if tag == ORIENTATION and kind == SHORT:
            return int(value)
    return 1

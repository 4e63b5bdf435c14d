"""Texts in a TIFF block, which is what EXIF is: the user comment and the few tags that image tools write prompts into.

Knows directories, byte orders and the labels of user comments. Leaves where the block lies to `metadata`.
"""

from __future__ import annotations

import contextlib
import struct

EXIF_POINTER, USER_COMMENT = 0x8769, 0x9286
# Tags -> the name their text gets. ComfyUI writes "prompt:{...}" and "workflow:{...}" into the camera's make and model.
TAGS = {0x010E: "description", 0x010F: "make", 0x0110: "model", 0x0131: "Software", USER_COMMENT: "parameters"}
PREFIXED = ("prompt", "workflow", "parameters")
MOST_ENTRIES = 200
BYTE, ASCII, UNDEFINED = 1, 2, 7


def texts(data: bytes, longest: int) -> dict[str, str]:
    """Name -> text of a TIFF block, the user comment as `parameters`; what was read before where it is damaged.

    `longest` bounds one text in bytes. Never raises.
    """
    if data[:2] not in {b"II", b"MM"}:
        return {}
    order = "<" if data[:2] == b"II" else ">"
    found: dict[str, str] = {}

    def directory(at: int, depth: int) -> None:
        (count,) = struct.unpack_from(f"{order}H", data, at)
        for number in range(min(count, MOST_ENTRIES)):
            start = at + 2 + 12 * number
            tag, kind, size, value = struct.unpack_from(f"{order}HHII", data, start)
            if tag == EXIF_POINTER and depth == 0:
                directory(value, 1)
            elif tag in TAGS and kind in {BYTE, ASCII, UNDEFINED}:
                # Four bytes or fewer stand in the entry itself, in the place of the offset.
                begin = value if size > 4 else start + 8
                _put(found, TAGS[tag], data[begin : begin + min(size, longest)], tag)

    # A block that ends early: what stood before counts.
    with contextlib.suppress(struct.error):
        directory(struct.unpack_from(f"{order}I", data, 4)[0], 0)
    return found


def _put(found: dict[str, str], name: str, content: bytes, tag: int) -> None:
    text = comment(content) if tag == USER_COMMENT else content.decode("utf-8", "replace").strip("\0")
    before, _, behind = text.partition(":")
    if name in {"make", "model", "description"} and before.lower() in PREFIXED:
        name, text = before.lower(), behind
    if text:
        found[name] = text


def comment(content: bytes) -> str:
    """A user comment by its 8-byte label.

    UTF-16 is big-endian as A1111 writes it, whatever the block's order; other tools follow the block, so the order that
    makes more of it ASCII is taken: prompts hold spaces and commas in every language.
    """
    label, body = content[:8], content[8:]
    if label.startswith(b"UNICODE"):
        if body[:2] in {b"\xfe\xff", b"\xff\xfe"}:
            return body.decode("utf-16", "replace").rstrip("\0")
        high, low = body[0::2].count(0), body[1::2].count(0)
        return body.decode("utf-16-le" if low > high else "utf-16-be", "replace").rstrip("\0")
    if label.startswith((b"ASCII", b"JIS", b"\0\0\0\0\0\0\0\0")):
        return body.decode("utf-8", "replace").strip("\0")
    return content.decode("utf-8", "replace").strip("\0")

"""What a video's file says about its making, read from its own bytes: MP4, WebM and Matroska, GIF.

Knows the boxes and elements that hold sizes and texts; nothing is decoded, and every length is bounded by the file.
Leaves what a text means to `metadata_tools`. Raises ValueError, IndexError or struct.error for what is cut short.

Formats: ISO/IEC 14496-12 and Apple's metadata keys, RFC 8794 with Matroska's elements, GIF89a.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

Texts = dict[str, str]
Parsed = tuple[int, int, Texts]
LARGEST_TEXT = 8_000_000  # bytes of one text
MOST = 10_000  # boxes, elements or blocks that are looked at
# Elements of Matroska.
SEGMENT, TRACKS, TRACK, VIDEO, TAGS, TAG, SIMPLE = 0x18538067, 0x1654AE6B, 0xAE, 0xE0, 0x1254C367, 0x7373, 0x67C8
WIDTH, HEIGHT, NAME, STRING = 0xB0, 0xBA, 0x45A3, 0x4487
INSIDE = frozenset({SEGMENT, TRACKS, TRACK, VIDEO, TAGS, TAG})
MP4_INSIDE = frozenset({b"moov", b"udta", b"trak"})


def reader(data: bytes) -> tuple[str, Callable[[bytes], Parsed]] | None:
    """(the format's name, what reads it) by the first bytes; None for what is none of these."""
    if data[4:8] == b"ftyp":
        return "MP4", mp4
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return "WebM" if b"webm" in data[:64] else "Matroska", matroska
    if data[:6] in {b"GIF87a", b"GIF89a"}:
        return "GIF", gif
    return None


def mp4(data: bytes) -> Parsed:
    """(width, height, texts) of an MP4 or MOV: the first track with a picture, texts by their keys."""
    width = height = 0
    texts: Texts = {}
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"tkhd" and not width:
            # The last two numbers, with 16 bits behind the point.
            width, height = (number >> 16 for number in struct.unpack_from(">II", data, end - 8))
        elif kind == b"meta":
            texts |= _mp4_texts(data, start, end)
    if not width:
        raise ValueError("no track with a picture")
    return width, height, texts


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, begin of the body, its end) of boxes, and of those inside the ones that hold boxes."""
    seen = 0
    stack = [(start, end)]
    while stack:
        at, end = stack.pop()
        while at + 8 <= end:
            seen += 1
            length, kind = struct.unpack_from(">I4s", data, at)
            body = at + 8
            if length == 1:
                (length,) = struct.unpack_from(">Q", data, body)
                body += 8
            elif length == 0:
                length = end - at
            if length < body - at or at + length > end or seen > MOST:
                raise ValueError("cut short")
            yield kind, body, at + length
            if kind in MP4_INSIDE:
                stack.append((body, at + length))
            at += length


def _mp4_texts(data: bytes, start: int, end: int) -> Texts:
    names: list[str] = []
    texts: Texts = {}
    for kind, begin, stop in _boxes(data, start + 4, end):
        if kind == b"keys":
            at = begin + 8
            while at + 8 <= stop:
                (length,) = struct.unpack_from(">I", data, at)
                if length < 8:
                    raise ValueError("no key")
                names.append(data[at + 8 : min(at + length, stop)].decode("utf-8", "replace"))
                at += length
        elif kind == b"ilst":
            for name, inner, last in _boxes(data, begin, stop):
                number = int.from_bytes(name, "big")
                key = names[number - 1] if 0 < number <= len(names) else name.decode("latin-1").strip("\xa9 ")
                for what, value, close in _boxes(data, inner, last):
                    # 1 is UTF-8; covers and numbers have other kinds.
                    if what == b"data" and data[value : value + 4] == b"\0\0\0\1":
                        texts[key] = data[value + 8 : min(close, value + LARGEST_TEXT)].decode("utf-8", "replace")
    return texts


def matroska(data: bytes) -> Parsed:
    """(width, height, texts) of a WebM or Matroska file; tags' names are small letters here, as they were written."""
    found: dict[int, int] = {}
    texts: Texts = {}
    stack = [(0, len(data))]
    seen = 0
    while stack:
        at, end = stack.pop()
        while at < end:
            seen += 1
            if seen > MOST:
                break
            kind, at = _number(data, at, keep=True)
            length, body = _number(data, at, keep=False)
            # All ones: as long as there is something, which a file that was never finished has.
            stop = end if length < 0 else body + length
            if kind in INSIDE:
                stack.append((body, min(stop, end)))
            elif kind in {WIDTH, HEIGHT} and kind not in found:
                found[kind] = int.from_bytes(data[body:stop], "big")
            elif kind == SIMPLE:
                name, text = _simple(data, body, min(stop, end))
                texts.setdefault(name.lower(), text)
            at = stop
    if WIDTH not in found or HEIGHT not in found:
        raise ValueError("no track with a picture")
    return found[WIDTH], found[HEIGHT], texts


def _simple(data: bytes, at: int, end: int) -> tuple[str, str]:
    name = text = ""
    while at < end:
        kind, at = _number(data, at, keep=True)
        length, body = _number(data, at, keep=False)
        at = body + max(length, 0)
        if kind in {NAME, STRING}:
            value = data[body : min(at, end, body + LARGEST_TEXT)].decode("utf-8", "replace").rstrip("\0")
            name, text = (value, text) if kind == NAME else (name, value)
    return name, text


def _number(data: bytes, at: int, *, keep: bool) -> tuple[int, int]:
    """(a number whose first byte tells its length, where it ends); -1 for the length that is not known."""
    first = data[at]
    length = 9 - first.bit_length()
    if length > 8 or at + length > len(data):
        raise ValueError("cut short")
    value = int.from_bytes(data[at : at + length], "big")
    if keep:
        return value, at + length
    value &= (1 << 7 * length) - 1
    return (-1 if value == (1 << 7 * length) - 1 else value), at + length


def gif(data: bytes) -> Parsed:
    """(width, height, texts) of a GIF; of a comment "key: text" the key, others stand under "comment"."""
    width, height, packed = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (packed & 7) + 1 if packed & 0x80 else 0)
    texts: Texts = {}
    for _ in range(MOST):
        # Comments stand before the first picture; behind it there may be hundreds of megabytes.
        if data[at : at + 1] != b"\x21":
            break
        label = data[at + 1]
        at += 2
        blocks = []
        while size := data[at]:
            blocks.append(data[at + 1 : at + 1 + size])
            at += 1 + size
        at += 1
        if label == 0xFE:
            told = b"".join(blocks)[:LARGEST_TEXT].decode("utf-8", "replace")
            key, colon, text = told.partition(": ")
            own = colon and key.isidentifier()
            texts[key if own else "comment"] = text if own else told
    if not width or not height:
        raise ValueError("no size")
    return width, height, texts

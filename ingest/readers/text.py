"""Plain text in any common encoding: paragraphs between blank lines.

``decode`` is what the other text formats use too. Bytes that are no text are refused with the
reason. Nothing is changed in the lines: citations are verbatim to the decoded file, and what could
disturb a terminal is taken out where text is shown (knowledge.records.shown) and indexed.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from charset_normalizer import from_bytes

from ingest.parsed import Node, Page, Parsed, UnreadableError, split_lines
from knowledge.screen import shown

# What the first bytes of common binary formats look like, for a clear reason.
_MAGIC = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a zip archive",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"\x1f\x8b": "a gzip archive",
    b"SQLite format 3": "an SQLite database",
    b"7z\xbc\xaf": "a 7z archive",
    b"RIFF": "a media file",
    b"OggS": "a media file",
    b"ID3": "a media file",
}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
_CYRILLIC_WORD = re.compile(r"[а-яё]{3,}", re.IGNORECASE)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; UnreadableError instead of the system's own."""
    try:
        data = path.read_bytes()
    except PermissionError as error:
        raise UnreadableError("permission denied") from error
    except FileNotFoundError as error:
        raise UnreadableError("the file is gone") from error
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror or error}") from error
    if not data:
        raise UnreadableError("empty file", status="skipped")
    return data


def decode(data: bytes) -> tuple[str, str]:
    """(text, encoding). Raises UnreadableError for bytes that are no text.

    A byte order mark decides; then UTF-8; then UTF-16 without a mark, by its zero bytes; then the
    eight-bit encoding that charset-normalizer finds likeliest among those of Russian and of Western
    Europe.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                return data.decode(encoding).removeprefix("\ufeff"), encoding
            except UnicodeDecodeError as error:
                raise UnreadableError(f"not valid {encoding.upper()} text") from error
    for magic, what in _MAGIC.items():
        # Letters alone (MZ, RIFF, ID3) may begin a text; zero bytes after them do not occur in one.
        if data.startswith(magic) and (not magic.isalnum() or b"\x00" in data[:512]):
            raise UnreadableError(f"not text: this is {what}")
    zeros = data[:4096].count(0)
    if zeros:
        if (text := _bare_utf16(data)) is not None:
            return text
        if zeros > 0.01 * len(data[:4096]) or len(_CONTROL.findall(data[:4096])) > zeros + 2:
            raise UnreadableError("not text: it holds zero bytes")
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    if len(_CONTROL.findall(data[:65536])) > 0.02 * len(data[:65536]):
        raise UnreadableError("not text: it holds binary data")
    return _eight_bit(data)


def _bare_utf16(data: bytes) -> tuple[str, str] | None:
    head = data[:4096]
    if len(head) < 16:
        return None
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = max(1, len(head) // 2)
    for encoding, high, low in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if high > 0.3 * half and low < 0.02 * half:
            try:
                return data.decode(encoding), encoding
            except UnicodeDecodeError:
                return None
    return None


def _eight_bit(data: bytes) -> tuple[str, str]:
    # One stray byte in a UTF-8 file must not turn its Cyrillic into garbage: nearly UTF-8 stays so.
    lenient = data.decode("utf-8", errors="replace")
    broken = lenient.count("\ufffd")
    beyond_ascii = sum(1 for character in lenient if ord(character) > 127)
    if broken * 20 < beyond_ascii:
        return lenient, "utf-8 (damaged)"
    best = from_bytes(
        data[:65536],
        cp_isolation=["cp1251", "cp1252", "koi8_r", "cp866", "latin_1", "mac_cyrillic"],
    ).best()
    encoding = best.encoding if best is not None else "latin_1"
    russian = data.decode("cp1251", errors="replace")
    if encoding not in ("cp1251", "koi8_r", "cp866", "mac_cyrillic") or best is None:
        # Short Russian texts are taken for Western ones; whole words of Cyrillic are the better
        # sign.
        words = _CYRILLIC_WORD.findall(russian)
        if len("".join(words)) > 0.6 * max(1, sum(1 for byte in data if byte > 127)):
            encoding = "cp1251"
    if encoding == "mac_cyrillic" and not any(0x80 <= byte <= 0x9F for byte in data[:65536]):
        encoding = "cp1251"  # the small letters are the same, the Mac's capitals lie where none occurs here
    try:
        return data.decode(encoding), encoding
    except UnicodeDecodeError:
        return data.decode("latin_1"), "latin_1"


def clean(lines: Sequence[str]) -> str | None:
    """What to index of lines that hold terminal escapes or control characters; None: the lines."""
    text = "\n".join(lines)
    plain = shown(text)
    return None if plain == text else plain


def paragraphs(lines: Sequence[str], first: int = 1, last: int | None = None) -> list[Node]:
    """Nodes of the runs of non-blank lines between line ``first`` and ``last`` (both included)."""
    nodes: list[Node] = []
    start = 0
    last = len(lines) if last is None else last
    for number in range(first, last + 2):
        blank = number > last or not lines[number - 1].strip()
        if not blank and not start:
            start = number
        elif blank and start:
            nodes.append(Node(start, number - 1, search=clean(lines[start - 1 : number - 1])))
            start = 0
    return nodes


def read(path: Path, *, check: Callable[[], None]) -> Parsed:
    check()
    text, encoding = decode(read_bytes(path))
    lines = split_lines(text)
    nodes = paragraphs(lines)
    if not nodes:
        raise UnreadableError("no text in it", status="skipped")
    return Parsed(
        kind="text",
        title=path.stem,
        pages=(Page(None, lines, tuple(nodes)),),
        properties={} if encoding == "utf-8" else {"encoding": encoding},
    )

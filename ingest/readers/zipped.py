"""Opens zip archives that nobody vouches for, under limits. Knows no format inside them.

What a member unpacks to is counted while it unpacks, since an archive may lie about its sizes. Names
of members are only looked up, never used as places on the disk. What the members mean is left to
the readers of DOCX and EPUB.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

from ingest.parsed import UnreadableError

MEMBERS = 5000
UNPACKED = 64 << 20  # bytes unpacked from one archive, all reads of it together
DECLARED = 1 << 30  # pictures count here although no reader unpacks them
RATIO = 200  # of a large member; text seldom packs better than 20 to 1
_LARGE = 4 << 20
_DIRECTORY = 4 << 20  # bytes of the list of members
_STEP = 1 << 16
_END = struct.Struct("<4s4H2LH")  # the record that closes an archive
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, NotImplementedError, RuntimeError)

TOO_LARGE = "too large when unpacked"


class _Archive(zipfile.ZipFile):
    """A zip file that remembers how much was unpacked from it."""

    unpacked = 0


def open_zip(path: Path) -> zipfile.ZipFile:
    """The archive at ``path``, to be closed by the caller. UnreadableError for one that is empty, no
    zip, corrupt, encrypted or out of proportion.
    """
    try:
        if path.stat().st_size == 0:
            raise UnreadableError("empty file", status="skipped")
        _measure(path)
        archive = _Archive(path)
    except PermissionError as error:
        raise UnreadableError("permission denied") from error
    except FileNotFoundError as error:
        raise UnreadableError("the file is gone") from error
    except (*_BROKEN, OSError) as error:
        raise UnreadableError("corrupt: not a complete zip archive") from error
    try:
        _inspect(archive.infolist())
    except UnreadableError:
        archive.close()
        raise
    return archive


def _measure(path: Path) -> None:
    """Refuse an endless list of members before it is read into memory."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 0xFFFF - _END.size))
        tail = stream.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < _END.size:
        raise zipfile.BadZipFile
    _, _, _, _, members, directory, _, _ = _END.unpack_from(tail, place)
    if members > MEMBERS or directory > _DIRECTORY:
        raise UnreadableError(f"more than {MEMBERS} files in the archive")


def _inspect(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MEMBERS:
        raise UnreadableError(f"more than {MEMBERS} files in the archive")
    if any(member.flag_bits & 1 for member in members):
        raise UnreadableError("protected by a password")
    if sum(member.file_size for member in members) > DECLARED:
        raise UnreadableError(TOO_LARGE)
    for member in members:
        if member.file_size > _LARGE and member.file_size > RATIO * max(1, member.compress_size):
            raise UnreadableError(TOO_LARGE)


def read_member(archive: zipfile.ZipFile, name: str, limit: int = UNPACKED) -> bytes:
    """The bytes of the member ``name``: at most ``limit``, and at most UNPACKED over all calls."""
    done = getattr(archive, "unpacked", 0)
    room = min(limit, UNPACKED - done)
    parts: list[bytes] = []
    size = 0
    try:
        member = archive.getinfo(name)
        # The other methods unpack without a bound on each step, and no document uses them.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnreadableError("packed in a way that is not supported")
        if member.file_size > room:
            raise UnreadableError(TOO_LARGE)
        with archive.open(member) as stream:
            while part := stream.read(_STEP):
                size += len(part)
                if size > room:
                    raise UnreadableError(TOO_LARGE)
                parts.append(part)
    except KeyError as error:
        raise UnreadableError("corrupt: a part of it is missing") from error
    except (*_BROKEN, OSError) as error:
        raise UnreadableError("corrupt: a part of it cannot be unpacked") from error
    finally:
        if isinstance(archive, _Archive):
            archive.unpacked = done + size
    return b"".join(parts)

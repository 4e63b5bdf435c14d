"""The frames of an animation on disk: numbered PNGs that are there whole or not at all, and what they belong to.

Knows which frames are there and of which settings. A kill at any moment leaves frames that can be gone on from; what a
frame shows is for others. Pictures are [height, width, 3] of 0..255.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngInfo

from generation import pictures
from generation.errors import BadSpec, GenerationError

Bytes = NDArray[np.uint8]
STATE = "animation.json"
DENOISED = "denoised"
WAITING = 4  # pictures packed beside the work at most: 0.8 MB each at 512 pixels
COLOURS = {1: 0, 3: 2, 4: 6}  # channels -> PNG's type of colour


class Frames:
    """A folder of frames 000000.png, 000001.png, ... and of what was denoised to make them.

    `made_of` is everything the frames depend on, as plain data. A folder with frames of something else is refused with
    `BadSpec` unless `fresh`, which begins anew. A context: inside it files are written by a thread, in the order in
    which they were given, while the next frame is made; at its end, and before anything is read, all are there.
    `latest` is the frame written last.
    """

    def __init__(self, folder: Path, made_of: Mapping[str, Any], *, fresh: bool = False) -> None:
        self.folder = folder
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: deque[Future[None]] = deque()
        self._stuck = False
        self.latest: Path | None = None
        self._key = hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()
        state = known(folder)
        same = state.get("key") == self._key
        if not same and not fresh and (state or any(folder.glob("[0-9]*.png"))):
            raise BadSpec(
                f"{folder} holds frames of other settings", "Give another output, or --fresh to make them again."
            )
        try:
            (folder / DENOISED).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadSpec(f"the folder {folder} cannot be made: {error.strerror}", "Choose another place.") from error
        if fresh or not same:
            # The vouching file goes first: half a folder of old frames must not be taken for new ones.
            (folder / STATE).unlink(missing_ok=True)
            for path in (*folder.glob("[0-9]*.png"), *(folder / DENOISED).glob("[0-9]*.png")):
                path.unlink(missing_ok=True)
            self._told({"key": self._key, "seed": made_of.get("seed"), "made_of": dict(made_of)})

    def __enter__(self) -> Frames:
        self._thread = ThreadPoolExecutor(1, "frames")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown()  # waits; what stopped the work leaves the frames that were finished before it
        if error is None:
            self.settle()

    def settle(self) -> None:
        """Wait until everything given is written; raises the `OSError` that kept something from it."""
        while self._waiting:
            self._waiting.popleft().result()

    def _later(self, write: Callable[..., Path | None], *given: Any) -> None:
        """Do it behind what was given before: by the thread, at once where there is none."""
        if self._thread is None:
            self._done(write, *given)
            return
        while len(self._waiting) >= WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._done, write, *given))

    def _done(self, write: Callable[..., Path | None], *given: Any) -> None:
        if self._stuck:
            return  # a gap is not written past: what follows is made again with it
        try:
            self.latest = write(*given) or self.latest
        except BaseException:
            self._stuck = self._thread is not None
            raise

    def _told(self, state: Mapping[str, Any]) -> None:
        temporary = self.folder / f".{STATE}.{os.getpid()}.part"
        temporary.write_text(json.dumps(state, ensure_ascii=False, default=str), "utf-8")
        temporary.replace(self.folder / STATE)

    def path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.png"

    def denoised(self, number: int) -> Path:
        return self.folder / DENOISED / f"{number:06d}.png"

    def here(self, number: int) -> bool:
        return self.path(number).is_file()

    def whole_to(self, frames: int) -> int:
        """How many frames from the first on are there without a gap."""
        return next((number for number in range(frames) if not self.here(number)), frames)

    def write(self, number: int, picture: Bytes, texts: Mapping[str, str] | None = None) -> Path:
        self._later(save, self.path(number), picture, texts)
        return self.path(number)

    def read(self, number: int) -> Bytes:
        self.settle()
        return load(self.path(number))

    def same(self, number: int) -> Path:
        """The frame that is just what was denoised, without writing it twice."""
        self._later(_linked, self.denoised(number), self.path(number))
        return self.path(number)

    def keep(self, number: int, picture: Bytes, texts: Mapping[str, str] | None = None) -> None:
        """Keep what was denoised at a frame, and the one before it; older ones go."""
        self._later(self._keep, number, picture, texts)

    def _keep(self, number: int, picture: Bytes, texts: Mapping[str, str] | None) -> None:
        save(self.denoised(number), picture, texts)
        before = sorted((self.folder / DENOISED).glob("[0-9]*.png"))
        for path in before[:-2]:
            path.unlink(missing_ok=True)

    def kept(self) -> list[int]:
        """The frames, in order, whose denoised pictures are at hand and readable."""
        found = []
        for path in sorted((self.folder / DENOISED).glob("[0-9]*.png")):
            try:
                load(path)
            except GenerationError:
                path.unlink(missing_ok=True)
                continue
            found.append(int(path.stem))
        return found

    def all(self, frames: int) -> Iterator[Bytes]:
        """Every frame in order, one in memory at a time."""
        for number in range(frames):
            yield self.read(number)


def stamp(path: Path) -> str:
    """What tells a file from another state of it: its path, size and time; the path alone where it is not there."""
    try:
        about = path.stat()
    except OSError:
        return str(path)
    return f"{path} {about.st_size} {about.st_mtime_ns}"


def _linked(source: Path, path: Path) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.unlink(missing_ok=True)
    try:
        temporary.hardlink_to(source)
    except OSError:  # a disk without links
        shutil.copyfile(source, temporary)
    temporary.replace(path)
    return path


def known(folder: Path) -> dict[str, Any]:
    """What the folder's frames belong to; {} where nothing vouches for them."""
    try:
        found = json.loads((folder / STATE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def save(path: Path, picture: Bytes, texts: Mapping[str, str] | None = None) -> Path:
    """A PNG moved into place, packed by `packed`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(packed(picture, texts))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def packed(picture: Bytes, texts: Mapping[str, str] | None = None) -> bytes:
    """A PNG (RFC 2083) of [h, w] or [h, w, 3 or 4]: each row as its difference to the one above, runs alone looked for.

    At 512 pixels 9 to 13 ms for photographs where Pillow's quickest takes 25 to 31, and a tenth smaller: after the
    difference there is little that zlib's search for longer repeats could find.
    """
    height, width = picture.shape[:2]
    rows = np.ascontiguousarray(picture).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2  # "up"; above the first row is nothing
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    pack = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    body = pack.compress(filtered.data) + pack.flush()
    told = PngInfo()
    for key, text in (texts or {}).items():
        told.add_text(key, text)
    head = struct.pack(">IIBBBBB", width, height, 8, COLOURS[rows.shape[1] // width], 0, 0, 0)
    chunks = [(b"IHDR", head), *(chunk[:2] for chunk in told.chunks), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def load(path: Path) -> Bytes:
    return np.asarray(pictures.read(path))

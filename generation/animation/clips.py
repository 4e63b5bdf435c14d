"""Any video, frame by frame: files that ffmpeg reads, and folders of numbered pictures.

Knows how a damaged file is read as far as it goes. One frame is in memory at a time. Leaves writing to `video`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generation import pictures
from generation.errors import BadVideo, GenerationError

Bytes = NDArray[np.uint8]
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
FOLDER_FPS = 15.0
av.logging.set_level(av.logging.PANIC)


class Clip:
    """A video that can be gone through again and again; each time from its first frame.

    `width` and `height` in pixels as it is shown, `fps` frames a second, `frames` how many it says it has (0: it does
    not say). `note` says behind a pass what of it could not be read, "" for a sound one. `metadata` are the container's
    texts. Raises `BadVideo` for what is no video.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self.note = ""
        self.metadata: dict[str, str] = {}
        self._pictures: list[Path] = []
        if self.path.is_dir():
            self._pictures = _in_order(self.path)
            if not self._pictures:
                raise BadVideo(f"{self.path} holds no pictures", "Name a video, or a folder of frames.")
            self.fps, self.frames, self.audio = FOLDER_FPS, len(self._pictures), False
            self.width, self.height = _picture(self._pictures[0]).size
            return
        with _opened(self.path) as container:
            stream = container.streams.video[0]
            self.fps = float(stream.average_rate or stream.guessed_rate or FOLDER_FPS)
            self.frames = int(stream.frames)
            self.audio = bool(container.streams.audio)
            self.metadata = {str(key).lower(): str(value) for key, value in container.metadata.items()}
            self.width, self.height = int(stream.width), int(stream.height)
        first = next(iter(self), None)
        if first is None:
            raise BadVideo(f"{self.path} holds no frame that can be read", "Copy it again from where it came.")
        self.height, self.width = first.shape[:2]

    def __iter__(self) -> Iterator[Bytes]:
        """Frames [height, width, 3] of 0..255, red first."""
        self.note = ""
        return self._of_folder() if self._pictures else self._of_file()

    def part(self, *, every: int = 1, first: int = 0, last: int = -1) -> Iterator[Bytes]:
        """Every so manieth frame from `first` to `last` (-1: the end)."""
        for number, frame in enumerate(self):
            if last >= 0 and number > last:
                return
            if number >= first and not (number - first) % every:
                yield frame

    def _of_folder(self) -> Iterator[Bytes]:
        lost = 0
        for path in self._pictures:
            try:
                yield np.asarray(_picture(path))
            except GenerationError:
                lost += 1
        self._tell(lost)

    def _of_file(self) -> Iterator[Bytes]:
        lost = 0
        with _opened(self.path) as container:
            stream = container.streams.video[0]
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets, None)
                    if packet is None:
                        break
                    decoded = packet.decode()
                except av.error.FFmpegError:
                    lost += 1
                    if lost > 1000:  # nothing but damage
                        break
                    continue
                for frame in decoded:
                    yield _upright(frame)
        self._tell(lost)

    def _tell(self, lost: int) -> None:
        if lost:
            self.note = f"{self.path.name} is damaged: what could be read of it was taken ({lost} parts could not)"


def resized(frame: Bytes, size: tuple[int, int], how: str = "crop") -> Bytes:
    """The frame at `size` (width, height), fitted as pictures are."""
    return np.asarray(pictures.fitted(Image.fromarray(frame), size, how))


def _in_order(folder: Path) -> list[Path]:
    """The folder's pictures, numbers in their names counted as numbers."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES and not path.name.startswith(".")]
    return sorted(
        found, key=lambda path: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]
    )


def _picture(path: Path) -> Image.Image:
    return pictures.read(path)


def _opened(path: Path) -> Any:
    if not path.exists():
        raise BadVideo(f"there is no video {path}", "Check the path.")
    if not path.is_file():
        raise BadVideo(f"{path} is no file", "Name a video.")
    if path.stat().st_size == 0:
        raise BadVideo(f"{path} is empty (0 bytes)", "Choose another video.")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise BadVideo(f"{path} is no video that can be read", "Choose an MP4, WebM, MOV, AVI, MKV or GIF.") from error
    if not container.streams.video:
        container.close()
        raise BadVideo(f"{path} holds no pictures", "Choose a file with a video in it.")
    # A stream of a kind ffmpeg does not know has no size.
    width, height = (getattr(container.streams.video[0], side, 0) or 0 for side in ("width", "height"))
    if not 0 < width * height <= pictures.LARGEST:
        container.close()
        if not width * height:
            raise BadVideo(f"{path} holds no pictures that can be read", "Copy it again from where it came.")
        raise BadVideo(f"{path} has frames of {width}x{height}", "Make it smaller first.")
    return container


def _upright(frame: Any) -> Bytes:
    """The frame's pixels, turned as the file says it is to be shown."""
    pixels: Bytes = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels

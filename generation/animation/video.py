"""Frames to a video: MP4 (H.264), WebM (VP9), GIF, APNG or a folder, with texts in the container and sound beside.

Knows containers and encoders; frames come one by one and are not kept. A video is there whole or not at all. Leaves
reading to `clips`, and sound to `sounds`.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generation.animation.sounds import Sound
from generation.errors import BadVideo, nearest

Bytes = NDArray[np.uint8]
Check = Callable[[], None]


@dataclass(frozen=True)
class Format:
    """`pixels` is what the encoder takes; `sound` names its encoder, "" where there can be none."""

    container: str
    codec: str
    pixels: str
    options: Mapping[str, str]
    sound: str = ""


FORMATS = {
    # 17 is where H.264's losses stop to be seen; the tags are what keeps a key of our own.
    ".mp4": Format("mp4", "libx264", "yuv420p", {"crf": "17", "preset": "medium"}, "aac"),
    ".mov": Format("mov", "libx264", "yuv420p", {"crf": "17", "preset": "medium"}, "aac"),
    ".webm": Format(
        "webm", "libvpx-vp9", "yuv420p", {"crf": "24", "b:v": "0", "cpu-used": "4", "row-mt": "1"}, "libopus"
    ),
    ".mkv": Format("matroska", "libx264", "yuv420p", {"crf": "17", "preset": "medium"}, "aac"),
    ".gif": Format("gif", "gif", "pal8", {}),
    ".png": Format("apng", "apng", "rgb24", {}),
    ".apng": Format("apng", "apng", "rgb24", {}),
}
LARGEST_TEXT = 200_000  # characters of one text in a container


def write(
    frames: Iterable[Bytes],
    path: Path,
    fps: float,
    *,
    texts: Mapping[str, Any] | None = None,
    sound: Path | None = None,
    since: float = 0.0,
    check: Check = lambda: None,
) -> int:
    """Write frames [height, width, 3] of 0..255 to `path`; its ending says how, a folder or no ending means pictures.

    `texts` stand in the container under their keys, plain data as JSON. `sound` is a file whose sound is put beside, as
    long as the frames last, from `since` seconds on, to the sample. Returns the number of frames. Raises `BadVideo`,
    and what `check` raises; nothing is left.
    """
    path = target(path)
    told = {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in (texts or {}).items()
    }
    told = {key: value for key, value in told.items() if len(value) <= LARGEST_TEXT}
    how = FORMATS.get(path.suffix.lower())
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        if how is None:
            number = _pictures(frames, temporary, check)
        else:
            number = _encoded(frames, temporary, how, fps, told, (sound, since), check)
            if how.container in {"gif", "apng"}:
                _tell(temporary, told)
        if how is None and path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except av.error.FFmpegError as error:
        raise BadVideo(f"{path.name} could not be written: {error.strerror}", "Choose another format.") from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
    return number


def target(path: Path) -> Path:
    """`path` as an absolute name whose folder exists and whose ending can be written. Raises `BadVideo`."""
    path = path.expanduser().absolute()
    ending = path.suffix.lower()
    if ending and ending not in FORMATS and not path.is_dir():
        hint = nearest(ending, FORMATS) or f"End it in {', '.join(FORMATS)}, or in nothing for a folder."
        raise BadVideo(f"{path.name} is no name of a video", hint)
    if ending in FORMATS and path.is_dir():
        raise BadVideo(f"{path} is a folder", "Name a file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadVideo(f"the folder {path.parent} cannot be made: {error.strerror}", "Choose another place.") from error
    return path


def _pictures(frames: Iterable[Bytes], folder: Path, check: Check) -> int:
    folder.mkdir()
    number = 0
    for number, frame in enumerate(frames, 1):
        check()
        Image.fromarray(frame).save(folder / f"{number - 1:06d}.png", compress_level=1)
    if not number:
        raise BadVideo("there are no frames", "Make some first.")
    return number


def _encoded(
    frames: Iterable[Bytes],
    path: Path,
    how: Format,
    fps: float,
    texts: dict[str, str],
    sound: tuple[Path | None, float],
    check: Check,
) -> int:
    rate = Fraction(fps).limit_denominator(1001)
    tags = {"movflags": "use_metadata_tags+faststart"} if how.container in {"mp4", "mov"} else {}
    if how.container == "apng":
        tags = {"plays": "0"}
    number, stream, palette, voice = 0, None, None, None
    with av.open(str(path), "w", format=how.container, options=tags) as container:
        container.metadata.update(texts)
        for frame in frames:
            check()
            if stream is None:
                frame = _even(frame, how)
                stream = _stream(container, how, rate, frame.shape[1], frame.shape[0])
                palette = _Palette(frame, rate) if how.pixels == "pal8" else None
                voice = _voice(container, how, sound, check)
            shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(_even(frame, how)), format="rgb24")
            shown.pts, shown.time_base = number, 1 / rate
            for one in palette.through(shown) if palette else (shown,):
                container.mux(stream.encode(one))
            number += 1
            if voice is not None:
                voice.until(number / float(rate))
        if stream is None:
            raise BadVideo("there are no frames", "Make some first.")
        container.mux(stream.encode())
        if voice is not None:
            voice.end()
    return number


def _voice(container: Any, how: Format, sound: tuple[Path | None, float], check: Check) -> Sound | None:
    path, since = sound
    if path is None:
        return None
    if not how.sound:
        raise BadVideo(f"{how.container} has no sound", "Write an MP4 or WebM, or leave the sound out.")
    return Sound(container, how.sound, path, since, check=check)


def _stream(container: Any, how: Format, rate: Fraction, width: int, height: int) -> Any:
    stream = container.add_stream(how.codec, rate=rate, options=dict(how.options))
    stream.width, stream.height, stream.pix_fmt = width, height, how.pixels
    stream.codec_context.time_base = 1 / rate
    if how.pixels == "yuv420p":
        # HD's matrix, said in the file: players guess another one for small pictures, and colours shift.
        stream.codec_context.colorspace = 1
        stream.codec_context.color_primaries = 1
        stream.codec_context.color_trc = 1
    return stream


def _even(frame: Bytes, how: Format) -> Bytes:
    """Half the colours' resolution needs even sides; the last row and column are repeated."""
    odd = frame.shape[0] % 2, frame.shape[1] % 2
    if how.pixels != "yuv420p" or odd == (0, 0):
        return frame
    return np.pad(frame, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")


class _Palette:
    """Each frame's own 256 colours: one palette for all would need all frames at once."""

    def __init__(self, frame: Bytes, rate: Fraction) -> None:
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(
            width=frame.shape[1], height=frame.shape[0], format=av.VideoFormat("rgb24"), time_base=1 / rate
        )
        split = self._graph.add("split")
        made = self._graph.add("palettegen", "stats_mode=single")
        used = self._graph.add("paletteuse", "new=1:dither=sierra2_4a")
        sink = self._graph.add("buffersink")
        source.link_to(split)
        split.link_to(made, 0, 0)
        split.link_to(used, 1, 0)
        made.link_to(used, 0, 1)
        used.link_to(sink)
        self._graph.configure()

    def through(self, frame: Any) -> Iterator[Any]:
        self._graph.push(frame)
        while True:
            try:
                yield self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return


def _tell(path: Path, texts: Mapping[str, str]) -> None:
    """Put texts into a GIF (comments) or an APNG (iTXt), whose writers leave them out."""
    whole = path.with_name(f"{path.name}.told")
    try:
        with path.open("rb") as source, whole.open("wb") as to:
            if path.suffix.lower() == ".gif":
                head = source.read(13)
                colours = 3 << ((head[10] & 7) + 1) if head[10] & 0x80 else 0
                to.write(head + source.read(colours))
                for key, text in texts.items():
                    to.write(_comment(f"{key}: {text}".encode()))
            else:
                to.write(source.read(33))  # signature and IHDR
                for key, text in texts.items():
                    to.write(_chunk(b"iTXt", key.encode("latin-1", "replace") + b"\0\0\0\0\0" + text.encode()))
            shutil.copyfileobj(source, to)
        whole.replace(path)
    finally:
        whole.unlink(missing_ok=True)


def _comment(data: bytes) -> bytes:
    blocks = (data[start : start + 255] for start in range(0, len(data), 255))
    return b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

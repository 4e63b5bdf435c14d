"""The sound beside a video's frames: any file's, from any moment on, encoded into the container that is written.

Knows samples, to the one. Leaves the frames and the container to `video`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from generation.errors import BadVideo

Check = Callable[[], None]
RATE = 48000  # samples a second: Opus takes no other


class Sound:
    """The sound of a file from `since` seconds on, encoded as frames come, so that neither waits in memory.

    `container` is open for writing and `codec` an encoder of its kind. Raises `BadVideo` for a file without sound.
    """

    def __init__(
        self, container: Any, codec: str, path: Path, since: float = 0.0, *, check: Check = lambda: None
    ) -> None:
        try:
            self._source = av.open(str(path.expanduser()))
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise BadVideo(
                f"{path} is no sound that can be read", "Choose a WAV, MP3, FLAC, M4A or a video."
            ) from error
        if not self._source.streams.audio:
            raise BadVideo(f"{path} holds no sound", "Choose another file.")
        self._container = container
        self._stream = container.add_stream(codec, rate=RATE, layout="stereo")
        self._resampler = av.AudioResampler("fltp" if codec == "aac" else "flt", "stereo", RATE)
        self._frames = self._later(round(since * RATE), check)
        self._written, self._over = 0, False

    def _resampled(self) -> Iterator[Any]:
        packets = self._source.demux(self._source.streams.audio[0])
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                decoded = packet.decode()
            except av.error.FFmpegError:
                continue
            for frame in decoded:
                frame.pts = None
                yield from self._resampler.resample(frame)
        yield from self._resampler.resample(None)

    def _later(self, samples: int, check: Check) -> Iterator[Any]:
        """What sounds behind so many samples. All before is decoded: no container is sought in to the sample."""
        for frame in self._resampled():
            check()
            if samples >= frame.samples:
                samples -= frame.samples
                continue
            yield _cut(frame, samples) if samples else frame
            samples = 0

    def until(self, seconds: float) -> None:
        """Encode what sounds before that time."""
        while not self._over and self._written < seconds * RATE:
            frame = next(self._frames, None)
            if frame is None:
                self._over = True
                return
            frame.pts, frame.time_base = self._written, Fraction(1, RATE)
            self._written += frame.samples
            self._container.mux(self._stream.encode(frame))

    def end(self) -> None:
        self._container.mux(self._stream.encode())
        self._source.close()


def _cut(frame: Any, samples: int) -> Any:
    """A frame of sound without its first samples."""
    values = frame.to_ndarray()  # [channels, samples], or [1, samples x channels] where they are interleaved
    each = values.shape[1] // frame.samples
    made = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(values[:, samples * each :]), format=frame.format.name, layout=frame.layout.name
    )
    made.sample_rate = frame.sample_rate
    return made

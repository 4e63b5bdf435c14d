"""Sound as networks of speech read it: one channel of a file, and its mel spectrogram.

Knows Wav2Lip's spectrogram: 80 bands a step, 80 steps a second (Prajwal et al. 2020, arXiv:2008.10010). Leaves putting
sound beside a video to `video`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from generation.errors import BadVideo

Array = NDArray[Any]
RATE = 16000
WINDOW, HOP = 800, 200  # samples: 50 and 12.5 ms
STEPS = RATE / HOP  # a second
BANDS, LOWEST, HIGHEST = 80, 55.0, 7600.0  # Hz
EMPHASIS = 0.97
QUIETEST, REFERENCE = -100.0, 20.0  # dB
MOST = 4.0  # values are -4 to 4
SILENCE = -MOST
AT_ONCE = 4096  # steps that are transformed together: 26 MB
HINT = "Choose a WAV, MP3, FLAC, M4A or a video."


def wave(path: Path, start: float = 0.0, seconds: float = float("inf")) -> Array:
    """Samples float32 [n] in -1..1 at `RATE`, channels averaged, from `start` on; fewer where the sound is over.

    What is damaged in it is left out. Raises `BadVideo` for what is no sound.
    """
    path = path.expanduser()
    if not path.is_file():
        raise BadVideo(f"there is no sound {path}", "Check the path.")
    first, wanted = round(start * RATE), seconds * RATE
    parts: list[Array] = []
    passed = 0
    for part in _decoded(path):
        parts.append(part[max(first - passed, 0) :])
        passed += len(part)
        if passed - first >= wanted:
            break
    if not passed:
        raise BadVideo(f"{path} holds no sound that can be read", HINT)
    whole = np.concatenate(parts)
    return whole[: int(wanted)] if len(whole) > wanted else whole


def _decoded(path: Path) -> Iterator[Array]:
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise BadVideo(f"{path} is no sound that can be read", HINT) from error
    with container:
        if not container.streams.audio:
            raise BadVideo(f"{path} holds no sound", "Choose another file.")
        # The channels are averaged here: ffmpeg's own mixing makes two equal ones louder.
        resampler = av.AudioResampler("fltp", None, RATE)
        packets = container.demux(container.streams.audio[0])
        while True:
            try:
                packet = next(packets, None)
                frames = packet.decode() if packet is not None else [None]
                sounds = [one for frame in frames for one in resampler.resample(frame)]
            except av.error.FFmpegError:
                continue
            yield from (one.to_ndarray().mean(0, dtype=np.float32) for one in sounds)
            if packet is None:
                return


def mel(samples: Array) -> Array:
    """[80, steps] float32 in -4..4 of samples [n] at `RATE`; step s is what sounds around s / 80 seconds.

    26 kB a second. Both ends are mirrored, as in what the network was taught with (librosa 0.7).
    """
    samples = np.asarray(samples, dtype=np.float32)
    if len(samples) <= WINDOW // 2:  # too short to be mirrored
        samples = np.pad(samples, (0, WINDOW // 2 + 1 - len(samples)))
    sharp = samples - EMPHASIS * np.concatenate([[0], samples[:-1]]).astype(np.float32)
    sharp = np.pad(sharp, WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(sharp, WINDOW)[::HOP]
    found = np.empty((BANDS, len(frames)), np.float32)
    for first in range(0, len(frames), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        strength = np.abs(np.fft.rfft(frames[part] * _hann(), axis=-1))
        level = 20 * np.log10(np.maximum(_filters() @ strength.T, 10 ** (QUIETEST / 20))) - REFERENCE
        found[:, part] = np.clip(2 * MOST * (level - QUIETEST) / -QUIETEST - MOST, -MOST, MOST)
    return found


@cache
def _hann() -> Array:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


@cache
def _filters() -> Array:
    """[80, 401]: a triangle a band over the frequencies, each of the same area (Slaney's Auditory Toolbox, 1998)."""
    edges = _hertz(np.linspace(_mels(LOWEST), _mels(HIGHEST), BANDS + 2))
    at = np.fft.rfftfreq(WINDOW, 1 / RATE)
    rising = (at - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - at) / (edges[2:] - edges[1:-1])[:, None]
    area = (2 / (edges[2:] - edges[:-2]))[:, None]
    return np.maximum(np.minimum(rising, falling), 0) * area


# Slaney's scale: 3 mels to 200 Hz up to 1 kHz, above it 27 to a factor of 6.4.
LINEAR, KNEE, RATIO = 200 / 3, 1000.0, 27 / np.log(6.4)


def _mels(hertz: float) -> float:
    return hertz / LINEAR if hertz < KNEE else float(KNEE / LINEAR + np.log(hertz / KNEE) * RATIO)


def _hertz(mels: Array) -> Array:
    knee = KNEE / LINEAR
    return np.where(mels < knee, mels * LINEAR, KNEE * np.exp((mels - knee) / RATIO))

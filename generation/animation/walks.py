"""A walk between prompts and seeds: each frame is a picture of its own, a step further along the sphere than the last.

Knows how far along each frame is, evenly or by the beats of a sound. Nothing depends on the frame before, so a walk
that was stopped goes on anywhere. Leaves denoising to `painting`.
"""

from __future__ import annotations

import time
import warnings
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation import infotext
from generation.animation.colour import to_bytes
from generation.animation.deforum import PREVIEW_EVERY, Animated
from generation.animation.denoising import base_spec
from generation.animation.frames import Frames
from generation.animation.painting import Frame, Painter
from generation.animation.settings import Settings, local
from generation.animation.sources import depended
from generation.animation.timelines import Timeline
from generation.engine import Engine
from generation.errors import BadSpec
from generation.specs import LARGEST_SEED

Array = NDArray[np.float64]
Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]


def run(
    settings: Settings,
    folder: Path,
    engine: Engine,
    *,
    seed: int,
    fresh: bool = False,
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> Animated:
    """Make every frame of a walk under `folder`: from each of the prompts to the next, and from its seed to the next.

    Strengths and what moves a picture are not looked at. Raises as `deforum.run`.
    """
    began = time.perf_counter()
    line = Timeline(settings, seed)
    painter = Painter(engine, report, check)
    base = painter.resolved(base_spec(settings, settings["model"]))
    assert base.width is not None and base.height is not None
    stops = Stops(line, settings)
    made_of = {**depended(settings), "seed": seed, "kind": "walk", "size": [base.width, base.height]}
    if settings["walk_audio"]:
        made_of["fps"] = settings["fps"]  # beats fall on other frames then
    made_of |= {"steps": base.steps, "sampler": base.sampler, "model": engine.catalogue.find(base.model).path}
    frames = Frames(folder, made_of, fresh=fresh)
    told = (*settings.notes, *line.warnings)
    for warning in told:
        report({"kind": "note", "message": warning})
    made, diffusion, shown = 0, 0.0, 0.0
    with frames:
        for number in range(line.frames):
            check()
            report({"kind": "progress", "stage": "frames", "done": number, "total": line.frames})
            frame = stops.frame(base, number)
            if frames.here(number):
                continue
            started = time.perf_counter()
            picture = to_bytes(painter.paint(frame))
            diffusion += time.perf_counter() - started
            frames.write(number, picture, {"parameters": infotext.write(frame.spec.to_json())})
            made += 1
            if frames.latest is not None and started - shown > PREVIEW_EVERY:
                shown = started
                report({"kind": "preview", "path": str(frames.latest)})
    report({"kind": "progress", "stage": "frames", "done": line.frames, "total": line.frames})
    return Animated(
        folder,
        line.frames,
        made,
        made,
        seed,
        (base.width, base.height),
        time.perf_counter() - began,
        diffusion,
        told,
        stops.frame(base, 0).spec,
    )


class Stops:
    """The prompts and seeds a walk goes by, and where on its way each frame is."""

    def __init__(self, line: Timeline, settings: Settings) -> None:
        self._line, self.frames = line, line.frames
        self.starts = list(line.starts)
        self.seeds = seeds(settings["walk_seeds"], line.seed_0, len(self.starts))
        self._loop = settings["walk_loop"]
        audio = settings["walk_audio"].strip()
        self._gone = beats(local(audio, "walk_audio"), self.frames, settings["fps"]) if audio else None

    def place(self, frame: int) -> tuple[int, int, float]:
        """(stop behind the frame, stop before it, share of the way between them that is gone)."""
        one = bisect_right(self.starts, frame) - 1
        other = one + 1
        if other == len(self.starts):
            if not self._loop or len(self.starts) == 1:
                return one, one, 0.0
            other = 0
        begin, end = self.starts[one], self.starts[other] if other else self.frames
        if self._gone is None:
            return one, other, (frame - begin) / (end - begin)
        way = self._gone[end] - self._gone[begin]
        gone = self._gone[frame] - self._gone[begin]
        # A silence moves nothing; a whole way of silence is gone evenly.
        return one, other, float(gone / way) if way > 0 else (frame - begin) / (end - begin)

    def frame(self, base: Any, number: int) -> Frame:
        one, other, share = self.place(number)
        positive, negative = self._line.prompt(number)
        changed: dict[str, Any] = {"prompt": positive, "negative": negative, "seed": self.seeds[one]}
        if self._line.has("cfg_scale_schedule"):
            changed["cfg"] = min(max(self._line.at("cfg_scale_schedule", number), 0.0), 50.0)
        spec = replace(base, **changed)
        if one == other:
            return Frame(spec)
        toward = self._line.prompt(self.starts[other])
        return Frame(spec, toward=toward, share=share, noise_toward=(self.seeds[other], share), round=True)


def seeds(text: str, first: int, stops: int) -> list[int]:
    """A seed for each stop: those named, the others one more than the one before. Raises `BadSpec`."""
    named = [part.strip() for part in text.split(",") if part.strip()]
    if len(named) > stops:
        raise BadSpec(f"walk_seeds has {len(named)} seeds for {stops} prompts", "Take some away, or add prompts.")
    found: list[int] = []
    for part in named:
        if not (part.isascii() and part.isdigit() and int(part) <= LARGEST_SEED):
            raise BadSpec(f'walk_seeds: "{part[:40]}" is no seed', "Write whole numbers with commas: 5, 9, 12.")
        found.append(int(part))
    while len(found) < stops:
        found.append((found[-1] + 1) % LARGEST_SEED if found else first)
    return found


def beats(path: Path, frames: int, fps: float) -> Array:
    """[frames + 1]: what of a sound's onsets has been heard when each frame begins, 0 at the first.

    Raises `BadSpec` without librosa, and for what is no sound.
    """
    try:
        import librosa
    except ImportError as error:
        raise BadSpec("walk_audio needs librosa", "Run: pip install 'atelier[audio]'") from error
    if not path.is_file():
        raise BadSpec(f"there is no sound {path}", "Check the path.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of one decoder after another that is tried
            wave, rate = librosa.load(path, sr=22050, mono=True, duration=(frames + 1) / fps)
        strength = librosa.onset.onset_strength(y=wave, sr=rate)
        times = librosa.times_like(strength, sr=rate)
    # Its decoders answer what is no sound with errors of many kinds.
    except Exception as error:
        raise BadSpec(f"{path} is no sound that can be read", "Choose a WAV, FLAC or OGG.") from error
    return gone(np.asarray(strength, float), np.asarray(times, float), frames, fps)


def gone(strength: Array, times: Array, frames: int, fps: float) -> Array:
    """[frames + 1]: the sum of `strength`, measured at `times` in seconds, up to each frame."""
    total = np.concatenate([[0.0], np.cumsum(np.maximum(strength, 0))])
    ends = np.concatenate([[0.0], times + (times[1] - times[0] if len(times) > 1 else 0.0)])
    return np.interp(np.arange(frames + 1) / fps, ends, total)

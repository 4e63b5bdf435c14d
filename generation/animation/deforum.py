"""Deforum's animation: each picture is moved, mixed with noise and denoised again, every so many frames; between them
both neighbours move on and are blended.

Everything a frame depends on is the picture denoised before it, kept as a PNG, and its number: an animation that was
killed goes on with the same frames to the bit. Leaves warps to `motion`, denoising to `denoising`, files to `frames`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from generation import infotext
from generation.animation import flow as flows
from generation.animation import sources
from generation.animation.colour import to_bytes, to_floats
from generation.animation.denoising import Denoiser
from generation.animation.frames import Frames, load
from generation.animation.hybrid import QUALITY
from generation.animation.motion import Motion
from generation.animation.painting import Painter
from generation.animation.settings import Settings
from generation.animation.timelines import Timeline
from generation.animation.warps import blended
from generation.engine import Engine
from generation.specs import RenderSpec

Array = NDArray[Any]
Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
PREVIEW_EVERY = 0.5  # seconds


@dataclass(frozen=True)
class Animated:
    """The frames that are there: `made` of them now, `denoised` of these by the model; `size` in pixels.

    `seconds` is the time taken, `diffusion` the part of it that the model took. `spec` is the first frame's.
    """

    folder: Path
    frames: int
    made: int
    denoised: int
    seed: int
    size: tuple[int, int]
    seconds: float
    diffusion: float
    warnings: tuple[str, ...]
    spec: RenderSpec


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
    """Make every frame of an animation under `folder`; what is there of the same settings is not made again.

    `seed` is the first frame's. Raises `BadSpec`, `BadVideo`, `BadImage`, `BadWeights`, `UnknownModel`, `RenderFailed`,
    and what `check` raises.
    """
    return _Animation(settings, folder, engine, seed, fresh, report, check).run()


class _Animation:
    def __init__(
        self, settings: Settings, folder: Path, engine: Engine, seed: int, fresh: bool, report: Report, check: Check
    ) -> None:
        self.settings, self.report, self.check = settings, report, check
        self.line = Timeline(settings, seed)
        self.motion = Motion(self.line)
        self.warnings = (*settings.notes, *self.line.warnings)
        self.denoiser = Denoiser(self.line, Painter(engine, report, check), self.motion)
        base, video = self.denoiser.base, self.denoiser.video
        self.total, self.cadence = self.line.frames, self.line.cadence
        if settings["animation_mode"] == "Video Input" and video is not None:
            self.total = min(self.total, video.count())
            if video.clip.note:
                report({"kind": "note", "message": video.clip.note})
        made_of = {**sources.depended(settings), "seed": seed, "size": self.denoiser.size, "steps": base.steps}
        made_of |= {"pictures": [sources.state(path) for path in self.denoiser.files]}
        made_of |= {"model": engine.catalogue.find(base.model).path, "sampler": base.sampler}
        self.frames = Frames(folder, made_of, fresh=fresh)
        self.made = self.denoised = 0
        self.shown = 0.0

    def run(self) -> Animated:
        began = time.perf_counter()
        for warning in self.warnings:
            self.report({"kind": "note", "message": warning})
        with self.frames:
            self._make()
        self._progress(self.total)
        return Animated(
            self.frames.folder,
            self.total,
            self.made,
            self.denoised,
            self.line.seed_0,
            self.denoiser.size,
            time.perf_counter() - began,
            self.denoiser.diffusion,
            self.warnings,
            self.denoiser.spec(0),
        )

    def _make(self) -> None:
        start, now = self._resumed()
        before: Array | None = None
        self._progress(start)
        for block in range(start, self.total, self.cadence):
            started = before
            if block and now is not None:
                started = before = self._moved(now, block)
                hybrid = self.denoiser.hybrid
                if hybrid is not None and hybrid.composite == "Before Motion":
                    started = self._moved(hybrid.composited(now, block), block)
            self.check()
            kept = self._kept(block)
            if kept is None:
                kept = to_bytes(self.denoiser.picture(block, started, self.frames))
                self.frames.keep(block, kept, self._texts(block))
                self.denoised += 1
            now = to_floats(kept)
            before, now = self._emitted(block, before, now)

    # What is there already

    def _resumed(self) -> tuple[int, Array | None]:
        """(the block to go on with, the picture of the one before brought to its last frame)."""
        whole = self.frames.whole_to(self.total)
        at = set(self.frames.kept())
        if whole == self.total:
            return whole + (-whole) % self.cadence, None
        for block in range(whole // self.cadence * self.cadence, 0, -self.cadence):
            if block - self.cadence in at:
                now = to_floats(self._kept(block - self.cadence))
                for frame in range(block - self.cadence + 1, block):
                    now = self._moved(now, frame)
                return block, now
        return 0, None

    def _kept(self, block: int) -> Any:
        path = self.frames.denoised(block)
        return load(path) if path.is_file() else None

    # From frame to frame

    def _moved(self, picture: Array, frame: int, depth: Array | float | None = None) -> Array:
        hybrid = self.denoiser.hybrid
        moved = self.motion.moved(picture, frame, self.motion.depth(picture) if depth is None else depth)
        return hybrid.moved(moved, frame) if hybrid is not None else moved

    def _emitted(self, block: int, before: Array | None, now: Array) -> tuple[Array | None, Array]:
        """Write the frames from `block` to the next; returns both pictures, moved to the last of these."""
        flowing = self.settings["optical_flow_cadence"]
        for frame in range(block, min(block + self.cadence, self.total)):
            self.check()
            if frame > block:
                depth = self.motion.depth(now)
                now = self._moved(now, frame, depth)
                before = self._moved(before, frame, depth) if before is not None else None
            share = (frame - block + 1) / self.cadence
            shown = now
            if before is not None and share < 1:
                if flowing != "None":
                    factor = self.line.at("cadence_flow_factor_schedule", frame)
                    quality = QUALITY.get(flowing, "medium")
                    shown = flows.between(before, now, share, quality=quality, factor=factor)
                else:
                    shown = blended(before, now, share)
            if self.cadence == 1:
                self.frames.same(frame)
            else:
                self.frames.write(frame, to_bytes(shown), self._texts(frame) if frame == block else None)
            self.made += 1
            self._progress(frame + 1)
        return before, now

    # What is told

    def _texts(self, frame: int) -> Mapping[str, str]:
        return {"parameters": infotext.write(self.denoiser.spec(frame).to_json())}

    def _progress(self, done: int) -> None:
        self.report({"kind": "progress", "stage": "frames", "done": done, "total": self.total})
        now = time.perf_counter()
        if self.frames.latest is not None and now - self.shown > PREVIEW_EVERY:
            self.shown = now
            self.report({"kind": "preview", "path": str(self.frames.latest)})

"""Stages run over a video: every frame of the last one, or one frame of any of them; what is there is not made again.

Knows which video, folder and seeds a run has. Leaves the frames to `chain` and the video made of them to the caller.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from generation.animation.clips import Clip
from generation.animation.frames import load
from generation.animation.stages import STAGES, Pipeline
from generation.animation.stages.chain import Chain
from generation.animation.stages.footage import Footage, size_of
from generation.animation.stages.reading import spec_of
from generation.engine import Engine
from generation.errors import BadSpec, nearest
from generation.specs import RenderSpec

Bytes = NDArray[np.uint8]
Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
PREVIEW_EVERY = 0.5  # seconds
SEEDS = "seeds.json"
OURS = re.compile(r"\.[0-9a-f]{12}")  # what the name of a folder of frames ends in


@dataclass(frozen=True)
class Made:
    """The frames of the last stage, in `folder`: `frames` of them, `fps` a second, `size` (width, height) in pixels.

    `stages` has for each that was on its folder, its frames, how many a second, and how many were made now. `filmed` is
    the folder of the frames that were begun with. `spec` is the first render's, where a stage renders.
    """

    folder: Path
    frames: int
    fps: float
    size: tuple[int, int]
    cuts: tuple[int, ...]
    stages: tuple[dict[str, Any], ...]
    filmed: Path
    filmed_frames: int
    seeds: dict[str, int]
    seconds: float
    spec: RenderSpec | None
    note: str

    def read(self, number: int) -> Bytes:
        """A frame [h, w, 3] of 0..255; what is transparent is white."""
        return load(self.folder / f"{number:06d}.png")

    def all(self) -> Iterator[Bytes]:
        return (self.read(number) for number in range(self.frames))

    def source(self) -> Iterator[Bytes]:
        """The filmed frames."""
        return (load(self.filmed / f"{number:06d}.png") for number in range(self.filmed_frames))


class Shown(NamedTuple):
    """A frame that was looked at: its file, the id of its stage, how many frames that has and how many a second."""

    path: Path
    stage: str
    frames: int
    fps: float


def run(
    pipeline: Pipeline,
    folder: Path,
    engine: Engine,
    *,
    fresh: bool = False,
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> Made:
    """Make every frame of the last stage under `folder`; killed at any moment, the same call goes on with the same.

    Frames of other settings go when all are there. Raises `BadSpec`, `BadVideo`, `BadImage`, `BadWeights`,
    `UnknownModel`, `RenderFailed`, and what `check` raises.
    """
    began = time.perf_counter()
    if fresh:
        _removed(folder, ("input", *(step.id for step in pipeline.steps)))
    chain, clip = _chained(pipeline, folder, engine, report, check)
    last = chain.places[-1]
    if clip.note:
        report({"kind": "note", "message": clip.note})
    shown = 0.0
    for number in range(last.count):
        check()
        path = chain.path(last.index, number)
        report({"kind": "progress", "stage": "frames", "done": number + 1, "total": last.count})
        if time.perf_counter() - shown > PREVIEW_EVERY:
            shown = time.perf_counter()
            report({"kind": "preview", "path": str(path)})
    # Frames of the same stages under other settings take place and are of no use any more.
    _removed(folder, [place.step.id for place in chain.places[1:]], frozenset(place.folder for place in chain.places))
    first = chain.frame(last.index, 0)
    footage = chain.places[0]
    return Made(
        last.folder,
        last.count,
        last.fps,
        (first.shape[1], first.shape[0]),
        tuple(last.cuts[1:]),
        tuple(
            {
                "id": place.step.id,
                "do": place.step.do,
                "folder": str(place.folder),
                "frames": place.count,
                "fps": place.fps,
                "made": place.made,
            }
            for place in chain.places[1:]
        ),
        footage.folder,
        footage.count,
        dict(chain.seeds),
        time.perf_counter() - began,
        _first_spec(chain),
        clip.note,
    )


def preview(
    pipeline: Pipeline,
    folder: Path,
    engine: Engine,
    frame: int,
    stage: str = "",
    *,
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> Shown:
    """A frame of a stage; "" is the last one, "input" the video. Makes what it needs alone."""
    ids = [step.id for step in pipeline.running]
    if stage and stage != "input" and stage not in ids:
        raise BadSpec(f'no stage "{stage}" is on', nearest(stage, ids) or f"Choose: {', '.join(['input', *ids])}.")
    chain, _ = _chained(pipeline, folder, engine, report, check)
    place = chain.place(stage) if stage else chain.places[-1]
    if not 0 <= frame < place.count:
        raise BadSpec(f"{place.step.id} has no frame {frame}", f"Give 0 to {place.count - 1}.")
    return Shown(chain.path(place.index, frame), place.step.id, place.count, place.fps)


def _chained(pipeline: Pipeline, folder: Path, engine: Engine, report: Report, check: Check) -> tuple[Chain, Clip]:
    if not pipeline.input:
        raise BadSpec(f"{pipeline.name} has no input", "Name a video behind the file, or input: in it.")
    clip = Clip(pipeline.input)
    video = pipeline.video
    size = size_of(clip, video["width"], video["height"])
    about = _state(clip.path)
    whole = hashlib.sha256(json.dumps([str(clip.path), about, size, video["first"]]).encode()).hexdigest()
    footage = Footage(
        clip, folder / f"input.{whole[:12]}", size, video["first"], video["frames"], report=report, check=check
    )
    return Chain(pipeline, footage, folder, engine, _seeds(pipeline, folder), report, check), clip


def _state(path: Path) -> list[Any]:
    """What tells a changed video: size and time of it, or of each picture of a folder."""
    files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    return [[one.name, one.stat().st_size, one.stat().st_mtime_ns] for one in files]


def _seeds(pipeline: Pipeline, folder: Path) -> dict[str, int]:
    """A seed for each stage that renders: its own, or one drawn that is kept for the next time."""
    try:
        known = json.loads((folder / SEEDS).read_text("utf-8"))
        known = known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        known = {}
    found, drawn = {}, False
    for step in pipeline.running:
        if not STAGES[step.do].painted:
            continue
        wanted = int(step.fields.get("seed", -1))
        if wanted == -1:
            before = known.get(step.id)
            drawn = drawn or not isinstance(before, int)
            wanted = before if isinstance(before, int) and before >= 0 else secrets.randbelow(2**32)
            known[step.id] = wanted
        found[step.id] = wanted
    if drawn:
        temporary = folder / f".{SEEDS}.{os.getpid()}.part"
        temporary.write_text(json.dumps(known), "utf-8")
        temporary.replace(folder / SEEDS)
    return found


def _removed(folder: Path, ids: Iterable[str], kept: frozenset[Path] = frozenset()) -> None:
    """Remove the folders of frames of these stages, and nothing else that lies there."""
    for identity in ids:
        for path in folder.glob(f"{identity}.*"):
            if path.is_dir() and path not in kept and OURS.fullmatch(path.suffix):
                shutil.rmtree(path, ignore_errors=True)


def _first_spec(chain: Chain) -> RenderSpec | None:
    """The first render's spec with nothing open, as the first frame's file carries it."""
    for place in chain.places[1:]:
        if STAGES[place.step.do].painted:
            taken = str(chain.places[place.index - 1].path(0))
            return spec_of(place.step, taken, taken, chain.seeds[place.step.id])
    return None

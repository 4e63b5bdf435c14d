"""Stages behind each other on disk: any frame of any stage, made when it is asked for and never twice.

Each stage's frames lie in a folder named after all that they depend on, whole or not at all; that is all there is of a
state, so that a stopped video goes on with the same frames, and a preview makes no more than it needs. A few frames are
in memory at a time. Leaves what stages do to their classes.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generation import pictures
from generation.animation import flow as flows
from generation.animation.colour import to_floats
from generation.animation.frames import save
from generation.animation.stages import STAGES, Pipeline, Step
from generation.animation.stages.footage import STATE, Footage
from generation.animation.stages.reading import partner, spec_of
from generation.engine import Engine
from generation.errors import BadImage, BadSpec, GenerationError
from generation.recipes.keys import key

Array = NDArray[Any]
Bytes = NDArray[np.uint8]
Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
LAYOUT = 1  # of what frames depend on; another number makes all of them again
FRAMES_KEPT, WAYS_KEPT = 24, 32  # in memory: 19 and 67 MB at 512 pixels


class Place:
    """One stage in the chain: its folder, how many frames it has, and the stage whose frames show what was filmed."""

    def __init__(self, step: Step, index: int, folder: Path, count: int, fps: float, cuts: list[int]) -> None:
        self.step, self.index, self.folder = step, index, folder
        self.count, self.fps, self.cuts = count, fps, cuts
        self.guide = 0
        self.partner: int | None = None
        self.made = 0
        self.maker: Any = None

    def path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.png"


class Chain:
    """The stages of a pipeline that are on, behind the footage (place 0). `seeds` are those of painted stages by id."""

    def __init__(
        self,
        pipeline: Pipeline,
        footage: Footage,
        folder: Path,
        engine: Engine,
        seeds: Mapping[str, int],
        report: Report,
        check: Check,
    ) -> None:
        self.engine, self.check, self.seeds = engine, check, seeds
        self.clip, self.first = footage.clip, int(pipeline.video["first"])
        self._report, self._said = report, set[str]()
        self._frames: OrderedDict[tuple[int, int], Bytes] = OrderedDict()
        self._ways: OrderedDict[tuple[Any, ...], Array] = OrderedDict()
        steps = pipeline.running
        cuts = footage.cuts(pipeline.video["scene"])
        self.places = [Place(Step("input", "input", {}), 0, footage.folder, footage.count, footage.clip.fps, cuts)]
        told = [self._told(step) for step in steps]
        before = hashlib.sha256(f"{LAYOUT} {footage.folder.name} {cuts}".encode()).hexdigest()
        for n, step in enumerate(steps):
            last, stage = self.places[-1], STAGES[step.do]
            other = partner(steps, n)
            # What is carried was made by stages that stand behind, and depends on all of them.
            ahead = told[n + 1 : other + 1] if other is not None and other > n else []
            whole = [before, told[n], ahead, last.count if stage.whole else 0]
            before = hashlib.sha256(json.dumps(whole).encode()).hexdigest()
            factor = int(step.settings["factor"]) if step.do == "interpolate" else 1
            count = (last.count - 1) * factor + 1
            where = folder / f"{step.id}.{before[:12]}"
            place = Place(step, n + 1, where, count, last.fps * factor, [cut * factor for cut in last.cuts])
            place.partner = other + 1 if other is not None else None
            place.guide = last.guide
            if stage.moved == "new":
                place.guide = place.index
            elif stage.moved == "back" and place.partner is not None:
                place.guide = self.places[place.partner - 1].guide
            self.places.append(place)

    def _told(self, step: Step) -> str:
        """All that a stage's frames depend on beside what it takes."""
        if STAGES[step.do].painted:
            spec = spec_of(step, "frame.png", "frame.png", self.seeds[step.id])
            return key(f"{step.do} {step.settings['seed_step']}", spec, (), self.engine.catalogue)
        return key(step.do, dict(step.settings), (), self.engine.catalogue)

    def place(self, identity: str) -> Place:
        return next(place for place in self.places if place.step.id == identity)

    def path(self, index: int, number: int) -> Path:
        """The file of a frame, made now where it is not there."""
        place = self.places[index]
        path = place.path(number)
        if path.is_file():
            return path
        self.check()
        maker = self.maker(place)
        if hasattr(maker, "write"):
            maker.write(number, path)
        else:
            save(path, maker.frame(number))
        place.made += 1
        return path

    def maker(self, place: Place) -> Any:
        """The class that makes a stage's frames."""
        if place.maker is None:
            try:
                place.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise BadSpec(f"the folder {place.folder} cannot be made: {error.strerror}",
                              "Choose another place.") from error  # fmt: skip
            module, attribute = STAGES[place.step.do].run.split(":")
            place.maker = getattr(import_module(module), attribute)(Work(self, place))
        return place.maker

    def frame(self, index: int, number: int) -> Bytes:
        """[h, w, 3 or 4] of 0..255; a file that a disk has damaged is made again, by the next command where it
        is the footage's."""
        kept = self._frames.get((index, number))
        if kept is None:
            path = self.path(index, number)
            try:
                kept = _load(path)
            except GenerationError:
                path.unlink(missing_ok=True)
                if not index:
                    (path.parent / STATE).unlink(missing_ok=True)
                    raise
                kept = _load(self.path(index, number))
            self._frames[index, number] = kept
            if len(self._frames) > FRAMES_KEPT:
                self._frames.popitem(last=False)
        self._frames.move_to_end((index, number))
        return kept

    def way(self, index: int, one: int, other: int, shape: tuple[int, int], quality: str) -> Array:
        """The flow from a frame of a place to another one, at [h, w] pixels."""
        known = (index, one, other, shape, quality)
        if known not in self._ways:
            near, far = (to_floats(sized(rgb(self.frame(index, number)), shape)) for number in (one, other))
            self._ways[known] = flows.flow(near, far, quality)
            if len(self._ways) > WAYS_KEPT:
                self._ways.popitem(last=False)
        self._ways.move_to_end(known)
        return self._ways[known]

    def say(self, event: dict[str, Any]) -> None:
        """Notes once, not once a frame; of a frame's own progress only that something is loaded."""
        if event["kind"] == "note" and event["message"] not in self._said:
            self._said.add(event["message"])
            self._report(event)
        elif event["kind"] == "progress" and event["stage"] == "loading":
            self._report(event)


class Work:
    """What one stage sees of the chain: frames it takes, the filmed ones beside them, its settings, its folder.

    `count` frames come in, `fps` a second, the first of them `start` seconds into `clip`. `cuts` are those that begin a
    scene. Filmed frames show what the camera saw, in the places that the taken ones have: flow is looked for in them,
    as pictures that were painted have motions of their own.
    """

    def __init__(self, chain: Chain, place: Place) -> None:
        self._chain, self._place = chain, place
        self._before = chain.places[place.index - 1]
        self.step, self.settings, self.folder = place.step, place.step.settings, place.folder
        self.count, self.fps, self.cuts = self._before.count, self._before.fps, self._before.cuts
        self.clip, self.start = chain.clip, chain.first / chain.clip.fps
        self.engine, self.check, self.say = chain.engine, chain.check, chain.say
        self.seed = chain.seeds.get(place.step.id, 0)

    def source(self, number: int) -> Bytes:
        """[h, w, 3 or 4]: the frame that the stage takes."""
        return self._chain.frame(self._before.index, number)

    def source_path(self, number: int) -> Path:
        return self._chain.path(self._before.index, number)

    def filmed(self, number: int) -> Bytes:
        """[h, w, 3]"""
        return rgb(self._chain.frame(self._before.guide, number))

    def filmed_path(self, number: int) -> Path:
        return self._chain.path(self._before.guide, number)

    def way(self, one: int, other: int, shape: tuple[int, ...]) -> Array:
        """Where each pixel of the filmed frame `one` is in `other`, at [h, w] pixels."""
        size = int(shape[0]), int(shape[1])
        return self._chain.way(self._before.guide, one, other, size, str(self.settings["quality"]))

    def ways(self, one: int, other: int, shape: tuple[int, ...]) -> Array:
        """As `way`, put together frame by frame: over several frames motion is too far to be found at once."""
        step = 1 if other > one else -1
        way = self.way(one, one + step, shape)
        for number in range(one + step, other, step):
            way = way + flows.along_flow(self.way(number, number + step, shape), way)
        return way

    def scene(self, number: int) -> tuple[int, int]:
        """(the first frame of the scene, the first of the next one)."""
        first = max(cut for cut in self.cuts if cut <= number)
        return first, min((cut for cut in self.cuts if cut > number), default=self.count)

    def partner(self, number: int) -> Bytes:
        """A frame of the stage that this one belongs to.

        Of one that stands behind, all before it are made in order first: each looks at the one before it.
        """
        assert self._place.partner is not None
        place = self._chain.places[self._place.partner]
        if place.index > self._place.index:
            first = number
            while first > self.scene(number)[0] and not place.path(first - 1).is_file():
                first -= 1
            for earlier in range(first, number):
                self._chain.path(place.index, earlier)
        return self._chain.frame(place.index, number)

    def partner_size(self) -> tuple[int, int]:
        """(width, height) of that stage's frames."""
        height, width = self.partner(0).shape[:2]
        return width, height

    def partner_maker(self) -> Any:
        """What makes that stage's frames."""
        assert self._place.partner is not None
        return self._chain.maker(self._chain.places[self._place.partner])


def rgb(picture: Bytes) -> Bytes:
    """Without transparency: what is clear is white, as pictures are read."""
    if picture.shape[-1] == 3:
        return picture
    share = picture[..., 3:].astype(np.float32) / 255
    return (picture[..., :3] * share + 255 * (1 - share)).round().astype(np.uint8)


def sized(picture: Bytes, shape: tuple[int, ...]) -> Bytes:
    """The picture at [h, w] pixels."""
    if picture.shape[:2] == tuple(shape[:2]):
        return picture
    return np.asarray(Image.fromarray(picture).resize((shape[1], shape[0]), pictures.LANCZOS))


def _load(path: Path) -> Bytes:
    """As `pictures.read`, with the transparency there is."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGBA" if image.mode == "RGBA" else "RGB"))
    # Pillow's decoders answer damage with errors of many kinds.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
        raise BadImage(f"{path} is damaged", "Give the same command again: it is made anew.") from error

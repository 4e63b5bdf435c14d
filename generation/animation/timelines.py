"""Settings over time: what every schedule, seed and prompt is at each frame of an animation.

Everything here follows from the settings and the number of the frame alone, never from the frame before: an animation
that was stopped goes on with the same values. Knows Deforum's seed behaviours. No torch.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from generation.animation import parseq
from generation.animation.deforum_keys import SCHEDULES, SWITCHED, WORDS
from generation.animation.evaluation import Prompts, evaluate, prompts
from generation.animation.schedules import parse, read_prompts
from generation.animation.settings import Settings
from generation.errors import BadSchedule, BadSpec
from generation.specs import LARGEST_SEED

PAST = re.compile(r"frame \d+ is ignored")
# Degrees from one frame to the next beyond which less than half of what is seen was in the picture before.
WIDEST = 30.0
# What says nothing alone: where a manifest has one, the settings' other one is looked at.
PAIRS = {"subseed_schedule": "subseed_strength_schedule", "subseed_strength_schedule": "subseed_schedule"}
_Value = TypeVar("_Value")


class Timeline:
    """The values of `frames` frames; `seed` is the first one's. `warnings` name the key they are about.

    Raises `BadSpec` with the key, and the column of its schedule.
    """

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings, self.seed_0, self.frames = settings, seed, int(settings["max_frames"])
        self.cadence = int(settings["diffusion_cadence"])
        self.warnings: list[str] = []
        self._numbers: dict[str, NDArray[np.float64]] = {}
        self._words: dict[str, tuple[str, ...]] = {}
        given = settings["parseq_manifest"].strip()
        self.manifest = parseq.read(given, deltas=settings["parseq_use_deltas"]) if given else None
        there = {*self.manifest.values, *self.manifest.words} if self.manifest else set()
        for name in (*SCHEDULES, *WORDS):
            if name in there:
                continue
            switch = SWITCHED.get(name)
            used = name != "seed_schedule" or self.seeds == "schedule"
            if settings[name] and used and (switch is None or settings[switch] or PAIRS.get(name) in there):
                self._read(name)
        if self.manifest is not None:
            self._take(self.manifest)
        if self.manifest is None or not self.manifest.prompts:
            self._prompts = self._own_prompts()
        self.warnings += [f"prompts: {warning}" for warning in self._prompts.warnings]
        self.warnings = [*_gathered(self.warnings, self.frames), *self._turned()]

    def _turned(self) -> list[str]:
        """Told of turns that leave the picture: what stands in a guide as 150 is often meant as 1.50."""
        found = []
        for name in ("rotation_3d_x", "rotation_3d_y") if self.settings["animation_mode"] == "3D" else ():
            turns = np.abs((self._numbers.get(name, np.zeros(1)) + 180) % 360 - 180)
            if turns.max() > WIDEST:
                told = f"{name} turns by {turns.max():g} degrees from frame to frame at frame {turns.argmax()}"
                found.append(f"{told}: most of the picture leaves the view, and its edge is repeated instead")
        return found

    @property
    def seeds(self) -> str:
        """How the seed goes from frame to frame. Pictures that lead, and seeds of a manifest, go by their schedule."""
        scheduled = self.manifest is not None and "seed_schedule" in self.manifest.values
        return "schedule" if scheduled or self.settings["use_looper"] else str(self.settings["seed_behavior"])

    def _own_prompts(self) -> Prompts:
        try:
            keys = read_prompts(json.dumps(self.settings["prompts"]), self.settings["negative_prompts"])
            return prompts(keys, self.frames, seed=self.seed_0)
        except BadSchedule as error:
            raise BadSpec(f"prompts: {error.message}", error.hint) from None

    def _take(self, manifest: parseq.Manifest) -> None:
        """The manifest's values, the last of them held where it ends before the animation."""
        for name, values in manifest.values.items():
            self._numbers[name] = np.array(_filled(values, self.frames))
        for name, words in manifest.words.items():
            self._words[name] = _filled(words, self.frames)
        if manifest.prompts:
            added = self.settings["negative_prompts"].strip()
            pairs = [(one, ", ".join(part for part in (other, added) if part)) for one, other in manifest.prompts]
            told = _filled(pairs, self.frames)
            starts = (0, *(n for n, (before, now) in enumerate(pairwise(told), 1) if before != now))
            self._prompts = Prompts(told, (), starts)
        if manifest.frames != self.frames:
            held = "its last values are held" if manifest.frames < self.frames else "its first ones count"
            self.warnings.append(f"parseq_manifest has {manifest.frames} frames, the animation {self.frames}: {held}")
        if manifest.fps and manifest.fps != self.settings["fps"]:
            shown = f"{manifest.fps:g} frames a second, the animation {self.settings['fps']:g}"
            self.warnings.append(f"parseq_manifest is made for {shown}")

    def _read(self, name: str) -> None:
        words = name in WORDS
        try:
            found = evaluate(parse(self.settings[name], words=words), self.frames, seed=self.seed_0)
        except BadSchedule as error:
            raise BadSpec(f"{name}: {error.message}", error.hint) from None
        self.warnings += [f"{name}: {warning}" for warning in found.warnings]
        if words:
            self._words[name] = tuple(str(value) for value in found.values)
        else:
            self._numbers[name] = np.asarray(found.values)

    def at(self, name: str, frame: int) -> float:
        return float(self._numbers[name][frame])

    def has(self, name: str) -> bool:
        """Whether the settings have such a schedule and it is switched on."""
        return name in self._numbers or name in self._words

    def word(self, name: str, frame: int) -> str:
        return self._words[name][frame]

    def words(self, name: str) -> tuple[str, ...]:
        """The names a schedule has, each once."""
        return tuple(dict.fromkeys(self._words.get(name, ())))

    def prompt(self, frame: int) -> tuple[str, str]:
        """(positive, negative), with what the settings add to each."""
        return self._told(self._prompts.values[frame])

    def next_prompt(self, frame: int) -> tuple[tuple[str, str], float]:
        """(the pair the frame is on its way to, the share of the way that is gone); the same pair behind the last."""
        starts = self._prompts.starts
        place = bisect_right(starts, frame)
        if place == len(starts):
            return self.prompt(frame), 0.0
        begun, end = starts[place - 1], starts[place]
        return self.prompt(end), (frame - begun) / (end - begun)

    @property
    def starts(self) -> tuple[int, ...]:
        """The frames at which another prompt begins, the first of them 0."""
        return self._prompts.starts

    def _told(self, pair: tuple[str, str]) -> tuple[str, str]:
        added = self.settings["positive_prompts"].strip()
        return ", ".join(part for part in (pair[0], added) if part), pair[1]

    def seed(self, frame: int) -> int:
        """The seed a frame is denoised with, by how many were before it."""
        number, how = frame // self.cadence, self.seeds
        step = number // int(self.settings["seed_iter_N"])
        added = {
            "iter": step,
            "fixed": 0,
            "ladder": number // 2 + 2 * (number % 2),
            "alternate": number % 2,
        }
        if how in added:
            return (self.seed_0 + added[how]) % LARGEST_SEED
        wanted = int(self.at("seed_schedule", frame)) if how == "schedule" else -1
        return wanted % LARGEST_SEED if wanted >= 0 else drawn(self.seed_0, frame)


def _filled(values: Sequence[_Value], frames: int) -> tuple[_Value, ...]:
    """As many as there are frames, the last one repeated."""
    return (*values[:frames], *[values[-1]] * max(frames - len(values), 0))


def _gathered(warnings: list[str], frames: int) -> list[str]:
    """Keys past the end in one sentence: a short trial of a long animation has dozens of them."""
    late = [warning for warning in warnings if PAST.search(warning)]
    if len(late) < 4:
        return warnings
    names = list(dict.fromkeys(warning.partition(":")[0] for warning in late))
    told = f"{len(late)} keys stand behind the last frame, {frames - 1}, and are ignored: of {', '.join(names)}"
    return [told, *(warning for warning in warnings if warning not in late)]


def drawn(seed: int, frame: int, purpose: int = 0) -> int:
    """A seed of 32 bits that looks drawn and is the same for the same frame of the same animation."""
    return int(np.random.default_rng([seed, frame, purpose]).integers(2**32))


def clamped(value: float, low: float, high: float) -> Any:
    return min(max(value, low), high)

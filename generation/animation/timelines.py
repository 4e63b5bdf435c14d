"""Settings over time: what every schedule, seed and prompt is at each frame of an animation.

Everything here follows from the settings and the number of the frame alone, never from the frame before: an animation
that was stopped goes on with the same values. Knows Deforum's seed behaviours. No torch.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.animation.deforum_keys import SCHEDULES, SWITCHED, WORDS
from generation.animation.evaluation import evaluate, prompts
from generation.animation.schedules import parse, read_prompts
from generation.animation.settings import Settings
from generation.errors import BadSchedule, BadSpec
from generation.specs import LARGEST_SEED

PAST = re.compile(r"frame \d+ is ignored")


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
        for name in (*SCHEDULES, *WORDS):
            switch = SWITCHED.get(name)
            used = name != "seed_schedule" or settings["seed_behavior"] == "schedule"
            if settings[name] and used and (switch is None or settings[switch]):
                self._read(name)
        try:
            keys = read_prompts(json.dumps(settings["prompts"]), settings["negative_prompts"])
            self._prompts = prompts(keys, self.frames, seed=seed)
        except BadSchedule as error:
            raise BadSpec(f"prompts: {error.message}", error.hint) from None
        self.warnings += [f"prompts: {warning}" for warning in self._prompts.warnings]
        self.warnings = _gathered(self.warnings, self.frames)

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
        number, how = frame // self.cadence, self.settings["seed_behavior"]
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

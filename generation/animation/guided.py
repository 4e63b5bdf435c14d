"""Pictures that an animation is led by, one after the other: Deforum's guided images ("looper").

Knows which picture leads at a frame and how strongly; towards each of them the share swells and falls. Leaves what is
mixed with it to `denoising`. Pictures are float32 [height, width, 3] in 0..1.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray

from generation.animation import sources
from generation.animation.evaluation import prompts
from generation.animation.schedules import read_prompts
from generation.animation.timelines import Timeline, clamped
from generation.errors import BadSchedule, BadSpec

Array = NDArray[Any]
# Deforum's own: the share between swells, and the frames between pictures behind the last one.
RESTING = 0.07
BEHIND = 25


class Guides:
    """The pictures of an animation's `init_images`; `paths` are their files.

    Raises `BadSpec`, and `BadImage` when one cannot be read.
    """

    def __init__(self, line: Timeline, size: tuple[int, int]) -> None:
        self._line, self._size = line, size
        try:
            found = prompts(read_prompts(line.settings["init_images"]), line.frames, seed=line.seed_0)
        except BadSchedule as error:
            hint = 'Write {"0": "one.png", "max_f/2": "two.png"}.'
            raise BadSpec(f"init_images: {error.message.replace('prompt', 'picture')}", hint) from None
        self._starts = found.starts
        self.paths = [found.values[start][0] for start in found.starts]
        for path in self.paths:
            sources.local(path, "init_images")
        self._kept: tuple[int, Array] | None = None

    def at(self, frame: int) -> Array:
        """The picture that leads."""
        place = bisect_right(self._starts, frame) - 1
        if self._kept is None or self._kept[0] != place:
            self._kept = place, sources.picture(self.paths[place], "init_images", self._size)
        return self._kept[1]

    def strength(self, frame: int) -> float:
        """How much of what a frame starts from stays."""
        return float(clamped(self._line.at("image_strength_schedule", frame), 0.0, 1.0))

    def share(self, frame: int) -> float:
        """How much of the leading picture is mixed into what the frame starts from."""
        way = BEHIND
        for begin, end in pairwise(self._starts):
            if begin <= frame <= end:
                way = end - begin
        swell = max(self._line.at("tweening_frames_schedule", frame), 1.0)
        if frame % way > swell:
            return RESTING
        wave = math.cos((frame % swell) / (swell / 2))
        most, slope = self._line.at("blendFactorMax", frame), self._line.at("blendFactorSlope", frame)
        return float(clamped(most - slope * wave, 0.0, 1.0))

    def colour(self, frame: int) -> float:
        """How much of its colours the result takes, beside those of what it started from."""
        return float(clamped(self._line.at("color_correction_factor", frame), 0.0, 1.0))

"""Flicker taken out of pictures that were made one by one, by the frames before and behind.

Knows what of a neighbour is the same thing seen again. Leaves flow to `flow`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.animation import flow as flows
from generation.animation.colour import to_bytes, to_floats
from generation.animation.stages.chain import Work, rgb, sized

Array = NDArray[Any]
Bytes = NDArray[np.uint8]


class Deflicker:
    """The weighted mean of a picture and its neighbours, each brought to it along the filmed motion.

    A neighbour counts weight ** distance, where the way there and back leads home, less where its colours differ
    (a bilateral mean along the flow; Bonneel et al. 2015 ask for the same of their solver). Scenes are not mixed.
    """

    def __init__(self, work: Work) -> None:
        self._work = work

    def frame(self, number: int) -> Bytes:
        work, radius = self._work, int(self._work.settings["radius"])
        weight, alike = np.float32(work.settings["weight"]), np.float32(work.settings["alike"])
        own = to_floats(rgb(work.source(number)))
        first, behind = work.scene(number)
        total, shares = own.copy(), np.ones((*own.shape[:2], 1), np.float32)
        for other in range(max(number - radius, first), min(number + radius + 1, behind)):
            if other == number:
                continue
            way = work.ways(number, other, own.shape)
            moved = flows.along(to_floats(sized(rgb(work.source(other)), own.shape)), way)
            apart = (moved - own).mean(-1, keepdims=True)
            share = weight ** abs(other - number) * np.exp(-((apart / alike) ** 2))
            share = share * flows.seen(way, work.ways(other, number, own.shape))[..., None]
            total += moved * share
            shares += share
        return to_bytes(total / shares)

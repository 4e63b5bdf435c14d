"""Pictures taken along from frame to frame by the filmed motion: the one before mixed in, or key frames spread out.

Knows where a pixel cannot come from another frame: hidden, or of another look there. Leaves flow to `flow`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.animation import colour
from generation.animation import flow as flows
from generation.animation.colour import to_bytes, to_floats
from generation.animation.stages.chain import Work, rgb, sized

Array = NDArray[Any]
Bytes = NDArray[np.uint8]
SOFT = 1.5  # pixels over which the edge of what is hidden fades, where the picture has 512
UNLIKE = 0.1  # difference of filmed values at which a far frame's pixel counts for a third


class Carry:
    """What the next stage starts from: the frame, with the picture made before it where that is seen in both.

    The idea is WarpFusion's (Derrick Schultz's and Alex Spirin's notebooks): what was painted once is painted over, not
    anew. The first frame of a scene passes as it is.
    """

    def __init__(self, work: Work) -> None:
        self._work = work

    def frame(self, number: int) -> Bytes:
        work = self._work
        source = rgb(work.source(number))
        if number == work.scene(number)[0]:
            return source
        before = to_floats(sized(rgb(work.partner(number - 1)), source.shape))
        way = work.way(number, number - 1, source.shape)
        sure = flows.seen(way, work.way(number - 1, number, source.shape)).astype(np.float32)
        moved = flows.along(before, way)
        now = to_floats(source)
        if work.settings["match"]:
            moved = self._matched(moved, number)
        share = np.float32(work.settings["weight"]) * colour.softened(sure, SOFT * max(source.shape[:2]) / 512)
        return to_bytes(now + (moved - now) * share[..., None])

    def _matched(self, moved: Array, number: int) -> Array:
        """The carried picture in the colours of the scene's first one, brighter or darker as the film has become.

        A model that looks at its own picture again and again drives colours and contrast on, frame by frame.
        """
        work = self._work
        first = work.scene(number)[0]
        like = to_floats(sized(rgb(work.partner(first)), moved.shape))
        change = [work.filmed(one).mean((0, 1)) / 255 for one in (first, number)]
        return colour.matched(moved, np.clip(like + (change[1] - change[0]), 0, 1).astype(np.float32))


class Propagate:
    """Every so manieth frame of a scene as it is taken, and between them both moved along and mixed.

    Frames between are never asked of the stages before: a style is painted once in `every` frames (as EbSynth's, of
    Jamriska et al. 2019, without its patches). A scene's last frame is a key frame where the next key is beyond it.
    """

    def __init__(self, work: Work) -> None:
        self._work = work

    def frame(self, number: int) -> Bytes:
        work, every = self._work, int(self._work.settings["every"])
        first, behind = work.scene(number)
        left = first + (number - first) // every * every
        right = min(left + every, behind - 1)
        if number in {left, right}:
            return rgb(work.source(number))
        taken, weights = [], []
        for key, far in ((left, number - left), (right, right - number)):
            picture = to_floats(rgb(work.source(key)))
            way = work.ways(number, key, picture.shape)
            filmed, there = (to_floats(sized(work.filmed(one), picture.shape)) for one in (number, key))
            apart = np.abs(flows.along(there, way) - filmed).mean(-1)
            taken.append(flows.along(picture, way))
            # Nearness counts, likeness more; never quite nothing, so that each pixel has a colour.
            weights.append((np.exp(-((apart / UNLIKE) ** 2)) + 1e-3) * (1 - far / (right - left)))
        near, other = weights
        share = (other / (near + other))[..., None].astype(np.float32)
        return to_bytes(taken[0] + (taken[1] - taken[0]) * share)

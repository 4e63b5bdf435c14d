"""Frames put in between two: along optical flow, or by a network in a local file.

Knows which of them are copies: all of the taken frames, and those between two scenes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.animation import flow as flows
from generation.animation.colour import to_bytes, to_floats
from generation.animation.stages import interpolators
from generation.animation.stages.chain import Work, rgb
from generation.errors import BadSpec

Array = NDArray[Any]
Bytes = NDArray[np.uint8]


class Interpolate:
    """`factor` times as many frames: every one of those taken, and between them new ones; scenes are not mixed."""

    def __init__(self, work: Work) -> None:
        self._work = work
        named = str(work.settings["network"])
        self._network = interpolators.load(Path(named)) if named else None
        self._gap: tuple[int, Callable[[float], Array]] | None = None
        refusal = self._network.refusal(int(work.settings["factor"])) if self._network else ""
        if refusal:
            raise BadSpec(f"{Path(named).name}: {refusal}", "Give another factor, or another file.")

    def frame(self, number: int) -> Bytes:
        work, factor = self._work, int(self._work.settings["factor"])
        left, part = divmod(number, factor)
        if not part:
            return work.source(left)
        if left + 1 in work.cuts:
            return work.source(left)
        share = part / factor
        if self._network is not None:
            return to_bytes(self._made(left)(share))
        one, other = (self._taken(n) for n in (left, left + 1))
        # The taken frames' own motion: what is put between must follow what is shown.
        quality = str(work.settings["quality"])
        return to_bytes(between(one, other, share, quality))

    def _made(self, left: int) -> Callable[[float], Array]:
        """What the network makes behind the frame `left`, kept for all the frames there; a scene's ends stand twice."""
        if self._gap is None or self._gap[0] != left:
            assert self._network is not None
            first, behind = self._work.scene(left)
            around = range(left + 1 - self._network.reach, left + 1 + self._network.reach)
            self._gap = left, self._network.gap([self._taken(min(max(n, first), behind - 1)) for n in around])
        return self._gap[1]

    def _taken(self, number: int) -> Array:
        return to_floats(rgb(self._work.source(number)))


def between(one: Array, other: Array, share: float, quality: str = "medium") -> Array:
    """The picture at `share` of the way, out of both neighbours; where one of them is hidden, out of the other alone.

    Motion is taken as even between them: the way from here back is that of the frame before, as long as the share.
    """
    forward, backward = flows.flow(one, other, quality), flows.flow(other, one, quality)
    share = float(share)
    # Each flow brought to where its pixels are by now (Jiang et al. 2018, arXiv:1712.00080, equation 4).
    to_one = -(1 - share) * share * forward + share * share * backward
    to_other = (1 - share) ** 2 * forward - share * (1 - share) * backward
    near, far = flows.along(one, to_one), flows.along(other, to_other)
    seen_near = flows.along(_shown(forward, backward), to_one)[..., :1]
    seen_far = flows.along(_shown(backward, forward), to_other)[..., :1]
    weights = (1 - share) * seen_near + 1e-3, share * seen_far + 1e-3
    return np.asarray((near * weights[0] + far * weights[1]) / (weights[0] + weights[1]), dtype=np.float32)


def _shown(forward: Array, backward: Array) -> Array:
    return np.repeat(flows.seen(forward, backward)[..., None], 3, -1).astype(np.float32)

"""Networks that put frames in between, from local files: RIFE, FILM or FLAVR, told by the names of their tensors.

Knows which there are. Each gives `reach`, the frames it looks at on each side; `refusal(factor)`, why it cannot give so
many frames; and `gap(frames)`, what gives the picture at a share of the way between the two in the middle.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from generation.animation.stages import film, flavr, rife, tensors
from generation.errors import BadWeights

Array = NDArray[Any]
KINDS = (rife, film, flavr)
HINT = (
    f"Give flownet.pkl of RIFE {rife.VERSIONS}, film_net_fp32.pt of FILM or FLAVR_2x.pth (4x, 8x), "
    "or leave network out for optical flow."
)


class Network(Protocol):
    reach: int

    def refusal(self, factor: int) -> str: ...

    def gap(self, frames: list[Array]) -> Callable[[float], Array]: ...


def load(path: Path) -> Network:
    """The network of a file (.pkl, .pth, .pt or .safetensors). Raises `BadWeights` in one line."""
    found = tensors.read(path, HINT)
    for kind in KINDS:
        if kind.known(found):
            network: Network = kind.of(found, path.name)
            return network
    raise BadWeights(f"{path.name} is no network that puts frames in between", HINT)

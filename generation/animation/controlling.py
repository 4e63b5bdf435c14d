"""Pictures that steer an animation's frames: Deforum's ControlNet units as controls of each frame's render.

Knows what units are called in A1111's ControlNet, and which picture each has at a frame. Leaves networks and conditions
to `controls`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from generation.animation.clips import PICTURES, Clip
from generation.animation.colour import to_bytes
from generation.animation.deforum_keys import UNITS
from generation.animation.frames import save
from generation.animation.sources import Followed, local
from generation.animation.timelines import Timeline, clamped
from generation.errors import BadSpec, nearest
from generation.preprocessors import PREPROCESSORS

Array = NDArray[Any]
# How A1111's preprocessors begin -> ours. Its openpose looks for people, ours reads a skeleton.
MODULES = {
    "depth": "depth", "hed": "softedge", "pidi": "softedge", "softedge": "softedge", "lineart": "lineart",
    "scribble": "scribble", "fake_scribble": "scribble", "openpose": "dwpose", "dw": "dwpose", "normal": "normal",
    "seg": "segmentation", "tile": "tile", "shuffle": "shuffle", "invert": "invert", "canny": "canny", "none": "none",
}  # fmt: skip
_HASH = re.compile(r"\s*\[[0-9a-f]{6,}\]$")
CANNY = 2040  # the largest gradient


class Units:
    """The units that are on. `folder` takes the pictures of the frame that is being made.

    Raises `BadSpec` for a preprocessor there is none of, `BadVideo` for a video.
    """

    def __init__(self, line: Timeline, size: tuple[int, int], folder: Path) -> None:
        on = [n for n in UNITS if line.settings[f"cn_{n}_enabled"]]
        self._units = [_Unit(line, n, size, folder / f"control-{n}.png") for n in on]

    def at(self, frame: int, started: Array | None) -> tuple[dict[str, Any], ...]:
        """The controls of a frame's render; `started` is the picture it starts from, None where it has none."""
        found = (unit.at(frame, started) for unit in self._units)
        return tuple(control for control in found if control is not None)


class _Unit:
    def __init__(self, line: Timeline, n: int, size: tuple[int, int], file: Path) -> None:
        self._line, self._name, self._file = line, f"cn_{n}", file
        self._size = size
        self._told: dict[str, Any] = {
            "preprocessor": preprocessor(self._of("module"), f"cn_{n}_module"),
            "model": _HASH.sub("", self._of("model").strip()) if self._of("model") != "None" else "",
            "mode": _mode(self._of("control_mode")),
            "resize": _resize(self._of("resize_mode")),
        }
        own = {parameter.name for parameter in PREPROCESSORS[self._told["preprocessor"]].parameters}
        if self._told["preprocessor"] == "canny":
            low, high = sorted(int(clamped(self._of(f"threshold_{end}"), 0, CANNY)) for end in "ab")
            self._told |= {"low": low, "high": high}
        depth = line.settings["depth_model"] if self._told["preprocessor"] == "depth" else ""
        if "weights" in own and (weights := self._of("weights") or depth):
            self._told["weights"] = weights
        self._path = self._of("vid_path").strip() if not self._of("loopback_mode") else ""
        self._video: Followed | None = None
        if self._path and not self._still:
            clip = Clip(local(self._path, f"{self._name}_vid_path"))
            self._video = Followed(clip, size, how=self._told["resize"])

    def _of(self, what: str) -> Any:
        return self._line.settings[f"{self._name}_{what}"]

    @property
    def _still(self) -> bool:
        path = local(self._path, f"{self._name}_vid_path")
        return path.suffix.lower() in {*PICTURES, ".json"} and not path.is_dir()

    def at(self, frame: int, started: Array | None) -> dict[str, Any] | None:
        def value(what: str, most: float = 1.0) -> float:
            return float(clamped(self._line.at(f"{self._name}_{what}", frame), 0.0, most))

        weight, start, end = value("weight", 2.0), value("guidance_start"), value("guidance_end")
        if weight == 0 or start >= end:
            return None
        picture = self._video.at(frame) if self._video is not None else started
        if self._path and self._video is None:
            image = str(local(self._path, f"{self._name}_vid_path"))
        elif picture is None:
            return None  # the first frame, which starts from nothing
        else:
            image = str(save(self._file, to_bytes(picture)))
        return {**self._told, "image": image, "weight": weight, "start": start, "end": end}


def preprocessor(module: str, name: str) -> str:
    """Ours for one of A1111's. Raises `BadSpec`."""
    told = module.strip().lower()
    if told in PREPROCESSORS and told != "openpose":
        return told
    for begin in sorted(MODULES, key=len, reverse=True):
        if told.startswith(begin):
            return MODULES[begin]
    raise BadSpec(
        f'{name} "{module[:40]}" has no preprocessor here',
        nearest(told, PREPROCESSORS) or f"Choose: {', '.join(PREPROCESSORS)}.",
    )


def _mode(text: str) -> str:
    words = text.lower()
    return "prompt" if "prompt" in words else "control" if "control" in words else "balanced"


def _resize(text: str) -> str:
    words = text.lower()
    return "stretch" if "just" in words else "fill" if "outer" in words or "fill" in words else "crop"

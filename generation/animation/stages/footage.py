"""The frames of the video that stages begin with: on disk, at one size, with the cuts between scenes.

Knows how far a video was taken apart; a stopped one goes on. Leaves reading files to `clips`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generation import pictures
from generation.animation.clips import Clip, resized
from generation.animation.frames import save
from generation.errors import BadSpec

Bytes = NDArray[np.uint8]
Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
STATE = "footage.json"
BINS = 8  # a channel
SMALL = 128  # pixels of the side that colours are counted at


class Footage:
    """Frames 000000.png, ... of a clip under `folder`: `frames` of them from `first` on, fewer where it is shorter.

    `size` is (width, height), multiples of 8. `differences` has for each frame how far its colours are from those of
    the one before: 0 the same, 1 no colour in common. Raises `BadSpec` where the clip is over before `first`.
    """

    def __init__(
        self,
        clip: Clip,
        folder: Path,
        size: tuple[int, int],
        first: int,
        frames: int,
        *,
        report: Report = lambda event: None,
        check: Check = lambda: None,
    ) -> None:
        self.clip, self.folder, self.size = clip, folder, size
        known = _known(folder)
        self.differences: list[float] = known.get("differences", [])
        whole = bool(known.get("whole"))
        if not (whole or (frames and len(self.differences) >= frames)):
            self._take(first, frames, report, check)
        if frames:
            self.differences = self.differences[:frames]
        if not self.differences:
            raise BadSpec(f"{clip.path.name} has no frame from {first} on", "Lower first.")

    @property
    def count(self) -> int:
        return len(self.differences)

    def cuts(self, threshold: float) -> list[int]:
        """Frames that begin a scene; the first of all always does."""
        return [0, *(n for n, value in enumerate(self.differences) if n and threshold and value > threshold)]

    def _take(self, first: int, frames: int, report: Report, check: Check) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadSpec(f"the folder {self.folder} cannot be made: {error.strerror}", "Choose another place.") from (
                error
            )
        found: list[float] = []
        before: Bytes | None = None
        total = frames or max(self.clip.frames - first, 0) or None
        whole = True
        for number, frame in enumerate(self.clip.part(first=first)):
            check()
            if frames and number == frames:
                whole = False
                break
            path = self.folder / f"{number:06d}.png"
            fitted = resized(frame, self.size)
            if not path.is_file():
                save(path, fitted)
            found.append(difference(before, fitted) if before is not None else 0.0)
            before = fitted
            report({"kind": "progress", "stage": "reading", "done": number + 1, "total": total})
        self.differences = found
        if self.clip.note:
            report({"kind": "note", "message": self.clip.note})
        temporary = self.folder / f".{STATE}.{os.getpid()}.part"
        temporary.write_text(json.dumps({"differences": found, "whole": whole}), "utf-8")
        temporary.replace(self.folder / STATE)


def size_of(clip: Clip, width: int, height: int) -> tuple[int, int]:
    """The size frames are worked at: what is asked for, the other side in proportion, multiples of 8."""
    return pictures.size_for(Image.new("L", (clip.width, clip.height)), width or None, height or None)


def difference(one: Bytes, other: Bytes) -> float:
    """Half the sum of differences of two colour histograms, 8 bins a channel: 0 the same, 1 nothing in common."""
    return float(np.abs(_colours(one) - _colours(other)).sum() / 2)


def _colours(frame: Bytes) -> NDArray[Any]:
    scale = SMALL / max(frame.shape[:2])
    if scale < 1:
        frame = np.asarray(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    counts = cv2.calcHist([np.ascontiguousarray(frame)], [0, 1, 2], None, [BINS] * 3, [0, 256] * 3)
    # A brightness that moves over a bin's edge is no cut: bins share with their neighbours.
    for axis in range(3):
        counts = sum(np.roll(np.pad(counts, 1), shift, axis)[1:-1, 1:-1, 1:-1] for shift in (-1, 0, 1))
    return np.asarray(counts / counts.sum())


def _known(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / STATE).read_text("utf-8"))
        return found if isinstance(found, dict) and isinstance(found.get("differences"), list) else {}
    except (OSError, ValueError):
        return {}

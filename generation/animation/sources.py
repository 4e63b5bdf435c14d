"""What an animation takes from files: pictures to begin with, masks, and videos followed frame by frame.

Knows sizes, masks' adjustments and where a video stands; leaves what is done with them to `deforum` and `hybrid`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generation import pictures
from generation.animation.clips import Clip, resized
from generation.animation.colour import to_floats
from generation.animation.settings import Settings
from generation.errors import BadSpec

Array = NDArray[Any]
Size = tuple[int, int]
FILES = ("init_image", "mask_file", "video_init_path", "video_mask_path", "color_coherence_image_path", "walk_audio")
OF_THE_VIDEO = frozenset(
    "batch_name fps make_gif skip_video_creation add_soundtrack soundtrack_path delete_imgs sd_model_name".split()
)


class Followed:
    """A video beside an animation: its frame `n` for frame n, at the animation's size; behind its end the last one.

    Frames are asked for in order; asking for an earlier one goes through it again from the start.
    """

    def __init__(self, clip: Clip, size: Size, *, every: int = 1, first: int = 0, last: int = -1) -> None:
        self.clip, self._size = clip, size
        self._part = {"every": every, "first": first, "last": last}
        self._begin()

    def count(self) -> int:
        """How many frames the part has: by reading them, for what a damaged file says of itself is not so."""
        return sum(1 for _ in self.clip.part(**self._part))

    def _begin(self) -> None:
        self._rest: Iterator[Any] = self.clip.part(**self._part)
        self._number = -1
        self._now: Array | None = None

    def at(self, number: int) -> Array:
        """[h, w, 3] in 0..1. Raises `BadSpec` where the part chosen of it has no frame at all."""
        if number < self._number:
            self._begin()
        while self._number < number:
            frame = next(self._rest, None)
            if frame is None:
                break
            self._now, self._number = to_floats(resized(frame, self._size)), self._number + 1
        if self._now is None:
            raise BadSpec(
                f"{self.clip.path.name} has no frame from {self._part['first']} on", "Lower extract_from_frame."
            )
        return self._now


def followed(settings: Settings, name: str, size: Size) -> Followed | None:
    """The video a setting names, None where it is empty. Raises `BadVideo`, `BadSpec`."""
    path = settings[name].strip()
    if not path:
        return None
    clip = Clip(local(path, name))
    return Followed(
        clip,
        size,
        every=settings["extract_nth_frame"],
        first=settings["extract_from_frame"],
        last=settings["extract_to_frame"],
    )


def depended(settings: Settings) -> dict[str, Any]:
    """What frames depend on: every value but those of the video made of them, and the state of the files named."""
    found = {name: value for name, value in settings.values.items() if name not in OF_THE_VIDEO}
    for name in FILES:
        path = Path(settings[name]).expanduser()
        if settings[name] and path.is_file():
            found[f"{name} as it is"] = [path.stat().st_size, path.stat().st_mtime_ns]
    return found


def local(path: str, name: str) -> Path:
    """A path on this machine; settings of other people often name addresses. Raises `BadSpec`."""
    if not path.strip():
        raise BadSpec(f"{name} is empty", "Name a file, or switch off what needs it.")
    if "://" in path:
        raise BadSpec(f"{name} is an address: {path[:60]}", "Nothing is fetched here. Name a file on this machine.")
    return Path(path).expanduser()


def picture(path: str, name: str, size: Size) -> Array:
    return pictures.to_array(pictures.fitted(pictures.read(local(path, name)), size))


def mask_of(settings: Settings, size: Size) -> Array | None:
    """[h, w] in 0..1, 1 where the frame changes; None without a mask. Raises `BadImage`, `BadSpec`."""
    if settings["use_alpha_as_mask"] and settings["use_init"] and settings["init_image"]:
        path = local(settings["init_image"], "init_image")
    elif settings["use_mask"] and settings["mask_file"]:
        path = local(settings["mask_file"], "mask_file")
    elif settings["use_mask"]:
        raise BadSpec("use_mask is on and there is no mask_file", "Name one, or switch it off.")
    else:
        return None
    return adjusted(np.asarray(pictures.read_mask(path).resize(size), dtype=np.float32) / 255, settings)


def adjusted(mask: Array, settings: Settings) -> Array:
    """Contrast about the middle, then brightness, then turned over where that is asked for."""
    middle = np.float32(mask.mean())
    found = (mask - middle) * np.float32(settings["mask_contrast_adjust"]) + middle
    found = np.clip(found * np.float32(settings["mask_brightness_adjust"]), 0, 1)
    return (1 - found if settings["invert_mask"] else found).astype(np.float32)


def grey(frame: Array) -> Array:
    """A frame of a video of masks as a mask."""
    shown = Image.fromarray((frame * 255).round().astype(np.uint8)).convert("L")
    return np.asarray(shown, dtype=np.float32) / 255

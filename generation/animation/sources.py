"""What an animation takes from files: pictures to begin with, masks, and videos followed frame by frame.

Knows sizes, masks' adjustments and where a video stands; leaves what is done with them to `deforum` and `hybrid`.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generation import pictures
from generation.animation.clips import Clip, resized
from generation.animation.colour import to_floats
from generation.animation.deforum_keys import UNITS
from generation.animation.settings import Settings, local
from generation.errors import BadSpec

Array = NDArray[Any]
Size = tuple[int, int]
FILES = (
    "init_image", "mask_file", "video_init_path", "video_mask_path", "color_coherence_image_path", "walk_audio",
    "parseq_manifest", *(f"cn_{n}_vid_path" for n in UNITS),
)  # fmt: skip
OF_THE_VIDEO = frozenset(
    "batch_name fps make_gif skip_video_creation add_soundtrack soundtrack_path delete_imgs sd_model_name "
    "r_upscale_video r_upscale_factor r_upscale_model frame_interpolation_engine frame_interpolation_x_amount "
    "frame_interpolation_slow_mo_enabled frame_interpolation_slow_mo_amount frame_interpolation_use_upscaled "
    "frame_interpolation_network".split()
)


class Followed:
    """A video beside an animation: its frame `n` for frame n, at the animation's size; behind its end the last one.

    Frames are asked for in order; asking for an earlier one goes through it again from the start.
    """

    def __init__(
        self, clip: Clip, size: Size, *, every: int = 1, first: int = 0, last: int = -1, how: str = "crop"
    ) -> None:
        self.clip, self._size, self._how = clip, size, how
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
            self._now, self._number = to_floats(resized(frame, self._size, self._how)), self._number + 1
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
    return found | {f"{name} as it is": known for name in FILES if (known := state(settings[name])) is not None}


def state(path: str) -> list[Any] | None:
    """What tells a file that changed from what it was; None for what is no file."""
    with suppress(OSError, ValueError):  # a manifest's own text is no name of a file
        there = Path(path).expanduser().stat()
        if path and stat.S_ISREG(there.st_mode):
            return [path, there.st_size, there.st_mtime_ns]
    return None


def picture(path: str, name: str, size: Size) -> Array:
    return pictures.to_array(pictures.fitted(pictures.read(local(path, name)), size))


def mask_of(settings: Settings, size: Size) -> Array | None:
    """[h, w] in 0..1, white where the frame changes; None without a mask. Raises `BadImage`, `BadSpec`."""
    if settings["use_alpha_as_mask"] and settings["use_init"] and settings["init_image"]:
        return mask(settings["init_image"], settings, size, "init_image")
    if settings["use_mask"] and settings["mask_file"]:
        return mask(settings["mask_file"], settings, size, "mask_file")
    if settings["use_mask"] and not settings["use_mask_video"]:
        raise BadSpec("use_mask is on and there is no mask_file", "Name one, or switch it off.")
    return None


def mask(path: str, settings: Settings, size: Size, name: str = "a mask") -> Array:
    """[h, w] of a file, adjusted."""
    read = pictures.read_mask(local(path, name)).resize(size)
    return adjusted(np.asarray(read, dtype=np.float32) / 255, settings)


def adjusted(mask: Array, settings: Settings) -> Array:
    """Contrast about the middle, then brightness."""
    middle = np.float32(mask.mean())
    found = (mask - middle) * np.float32(settings["mask_contrast_adjust"]) + middle
    return np.clip(found * np.float32(settings["mask_brightness_adjust"]), 0, 1).astype(np.float32)


def grey(frame: Array) -> Array:
    """A frame of a video of masks as a mask."""
    shown = Image.fromarray((frame * 255).round().astype(np.uint8)).convert("L")
    return np.asarray(shown, dtype=np.float32) / 255

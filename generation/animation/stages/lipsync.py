"""Mouths made to say what is heard: a face found in each frame, spoken by Wav2Lip, its lower half laid back.

Knows which face and which piece of the sound belong to a frame. Leaves the network to `wav2lip`, the spectrogram to
`speech`. What it makes has 96 pixels: a stage `face_restore` behind it sharpens it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generation.animation import speech
from generation.animation.colour import to_floats
from generation.animation.stages import wav2lip
from generation.animation.stages.chain import Work, rgb
from generation.animation.stages.wav2lip import SIDE, STEPS
from generation.errors import BadSpec
from generation.faces import files
from generation.faces.detection import faces, overlap
from generation.faces.swapping import which

Array = NDArray[Any]
Bytes = NDArray[np.uint8]
SAME = 0.3  # overlap from which on the neighbour's face is taken for this one
FEWEST = 8  # pixels of a side that a face has
# Where the new face fades in, as shares of the box: below the nose's bridge, away from cheeks and chin.
TOP, FULL, EDGE = 0.42, 0.56, 0.1


class LipSync:
    """Frames whose lower face says what is heard at their time; those without a face stay as they are."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._network = wav2lip.load(Path(str(work.settings["network"])))
        self._detector = files.find("detector", work.engine.catalogue)
        self._boxes: dict[int, Array | None] = {}
        self._mel = self._heard()

    def frame(self, number: int) -> Bytes:
        picture = self._work.source(number)
        box = self._smoothed(number)
        if box is None:
            note = f"{self._work.step.id}: frames in which no face is found stay as they are"
            self._work.say({"kind": "note", "message": note})
            return picture
        left, top, right, bottom = box
        shown = to_floats(rgb(picture)[top:bottom, left:right])
        shrunk = min(shown.shape[:2]) > SIDE
        face = cv2.resize(shown, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrunk else cv2.INTER_LINEAR)
        first = int(speech.STEPS * number / self._work.fps)
        made = self._network.spoken(np.asarray(face), self._mel[:, first : first + STEPS])
        large = np.clip(cv2.resize(made, (right - left, bottom - top), interpolation=cv2.INTER_CUBIC), 0, 1)
        share = cv2.resize(_mask(), (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)[..., None]
        done = picture.copy()
        part = done[top:bottom, left:right, :3]
        part[:] = np.round(part * (1 - share) + large * 255 * share).astype(np.uint8)
        return done

    def _heard(self) -> Array:
        """The spectrogram from the first frame on, silent behind the sound's end."""
        work = self._work
        named = str(work.settings["sound"])
        if not named and not work.clip.audio:
            raise BadSpec(f"{work.step.id}: {work.clip.path.name} has no sound of its own",
                          "Give sound: the file of what is said.")  # fmt: skip
        seconds = work.count / work.fps + (STEPS + 1) / speech.STEPS
        path, start = (Path(named), 0.0) if named else (work.clip.path, work.start)
        mel = speech.mel(speech.wave(path, start, seconds))
        missing = int(speech.STEPS * seconds) + 1 - mel.shape[1]
        return np.pad(mel, ((0, 0), (0, max(missing, 0))), constant_values=speech.SILENCE)

    def _smoothed(self, number: int) -> tuple[int, int, int, int] | None:
        """(left, top, right, bottom) in whole pixels, averaged over the same face's neighbours in the scene."""
        box = self._found(number)
        if box is None:
            return None
        first, behind = self._work.scene(number)
        around = int(self._work.settings["smooth"])
        near = (self._found(n) for n in range(max(number - around, first), min(number + around + 1, behind)))
        same = [one for one in near if one is not None and overlap(one, box) > SAME]
        height, width = self._work.source(number).shape[:2]
        left, top, right, bottom = np.mean(same, axis=0).tolist()
        bottom += (bottom - top) * float(self._work.settings["chin"])
        left, right = (min(max(round(end), 0), width) for end in (left, right))
        top, bottom = (min(max(round(end), 0), height) for end in (top, bottom))
        return (left, top, right, bottom) if min(right - left, bottom - top) >= FEWEST else None

    def _found(self, number: int) -> Array | None:
        """A frame's face as [left, top, right, bottom], None where there is none."""
        if number not in self._boxes:
            found = faces(Image.fromarray(rgb(self._work.source(number))), self._detector)
            self._boxes[number] = np.array(which(found, str(self._work.settings["which"]))[0].box) if found else None
        return self._boxes[number]


@cache
def _mask() -> Array:
    """[96, 96] float32: 1 around the mouth, 0 above the nose and at the edges, softly between."""
    at = (np.arange(SIDE) + 0.5) / SIDE
    across = _soft(np.minimum(at, 1 - at) / EDGE)
    down = _soft((at - TOP) / (FULL - TOP)) * _soft((1 - at) / EDGE)
    return np.outer(down, across).astype(np.float32)


def _soft(share: Array) -> Array:
    share = np.clip(share, 0, 1)
    return np.asarray(share * share * (3 - 2 * share))

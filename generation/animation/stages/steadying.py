"""The camera's motion found, taken out of the frames, and given back behind what is done to them meanwhile.

Knows similarities (turn, scale, shift) between frames, by points that are followed or by a face. A frame's transform is
kept as a matrix [2, 3] from its own places to the steady ones, in pixels of the frame.
"""

from __future__ import annotations

import json
import os
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generation.animation.stages.chain import Work, rgb
from generation.faces import files
from generation.faces.detection import faces

Array = NDArray[Any]
Bytes = NDArray[np.uint8]
TRANSFORMS = "transforms.json"
POINTS, QUALITY, APART = 400, 0.01, 5  # Shi and Tomasi's corners
FEWEST = 6  # points that a similarity is believed of


class Stabilise:
    """Frames as from a camera that stands still, or whose path is smoothed over `smooth` frames a side.

    Noise that is the same in every frame then stays where it is on what is shown. Borders are the last pixels repeated.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._transforms: list[Array] = []

    def frame(self, number: int) -> Bytes:
        return warped(self._work.source(number), self.transforms()[number])

    def transforms(self) -> list[Array]:
        """Of every frame; looked for once for all, and kept beside the frames."""
        path = self._work.folder / TRANSFORMS
        if not self._transforms and path.is_file():
            try:
                found = [np.array(one, np.float64).reshape(2, 3) for one in json.loads(path.read_text("utf-8"))]
            except (OSError, ValueError, TypeError):
                found = []
            self._transforms = found if len(found) == self._work.count else []
        if not self._transforms:
            self._transforms = self._found()
            temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
            temporary.write_text(json.dumps([one.tolist() for one in self._transforms]), "utf-8")
            temporary.replace(path)
        return self._transforms

    def _found(self) -> list[Array]:
        work = self._work
        between = self._by_face if work.settings["hold"] == "face" else self._by_points
        height, width = work.source(0).shape[:2]
        centre = np.array([width / 2, height / 2])
        made: list[Array] = []
        for n, first in enumerate(work.cuts):
            behind = work.scene(first)[1]
            steps = np.zeros((behind - first, 4))
            for number in range(first + 1, behind):
                work.check()
                steps[number - first] = _read(between(number - 1, number), centre)
            path = np.cumsum(steps, axis=0)
            made += [_matrix(values, centre) for values in _smooth(path, int(work.settings["smooth"])) - path]
            work.say({"kind": "note", "message": f"{work.step.id}: the camera of scene {n + 1} is followed"})
        return made

    def _by_points(self, before: int, number: int) -> Array | None:
        one, other = (cv2.cvtColor(rgb(self._work.source(n)), cv2.COLOR_RGB2GRAY) for n in (before, number))
        points = cv2.goodFeaturesToTrack(one, POINTS, QUALITY, APART)
        if points is None or len(points) < FEWEST:
            return None
        there, found, _ = cv2.calcOpticalFlowPyrLK(one, other, points, None)  # type: ignore[call-overload]
        known = found.ravel() == 1
        if known.sum() < FEWEST:
            return None
        # Most of the points are the background's: RANSAC leaves out what moves by itself.
        matrix, _ = cv2.estimateAffinePartial2D(points[known], there[known], ransacReprojThreshold=1.0)
        return matrix

    def _by_face(self, before: int, number: int) -> Array | None:
        detector = files.find("detector", self._work.engine.catalogue)
        found = [faces(Image.fromarray(rgb(self._work.source(n))), detector) for n in (before, number)]
        if not all(found):
            return None
        one, other = (np.asarray(group[0].points, np.float32) for group in found)
        return np.asarray(cv2.estimateAffinePartial2D(one, other, method=cv2.LMEDS)[0])


class Unstabilise:
    """Each frame under the reverse of the transform that the stabilising stage gave it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._transforms: list[Array] = work.partner_maker().transforms()
        self._size = work.partner_size()

    def frame(self, number: int) -> Bytes:
        picture = self._work.source(number)
        back = np.asarray(cv2.invertAffineTransform(self._transforms[number]))
        # Enlarged meanwhile, a shift is of as many pixels more.
        back[:, 2] *= picture.shape[1] / self._size[0]
        return warped(picture, back)


def warped(picture: Bytes, matrix: Array) -> Bytes:
    """The picture moved by a matrix [2, 3] from its places to the new ones."""
    size = picture.shape[1], picture.shape[0]
    return np.asarray(
        cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def _read(matrix: Array | None, centre: Array) -> Array:
    """(shift across and down of the centre, turn in radians, logarithm of the scale), 0 where nothing is known."""
    if matrix is None or not np.isfinite(matrix).all():
        return np.zeros(4)
    shift = matrix[:, :2] @ centre + matrix[:, 2] - centre
    scale = max(float(np.hypot(matrix[0, 0], matrix[1, 0])), 1e-6)
    return np.array([*shift, np.arctan2(matrix[1, 0], matrix[0, 0]), np.log(scale)])


def _matrix(values: Array, centre: Array) -> Array:
    turn, scale = values[2], np.exp(values[3])
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, centre + values[:2] - linear @ centre])


def _smooth(path: Array, radius: int) -> Array:
    """The path's running mean over `radius` frames a side, its ends going on as they stand; 0: its first place."""
    if not radius:
        return np.repeat(path[:1], len(path), axis=0)
    padded = np.pad(path, ((radius, radius), (0, 0)), mode="edge")
    window = np.ones(2 * radius + 1) / (2 * radius + 1)
    return np.stack([np.convolve(column, window, mode="valid") for column in padded.T], -1)

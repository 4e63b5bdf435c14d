"""Faces found by SCRFD (Guo et al. 2021, arXiv:2105.04714), the detector of insightface's packages.

At strides of 8, 16 and 32 pixels the network says for two anchors a place how sure it is of a face, how far its sides
are, and where its five points are, all counted in strides.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from generation.errors import BadWeights
from generation.faces.files import asked

SIDE = 640  # pixels that a picture is brought to
STRIDES = (8, 16, 32)
ANCHORS = 2
SURE = 0.5
SAME = 0.4  # overlap of boxes that are one face


@dataclass(frozen=True)
class Face:
    """`box` (left, top, right, bottom) and `points` [5, 2] in pixels of the picture, `score` 0..1."""

    box: tuple[float, float, float, float]
    points: np.ndarray
    score: float

    @property
    def area(self) -> float:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def faces(picture: Image.Image, detector: Path) -> list[Face]:
    """The faces of an RGB picture, the largest first. Raises `BadWeights` for a file that is no such detector."""
    scale = SIDE / max(picture.size)
    small = picture.resize(
        (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)), Image.Resampling.BILINEAR
    )
    canvas = np.zeros((SIDE, SIDE, 3), np.float32)
    canvas[: small.height, : small.width] = np.asarray(small.convert("RGB"), np.float32)
    found = asked(detector, ((canvas - 127.5) / 128).transpose(2, 0, 1)[None])
    return decoded(found, scale, detector.name)


def decoded(outputs: list[np.ndarray], scale: float, name: str = "the detector") -> list[Face]:
    """Faces of the nine outputs (scores, boxes, points, three strides each), each told once."""
    levels = len(STRIDES)
    if len(outputs) != 3 * levels:
        raise BadWeights(f"{name} does not tell faces' points", "Choose det_10g.onnx.")
    scores, boxes, points = [], [], []
    for n, stride in enumerate(STRIDES):
        side = SIDE // stride
        y, x = np.mgrid[:side, :side]
        centres = np.repeat(np.stack([x, y], -1).reshape(-1, 2) * stride, ANCHORS, 0).astype(np.float32)
        score, far, five = (outputs[n + levels * kind].reshape(-1, width) for kind, width in enumerate((1, 4, 10)))
        if not len(score) == len(far) == len(five) == len(centres):
            raise BadWeights(f"{name} answers in another size than {SIDE} pixels", "Choose det_10g.onnx.")
        sure = score[:, 0] >= SURE
        far, centres = far[sure] * stride, centres[sure]
        scores.append(score[sure, 0])
        boxes.append(np.concatenate([centres - far[:, :2], centres + far[:, 2:]], 1))
        points.append(centres[:, None] + five[sure].reshape(-1, 5, 2) * stride)
    score, box, point = np.concatenate(scores), np.concatenate(boxes) / scale, np.concatenate(points) / scale
    found = [
        Face(tuple(float(v) for v in box[n]), point[n], float(score[n]))  # type: ignore[arg-type]
        for n in once(box, score)
    ]
    return sorted(found, key=lambda face: -face.area)


def once(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Which boxes stay when those that overlap a surer one by more than `SAME` (area of both over either) go."""
    left = list(np.argsort(-scores))
    kept: list[int] = []
    while left:
        first = left.pop(0)
        kept.append(int(first))
        left = [n for n in left if overlap(boxes[first], boxes[n]) <= SAME]
    return kept


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return float(both / (areas[0] + areas[1] - both))

"""Skeletons of the people in a picture by DWPose (Yang et al. 2023, arXiv:2307.15880), from its authors' ONNX files.

A detector (YOLOX) gives boxes, the pose network 133 points in each: COCO-WholeBody's order. Knows how pixels go in and
how both answers are read. Leaves drawing to `poses`. onnxruntime is optional.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from generation.errors import BadImage, BadWeights
from generation.preprocessors.keypoints import Point, Pose, body
from generation.preprocessors.poses import draw

Box = tuple[float, float, float, float]

HINT = "Give weights: DWPose's file dw-ll_ucoco_384.onnx; its detector is yolox_l.onnx."
MEAN = np.array((123.675, 116.28, 103.53), np.float32)
DEVIATION = np.array((58.395, 57.12, 57.375), np.float32)
MARGIN = 1.25  # the box is taken this much larger, so that no hand is cut off
PERSON, OVERLAP, FILL = 0.3, 0.45, 114
STRIDES = (8, 16, 32)
BODY, FACE, LEFT_HAND, RIGHT_HAND = slice(0, 17), slice(23, 91), slice(91, 112), slice(112, 133)


def run(
    image: Image.Image,
    *,
    weights: str = "",
    detector: str = "",
    confidence: float = 0.3,
    face_and_hands: bool = True,
) -> Image.Image:
    """The skeletons on black. Without a detector the picture is taken for one person's.

    Raises `BadWeights` naming the package or file that is missing, `BadImage` where nobody is found.
    """
    pixels = np.asarray(image.convert("RGB"))
    if not weights:
        raise BadWeights("dwpose needs weights that do not come with the program", HINT)
    network = _session(weights)
    boxes = people(_session(detector), pixels) if detector else [(0.0, 0.0, float(image.width), float(image.height))]
    poses = [pose(network, pixels, box) for box in boxes]
    if not any(point[2] >= confidence for one in poses for point in one.body):
        raise BadImage("dwpose finds nobody in the picture", "Choose a picture of a person, or lower the confidence.")
    return draw(poses, image.size, confidence=confidence, face_and_hands=face_and_hands)


def _session(path: str) -> Any:
    file = Path(path).expanduser()
    if not file.is_file():
        raise BadWeights(f"there is no file {file}", HINT)
    return _opened(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _opened(file: Path, changed: int) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise BadWeights("dwpose needs the package onnxruntime, which is not installed",
                         "Run: pip install onnxruntime.") from error  # fmt: skip
    try:
        return onnxruntime.InferenceSession(str(file), providers=onnxruntime.get_available_providers())
    # onnxruntime's own errors share no class that can be imported everywhere.
    except Exception as error:
        raise BadWeights(f"{file} is no ONNX network: {' '.join(str(error).split())[:100]}", HINT) from error


def people(session: Any, pixels: np.ndarray) -> list[Box]:
    """Boxes (left, top, right, bottom) of the people in pixels [h, w, 3], the surest first."""
    side = int(session.get_inputs()[0].shape[-1])
    scale = min(side / pixels.shape[0], side / pixels.shape[1])
    height, width = round(pixels.shape[0] * scale), round(pixels.shape[1] * scale)
    padded = np.full((side, side, 3), FILL, np.float32)
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    # YOLOX was trained on blue, green, red of 0..255.
    padded[:height, :width] = np.asarray(small)[..., ::-1]
    answer = session.run(None, {session.get_inputs()[0].name: padded.transpose(2, 0, 1)[None]})[0][0]
    boxes, scores = decoded(answer, side)
    kept = apart(boxes / scale, scores)
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in boxes[kept] / scale]


def decoded(answer: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [n, 4] and scores [n] of YOLOX's answer [cells, 5 + classes], class 0 being a person (arXiv:2107.08430)."""
    grids, strides = [], []
    for stride in STRIDES:
        count = side // stride
        x, y = np.meshgrid(np.arange(count), np.arange(count))
        grids.append(np.stack([x, y], -1).reshape(-1, 2))
        strides.append(np.full((count * count, 1), stride))
    grid, stride_of = np.concatenate(grids), np.concatenate(strides)
    middle = (answer[:, :2] + grid) * stride_of
    size = np.exp(answer[:, 2:4]) * stride_of
    scores = answer[:, 4] * answer[:, 5]
    sure = scores > PERSON
    return np.concatenate([middle - size / 2, middle + size / 2], 1)[sure], scores[sure]


def apart(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Numbers of the boxes that are left when each takes away those that overlap it and are less sure."""
    kept: list[int] = []
    for number in np.argsort(-scores, kind="stable"):
        if all(_overlap(boxes[number], boxes[other]) <= OVERLAP for other in kept):
            kept.append(int(number))
    return kept


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    inside = np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0).prod()
    whole = (one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - inside
    return float(inside / whole) if whole > 0 else 0.0


def pose(session: Any, pixels: np.ndarray, box: Box) -> Pose:
    """The pose in a box of pixels [h, w, 3]."""
    height, width = (int(side) for side in session.get_inputs()[0].shape[-2:])
    left, top, right, bottom = widened(box, width / height)
    window = Image.fromarray(pixels).transform(
        (width, height), Image.Transform.EXTENT, (left, top, right, bottom), Image.Resampling.BILINEAR
    )
    data = ((np.asarray(window, dtype=np.float32) - MEAN) / DEVIATION).transpose(2, 0, 1)[None]
    across, down = session.run(None, {session.get_inputs()[0].name: data})[:2]
    points = placed(across[0], down[0], (left, top, right, bottom))
    return Pose(body(points[BODY]), tuple(points[FACE]), tuple(points[LEFT_HAND]), tuple(points[RIGHT_HAND]))


def widened(box: Box, shape: float) -> Box:
    """The box with its margin, in the shape (width / height) the network reads."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    width, height = (box[2] - box[0]) * MARGIN, (box[3] - box[1]) * MARGIN
    width, height = max(width, height * shape), max(height, width / shape)
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def placed(across: np.ndarray, down: np.ndarray, window: Box) -> list[Point]:
    """Points of the network's answers [points, bins]: the likeliest bin of each axis (SimCC, arXiv:2107.03332)."""
    left, top, right, bottom = window
    x = left + across.argmax(1) / across.shape[1] * (right - left)
    y = top + down.argmax(1) / down.shape[1] * (bottom - top)
    sure = np.clip(np.minimum(across.max(1), down.max(1)), 0, 1)
    return [(float(a), float(b), float(c)) for a, b, c in zip(x, y, sure, strict=True)]

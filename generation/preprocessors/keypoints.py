"""Poses as keypoints: OpenPose's JSON (BODY_25 and COCO-18), COCO's 17 and MediaPipe's 33 points, as one shape.

A body is brought to COCO-18, which the ControlNets for poses were trained on. Knows files and numbers. Leaves drawing
to `poses`. Imports nothing heavy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation.errors import BadImage

# (x, y, confidence); x and y in pixels of the canvas.
Point = tuple[float, float, float]
NOWHERE: Point = (0.0, 0.0, 0.0)
LARGEST = 20_000_000  # bytes of a file
# COCO-18: nose, neck, right shoulder, elbow, wrist, left ..., right hip, knee, ankle, left ..., eyes, ears. Where each
# stands in the other orders; -1 is the neck, half way between the shoulders.
ORDERS: dict[int, tuple[int, ...]] = {
    18: tuple(range(18)),
    25: (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18),
    17: (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3),
    33: (0, -1, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7),
}
RIGHT_SHOULDER, LEFT_SHOULDER = 2, 5
HINT = "Give OpenPose's JSON (people with pose_keypoints_2d), or MediaPipe's landmarks."


@dataclass(frozen=True)
class Pose:
    """One person: `body` has 18 points, `face` 68 or 70, each hand 21, or none."""

    body: tuple[Point, ...]
    face: tuple[Point, ...] = ()
    left_hand: tuple[Point, ...] = ()
    right_hand: tuple[Point, ...] = ()

    @property
    def points(self) -> tuple[Point, ...]:
        return (*self.body, *self.face, *self.left_hand, *self.right_hand)

    def scaled(self, x: float, y: float, left: float = 0.0, top: float = 0.0) -> Pose:
        """The pose with each point at (x * its x + left, y * its y + top)."""

        def moved(points: tuple[Point, ...]) -> tuple[Point, ...]:
            return tuple((a * x + left, b * y + top, c) for a, b, c in points)

        return Pose(moved(self.body), moved(self.face), moved(self.left_hand), moved(self.right_hand))


@dataclass(frozen=True)
class Poses:
    """`canvas` is (width, height) in pixels, None where the file does not say it."""

    people: tuple[Pose, ...]
    canvas: tuple[float, float] | None = None


def read(path: Path) -> Poses:
    """The poses of a JSON file. Raises `BadImage` for one that is missing, damaged, or holds no person."""
    try:
        if path.stat().st_size > LARGEST:
            raise BadImage(f"{path} is too large for a file of keypoints", HINT)
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BadImage(f"there is no file {path}", "Check the path.") from error
    except OSError as error:
        raise BadImage(f"{path} cannot be read: {error.strerror}", "Check its rights.") from error
    except (ValueError, RecursionError) as error:
        empty = "is empty (0 bytes)" if path.stat().st_size == 0 else "is no JSON"
        raise BadImage(f"{path} {empty}", HINT) from error
    try:
        poses = parse(data)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        reason = error.args[0] if isinstance(error, ValueError) and error.args else "its keypoints are no numbers"
        raise BadImage(f"{path} is no file of keypoints: {reason}", HINT) from error
    if not any(point[2] > 0 for pose in poses.people for point in pose.body):
        raise BadImage(f"{path} holds no person", HINT)
    return poses


def parse(data: Any) -> Poses:
    """Poses of JSON data: one frame, or a list of which the first counts. Raises ValueError saying what is wrong."""
    if isinstance(data, list) and data and isinstance(data[0], dict) and "people" in data[0]:
        data = data[0]
    canvas = None
    if isinstance(data, dict) and data.get("canvas_width") and data.get("canvas_height"):
        canvas = (_number(data["canvas_width"]), _number(data["canvas_height"]))
        if min(canvas) <= 0:
            raise ValueError("its canvas has no size")
    if isinstance(data, dict) and isinstance(data.get("people"), list):
        people = tuple(_person(one) for one in data["people"])
    else:
        people = tuple(Pose(body(points)) for points in _landmarks(data))
    # Some tools write shares of the canvas instead of pixels.
    points = [point for pose in people for point in pose.points if point[2] > 0]
    if points and all(-0.5 <= x <= 1.5 and -0.5 <= y <= 1.5 for x, y, _ in points):
        canvas = canvas or (512.0, 512.0)
        people = tuple(pose.scaled(*canvas) for pose in people)
    return Poses(people, canvas)


def body(points: Sequence[Point]) -> tuple[Point, ...]:
    """COCO-18 of 17, 18, 25 or 33 points in the order that count has. Raises ValueError for another count."""
    if not points:
        return (NOWHERE,) * 18
    order = ORDERS.get(len(points))
    if order is None:
        raise ValueError(f"a body of {len(points)} points is unknown ({', '.join(map(str, sorted(ORDERS)))} are known)")
    found = [points[place] if place >= 0 else NOWHERE for place in order]
    if -1 in order:
        one, other = found[RIGHT_SHOULDER], found[LEFT_SHOULDER]
        found[order.index(-1)] = ((one[0] + other[0]) / 2, (one[1] + other[1]) / 2, min(one[2], other[2]))
    return tuple(found)


def _person(one: Any) -> Pose:
    def part(name: str) -> tuple[Point, ...]:
        return triples(one.get(name) or [])

    return Pose(
        body(part("pose_keypoints_2d")),
        part("face_keypoints_2d"),
        part("hand_left_keypoints_2d"),
        part("hand_right_keypoints_2d"),
    )


def triples(numbers: Sequence[Any]) -> tuple[Point, ...]:
    """Points of x, y, confidence, x, y, confidence, ..."""
    if len(numbers) % 3:
        raise ValueError("its numbers are no triples of x, y and confidence")
    flat = [_number(value) for value in numbers]
    return tuple((flat[n], flat[n + 1], flat[n + 2]) for n in range(0, len(flat), 3))


def _landmarks(data: Any) -> list[list[Point]]:
    """MediaPipe's points as tables of x and y, of one person or several; COCO's as one flat list."""
    if isinstance(data, dict):
        if isinstance(data.get("keypoints"), list):
            return [list(triples(data["keypoints"]))]
        data = next((data[name] for name in ("pose_landmarks", "landmarks") if name in data), None)
    if not isinstance(data, list) or not data:
        raise ValueError("it holds no people")
    people = data if isinstance(data[0], list) else [data]
    return [[(_number(p["x"]), _number(p["y"]), _number(p.get("visibility", 1.0))) for p in one] for one in people]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("its keypoints are no numbers")
    return float(value)

"""Skeletons as the ControlNets for poses read them: each limb and joint in its own colour on black.

Knows the colours, their order and the thickness of limbs (OpenPose, Cao et al. 2019, arXiv:1812.08008, as ControlNet's
training pictures were drawn). Leaves files of keypoints to `keypoints`.
"""

from __future__ import annotations

import colorsys
import math
from pathlib import Path

from PIL import Image, ImageDraw

from generation.errors import BadImage
from generation.preprocessors.keypoints import Point, Pose, Poses, read

# Limbs as pairs of COCO-18's points, in the order of their colours; the ears' ties to the shoulders are not drawn.
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255),
    (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
DIMMED = 0.6  # share of its colour a limb has, so that the joints stand out
# Fingers from the wrist out: four bones each.
FINGERS = tuple(
    (0 if bone == 0 else 4 * finger + bone, 4 * finger + bone + 1) for finger in range(5) for bone in range(4)
)
USUAL = 512  # pixels of the longer side at which widths are as given


def openpose(
    image: Image.Image, *, line_width: float = 4.0, confidence: float = 0.1, face_and_hands: bool = True
) -> Image.Image:
    """A picture of a skeleton is the condition already; keypoints come through `from_keypoints`."""
    return image.convert("RGB")


def from_keypoints(
    path: Path,
    size: tuple[int, int] | None,
    how: str = "crop",
    *,
    line_width: float = 4.0,
    confidence: float = 0.1,
    face_and_hands: bool = True,
) -> Image.Image:
    """The skeletons of a JSON file at `size`, None for the file's own canvas, which is fitted as `how` says.

    Raises `BadImage` for a file without a person.
    """
    poses = read(path)
    canvas = poses.canvas or _canvas(poses, size)
    if size is None:
        size = (min(max(round(canvas[0]), 1), 8192), min(max(round(canvas[1]), 1), 8192))
    placed = [fitted(pose, canvas, size, how) for pose in poses.people]
    if not any(point[2] > 0 and _inside(point, size) for pose in placed for point in pose.body):
        raise BadImage(f"no point of {path} lies inside the picture", "Give the canvas it was made for, or fill.")
    return draw(placed, size, line_width=line_width, confidence=confidence, face_and_hands=face_and_hands)


def fitted(pose: Pose, canvas: tuple[float, float], size: tuple[int, int], how: str) -> Pose:
    """The pose on a picture of another size: stretched, or in proportion, cropped or with room left beside it."""
    x, y = size[0] / canvas[0], size[1] / canvas[1]
    if how != "stretch":
        x = y = max(x, y) if how == "crop" else min(x, y)
    return pose.scaled(x, y, (size[0] - canvas[0] * x) / 2, (size[1] - canvas[1] * y) / 2)


def draw(
    poses: list[Pose],
    size: tuple[int, int],
    *,
    line_width: float = 4.0,
    confidence: float = 0.1,
    face_and_hands: bool = True,
) -> Image.Image:
    """The skeletons [height, width] on black; points less certain than `confidence` are left out with their limbs."""
    picture = Image.new("RGB", size)
    pen = ImageDraw.Draw(picture)
    half = line_width * max(size) / USUAL
    least = max(confidence, 1e-6)
    for pose in poses:
        for (start, end), colour in zip(LIMBS, COLOURS, strict=False):
            one, other = pose.body[start], pose.body[end]
            if min(one[2], other[2]) >= least:
                dim = tuple(int(value * DIMMED) for value in colour)
                pen.polygon(limb(one, other, max(half, 0.75)), fill=dim)
        for point, colour in zip(pose.body, COLOURS, strict=True):
            _dot(pen, point, half, colour, least)
        if not face_and_hands:
            continue
        for hand in (pose.left_hand, pose.right_hand):
            _hand(pen, hand, half, least)
        for point in pose.face:
            _dot(pen, point, half * 0.75, (255, 255, 255), least)
    return picture


def limb(one: Point, other: Point, half: float) -> list[tuple[float, float]]:
    """The outline of an ellipse from one point to another, `half` pixels from its axis at its middle."""
    x, y = (one[0] + other[0]) / 2, (one[1] + other[1]) / 2
    length = math.dist(one[:2], other[:2]) / 2
    turn = math.atan2(other[1] - one[1], other[0] - one[0])
    outline = []
    for degrees in range(0, 360, 6):
        along, across = length * math.cos(math.radians(degrees)), half * math.sin(math.radians(degrees))
        outline.append(
            (x + along * math.cos(turn) - across * math.sin(turn), y + along * math.sin(turn) + across * math.cos(turn))
        )
    return outline


def _hand(pen: ImageDraw.ImageDraw, hand: tuple[Point, ...], half: float, least: float) -> None:
    """A finger's bones in the colours of the rainbow, the joints blue."""
    if len(hand) != 21:
        return
    for number, (start, end) in enumerate(FINGERS):
        one, other = hand[start], hand[end]
        if min(one[2], other[2]) >= least:
            colour = tuple(round(255 * value) for value in colorsys.hsv_to_rgb(number / len(FINGERS), 1, 1))
            pen.line([one[:2], other[:2]], fill=colour, width=max(round(half / 2), 1))
    for point in hand:
        _dot(pen, point, half, (0, 0, 255), least)


def _dot(pen: ImageDraw.ImageDraw, point: Point, radius: float, colour: tuple[int, int, int], least: float) -> None:
    if point[2] >= least:
        x, y, _ = point
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _inside(point: Point, size: tuple[int, int]) -> bool:
    return 0 <= point[0] < size[0] and 0 <= point[1] < size[1]


def _canvas(poses: Poses, size: tuple[int, int] | None) -> tuple[float, float]:
    """The canvas of a file that names none: the picture's where everything is inside it, else what holds all points."""
    points = [point for pose in poses.people for point in pose.points if point[2] > 0]
    if size is not None and all(_inside(point, size) for point in points):
        return float(size[0]), float(size[1])
    # A tenth more than the farthest point, as there is usually room below the feet.
    return max(x for x, _, _ in points) * 1.1, max(y for _, y, _ in points) * 1.1

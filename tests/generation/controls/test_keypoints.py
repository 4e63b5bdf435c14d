"""Poses from JSON files in every order that tools write, drawn in the colours ControlNets were trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from generation.errors import BadImage, BadSpec, BadWeights
from generation.preprocessors import dwpose
from generation.preprocessors.keypoints import ORDERS, body, parse, read
from generation.preprocessors.poses import COLOURS, FINGERS, LIMBS, draw, limb
from generation.preprocessors.prepared import prepare

# A person on a canvas of 200x300, by COCO-18's names.
PERSON = {
    "nose": (100, 40), "neck": (100, 80), "right shoulder": (70, 80), "right elbow": (55, 120),
    "right wrist": (50, 160), "left shoulder": (130, 80), "left elbow": (145, 120), "left wrist": (150, 160),
    "right hip": (80, 160), "right knee": (80, 210), "right ankle": (80, 260), "left hip": (120, 160),
    "left knee": (120, 210), "left ankle": (120, 260), "right eye": (94, 34), "left eye": (106, 34),
    "right ear": (86, 40), "left ear": (114, 40),
}  # fmt: skip
NAMES = list(PERSON)


def openpose(count: int = 18, scale: tuple[float, float] = (1, 1), **more: Any) -> dict[str, Any]:
    points = [(0.0, 0.0, 0.0)] * count
    for number, place in enumerate(ORDERS[count]):
        if place >= 0:
            x, y = PERSON[NAMES[number]]
            points[place] = (x * scale[0], y * scale[1], 0.9)
    person = {"pose_keypoints_2d": [value for point in points for value in point], **more}
    return {"people": [person], "canvas_width": 200, "canvas_height": 300}


def at(picture: Image.Image, name: str) -> tuple[int, ...]:
    return tuple(np.asarray(picture)[PERSON[name][1], PERSON[name][0]].tolist())


def write(folder: Path, data: Any) -> Path:
    path = folder / "pose.json"
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("count", [18, 25, 17, 33])
def test_every_order_gives_the_same_body(count: int) -> None:
    (person,) = parse(openpose(count)).people
    for name, point in zip(NAMES, person.body, strict=True):
        assert point[:2] == PERSON[name], name


def test_mediapipes_shares_of_the_picture_become_pixels() -> None:
    landmarks = [{"x": 0.0, "y": 0.0, "visibility": 0.0}] * 33
    for number, place in enumerate(ORDERS[33]):
        if place >= 0:
            x, y = PERSON[NAMES[number]]
            landmarks[place] = {"x": x / 200, "y": y / 300, "visibility": 0.8}
    poses = parse({"landmarks": landmarks, "canvas_width": 200, "canvas_height": 300})
    assert poses.people[0].body[0][:2] == pytest.approx(PERSON["nose"])
    assert parse([landmarks, landmarks]).canvas == (512, 512)
    assert len(parse([landmarks, landmarks]).people) == 2


def test_joints_and_limbs_have_their_own_colours(tmp_path: Path) -> None:
    picture = prepare("openpose", write(tmp_path, openpose()), None)
    assert picture.size == (200, 300)
    for name, colour in zip(NAMES, COLOURS, strict=True):
        if name not in {"neck"}:
            assert at(picture, name) == colour, name
    # Half way along the right upper arm: the third limb's colour, dimmed.
    middle = np.asarray(picture)[100, 62].tolist()
    assert middle == [int(value * 0.6) for value in COLOURS[2]]
    assert LIMBS[2] == (2, 3)
    assert np.asarray(picture)[290, 10].tolist() == [0, 0, 0]


def test_what_is_not_certain_is_left_out_with_its_limbs(tmp_path: Path) -> None:
    data = openpose()
    data["people"][0]["pose_keypoints_2d"][3 * 3 + 2] = 0.05
    picture = prepare("openpose", write(tmp_path, data), None)
    assert at(picture, "right elbow") == (0, 0, 0)
    assert np.asarray(picture)[100, 62].tolist() == [0, 0, 0]
    sure = prepare("openpose", write(tmp_path, data), None, values={"confidence": 0.01})
    assert at(sure, "right elbow") == COLOURS[3]


def test_the_canvas_is_fitted_as_a_picture_is(tmp_path: Path) -> None:
    path = write(tmp_path, openpose())
    half = prepare("openpose", path, (100, 150))
    assert np.asarray(half)[20, 50].tolist() == list(COLOURS[0])
    # Cropped to a square: 200 pixels of the height of 300 are seen, 50 are lost at the top.
    square = np.asarray(prepare("openpose", path, (200, 200), "crop"))
    assert square[160 - 50, 80].tolist() == list(COLOURS[8])
    filled = np.asarray(prepare("openpose", path, (300, 300), "fill"))
    assert filled[40, 150].tolist() == list(COLOURS[0])
    stretched = np.asarray(prepare("openpose", path, (400, 300), "stretch"))
    assert stretched[40, 200].tolist() == list(COLOURS[0])


def test_hands_and_faces_are_drawn_when_asked_for(tmp_path: Path) -> None:
    hand = [value for n in range(21) for value in (20 + 2 * n, 200, 0.9)]
    face = [value for n in range(70) for value in (20 + n, 280, 0.9)]
    path = write(tmp_path, openpose(hand_left_keypoints_2d=hand, face_keypoints_2d=face))
    with_them = np.asarray(prepare("openpose", path, None))
    without = np.asarray(prepare("openpose", path, None, values={"face_and_hands": False}))
    assert with_them[200, 20].tolist() == [0, 0, 255]
    assert with_them[280, 50].tolist() == [255, 255, 255]
    assert not without[200, 20].any() and not without[280, 50].any()
    assert FINGERS[:5] == ((0, 1), (1, 2), (2, 3), (3, 4), (0, 5)) and len(FINGERS) == 20


def test_without_a_canvas_the_picture_is_it_where_everything_is_inside(tmp_path: Path) -> None:
    data = openpose()
    del data["canvas_width"]
    path = write(tmp_path, data)
    assert np.asarray(prepare("openpose", path, (400, 300)))[40, 100].tolist() == list(COLOURS[0])
    small = np.asarray(prepare("openpose", path, (64, 64), "fill"))
    assert small.any()


def test_a_limb_is_an_ellipse() -> None:
    outline = np.array(limb((0, 0, 1), (10, 0, 1), 2))
    assert outline.min(0) == pytest.approx([0, -2], abs=0.02)
    assert outline.max(0) == pytest.approx([10, 2], abs=0.02)


def test_a_drawn_skeleton_is_the_condition_already(tmp_path: Path) -> None:
    picture = draw(list(parse(openpose()).people), (200, 300))
    picture.save(tmp_path / "drawn.png")
    assert np.array_equal(np.asarray(prepare("openpose", tmp_path / "drawn.png", None)), np.asarray(picture))


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "0 bytes"), ("{", "no JSON"), ("[]", "no people"), ('{"people": []}', "no person"), ("3", "no people"),
     ('{"people": [{"pose_keypoints_2d": [1, 2]}]}', "triples"), ('{"people": [{}]}', "no person"),
     ('{"people": [{"pose_keypoints_2d": [1, 2, "x"]}]}', "no numbers"), ('{"people": [3]}', "no numbers"),
     ('{"people": [{"pose_keypoints_2d": [1, 2, 0.9]}]}', "1 points"), ("[" * 3000, "no JSON"),
     ('{"people": [{"pose_keypoints_2d": [NaN, 2, 0.9]}]}', "no numbers"),
     ('{"people": [], "canvas_width": -3, "canvas_height": 4}', "no size")],
)  # fmt: skip
def test_files_that_are_no_poses_are_refused_in_a_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "pose.json"
    path.write_text(content)
    with pytest.raises(BadImage, match=said) as told:
        read(path)
    assert "\n" not in told.value.message and told.value.hint


def test_other_kinds_do_not_read_keypoints(tmp_path: Path) -> None:
    with pytest.raises(BadSpec, match=r"canny reads pictures") as told:
        prepare("canny", write(tmp_path, openpose()), (64, 64))
    assert "openpose" in told.value.hint
    with pytest.raises(BadImage, match="no file"):
        prepare("openpose", tmp_path / "none.json", None)


def test_an_unknown_number_of_points_is_named() -> None:
    with pytest.raises(ValueError, match="19 points"):
        body([(0.0, 0.0, 1.0)] * 19)


# DWPose, its networks played by functions


class Played:
    """What onnxruntime's session looks like from outside."""

    def __init__(self, shape: tuple[int, ...], answers: list[np.ndarray]) -> None:
        self.shape, self.answers, self.seen = shape, answers, []  # type: ignore[var-annotated]

    def get_inputs(self) -> list[Any]:
        return [type("Input", (), {"name": "input", "shape": list(self.shape)})]

    def run(self, names: Any, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.seen.append(given["input"])
        return self.answers


def simcc(points: dict[int, tuple[float, float]], width: int, height: int) -> list[np.ndarray]:
    across, down = np.zeros((1, 133, width * 2), np.float32), np.zeros((1, 133, height * 2), np.float32)
    for number, (x, y) in points.items():
        across[0, number, round(x * 2)] = down[0, number, round(y * 2)] = 0.9
    return [across, down]


def test_dwpose_reads_the_likeliest_bins_in_the_box() -> None:
    session = Played((1, 3, 64, 48), simcc({0: (24, 16), 5: (40, 32), 6: (8, 32)}, 48, 64))
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[:] = (10, 20, 30)
    found = dwpose.pose(session, pixels, (100.0, 40.0, 160.0, 120.0))
    # The box of 60x80 has the network's shape: with its margin it is 75x100 around (130, 80).
    assert found.body[0][:2] == pytest.approx((130, 55))
    assert found.body[5][:2] == pytest.approx((92.5 + 40 / 48 * 75, 80))
    assert found.body[1][:2] == pytest.approx((130, 80)), "the neck is between the shoulders"
    assert found.body[4][2] == 0
    assert (len(found.face), len(found.left_hand), len(found.right_hand)) == (68, 21, 21)
    red, green, blue = session.seen[0][0, :, 30, 20]
    assert (red, green, blue) == pytest.approx(((10 - 123.675) / 58.395, (20 - 116.28) / 57.12, (30 - 103.53) / 57.375))


def test_the_detectors_boxes_are_decoded_and_kept_apart() -> None:
    cells = sum((64 // stride) ** 2 for stride in dwpose.STRIDES)
    answer = np.zeros((cells, 85), np.float32)
    # Two cells of the finest grid see the same person at (20, 12), 16x8 pixels large; a third sees a dog.
    for cell, sure in ((1 * 8 + 2, 0.9), (1 * 8 + 1, 0.6)):
        answer[cell, :2] = (20 / 8 - cell % 8, 12 / 8 - cell // 8)
        answer[cell, 2:4] = np.log([16 / 8, 8 / 8])
        answer[cell, 4], answer[cell, 5] = sure, 1.0
    answer[40, 4], answer[40, 6] = 0.9, 1.0
    session = Played((1, 3, 64, 64), [answer[None]])
    pixels = np.zeros((128, 64, 3), np.uint8)
    assert dwpose.people(session, pixels) == [pytest.approx((24, 16, 56, 32))]
    assert (session.seen[0][0, :, :, 40:] == dwpose.FILL).all(), "beside the picture, which is half as wide"


def test_dwpose_draws_and_says_when_nobody_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pose.onnx"
    file.write_bytes(b"not a network")
    picture = Image.new("RGB", (60, 80))
    with pytest.raises(BadWeights, match=r"pose\.onnx"):
        dwpose.run(picture, weights=str(file))
    seen = Played((1, 3, 64, 48), simcc({0: (24, 32), 5: (30, 40), 6: (18, 40)}, 48, 64))
    monkeypatch.setattr(dwpose, "_opened", lambda path, changed: seen)
    drawn = np.asarray(dwpose.run(picture, weights=str(file)))
    assert drawn.any() and drawn.shape == (80, 60, 3)
    monkeypatch.setattr(dwpose, "_opened", lambda path, changed: Played((1, 3, 64, 48), simcc({}, 48, 64)))
    with pytest.raises(BadImage, match="nobody"):
        dwpose.run(picture, weights=str(file))

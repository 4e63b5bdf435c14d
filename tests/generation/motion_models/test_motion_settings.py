"""A clip's file: what it may say, with the line of what is wrong, and back again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from generation.animation.motion_models.settings import MOTION, of, read
from generation.errors import BadSpec

WHOLE = """
prompt: an apple moving left to right
negative: blurry
model: atelier-demo
motion: mine/mm.safetensors
motion_loras: {pan: 0.5}
frames: 12
fps: 6
video: walk.mp4
strength: 0.6
seed: 7
controls:
  - {preprocessor: canny}
  - {preprocessor: depth, image: one.png}
references: [{image: face.png}]
"""


def test_a_whole_file_is_read_with_its_paths_and_goes_back_into_data(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mm.safetensors").touch()
    path = tmp_path / "run.yaml"
    path.write_text(WHOLE)
    found = read(path)
    assert found.name == "run" and found["frames"] == 12 and found["fps"] == 6.0 and found.loras == (("pan", 0.5),)
    assert found["video"] == str(tmp_path / "walk.mp4") and found["motion"] == str(tmp_path / "mine" / "mm.safetensors")
    spec = found.spec()
    assert spec.prompt == "an apple moving left to right" and spec.seed == 7
    assert [one["image"] for one in spec.controls] == ["@frame", str(tmp_path / "one.png")]
    assert spec.references[0]["image"] == str(tmp_path / "face.png")
    assert of(found.to_json()) == found
    changed = found.changed({"frames": "8", "prompt": "a pear", "cfg": "3.5", "scale": 1.5})
    assert (changed["frames"], changed.spec().prompt, changed.spec().cfg, changed["scale"]) == (8, "a pear", 3.5, 1.5)


def test_prompts_by_frame_stand_instead_of_one(tmp_path: Path) -> None:
    found = of({"prompts": {0: "spring", 8: "winter"}, "prompt": "not this"})
    assert found.prompts == {"0": "spring", "8": "winter"} and found.spec().prompt == "spring"
    assert of(found.to_json()) == found
    assert found.changed({"prompt": "one"}).prompts == {}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"promt": "x"}, 'no "promt"'),
    ({"prompt": "x", "frames": -1}, "frames -1 is out of range"),
    ({"prompt": "x", "frames": "many"}, "must be a whole number"),
    ({"prompt": "x", "stride": 20}, "stride is larger than context"),
    ({"prompt": "x", "free_init_filter": "butter"}, 'cannot be "butter"'),
    ({"prompt": "x", "motion_loras": ["pan"]}, "names and strengths"),
    ({"prompt": "x", "motion_loras": {"pan": "strong"}}, 'the strength of "pan"'),
    ({"prompts": {4: "late"}}, "frame 0"),
    ({"prompts": ["a"]}, "frames and what they show"),
    ({"prompt": "x", "controls": [{"preprocessor": "canny"}]}, "no video whose frames"),
    ({"prompt": "x", "video": "a.mp4", "references": [{}]}, "a reference cannot be @frame"),
    ({"prompt": "x", "width": 63}, "no multiple of 8"),
    ({"prompt": "x", "sampler": "Oiler"}, "Oiler"),
    ({"prompt": 5}, "prompt must be text"),
]


@pytest.mark.parametrize(("data", "said"), WRONG)
def test_what_is_wrong_is_named(data: dict[str, Any], said: str, tmp_path: Path) -> None:
    if said == "frame 0":
        from generation.animation.motion_models.told import Told

        with pytest.raises(BadSpec, match="frame 0 has no value"):
            Told(of(data).prompts, "", 8, 1)
        return
    with pytest.raises(BadSpec) as error:
        of(data)
    assert said in error.value.message and error.value.hint


def test_a_file_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "clip.yaml"
    for text, line in (("prompt: x\nframs: 8\n", 2), ("prompt: x\nseed: 1\nframes: no\n", 3), ("prompt: [\n", 2),
                       ("- a\n", 1), ("prompt: x\nwidth: 63\n", 2)):  # fmt: skip
        path.write_text(text)
        with pytest.raises(BadSpec, match=rf"^clip.yaml:{line}: "):
            read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSpec, match="cannot be read"):
        read(path)


def test_every_setting_has_help() -> None:
    assert all(one.help and not one.help.endswith(".") for one in MOTION)

"""Parseq's manifests: names, differences, prompts, and what an animation makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_painting import Engines, FakePainter, animate, settings

from generation.animation import deforum, parseq
from generation.animation.settings import of
from generation.animation.timelines import Timeline
from generation.errors import BadSpec


def manifest(**changes: Any) -> str:
    frames = [
        {
            "frame": n, "zoom": 1 + n, "zoom_delta": 1.5, "translation_x": 10.0 * n, "noise": 0.1 * n, "seed": 7 + n,
            "scale": 3 + n, "strength": 0.5, "subseed": 9, "deforum_prompt": f"step {n // 2} --neg ugly",
            "antiblur_amount": 0.3, "steps_schedule": 4, "sampler_schedule": "Euler", "foo": "bar", "cn_1_weight": 0.5,
        }
        for n in range(4)
    ]  # fmt: skip
    return json.dumps({"options": {"output_fps": 15}, "rendered_frames": frames, **changes})


def test_fields_are_schedules() -> None:
    found = parseq.read(manifest())
    assert found.frames == 4 and found.fps == 15
    assert found.values["zoom"] == (1.5,) * 4, "from frame to frame"
    assert "translation_x" not in found.values, "counted from the first frame it is not what an animation moves by"
    assert found.values["noise_schedule"] == pytest.approx((0, 0.1, 0.2, 0.3))
    assert found.values["cfg_scale_schedule"] == (3, 4, 5, 6) and found.values["amount_schedule"] == (0.3,) * 4
    assert found.values["seed_schedule"] == (7, 8, 9, 10) and found.values["steps_schedule"] == (4,) * 4
    assert found.values["cn_1_weight"] == (0.5,) * 4
    assert found.words == {"sampler_schedule": ("Euler",) * 4}
    assert found.prompts[3] == ("step 1", "ugly")
    whole = parseq.read(manifest(), deltas=False)
    assert whole.values["zoom"] == (1, 2, 3, 4) and whole.values["translation_x"] == (0, 10, 20, 30)


def test_frames_left_out_are_held() -> None:
    text = json.dumps({"rendered_frames": [{"frame": 3, "noise": 0.4}, {"frame": 0, "noise": 0.1}, {"frame": 2}]})
    assert parseq.read(text).values["noise_schedule"] == (0.1, 0.1, 0.1, 0.4)


def test_its_values_stand_for_the_schedules(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(manifest(), "utf-8")
    told = of({
        "parseq_manifest": str(path), "max_frames": 6, "fps": 12, "zoom": "0:(8)", "angle": "0:(2)",
        "negative_prompts": "dull", "animation_mode": "2D", "diffusion_cadence": 1,
    })  # fmt: skip
    line = Timeline(told, 1)
    assert [line.at("zoom", n) for n in (0, 5)] == [1.5, 1.5]
    assert line.at("angle", 3) == 2, "what it does not have is the settings'"
    assert [line.seed(n) for n in range(6)] == [7, 8, 9, 10, 10, 10], "the last value is held"
    assert line.at("subseed_schedule", 2) == 9 and line.at("subseed_strength_schedule", 2) == 0
    assert line.prompt(0) == ("step 0", "ugly, dull") and line.prompt(5) == ("step 1", "ugly, dull")
    assert line.starts == (0, 2)
    assert line.word("sampler_schedule", 5) == "Euler"
    assert any("4 frames" in one for one in line.warnings) and any("15 frames a second" in one for one in line.warnings)
    short = Timeline(told.changed({"max_frames": "2", "fps": "15"}), 1)
    assert short.at("noise_schedule", 1) == pytest.approx(0.1)
    assert short.warnings == ["parseq_manifest has 4 frames, the animation 2: its first ones count"]


def test_an_animation_by_a_manifest(tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deforum, "Painter", FakePainter)
    path = tmp_path / "manifest.json"
    path.write_text(manifest(), "utf-8")
    engine = Engines(tiny_checkpoint.parent)
    told = settings(parseq_manifest=str(path), max_frames=4, diffusion_cadence=1)
    animate(told, tmp_path / "frames", engine)
    assert [frame.spec.cfg for frame in FakePainter.asked] == [3, 4, 5, 6]
    assert [frame.spec.seed for frame in FakePainter.asked] == [7, 8, 9, 10]
    assert [frame.spec.steps for frame in FakePainter.asked] == [4] * 4
    assert FakePainter.asked[3].spec.prompt == "step 1"
    assert FakePainter.asked[0].spec.options["variation_seed"] == 9
    path.write_text(manifest().replace("ugly", "uglier"), "utf-8")
    with pytest.raises(BadSpec, match="other settings"):
        animate(told, tmp_path / "frames", engine)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("https://example.org/parseq.json", "is an address"),
        ("/nowhere/parseq.json", "cannot be read"),
        ("{", "no JSON"),
        ("{" + '"a":{' * 100_000, "no JSON"),
        ("{}", "no rendered_frames"),
        ('{"rendered_frames": []}', "no rendered_frames"),
        ('{"rendered_frames": [1]}', "no rendered_frames"),
        ('{"rendered_frames": [{"frame": 1e99}]}', "no rendered_frames"),
        ('{"rendered_frames": [{"frame": true}]}', "no rendered_frames"),
        ('{"rendered_frames": [{"frame": 1, "noise": 1}]}', "no frame 0"),
        ('{"rendered_frames": [{"frame": 0, "noise": "x"}]}', "noise of frame 0"),
        ('{"rendered_frames": [{"frame": 0, "noise": 1}, {"frame": 1, "noise": NaN}]}', "noise of frame 1"),
        ('{"rendered_frames": [{"frame": 0, "noise": true}]}', "noise of frame 0"),
    ],
)
def test_damage_is_one_line(given: str, told: str) -> None:
    with pytest.raises(BadSpec) as caught:
        parseq.read(given)
    assert told in caught.value.message and "parseq_manifest" in caught.value.message
    assert caught.value.hint and "\n" not in caught.value.message and len(caught.value.message) < 300


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00{")
    for path in (tmp_path, tmp_path / "bytes", Path("a\0b")):
        with pytest.raises(BadSpec, match="cannot be read"):
            parseq.read(str(path))

"""Deforum's settings files: every form they come in, a way there and back, and damage that is told in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from generation.animation import deforum_keys as keys
from generation.animation.settings import KNOWN, NAMES, TABLE, Settings, of, parsed, read
from generation.errors import BadSpec, GenerationError

PROMPTS = {"0": "a red apple", "30": "a blue mug --neg photo"}
GUIDE = """
 - **Parameters**

  - Translation x: 0: (0), 30:(15), 210:(15), 300:(0)
  - Translation z: 0: (0.2), 60:(10), 300:(15)
  - Rotation 3d y: 0: (0), 30:(-3.5)
  - Noise schedule: 0: (-0.06*(cos(3.141*t/15)**100)+0.06)
  - Max frames: 40

```
  "0": "Superman soaring, vibrant colors in the background
with clouds, realistic",
  "60":" Superman at night"
```
"""


def test_a_way_there_and_back(tmp_path: Path) -> None:
    made = of({"prompts": PROMPTS, "zoom": "0:(1.1)", "foo": [1, {"a": None}], "restore_faces": True, "W": 100})
    path = made.write(tmp_path / "one.txt")
    again = read(path)
    assert again == made
    assert again["zoom"] == "0:(1.1)" and again["W"] == 96
    assert again.kept == {"foo": [1, {"a": None}], "restore_faces": True}, "what is unknown is kept"
    assert json.loads(path.read_text("utf-8"))["prompts"] == PROMPTS
    assert [one for one in tmp_path.iterdir() if one.name != "one.txt"] == []


def test_every_known_key_has_one_place() -> None:
    groups = [set(TABLE), set(keys.SCHEDULES), set(keys.WORDS), set(keys.KEPT), keys.SILENT, set(keys.FORMERLY)]
    assert sum(map(len, groups)) == len(set().union(*groups)), "no key stands in two tables"
    assert set(keys.SWITCHED) <= set(NAMES) and set(keys.SWITCHED.values()) <= set(TABLE)
    assert all(new in NAMES for new in keys.FORMERLY.values())
    assert of({"prompts": PROMPTS, **dict.fromkeys(KNOWN - {"prompts", "animation_prompts"})}).notes == ()
    default = of({"prompts": PROMPTS})
    assert (default["max_frames"], default["fps"], default["diffusion_cadence"]) == (120, 15, 2)
    assert (default["color_coherence"], default["animation_mode"], default["translation_z"]) == (
        "LAB",
        "3D",
        "0: (1.75)",
    )


def test_what_nothing_acts_upon_is_told() -> None:
    notes = of(
        {"prompts": PROMPTS, "zomo": 1, "restore_faces": True, "save_depth_maps": True, "cn_1_low_vram": 1}
    ).notes
    assert len(notes) == 3
    assert '"zomo" is unknown' in notes[0] and "zoom" in notes[0]
    assert "restore_faces is kept" in notes[1] and "save_depth_maps" in notes[2]
    assert of({"prompts": PROMPTS, "restore_faces": False, "near_schedule": "0:(1)", "midas_weight": 1}).notes == ()


def test_what_is_done_in_another_way_is_one_sentence() -> None:
    told = {"optical_flow_cadence": "RAFT", "optical_flow_redo_generation": "Farneback", "hybrid_flow_method": "RAFT"}
    assert of({"prompts": PROMPTS, **told}).notes == (
        "DIS finds the flow instead of RAFT or Farneback: optical_flow_cadence, optical_flow_redo_generation",
    )
    assert of({"prompts": PROMPTS, "hybrid_flow_method": "RAFT"}).notes == (), "nothing is followed by it"
    assert "hybrid_flow_method" in of({"prompts": PROMPTS, "hybrid_motion": "Optical Flow", **told}).notes[0]
    assert of({"prompts": PROMPTS, "optical_flow_cadence": "RAFT", "diffusion_cadence": 1}).notes == ()


@pytest.mark.parametrize(
    ("given", "name", "wanted"),
    [
        ({"diffusion_cadence": "3"}, "diffusion_cadence", 3),
        ({"color_coherence": "Match Frame 0 HSV"}, "color_coherence", "HSV"),
        ({"color_coherence": "none"}, "color_coherence", "None"),
        ({"animation_mode": "2d"}, "animation_mode", "2D"),
        ({"sampler": "euler_ancestral"}, "sampler", "Euler a"),
        ({"zoom": 1.04}, "zoom", "0:(1.04)"),
        ({"fov": 60}, "fov_schedule", "0:(60)"),
        ({"hybrid_composite": True}, "hybrid_composite", "Normal"),
        ({"use_init": 1}, "use_init", True),
        ({"fps": 12}, "fps", 12.0),
        ({"max_frames": 30.0}, "max_frames", 30),
        ({"width": 65, "W": 72}, "W", 72),
        ({"animation_prompts_negative": "ugly"}, "negative_prompts", "ugly"),
        ({"init_image": None}, "init_image", ""),
        ({"frame_interpolation_engine": "RIFE v4.0"}, "frame_interpolation_engine", "RIFE v4.6"),
        ({"frame_interpolation_x_amount": "x4"}, "frame_interpolation_x_amount", 4),
        ({"frame_interpolation_slow_mo_amount": "Disabled"}, "frame_interpolation_slow_mo_amount", 2),
        ({"r_upscale_factor": "3x"}, "r_upscale_factor", "x3"),
        ({"diffusion_redo": "2"}, "diffusion_redo", 2),
        ({"cn_2_weight": 0.5}, "cn_2_weight", "0:(0.5)"),
        ({"cn_2_threshold_a": None}, "cn_2_threshold_a", 64.0),
        ({"init_images": '{\n"0": "a.png"}'}, "init_images", '{\n"0": "a.png"}'),
    ],
)
def test_older_and_looser_forms(given: dict[str, Any], name: str, wanted: Any) -> None:
    assert of({"prompts": PROMPTS, **given})[name] == wanted


def test_prompts_in_every_form() -> None:
    wanted = {"0": "a red apple", "max_f/2": "b --neg c"}
    for form in (wanted, json.dumps(wanted), '"0": "a red apple", "max_f/2": "b --neg c"'):
        assert of({"prompts": form})["prompts"] == wanted
    assert of({"animation_prompts": "one prompt"})["prompts"] == {"0": "one prompt"}
    assert parsed('{"prompts": {"0": "two\nlines"}}')["prompts"] == {"0": "two\nlines"}
    assert of({"prompts": ["first", "second"]})["prompts"] == {"0": "first"}


def test_a_guide_as_it_is_written() -> None:
    found = parsed(GUIDE)
    assert found["prompts"] == {
        "0": "Superman soaring, vibrant colors in the background with clouds, realistic",
        "60": "Superman at night",
    }
    assert found["translation_x"] == "0: (0), 30:(15), 210:(15), 300:(0)"
    assert found["noise_schedule"] == "0: (-0.06*(cos(3.141*t/15)**100)+0.06)"
    assert found["max_frames"] == 40
    assert found["animation_mode"] == "3D", "it moves in space"
    assert parsed('Zoom: 0:(1.02)\n"0": "a"')["animation_mode"] == "2D"
    assert parsed("Prompts: a cat\nNegative prompt: dog")["prompts"] == {"0": "a cat"}


def test_changes_are_checked_like_the_file() -> None:
    made = of({"prompts": PROMPTS})
    changed = made.changed({"max_frames": "8", "zoom": "1.5", "use_mask": "yes", "color_coherence": "rgb", "fps": "24"})
    assert [changed[name] for name in ("max_frames", "zoom", "use_mask", "color_coherence", "fps")] == [
        8, "0:(1.5)", True, "RGB", 24.0,
    ]  # fmt: skip
    assert made["max_frames"] == 120, "the first stays as it was"
    with pytest.raises(BadSpec) as caught:
        made.changed({"max_frame": "8"})
    assert "max_frames" in caught.value.hint


DAMAGED: list[tuple[str, str]] = [
    ("", "empty"),
    ("   \n", "empty"),
    ("{", "line 1, column 2"),
    ('{"prompts": {"0": "a"}', "line 1"),
    ('{"prompts": {"0": "a",}}', "column"),
    ("[]", "a list"),
    ("{}", "no prompts"),
    ('{"prompts": {}}', "no prompt"),
    ('{"prompts": 5}', "prompts must be"),
    ('{"prompts": {"0": 5}}', "no text"),
    ('{"prompts": {"x y": "a"}}', "x y"),
    ('{"prompts": {"0": "a"}, "zoom": "0:(sin(t)"}', "zoom: column"),
    ('{"prompts": {"0": "a"}, "zoom": "0:(__import__(1))"}', "zoom: column"),
    ('{"prompts": {"0": "a"}, "angle": true}', "angle must be a schedule"),
    ('{"prompts": {"0": "a"}, "angle": ["0"]}', "angle must be a schedule"),
    ('{"prompts": {"0": "a"}, "max_frames": 0}', "max frames 0"),
    ('{"prompts": {"0": "a"}, "max_frames": "many"}', "max frames"),
    ('{"prompts": {"0": "a"}, "max_frames": 1e99}', "max frames"),
    ('{"prompts": {"0": "a"}, "fps": 0}', "fps 0"),
    ('{"prompts": {"0": "a"}, "fps": NaN}', "fps nan"),
    ('{"prompts": {"0": "a"}, "W": 8}', "W 8 is too small"),
    ('{"prompts": {"0": "a"}, "H": 100000}', "H 100000"),
    ('{"prompts": {"0": "a"}, "seed": -7}', "seed -7"),
    ('{"prompts": {"0": "a"}, "sampler": "Eulr a"}', "Eulr a"),
    ('{"prompts": {"0": "a"}, "animation_mode": "4D"}', "4D"),
    ('{"prompts": {"0": "a"}, "color_coherence": "Match Frame 0 XYZ"}', "XYZ"),
    ('{"prompts": {"0": "a"}, "use_init": "perhaps"}', "use init"),
    ('{"prompts": {"0": "a"}, "steps": 2.5}', "steps"),
    ('{"prompts": {"0": "a"}, "diffusion_cadence": 0}', "diffusion cadence"),
    ('{"prompts": {"0": "a"}, "sampler_schedule": "0:()"}', "sampler_schedule: column"),
    ('{"prompts": {"0": "a"}, "zoom": "' + "9" * 400_000 + '"}', "zoom"),
    ("[" * 100_000, "nested too deeply"),
    ("{" + '"a":{' * 100_000, "nested"),
    ("Zomo: 0:(1)\n", 'line 1: "Zomo"'),
    ('Zoom: 0:(1)\n"0": "a\n', "line 2"),
    ("just some words\n", "no prompts"),
]


@pytest.mark.parametrize(("text", "told"), DAMAGED, ids=[str(n) for n in range(len(DAMAGED))])
def test_damage_is_one_line(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.txt"
    path.write_text(text, "utf-8")
    with pytest.raises(GenerationError) as caught:
        read(path)
    assert told in caught.value.message and "settings.txt" in caught.value.message
    assert caught.value.hint and "\n" not in caught.value.message + caught.value.hint
    assert len(caught.value.message) < 300


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00{")
    for path in (tmp_path, tmp_path / "none", tmp_path / "bytes", Path("a\0b")):
        with pytest.raises(BadSpec, match="cannot be read"):
            read(path)


def test_reading_settings_loads_nothing_heavy() -> None:
    code = (
        "import sys, generation.animation.settings\n"
        "print(sorted({'numpy', 'torch', 'PIL', 'cv2', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_plain_data_is_what_a_job_carries() -> None:
    made = of({"prompts": PROMPTS})
    assert isinstance(made, Settings)
    assert of(json.loads(json.dumps(made.to_json()))) == made

"""`atelier animate`: settings to a video, a walk, measures; the same command again; errors in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assistant.__main__ import main
from assistant.jobs import HANDLERS, LANES
from assistant.jobs.queue import Queue
from assistant.paths import Paths
from generation import metadata
from generation.animation.clips import Clip
from generation.animation.settings import read

TOLD = {
    "prompts": {"0": "a red apple on a white background", "4": "a blue mug"},
    "max_frames": 6,
    "steps": 2,
    "seed": 5,
    "sd_model_name": "revAnimated_v122.safetensors",
    "translation_z": "0:(4)",
    "hybrid_generate_human_masks": "None",
}


@pytest.fixture
def told(tmp_path: Path) -> Path:
    path = tmp_path / "apple_settings.txt"
    path.write_text(json.dumps(TOLD), "utf-8")
    return path


def run(capsys: pytest.CaptureFixture[str], home: Path, *words: Any) -> tuple[int, dict[str, Any], str]:
    status = main([*(str(word) for word in words), "--home", str(home), "--json"])
    caught = capsys.readouterr()
    return status, json.loads(caught.out) if status == 0 else {}, caught.err


def test_settings_to_a_video(capsys: pytest.CaptureFixture[str], tmp_path: Path, told: Path) -> None:
    home, output = tmp_path / "home", tmp_path / "apple.mp4"
    status, made, err = run(capsys, home, "animate", "deforum", told, "-o", output, "--frames", 4)
    assert status == 0
    assert "revAnimated_v122.safetensors is not here; atelier-demo takes its place" in err
    assert made["path"] == str(output) and (made["frames"], made["made"], made["denoised"]) == (4, 4, 2)
    assert (made["size"], made["seed"], made["fps"]) == ([64, 64], 5, 15)
    clip = Clip(output)
    assert (clip.width, clip.height, len(list(clip)), clip.fps) == (64, 64, 4, 15)
    about = json.loads(metadata.read(output).raw["atelier_animation"])
    assert about["measures"] == made["measures"] and about["measures"]["frames"] == 4
    assert about["settings"]["translation_z"] == "0:(4)" and about["kind"] == "deforum" and about["seed"] == 5
    for name in ("first", "strip", "sheet"):
        assert metadata.read(Path(made[name])).width >= 64
    (job,) = Queue(Paths.find(home).make().jobs).list(5)
    assert (job.kind, job.state) == ("animate", "done")
    # The same again finds its frames; another format of them costs no frame either.
    assert run(capsys, home, "animate", "deforum", told, "-o", output, "--frames", 4)[1]["made"] == 0
    other = run(capsys, home, "animate", "deforum", told, "-o", output.with_suffix(".webm"), "--frames", 4)[1]
    assert other["made"] == 0 and len(list(Clip(other["path"]))) == 4
    status, _, err = run(capsys, home, "animate", "deforum", told, "-o", output, "--frames", 3)
    assert status == 2 and "other settings" in err and "--fresh" in err
    # And what was made of a container is settings again.
    data = tmp_path / "again.txt"
    data.write_text(json.dumps(about["settings"]), "utf-8")
    assert run(capsys, home, "animate", "deforum", data, "-o", output)[1]["made"] == 0


def test_a_drawn_seed_is_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path, told: Path) -> None:
    words = ("animate", "deforum", told, "--frames", 2, "--set", "seed=-1", "--set", "skip_video_creation=yes")
    first = run(capsys, tmp_path, *words, "--no-measure")[1]
    again = run(capsys, tmp_path, *words, "--no-measure")[1]
    assert first["seed"] == again["seed"] >= 0 and again["made"] == 0
    assert first["measures"] == {} and first["path"] == first["folder"]
    assert Path(first["folder"]).name == "apple_settings.frames", "without an output it is named as its settings"


def test_a_walk(capsys: pytest.CaptureFixture[str], tmp_path: Path, told: Path) -> None:
    status, made, _ = run(capsys, tmp_path, "animate", "walk", told, "-o", tmp_path / "walk.gif", "--frames", 6)
    assert status == 0 and made["frames"] == 6
    assert json.loads(metadata.read(tmp_path / "walk.gif").raw["atelier_animation"])["kind"] == "walk"


def test_measures(capsys: pytest.CaptureFixture[str], tmp_path: Path, told: Path) -> None:
    made = run(capsys, tmp_path, "animate", "deforum", told, "-o", tmp_path / "a.mp4", "--frames", 4)[1]
    status, found, _ = run(capsys, tmp_path, "animate", "measure", made["folder"])
    assert status == 0 and found["measures"] == made["measures"], "frames are measured, not what a codec left of them"
    found = run(capsys, tmp_path, "animate", "measure", made["path"], "--source", made["folder"])[1]
    assert found["measures"]["flow_of"] == "source" and found["measures"]["consistency_by"] == "thumbnails"
    assert main(["animate", "measure", made["path"], "--home", str(tmp_path)]) == 0
    assert "warp error" in capsys.readouterr().out


def test_settings_written_out(capsys: pytest.CaptureFixture[str], tmp_path: Path, told: Path) -> None:
    whole = tmp_path / "whole.json"
    run(capsys, tmp_path, "animate", "deforum", told, "--set", "zoom=1.5", "--write-settings", whole)
    found = read(whole)
    assert found["zoom"] == "0:(1.5)" and found["prompts"] == TOLD["prompts"]
    assert found.kept["hybrid_generate_human_masks"] == "None"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("deforum", "none.txt"), "none.txt cannot be read"),
        (("deforum", "SETTINGS", "--set", "zomo=1"), "zoom"),
        (("deforum", "SETTINGS", "--set", "zoom=0:(sin(t)"), "zoom: column"),
        (("deforum", "SETTINGS", "--set", "zoom"), "--set zoom says nothing"),
        (("deforum", "SETTINGS", "--frames", "0"), "max frames 0"),
        (("deforum", "SETTINGS", "--set", "model=nowhere"), "nowhere"),
        (("deforum", "SETTINGS", "-o", "x.mp3"), "x.mp3"),
        (("deforum", "SETTINGS", "--set", "init_image=http://a/b.png", "--set", "use_init=yes"), "address"),
        (("walk", "SETTINGS", "--set", "walk_seeds=1,2,3"), "walk_seeds"),
        (("measure", "none.mp4"), "none.mp4"),
        (("measure", "SETTINGS"), "no video"),
    ],
)
def test_errors_are_one_line(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, told: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    given = [str(told) if word == "SETTINGS" else word for word in words]
    status, _, err = run(capsys, tmp_path / "home", "animate", *given)
    lines = [line for line in err.splitlines() if line.startswith("atelier:")]
    assert status == 2 and len(lines) == 1 and said in lines[0] and "Traceback" not in err


def test_the_job_is_the_studio_s() -> None:
    kind = HANDLERS["animate"]
    assert kind.lane in LANES and kind.durable

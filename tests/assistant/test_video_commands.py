"""`atelier animate vid2vid` and `interpolate`: a file of stages to a video with its sound; errors in one line."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from assistant.__main__ import main
from assistant.jobs import HANDLERS
from assistant.jobs.queue import Queue
from assistant.paths import Paths
from generation import metadata
from generation.animation import video
from generation.animation.clips import Clip

TEXT = """\
name: calm
width: 32
stages:
  - {do: stabilise, with: {smooth: 2}}
  - id: painted
    do: img2img
    prompt: a red apple
    seed: 3
    steps: 2
    with: {strength: 0.6}
  - do: unstabilise
  - do: deflicker
"""


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Six frames of 48x48 with sound."""
    small = np.random.default_rng(2).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    whole = np.asarray(Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC))
    with wave.open(str(tmp_path / "tone.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes((np.sin(np.arange(8000) / 5) * 9000).astype("<i2").tobytes())
    path = tmp_path / "film.mp4"
    video.write((whole[8:56, n : n + 48] for n in range(0, 12, 2)), path, 10, texts={}, sound=tmp_path / "tone.wav")
    (tmp_path / "calm.yaml").write_text(TEXT, "utf-8")
    return path


def run(capsys: pytest.CaptureFixture[str], home: Path, *words: Any) -> tuple[int, dict[str, Any], str]:
    status = main([*(str(word) for word in words), "--home", str(home), "--json"])
    caught = capsys.readouterr()
    return status, json.loads(caught.out) if status == 0 else {}, caught.err


def test_stages_to_a_video(capsys: pytest.CaptureFixture[str], tmp_path: Path, film: Path) -> None:
    home, output = tmp_path / "home", tmp_path / "out.mp4"
    call = ("animate", "vid2vid", tmp_path / "calm.yaml", film, "-o", output)
    status, made, _ = run(capsys, home, *call)
    assert status == 0 and (made["frames"], made["size"], made["fps"]) == (6, [32, 32], 10)
    assert [one["made"] for one in made["stages"]] == [6, 6, 6, 6] and made["seeds"] == {"painted": 3}
    assert made["sound"] and Clip(output).audio and len(list(Clip(output))) == 6
    about = json.loads(metadata.read(output).raw["atelier_animation"])
    assert about["kind"] == "vid2vid" and about["settings"]["stages"][1]["prompt"] == "a red apple"
    assert about["measures"] == made["measures"] and made["measures"]["flow_of"] == "source"
    assert about["source_measures"] == made["source_measures"] and made["source_measures"]["frames"] == 6
    for name in ("first", "strip", "sheet"):
        assert metadata.read(Path(made[name])).width >= 32
    (job,) = Queue(Paths.find(home).make().jobs).list(5)
    assert (job.kind, job.state) == ("vid2vid", "done") and HANDLERS["vid2vid"].durable
    # The same again makes nothing; a stage that is off leaves those before it.
    assert [one["made"] for one in run(capsys, home, *call)[1]["stages"]] == [0, 0, 0, 0]
    less = run(capsys, home, *call, "--off", "deflicker", "--no-measure")[1]
    assert [one["made"] for one in less["stages"]] == [0, 0, 0] and less["measures"] == {}
    shown = run(capsys, home, *call, "--preview", 2, "--stage", "painted")[1]
    assert shown["stage"] == "painted" and Path(shown["path"]).name == "000002.png"
    # What the container says of the stages is a file of them.
    again = tmp_path / "again.yaml"
    again.write_text(json.dumps(about["settings"]), "utf-8")
    assert [one["made"] for one in run(capsys, home, "animate", "vid2vid", again, "-o", output)[1]["stages"]] == [0] * 4


def test_interpolated(capsys: pytest.CaptureFixture[str], tmp_path: Path, film: Path) -> None:
    home, output = tmp_path / "home", tmp_path / "more.gif"
    status, made, _ = run(capsys, home, "animate", "interpolate", film, "-o", output, "--factor", 3, "--frames", 4)
    assert status == 0 and (made["frames"], made["fps"], made["size"]) == (10, 30, [48, 48])
    assert not made["sound"] and made["measures"]["flow_of"] == "video" and len(list(Clip(output))) == 10


def test_the_plan(capsys: pytest.CaptureFixture[str], tmp_path: Path, film: Path) -> None:
    call = ("animate", "vid2vid", tmp_path / "calm.yaml", "--dry-run", "--off", "stabilise", "--off", "unstabilise")
    status, plan, _ = run(capsys, tmp_path / "home", *call)
    assert status == 0 and plan["name"] == "calm" and plan["input"] == ""
    assert [(one["id"], one["on"], one["line"]) for one in plan["plan"]] == [
        ("stabilise", False, 4), ("painted", True, 5), ("unstabilise", False, 11), ("deflicker", True, 12),
    ]  # fmt: skip
    assert main([*(str(word) for word in call), "--home", str(tmp_path / "home")]) == 0
    assert "unstabilise      unstabilise  (off)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("vid2vid", "missing.yaml"), "cannot be read"),
        (("vid2vid", "calm.yaml"), "calm has no input"),
        (("vid2vid", "calm.yaml", "missing.mp4"), "there is no video"),
        (("vid2vid", "calm.yaml", "calm.yaml"), "is no video that can be read"),
        (("vid2vid", "film.mp4", "film.mp4"), "cannot be read: no text"),
        (("vid2vid", "calm.yaml", "film.mp4", "-o", "out.avi"), "is no name of a video"),
        (("vid2vid", "calm.yaml", "film.mp4", "--off", "painter"), 'there is no stage "painter"'),
        (("vid2vid", "calm.yaml", "film.mp4", "--off", "stabilise"), "calm.yaml:11: unstabilise"),
        (("vid2vid", "calm.yaml", "film.mp4", "--set", "deflicker"), "says nothing"),
        (("vid2vid", "calm.yaml", "film.mp4", "--set", "deflicker.radius=0"), "radius 0 is out of range"),
        (("vid2vid", "calm.yaml", "film.mp4", "--set", "painted.model=none"), "none"),
        (("vid2vid", "calm.yaml", "film.mp4", "--stage", "painted"), "no --preview is given"),
        (("vid2vid", "calm.yaml", "film.mp4", "--preview", "99"), "has no frame 99"),
        (("vid2vid", "calm.yaml", "film.mp4", "--preview", "0", "--stage", "paint"), 'no stage "paint" is on'),
        (("interpolate", "film.mp4", "-o", "film.mp4"), "would be written over itself"),
        (("vid2vid", "calm.yaml", "film.mp4", "-o", "film.mp4"), "would be written over itself"),
        (("interpolate", "film.mp4", "--factor", "1"), "factor 1 is out of range"),
        (("interpolate", "film.mp4", "--network", "flownet.pkl"), "there is no file"),
    ],
)
def test_what_cannot_be_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, film: Path, words: tuple[str, ...], said: str
) -> None:
    def placed(word: str) -> str:
        return str(tmp_path / word) if Path(word).suffix in {".yaml", ".mp4", ".avi", ".pkl"} else word

    status, _, err = run(capsys, tmp_path / "home", "animate", *(placed(word) for word in words))
    lines = [line for line in err.splitlines() if line.startswith("atelier: ")]
    assert status == 2 and len(lines) == 1 and said in lines[0] and "Traceback" not in err
    assert len(list(Clip(film))) == 6

"""`atelier animate vid2vid` and `interpolate`: a file of stages to a video with its sound; errors in one line."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import time
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
from tests.generation.animation.test_videos import heard

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


def test_the_sound_of_a_part_from_the_middle(capsys: pytest.CaptureFixture[str], tmp_path: Path, film: Path) -> None:
    """Noise is like itself at one place only: the part's sound is the film's from the same moment on."""
    noise = np.random.default_rng(4).normal(0, 4000, 48000 * 2).astype("<i2")
    with wave.open(str(tmp_path / "noise.wav"), "wb") as sound:
        sound.setparams((1, 2, 48000, 0, "NONE", ""))
        sound.writeframes(noise.tobytes())
    video.write(list(Clip(film)) * 3, tmp_path / "loud.mp4", 10, sound=tmp_path / "noise.wav")
    (tmp_path / "plain.yaml").write_text("stages: [{do: deflicker, with: {radius: 1, quality: fast}}]")
    call = ("animate", "vid2vid", tmp_path / "plain.yaml", tmp_path / "loud.mp4", "-o", tmp_path / "part.mp4")
    status, made, _ = run(capsys, tmp_path / "home", *call, "--set", "first=7", "--frames", 8, "--no-measure")
    assert status == 0 and made["sound"] and made["frames"] == 8
    whole, part = heard(tmp_path / "loud.mp4"), heard(tmp_path / "part.mp4")[4800 : 4800 + 24000]
    likeness = np.fft.irfft(np.fft.rfft(whole, 2**18) * np.conj(np.fft.rfft(part, 2**18)))
    assert abs(int(np.argmax(likeness)) - 4800 - round(0.7 * 48000)) <= 64
    # A part that begins when all is silent has none, and says so.
    status, made, _ = run(capsys, tmp_path / "home", *call, "--set", "first=7", "--set", "audio=false", "--no-measure")
    assert status == 0 and not made["sound"] and not Clip(tmp_path / "part.mp4").audio


# The command in a process of its own, as often as it is asked for: what takes long to load is loaded once.
KILLED = """
import json, os, sys
import diffusers, transformers, generation.engine, generation.loading, generation.operations.img2img
import generation.animation.stages.running
from assistant.__main__ import main
for line in sys.stdin:
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(main(json.loads(line)))
    print(child, flush=True)
    os.waitpid(child, 0)
    print("over", flush=True)
"""


def test_killed_again_and_again_it_ends_with_the_same_frames(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, film: Path
) -> None:
    """The command's own process, killed without warning: at its first frame, in the middle, and near its end."""
    (tmp_path / "calm.yaml").write_text(TEXT.replace("  - id: painted", "  - do: carry\n  - id: painted"), "utf-8")

    def frames(output: Path) -> dict[str, bytes]:
        """Every frame's pixels, by the stage's folder and its number; a render's file tells where it lies as well."""
        folder = output.with_name(f"{output.stem}.frames")
        return {
            str(path.relative_to(folder)): Image.open(path).tobytes() for path in sorted(folder.rglob("[0-9]*.png"))
        }

    def words(output: Path) -> list[str]:
        call = ["animate", "vid2vid", str(tmp_path / "calm.yaml"), str(film), "-o", str(output), "--no-measure"]
        return [*call, "--home", str(tmp_path / "home"), "--json"]

    assert main(words(tmp_path / "whole.mp4")) == 0
    whole = frames(tmp_path / "whole.mp4")
    assert len(whole) == 6 * 6, "what was filmed and five stages"
    killed = tmp_path / "killed.mp4"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        for least in (1, 7, 18, 33):
            parent.stdin.write(json.dumps(words(killed)) + "\n")
            parent.stdin.flush()
            child = int(parent.stdout.readline())
            while len(list(killed.with_name("killed.frames").rglob("[0-9]*.png"))) < least:
                os.kill(child, 0)  # an error where it is over
                time.sleep(0.002)
            os.kill(child, signal.SIGKILL)
            assert parent.stdout.readline() == "over\n"
            there = frames(killed)
            assert least <= len(there) < len(whole) and not killed.exists()
            assert all(whole[name] == pixels for name, pixels in there.items()), "no frame is there by half"
        parent.stdin.close()
    capsys.readouterr()
    assert main(words(killed)) == 0
    made = json.loads(capsys.readouterr().out)
    assert frames(killed) == whole and 0 < sum(stage["made"] for stage in made["stages"]) < 30
    assert killed.exists() and not list(tmp_path.rglob("*.part*"))


def test_the_stages_of_the_readme_run_as_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = Path(__file__).parents[2].joinpath("README.md").read_text("utf-8")
    found = re.search(r"^    name: inked\n(?:    .*\n)+", readme, re.MULTILINE)
    assert found is not None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inked.yaml").write_text(textwrap.dedent(found[0]), "utf-8")
    film.rename(tmp_path / "run.mp4")
    over, between = re.findall(r"^    atelier (animate (?:vid2vid|interpolate) .*)$", readme, re.MULTILINE)
    options = re.findall(r"\[(.*?)\]", over)
    small = ("--set", "width=64", "--frames", 3)
    call, then = (shlex.split(re.sub(r"\[.*?\]", "", words)) for words in (over, between))  # without what may be given
    status, made, _ = run(capsys, tmp_path / "home", *call, *small)
    assert status == 0 and made["frames"] == 3 and (tmp_path / "inked.mp4").is_file()
    assert [stage["do"] for stage in made["stages"]] == ["carry", "img2img", "deflicker"]
    assert made["measures"]["flow_of"] == "source" and made["source_measures"]["frames"] == 3
    assert len(options) == 2
    for option in options:
        words = [re.sub(r"^40$", "2", word) for word in shlex.split(option)]
        status, made, _ = run(capsys, tmp_path / "home", *call, *words, *small)
        assert status == 0 and (made.get("frame") == 2 or made["stages"][0]["do"] == "img2img")
    status, made, _ = run(capsys, tmp_path / "home", *then)
    assert status == 0 and made["frames"] == 5 and (tmp_path / "smooth.mp4").is_file()


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

"""Walks: where each frame is on its way, what it is rendered by, loops, beats, and going on after a stop."""

from __future__ import annotations

import sys
import types
import wave as wave_file
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generation.animation import walks
from generation.animation.frames import load
from generation.animation.settings import Settings, of
from generation.animation.timelines import Timeline
from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.errors import BadSpec
from generation.specs import RenderSpec

PROMPTS = {"0": "a red apple", "4": "a blue mug", "6": "a cat"}


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Iterator[Engine]:
    made = Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")
    yield made
    made.unload()


def settings(**changes: Any) -> Settings:
    base = {"prompts": PROMPTS, "model": "tiny", "W": 32, "H": 32, "steps": 2, "max_frames": 8, "fps": 4}
    return of({**base, **changes})


def stops(**changes: Any) -> walks.Stops:
    told = settings(**changes)
    return walks.Stops(Timeline(told, 5), told)


def test_where_each_frame_is() -> None:
    there = stops()
    assert [there.place(n) for n in range(8)] == [
        (0, 1, 0.0), (0, 1, 0.25), (0, 1, 0.5), (0, 1, 0.75), (1, 2, 0.0), (1, 2, 0.5), (2, 2, 0.0), (2, 2, 0.0),
    ]  # fmt: skip
    loop = stops(walk_loop=True)
    assert loop.place(6) == (2, 0, 0.0) and loop.place(7) == (2, 0, 0.5), "the last way leads home"
    assert stops(walk_loop=True, prompts={"0": "alone"}).place(5) == (0, 0, 0.0)


def test_what_a_frame_is_rendered_by() -> None:
    there = stops(walk_seeds="11, 3", negative_prompts="ugly")
    base = RenderSpec("", model="tiny", width=32, height=32)
    frame = there.frame(base, 5)
    assert (frame.spec.prompt, frame.spec.negative, frame.spec.seed) == ("a blue mug", "ugly", 3)
    assert frame.toward == ("a cat", "ugly") and frame.noise_toward == (4, 0.5) and frame.share == 0.5
    assert frame.round and frame.picture is None
    assert there.frame(base, 7).toward is None


@pytest.mark.parametrize(("text", "wanted"), [("", [5, 6, 7]), ("9", [9, 10, 11]), ("1, 1,0", [1, 1, 0])])
def test_seeds(text: str, wanted: list[int]) -> None:
    assert walks.seeds(text, 5, 3) == wanted


@pytest.mark.parametrize("text", ["1,2,3,4", "x", "-3", "1.5", str(2**64)])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(BadSpec, match="walk_seeds"):
        walks.seeds(text, 5, 3)


def test_a_walk_goes_on_and_ends_are_renders(tmp_path: Path, engine: Engine) -> None:
    told = settings()
    made = walks.run(told, tmp_path / "whole", engine, seed=5)
    whole = [load(tmp_path / f"whole/{n:06d}.png") for n in range(8)]
    assert (made.frames, made.made) == (8, 8)
    for frame, prompt, seed in ((0, "a red apple", 5), (4, "a blue mug", 6), (6, "a cat", 7)):
        spec = RenderSpec(prompt, model="tiny", seed=seed, steps=2, width=32, height=32)
        alone = load(engine.render(spec, tmp_path / "alone.png").path)
        assert np.abs(whole[frame].astype(int) - alone).max() <= 1
    for number in (2, 5, 7):
        (tmp_path / f"whole/{number:06d}.png").unlink()
    assert walks.run(told, tmp_path / "whole", engine, seed=5).made == 3
    assert all(np.array_equal(load(tmp_path / f"whole/{n:06d}.png"), one) for n, one in enumerate(whole))


def test_a_loop_s_end_is_near_its_beginning(tmp_path: Path, engine: Engine) -> None:
    told = settings(walk_loop=True, prompts={"0": "a red apple", "8": "a blue mug"}, max_frames=16)
    walks.run(told, tmp_path / "loop", engine, seed=5)
    frames = [load(tmp_path / f"loop/{n:06d}.png").astype(float) for n in range(16)]
    apart = [np.abs(frame - frames[0]).mean() for frame in frames]
    assert apart[15] < apart[8] / 2 and apart[15] < 2 * apart[1]


def test_beats_are_where_it_moves() -> None:
    """Silence, a beat at one second, silence: all of the way is gone in the frames around it."""
    times = np.arange(0, 2, 0.05)
    strength = np.where(np.abs(times - 1.0) < 0.01, 4.0, 0.0)
    heard = walks.gone(strength, times, 8, 4)
    assert len(heard) == 9 and heard[0] == 0 and heard[-1] == 4
    assert heard[4] == 0 and heard[5] == 4


def test_beats_of_a_sound_are_heard(tmp_path: Path) -> None:
    """Four clicks: what has been heard grows in the frames they fall into, and hardly elsewhere."""
    pytest.importorskip("librosa", reason="the extra audio (librosa) is not installed")
    rate, clicks = 22050, (0.5, 1.0, 2.0, 3.5)
    wave = np.zeros(4 * rate)
    fading = np.sin(2 * np.pi * 440 * np.arange(1764) / rate) * np.exp(-np.arange(1764) / 551)
    for second in clicks:
        wave[int(second * rate) : int(second * rate) + len(fading)] += fading
    with wave_file.open(str(tmp_path / "clicks.wav"), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((wave * 30000).astype("<i2").tobytes())
    heard = np.diff(walks.beats(tmp_path / "clicks.wav", 40, 10.0))
    at = {int(second * 10) for second in clicks}
    assert set(np.argsort(heard)[-4:].tolist()) == at
    near = at | {frame + 1 for frame in at}
    assert heard[[frame not in near for frame in range(40)]].sum() < 0.01 * heard.sum()
    (tmp_path / "none.wav").write_bytes(b"RIFFnothing")
    with pytest.raises(BadSpec, match=r"none\.wav is no sound"):
        walks.beats(tmp_path / "none.wav", 4, 10.0)


def test_a_walk_by_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walks, "beats", lambda path, frames, fps: np.array([0, 0, 3, 3, 4, 4, 4, 4, 4.0]))
    there = stops(walk_audio="beat.wav")
    assert [there.place(n)[2] for n in range(4)] == [0, 0, 0.75, 0.75]
    assert [there.place(n)[2] for n in (4, 5)] == [0, 0.5], "a silence is gone evenly"


def test_without_librosa_it_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(BadSpec, match="librosa") as caught:
        walks.beats(tmp_path / "x.wav", 8, 4)
    assert "atelier[audio]" in caught.value.hint


def test_a_sound_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def load_it(*args: Any, **named: Any) -> Any:
        raise RuntimeError("no backend")

    monkeypatch.setitem(sys.modules, "librosa", types.SimpleNamespace(load=load_it))
    with pytest.raises(BadSpec, match="there is no sound"):
        walks.beats(tmp_path / "x.wav", 8, 4)
    (tmp_path / "x.wav").write_bytes(b"none")
    with pytest.raises(BadSpec, match="no sound that can be read"):
        walks.beats(tmp_path / "x.wav", 8, 4)

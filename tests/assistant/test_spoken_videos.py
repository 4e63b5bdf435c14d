"""A film whose lips were made to say a sound carries that sound, and its own where nothing else was said."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from assistant.jobs.videos import vid2vid
from generation.animation import speech, video
from generation.animation.stages import lipsync, wav2lip
from generation.catalogue import Catalogue

RATE = 16000


def tone(path: Path, *hertz: int) -> Path:
    """Half a second of each, as a WAV."""
    import wave

    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        parts = [np.sin(2 * np.pi * one * np.arange(RATE // 2) / RATE) for one in hertz]
        file.writeframes((np.concatenate(parts) * 9000).astype("<i2").tobytes())
    return path


def heard(path: Path) -> int:
    """The strongest frequency of what a file begins with, in Hz."""
    samples = speech.wave(path, 0.05, 0.2)
    return int(np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples))


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A film of a second with its own sound, 400 Hz and then 800, and what makes a video of it."""
    (tmp_path / "det_10g.onnx").write_bytes(b"detector")
    monkeypatch.setattr(wav2lip, "load", lambda path: SimpleNamespace(spoken=lambda face, sound: face))
    monkeypatch.setattr(lipsync, "faces", lambda *_: [])
    frames = (np.full((32, 32, 3), 100, np.uint8) for _ in range(10))
    video.write(frames, tmp_path / "film.mp4", 10, sound=tone(tmp_path / "own.wav", 400, 800))
    said = tone(tmp_path / "said.wav", 1600, 2400)
    settings = {"studio.model": "none", "studio.remember": False}
    shop: Any = SimpleNamespace(settings=settings, engine=SimpleNamespace(catalogue=Catalogue([tmp_path])))

    def make(name: str, stages: list[dict[str, Any]], **changes: str) -> tuple[dict[str, Any], Path]:
        for stage in stages:
            stage["with"] = {"network": "net.pth", **({"sound": str(said)} if stage.pop("said", False) else {})}
        spec = {"pipeline": {"name": "a", "stages": stages}, "video": str(tmp_path / "film.mp4"), "set": changes}
        spec |= {"output": str(tmp_path / name), "measure": False}
        return vid2vid(shop, spec, report=lambda event: None, check=lambda: None), tmp_path / name

    return make


def test_what_is_said_is_heard_from_its_start(made: Any) -> None:
    result, path = made("said.mp4", [{"do": "lipsync", "said": True}], first="5")
    assert result["sound"] and abs(heard(path) - 1600) <= 10


def test_without_a_file_the_own_sound_goes_on(made: Any) -> None:
    result, path = made("own.mp4", [{"do": "lipsync"}])
    assert result["sound"] and abs(heard(path) - 400) <= 10
    result, path = made("part.mp4", [{"do": "lipsync"}], first="5")
    assert result["sound"] and abs(heard(path) - 800) <= 10


def test_a_stage_that_is_off_says_nothing_and_a_mute_video_stays_mute(made: Any) -> None:
    stages = [{"id": "one", "do": "lipsync", "said": True, "on": False}, {"id": "two", "do": "lipsync"}]
    assert abs(heard(made("off.mp4", stages)[1]) - 400) <= 10
    assert not made("mute.mp4", [{"do": "lipsync", "said": True}], audio="false")[0]["sound"]
    assert not made("said.gif", [{"do": "lipsync", "said": True}])[0]["sound"]

"""What settings ask for behind an animation: larger videos and those with frames between, beside the first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from assistant.jobs.afterwards import further
from generation.animation.clips import Clip
from generation.animation.settings import of
from generation.catalogue import Catalogue
from generation.engine import Engine

OFF = {"prompts": {"0": "a"}, "model": "tiny", "fps": 8}


@pytest.fixture
def shop(tiny_checkpoint: Path) -> Any:
    return SimpleNamespace(engine=Engine(Catalogue([tiny_checkpoint.parent]), device="cpu"))


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """A texture that moves four pixels a frame, beside what an animation keeps for itself."""
    folder = tmp_path / "one.frames"
    (folder / "denoised").mkdir(parents=True)
    (folder / "animation.json").write_text("{}")
    texture = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    whole = np.asarray(Image.fromarray(texture).resize((64, 64), Image.Resampling.BICUBIC))
    for number in range(3):
        Image.fromarray(np.roll(whole, 4 * number, 1)).save(folder / f"{number:06d}.png")
    return folder


def made(shop: Any, frames: Path, **changes: Any) -> tuple[dict[str, str], list[str]]:
    notes: list[str] = []
    found = further(
        shop, of({**OFF, **changes}), frames, frames.with_name("one.mp4"), {"told": "x"}, None,
        lambda event: notes.append(event["message"]) if event["kind"] == "note" else None, lambda: None,
    )  # fmt: skip
    assert not frames.with_name("one.further").exists(), "nothing is left but the videos"
    return found, notes


def test_nothing_is_asked_for(shop: Any, frames: Path) -> None:
    assert made(shop, frames) == ({}, [])


def test_frames_in_between_by_flow_are_told(shop: Any, frames: Path) -> None:
    found, notes = made(shop, frames, frame_interpolation_engine="FILM", frame_interpolation_x_amount=2)
    clip = Clip(found["interpolated"])
    pictures = [one.astype(int) for one in clip]
    assert (len(pictures), clip.fps, clip.width) == (5, 16, 64)
    assert clip.metadata["told"] == "x"
    between = np.roll(pictures[0], 2, 1)
    assert np.abs(pictures[1] - between)[8:-8, 8:-8].mean() < 6 < np.abs(pictures[0] - between)[8:-8, 8:-8].mean()
    assert len(notes) == 1 and "DIS" in notes[0] and "FILM needs its file" in notes[0]


def test_slower_and_larger(shop: Any, frames: Path) -> None:
    found, notes = made(
        shop, frames, r_upscale_video=True, r_upscale_model="lanczos", r_upscale_factor="x2",
        frame_interpolation_engine="RIFE", frame_interpolation_x_amount=50, frame_interpolation_slow_mo_enabled=True,
        frame_interpolation_slow_mo_amount=4, frame_interpolation_use_upscaled=True,
    )  # fmt: skip
    larger, slower = Clip(found["upscaled"]), Clip(found["interpolated"])
    assert (larger.width, larger.height, larger.fps, len(list(larger))) == (128, 128, 8, 3)
    assert (slower.width, slower.fps, len(list(slower))) == (128, 32, 33), "16 times as many, 4 times slower"
    assert any("16 times" in note for note in notes)


def test_what_is_not_here_leaves_the_animation(shop: Any, frames: Path) -> None:
    found, notes = made(
        shop, frames, r_upscale_video=True, r_upscale_model="nowhere-x9",
        frame_interpolation_engine="RIFE v4.6", frame_interpolation_network="/nowhere/flownet.pkl",
    )  # fmt: skip
    assert found == {} and len(notes) == 2
    assert "no upscaled video" in notes[0] and "nowhere-x9" in notes[0]
    assert "no interpolated video" in notes[1] and "flownet.pkl" in notes[1]
    assert len(list(frames.glob("[0-9]*.png"))) == 3

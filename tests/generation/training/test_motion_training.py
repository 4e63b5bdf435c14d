"""A motion module trained on clips: found, encoded, learned, gone on with, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from generation.animation.clips import Clip
from generation.animation.motion_models import modules
from generation.catalogue import BUNDLED, Catalogue
from generation.errors import BadSpec
from generation.training import clips
from generation.training.running import train
from generation.training.settings import TrainingSpec

SMALL = {"frames": 3, "steps": 2, "batch": 2, "validation": 0.0, "rate": 1e-3, "frame_rate": 15.0, "state_every": 1}


def film(folder: Path, name: str, frames: int, caption: str = "") -> Path:
    place = folder / name
    place.mkdir(parents=True)
    for number in range(frames):
        picture = np.full((64, 64, 3), 40, np.uint8)
        picture[24:40, 4 * number : 4 * number + 16] = 220
        Image.fromarray(picture).save(place / f"{number:03d}.png")
    if caption:
        (folder / f"{name}.txt").write_text(caption)
    return place


def spec(folder: Path, output: Path, **changes: Any) -> TrainingSpec:
    return TrainingSpec("motion", str(folder), str(output), "atelier-demo", {**SMALL, **changes})


def test_clips_are_found_with_captions_and_what_is_wrong_is_told(tmp_path: Path) -> None:
    film(tmp_path, "a", 4, "an apple moving left to right")
    film(tmp_path, "b", 4)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "notes.txt").write_text("nothing")
    found = clips.read(tmp_path)
    assert [(one.path.name, one.caption, one.width) for one in found.pictures] == [
        ("a", "an apple moving left to right", 64), ("b", "", 64),
    ]  # fmt: skip
    assert [(Path(one.path).name, one.kind) for one in found.remarks] == [("b", "caption"), ("broken.mp4", "damaged")]
    with pytest.raises(BadSpec, match="holds no clip"):
        clips.read(film(tmp_path, "empty", 0))
    with pytest.raises(BadSpec, match="there is no folder"):
        clips.read(tmp_path / "none")


def test_frames_are_taken_at_the_rate_of_the_training(tmp_path: Path) -> None:
    clip = Clip(film(tmp_path, "a", 9))  # a folder counts as 15 a second
    numbers = {rate: [int((frame[30] > 100).argmax() // 3 // 4) for frame in clips.taken(clip, rate)]
               for rate in (15.0, 7.5, 5.0, 30.0)}  # fmt: skip
    assert numbers[15.0] == list(range(9)) and numbers[7.5] == [0, 2, 4, 6, 8] and numbers[5.0] == [0, 3, 6]
    assert numbers[30.0][:5] == [0, 1, 1, 2, 2]


def test_a_module_learns_and_the_words_network_beside_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    film(data, "a", 5, "an apple moving left to right")
    film(data, "b", 6, "a pear moving left to right")
    made = train(spec(data, tmp_path / "mm.safetensors", adapter_rank=2), Catalogue([]), device="cpu")
    assert [path.name for path in made.paths] == ["mm.safetensors", "mm.adapter.safetensors"]
    module = modules.load(made.paths[0])
    learned = [one for name, one in module.named_parameters() if name.endswith("proj_out.weight")]
    assert learned and all(float(one.abs().max()) > 0 for one in learned)
    assert modules.adapter_beside(made.paths[0]) == made.paths[1]
    assert made.record["steps"] == 2 and made.record["kind"] == "motion"
    assert not list(tmp_path.glob(".*.training"))


def test_a_stopped_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    data = tmp_path / "data"
    film(data, "a", 5, "an apple")
    whole = train(spec(data, tmp_path / "whole.safetensors"), Catalogue([]), device="cpu")

    class Stopped(Exception):
        pass

    def check() -> None:
        if (tmp_path / ".part.safetensors.training" / "training.state.pt").exists():
            raise Stopped  # behind the first step

    with pytest.raises(Stopped):
        train(spec(data, tmp_path / "part.safetensors"), Catalogue([]), device="cpu", check=check)
    part = train(spec(data, tmp_path / "part.safetensors"), Catalogue([]), device="cpu")
    one, other = (modules.load(made.paths[0]).state_dict() for made in (whole, part))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_cannot_be_learned_is_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    film(data, "a", 2, "an apple")
    with pytest.raises(BadSpec, match="a has 2 frames at 15 a second, and a clip 3"):
        train(spec(data, tmp_path / "mm.safetensors"), Catalogue([]), device="cpu")
    with pytest.raises(BadSpec, match="only the network beside a motion module reads texts"):
        spec(data, tmp_path / "mm.safetensors", text_rate=1e-4)
    with pytest.raises(BadSpec, match="no samples on the way"):
        spec(data, tmp_path / "mm.safetensors", sample_every=5)
    assert BUNDLED.is_dir()

"""Stable Video Diffusion, LTX and Wan: diffusers' pipelines out of folders, on shrunken random weights of each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_video_models as small
from PIL import Image

from generation.animation.motion_models import running
from generation.animation.motion_models.settings import of
from generation.catalogue import Catalogue, look
from generation.engine import Engine
from generation.errors import BadSpec, BadWeights, GenerationError


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("models")
    return {
        "svd": small.svd(place / "svd"),
        "ltx": small.ltx(place / "ltx"),
        "wan": small.wan(place / "wan"),
        "wan-image": small.wan(place / "wan-image", image=True),
    }


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(Catalogue([]), device="cpu")


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "start.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    return str(path)


def told(folder: Path, **given: Any) -> Any:
    return of({"model": str(folder), "steps": 2, "width": 64, "height": 64, "prompt": "an apple", **given})


def pictures(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("[0-9]*.png"))]).astype(int)


@pytest.mark.parametrize(
    ("name", "begins", "frames", "rate"),
    [("svd", "image", 3, 7), ("ltx", "", 9, 24), ("ltx", "image", 9, 24), ("wan", "", 5, 16), ("wan", "video", 5, 16),
     ("wan-image", "image", 5, 16)],
)  # fmt: skip
def test_each_makes_its_frames(
    name: str, begins: str, frames: int, rate: float, models: dict[str, Path], engine: Engine, tmp_path: Path,
    picture: str,
) -> None:  # fmt: skip
    given: dict[str, Any] = {"frames": frames}
    if begins == "image":
        given["image"] = picture
    if begins == "video":
        (tmp_path / "video").mkdir()
        for number in range(frames):
            shutil.copy(picture, tmp_path / "video" / f"{number}.png")
        given |= {"video": str(tmp_path / "video"), "strength": 0.5}
    stages: list[tuple[Any, Any]] = []
    settings = told(models[name], **given)
    made = running.run(
        settings, tmp_path / "clip", engine, seed=1, report=lambda e: stages.append((e.get("stage"), e.get("done")))
    )
    found = pictures(made.folder)
    assert found.shape == (frames, 64, 64, 3) and made.made == frames and made.seed == 1
    assert ("denoising", 1) in stages and found.std() > 1
    assert running.frame_rate(settings, engine) == rate
    again = running.run(settings, tmp_path / "clip", engine, seed=1)
    assert again.made == 0
    if not begins:
        other = running.run(settings, tmp_path / "other", engine, seed=2)
        assert np.abs(pictures(other.folder) - found).mean() > 0.5


def test_the_motion_bucket_is_heard(models: dict[str, Path], engine: Engine, tmp_path: Path, picture: str) -> None:
    made = [
        running.run(told(models["svd"], image=picture, frames=3, motion_bucket=bucket), tmp_path / str(bucket), engine,
                    seed=1)
        for bucket in (1, 255)
    ]  # fmt: skip
    assert np.abs(pictures(made[0].folder) - pictures(made[1].folder)).max() > 0


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("svd", {}, "begins with an image, not with a prompt alone"),
    ("svd", {"image": "a.png", "video": "b.mp4"}, "not with both"),
    ("ltx", {"frames": 10}, "LTX-Video cannot make 10 frames"),
    ("ltx", {"frames": 9, "width": 72}, "width 72 is no multiple of 32"),
    ("wan", {"frames": 6}, "Wan cannot make 6 frames"),
    ("wan", {"image": "a.png", "frames": 5}, "begins with a prompt alone or a video, not with an image"),
    ("wan", {"frames": 5, "prompts": {0: "a", 2: "b"}}, "one prompt for the whole clip"),
]


@pytest.mark.parametrize(("name", "given", "said"), WRONG)
def test_what_a_model_cannot_is_told_before_it_is_loaded(
    name: str, given: dict[str, Any], said: str, models: dict[str, Path], engine: Engine, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, picture: str,
) -> None:  # fmt: skip
    from generation.animation.motion_models import pipelines

    monkeypatch.setattr(pipelines, "_loaded", lambda *given: pytest.fail("loaded"))
    given = {**given, "image": picture} if "image" in given else given
    with pytest.raises(BadSpec) as error:
        running.run(told(models[name], **given), tmp_path / "clip", engine, seed=1)
    assert said in error.value.message and error.value.hint


def test_a_folder_with_something_amiss_is_one_line(models: dict[str, Path], engine: Engine, tmp_path: Path) -> None:
    def copied(name: str) -> Path:
        return Path(shutil.copytree(models["ltx"], tmp_path / name))

    lacking = copied("lacking")
    shutil.rmtree(lacking / "vae")
    cut = copied("cut")
    weights = cut / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    code = copied("code")
    index = json.loads((code / "model_index.json").read_text())
    (code / "model_index.json").write_text(json.dumps({**index, "vae": ["mine", "Vae"]}))
    config = copied("config")
    (config / "transformer" / "config.json").write_text("{}")
    for folder, said in ((lacking, "vae is missing"), (cut, "transformer/"), (code, "holds code"), (config, "")):
        with pytest.raises((BadWeights, GenerationError)) as error:
            running.run(told(folder, frames=9), tmp_path / "clip", engine, seed=1, fresh=True)
        assert said in error.value.message and "\n" not in error.value.message and error.value.hint, folder
    assert look(models["ltx"]).kind == "video" and look(models["svd"]).family == "Stable Video Diffusion"


def test_what_a_video_model_does_not_hear_is_said(models: dict[str, Path], engine: Engine, tmp_path: Path) -> None:
    notes: list[str] = []
    settings = told(models["ltx"], frames=9, clip_skip=2, sampler="Euler")
    running.run(settings, tmp_path / "clip", engine, seed=1, report=lambda e: notes.append(str(e.get("message"))))
    assert any("LTX-Video has no sampler, clip_skip" in note for note in notes)

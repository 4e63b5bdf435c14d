"""Clips of the demo checkpoint and a motion module that does something at random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from generation.animation.motion_models import animatediff, finding, modules, running
from generation.animation.motion_models.settings import MotionSettings, of
from generation.animation.motion_models.told import Told, Travelling
from generation.catalogue import BUNDLED, Catalogue, look
from generation.conditioning import Conditioning
from generation.engine import Engine
from generation.errors import BadSpec, BadWeights, UnknownModel
from generation.loading import load
from generation.specs import RenderSpec
from generation.training.motion import begin


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    adapter = begin(load(look(BUNDLED), "cpu", torch.float32).unet, 16)
    torch.manual_seed(0)
    for name, parameter in adapter.named_parameters():
        if "proj_out" in name:
            torch.nn.init.normal_(parameter, std=0.15)
    return modules.write(tmp_path_factory.mktemp("modules") / "mm.safetensors", adapter, {}, "fp32")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(Catalogue([]), device="cpu")


def settings(module: Path, **given: Any) -> MotionSettings:
    return of({"prompt": "an apple, blue background", "motion": str(module), "steps": 2, "frames": 3, **given})


def pictures(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("[0-9]*.png"))]).astype(int)


def filmed(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        picture = np.zeros((64, 64, 3), np.uint8)
        picture[20:40, 5 * number : 5 * number + 20] = 255
        Image.fromarray(picture).save(folder / f"{number:03d}.png")
    return folder


def test_without_the_module_each_frame_is_the_picture_of_its_seed(module: Path, engine: Engine, tmp_path: Path) -> None:
    made = running.run(settings(module, scale=0.0, adapter=0.0), tmp_path / "clip", engine, seed=5)
    assert (made.frames, made.made, made.size, made.seed) == (3, 3, (64, 64), 5)
    spec = RenderSpec("an apple, blue background", steps=2, seed=6)
    alone = np.asarray(Image.open(engine.render(spec, tmp_path / "alone.png").path)).astype(int)
    assert np.abs(pictures(made.folder)[1] - alone).max() <= 1


def test_the_module_acts_and_the_same_clip_is_not_made_twice(module: Path, engine: Engine, tmp_path: Path) -> None:
    still = running.run(settings(module, scale=0.0), tmp_path / "still", engine, seed=5)
    made = running.run(settings(module), tmp_path / "clip", engine, seed=5)
    assert np.abs(pictures(made.folder) - pictures(still.folder)).mean() > 2
    again = running.run(settings(module), tmp_path / "clip", engine, seed=5)
    assert (again.made, again.frames) == (0, 3)
    with pytest.raises(BadSpec, match="other settings"):
        running.run(settings(module, scale=0.5), tmp_path / "clip", engine, seed=5)
    # What was rendered alone before and behind is untouched by the module.
    spec = RenderSpec("an apple, blue background", steps=2, seed=5)
    alone = np.asarray(Image.open(engine.render(spec, tmp_path / "alone.png").path)).astype(int)
    assert np.abs(alone - pictures(still.folder)[0]).max() <= 1


def test_stopped_behind_denoising_it_goes_on_with_decoding(
    module: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = running.run(settings(module), tmp_path / "whole", engine, seed=5)

    class Stopped(Exception):
        pass

    def report(event: dict[str, Any]) -> None:
        if event.get("stage") == "frames" and event["done"] == 1:
            raise Stopped

    with pytest.raises(Stopped):
        running.run(settings(module), tmp_path / "clip", engine, seed=5, report=report)
    assert (tmp_path / "clip" / animatediff.LATENTS).is_file()
    monkeypatch.setattr(animatediff._Making, "_denoised", lambda self: pytest.fail("denoised again"))
    made = running.run(settings(module), tmp_path / "clip", engine, seed=5)
    assert np.array_equal(pictures(made.folder), pictures(whole.folder)) and made.diffusion == 0
    assert not (tmp_path / "clip" / animatediff.LATENTS).exists()


def test_long_clips_are_seen_in_windows(module: Path, engine: Engine, tmp_path: Path) -> None:
    told = settings(module, frames=7, context=4, stride=2, steps=1)
    made = running.run(told, tmp_path / "long", engine, seed=5)
    other = running.run(told.changed({"free_noise": False}), tmp_path / "plain", engine, seed=5)
    assert made.frames == 7 and len(pictures(made.folder)) == 7
    assert (
        np.abs(pictures(made.folder)[:4] - pictures(other.folder)[:4]).mean()
        < np.abs(pictures(made.folder)[5:] - pictures(other.folder)[5:]).mean()
    )
    with pytest.raises(BadSpec, match="tells 32 frames apart, not 40"):
        running.run(settings(module, frames=40, context=40), tmp_path / "over", engine, seed=5)


def test_a_clip_is_as_long_as_those_its_module_was_trained_on(engine: Engine, tmp_path: Path) -> None:
    adapter = begin(load(look(BUNDLED), "cpu", torch.float32).unet, 16)
    path = modules.write(tmp_path / "five.safetensors", adapter, {}, "fp16", 5)
    told = of({"prompt": "an apple", "motion": str(path), "steps": 1})
    assert running.run(told, tmp_path / "clip", engine, seed=5).frames == 5
    longer = animatediff._Making(told.changed({"frames": 9}), tmp_path / "x", engine, 5, False, print, lambda: None)
    assert (longer.count, longer.context, longer.stride) == (9, 5, 1)


def test_free_init_makes_the_clip_again(module: Path, engine: Engine, tmp_path: Path) -> None:
    stages: list[str] = []
    told = settings(module, free_init=1)
    made = running.run(told, tmp_path / "a", engine, seed=5, report=lambda e: stages.append(str(e.get("stage"))))
    plain = running.run(settings(module), tmp_path / "b", engine, seed=5)
    assert stages.count("denoising") == 2 and stages.count("round 2") == 2
    assert np.abs(pictures(made.folder) - pictures(plain.folder)).mean() > 1


def test_prompts_travel_over_the_frames(module: Path, engine: Engine, tmp_path: Path) -> None:
    ends = {"0": "an apple, red background", "4": "an apple, blue background"}
    told = of({"prompts": ends, "motion": str(module), "steps": 6, "frames": 5, "scale": 0.0, "adapter": 0.0})
    made = running.run(told, tmp_path / "travel", engine, seed=5)
    found = pictures(made.folder)
    for frame, prompt in ((0, ends["0"]), (4, ends["4"])):
        spec = RenderSpec(prompt, steps=6, seed=5 + frame)
        alone = np.asarray(Image.open(engine.render(spec, tmp_path / f"{frame}.png").path)).astype(int)
        assert np.abs(found[frame] - alone).max() <= 2
    assert found[0, 0, 0, 0] > found[0, 0, 0, 2] and found[4, 0, 0, 2] > found[4, 0, 0, 0]


def test_a_negative_that_is_edited_on_the_way_is_heard_on_every_frame() -> None:
    positive, empty = torch.zeros(1, 2, 3), torch.zeros(1, 2, 3)

    class Conditions:
        composed = False

        def plan(self, *told: Any) -> Conditions:
            return self

        def __call__(self, *told: Any) -> Conditioning:
            return Conditioning(empty, empty)

        def at(self, step: int) -> Conditioning:
            return Conditioning(positive, torch.full((1, 2, 3), float(step)))

    told = Told({"0": "spring", "4": "winter"}, "", 5, 1)
    plan = Travelling(Conditions(), told).plan("", "", 2)  # type: ignore[arg-type]
    assert plan.at(0).negative.shape == (5, 2, 3)
    assert float(plan.at(0).negative.max()) == 0 and float(plan.at(1).negative.min()) == 1


def test_a_video_is_begun_from_and_controls_each_frame(module: Path, engine: Engine, tmp_path: Path) -> None:
    source = filmed(tmp_path / "video", 3)
    weak = running.run(settings(module, video=str(source), strength=0.3, steps=6), tmp_path / "weak", engine, seed=5)
    wanted = pictures(source)
    far = running.run(settings(module, video=str(source), steps=6), tmp_path / "far", engine, seed=5)
    assert np.abs(pictures(weak.folder) - wanted).mean() < 0.6 * np.abs(pictures(far.folder) - wanted).mean()
    held = running.run(
        settings(module, video=str(source), controls=[{"preprocessor": "canny"}], scale=0.0, steps=4),
        tmp_path / "held", engine, seed=5,
    )  # fmt: skip
    spec = RenderSpec(
        "an apple, blue background", steps=4, seed=7,
        controls=({"preprocessor": "canny", "image": str(source / "002.png")},),
    )  # fmt: skip
    alone = np.asarray(Image.open(engine.render(spec, tmp_path / "alone.png").path)).astype(int)
    assert np.abs(pictures(held.folder)[2] - alone).max() <= 1
    with pytest.raises(BadSpec, match="has 3 frames, and the clip 9"):
        running.run(settings(module, video=str(source), frames=9), tmp_path / "more", engine, seed=5)
    with pytest.raises(BadSpec, match="stands for a video's frames"):
        spec = RenderSpec("x", steps=1, controls=({"preprocessor": "canny", "image": "@frame"},))
        engine.render(spec, tmp_path / "x.png")


def test_which_module_is_told_or_refused(module: Path, tmp_path: Path) -> None:
    demo = look(BUNDLED)
    catalogue = Catalogue([module.parent])
    assert finding.module(catalogue, "mm", demo).path == str(module)
    with pytest.raises(UnknownModel, match='no motion module "nn"'):
        finding.module(catalogue, "nn", demo)
    with pytest.raises(BadWeights, match="not a motion module but a checkpoint"):
        finding.module(catalogue, "atelier-demo", demo)
    with pytest.raises(BadWeights, match="no motion LoRA"):
        finding.lora(catalogue, "mm", demo)
    from dataclasses import replace

    other = replace(demo, name="mine", path="/nowhere", family="sd15")
    assert finding.module(catalogue, "", other).name == "mm"  # of no known family: it may fit
    with pytest.raises(UnknownModel, match="no motion module for mine"):
        finding.module(Catalogue([]), "", other)
    with pytest.raises(BadSpec, match="begins with no picture"):
        running.run(settings(module, image="a.png"), tmp_path / "x", Engine(Catalogue([]), device="cpu"), seed=1)

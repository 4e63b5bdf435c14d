"""Instructions with their two guidances, pictures taken back to noise, and remarks on sizes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image

from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.errors import BadSpec
from generation.metadata import read
from generation.operations.invert import Backwards
from generation.sampling import Texts, denoise
from generation.sizes import remarks
from generation.specs import RenderSpec


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Engine:
    return Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")


@pytest.fixture(scope="module")
def instructed(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The same checkpoint with a UNet of eight channels."""
    from diffusers import UNet2DConditionModel

    folder = tmp_path_factory.mktemp("models") / "tiny"
    shutil.copytree(tiny_checkpoint, folder)
    torch.manual_seed(1)
    config = {**UNet2DConditionModel.load_config(folder / "unet"), "in_channels": 8}
    UNet2DConditionModel.from_config(config).save_pretrained(folder / "unet")
    return Engine(Catalogue([folder.parent]), device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture that the autoencoder of random weights gives back as it is: one of its own."""
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def spec(operation: str, image: Path, prompt: str = "fox", **options: Any) -> RenderSpec:
    named = {k: options.pop(k) for k in list(options) if k in {"steps", "batch", "cfg", "sampler", "references"}}
    return RenderSpec(
        prompt, "blur", "tiny", operation, 5, options={"image": str(image), **options}, **{"steps": 4, **named}
    )


# Instructions


def test_pixels_are_those_of_the_pipeline(instructed: Engine, tmp_path: Path, photo: Path) -> None:
    from diffusers import EulerDiscreteScheduler, StableDiffusionInstructPix2PixPipeline

    wanted = spec("instruct", photo, "make it red", image_cfg=1.7, cfg=4.0, sampler="Euler")
    ours = pixels(instructed.render(wanted, tmp_path / "a.png").path)
    loaded = instructed.prepare("tiny")
    pipe = StableDiffusionInstructPix2PixPipeline(
        **{name: getattr(loaded.pipe, name) for name in ("vae", "text_encoder", "tokenizer", "unet")},
        scheduler=EulerDiscreteScheduler.from_config(loaded.tools.scheduler),
        safety_checker=None, feature_extractor=None, image_encoder=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    told = loaded.conditioner("make it red", "blur")
    made = pipe(
        prompt_embeds=told.positive, negative_prompt_embeds=told.negative, image=Image.open(photo),
        num_inference_steps=4, guidance_scale=4.0, image_guidance_scale=1.7,
        generator=torch.Generator("cpu").manual_seed(5), output_type="np",
    ).images[0]  # fmt: skip
    assert ours.std() > 0
    assert np.abs(ours - (made * 255).round().astype(int)).max() <= 1


def test_three_groups_are_asked_about_and_the_first_sees_no_picture(
    instructed: Engine, tmp_path: Path, photo: Path
) -> None:
    asked: list[tuple[torch.Tensor, torch.Tensor]] = []
    unet = instructed.prepare("tiny").pipe.unet
    handle = unet.register_forward_pre_hook(
        lambda _, args, named: asked.append((args[0].clone(), named["encoder_hidden_states"])), with_kwargs=True
    )
    instructed.render(spec("instruct", photo, batch=2), tmp_path / "a.png")
    handle.remove()
    rows, texts = asked[0]
    assert rows.shape[:2] == (6, 8)
    assert (rows[:2, 4:] == 0).all()
    assert torch.equal(rows[2:4, 4:], rows[4:, 4:])
    assert rows[2:, 4:].abs().sum() > 0
    assert torch.equal(texts[:2], texts[2:4])
    assert not torch.equal(texts[2:4], texts[4:])


def test_each_guidance_counts_and_a_spec_makes_the_same_again(instructed: Engine, tmp_path: Path, photo: Path) -> None:
    made = {
        (image_cfg, cfg): instructed.render(spec("instruct", photo, image_cfg=image_cfg, cfg=cfg), tmp_path / "a.png")
        for image_cfg, cfg in ((1.5, 4.0), (3.0, 4.0), (1.5, 7.0))
    }
    last = made[(1.5, 7.0)]
    assert (last.spec.width, last.spec.height) == (64, 64)
    first = pixels(instructed.render(spec("instruct", photo, image_cfg=1.5, cfg=4.0), tmp_path / "b.png").path)
    for other in ((3.0, 4.0), (1.5, 7.0)):
        assert (
            pixels(
                instructed.render(spec("instruct", photo, image_cfg=other[0], cfg=other[1]), tmp_path / "c.png").path
            )
            != first
        ).any()
    known = RenderSpec.from_json(read(tmp_path / "b.png").spec() or {})
    assert (pixels(instructed.render(known, tmp_path / "d.png").path) == first).all()


def test_the_wrong_model_and_what_does_not_go_together(
    engine: Engine, instructed: Engine, tmp_path: Path, photo: Path
) -> None:
    with pytest.raises(BadSpec, match="does not follow instructions"):
        engine.render(spec("instruct", photo), tmp_path / "a.png")
    with pytest.raises(BadSpec, match="cannot do txt2img"):
        instructed.render(RenderSpec("a", model="tiny", seed=1), tmp_path / "a.png")
    with pytest.raises(BadSpec, match="AND"):
        instructed.render(spec("instruct", photo, "red AND blue"), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


# Inversion


def test_backwards_and_forwards_are_exact_where_the_steps_are_solved() -> None:
    """A prediction that is a fifth of the state: fixed-point iteration comes as near as single precision does."""
    clean = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))

    class Fifth:
        config = type("Config", (), {})()

        def __call__(self, rows: torch.Tensor, *args: Any, **named: Any) -> tuple[torch.Tensor]:
            return (rows * 0.2,)

    left = {}
    for kind in ("epsilon", "v_prediction", "sample"):
        for refinements in (0, 20):
            forwards = DDIMScheduler(clip_sample=False, prediction_type=kind, beta_schedule="scaled_linear")
            backwards = Backwards(forwards, 2, refinements)
            backwards.set_timesteps(10)
            texts = Texts(torch.zeros(1, 1, 1))
            told = {"texts": lambda step, texts=texts: texts, "guidance_scale": 1.0}
            noise = denoise(Fifth(), backwards, clean, backwards.timesteps, **told)
            again = denoise(Fifth(), forwards, noise, forwards.timesteps[2:], **told)
            left[kind, refinements] = float((again - clean).abs().max())
    assert all(left[kind, 20] < 1e-3 for kind in ("epsilon", "v_prediction"))
    assert all(left[kind, 20] < left[kind, 0] / 10 for kind in ("epsilon", "v_prediction"))


def test_a_picture_comes_back_and_each_refinement_is_nearer(engine: Engine, tmp_path: Path, photo: Path) -> None:
    """Without guidance the way forth is the way back; what is left is the autoencoder's own loss."""
    codec = engine.prepare("tiny").tools.autoencoder
    latents = codec.encode(np.asarray(Image.open(photo))[None] / 255.0)
    found = []
    seen: list[torch.Tensor] = []
    original = codec.decode
    codec.decode = lambda latents: seen.append(latents) or original(latents)  # type: ignore[method-assign,func-returns-value]
    try:
        for refinements in (0, 1, 4):
            wanted = spec("invert", photo, source_prompt="fox", refinements=refinements, cfg=1.0, steps=10)
            result = engine.render(wanted, tmp_path / "a.png")
            found.append(float((seen[-1] - latents).abs().mean()))
    finally:
        codec.decode = original  # type: ignore[method-assign]
    assert found[0] > found[1] > found[2]
    assert result.spec.sampler == "DDIM"


def test_another_prompt_makes_another_picture_and_little_strength_stays_near(
    engine: Engine, tmp_path: Path, photo: Path
) -> None:
    def made(prompt: str, strength: float = 1.0) -> np.ndarray:
        wanted = spec("invert", photo, prompt, source_prompt="fox", strength=strength, cfg=5.0, steps=10)
        return pixels(engine.render(wanted, tmp_path / "a.png").path)

    same, other = made("fox"), made("a blue house")
    assert (same != other).any()
    assert (made("a blue house") == other).all()
    codec = engine.prepare("tiny").tools.autoencoder
    again = codec.decode(codec.encode(np.asarray(Image.open(photo))[None] / 255.0))[0] * 255
    assert np.abs(made("a blue house", 0.2) - again).mean() < np.abs(other - again).mean()
    with pytest.raises(BadSpec, match="none of 10 steps"):
        made("fox", 0.01)


def test_another_sampler_is_set_right_and_said(engine: Engine, tmp_path: Path, photo: Path) -> None:
    events: list[dict[str, Any]] = []
    result = engine.render(spec("invert", photo, sampler="Euler"), tmp_path / "a.png", report=events.append)
    assert any("DDIM alone" in event.get("message", "") for event in events)
    assert (read(result.path).spec() or {})["sampler"] == "DDIM"
    stages = [event["stage"] for event in events if event["kind"] == "progress"]
    assert stages.index("inverting") < stages.index("denoising")


# Sizes


@pytest.mark.parametrize(
    ("operation", "size", "strength", "words"),
    [
        ("txt2img", (64, 64), None, ""),
        ("txt2img", (96, 96), None, "repeat"),
        ("txt2img", (64, 128), None, ""),
        ("txt2img", (32, 48), None, "weaker"),
        ("img2img", (96, 96), 0.9, "repeat"),
        ("img2img", (96, 96), 0.4, ""),
    ],
)
def test_sizes_a_model_was_not_made_for_are_remarked_on(
    engine: Engine, operation: str, size: tuple[int, int], strength: float | None, words: str
) -> None:
    options = {} if strength is None else {"image": "x.png", "strength": strength}
    wanted = RenderSpec("fox", operation=operation, width=size[0], height=size[1], options=options)
    found = remarks(engine.catalogue.find("tiny"), wanted, size)
    assert len(found) == bool(words)
    assert words in "".join(found)


def test_a_picture_that_is_no_multiple_of_eight_is_said(engine: Engine, tmp_path: Path) -> None:
    Image.new("RGB", (70, 61)).save(tmp_path / "odd.png")
    events: list[dict[str, Any]] = []
    engine.render(spec("img2img", tmp_path / "odd.png"), tmp_path / "a.png", report=events.append)
    assert any("70x61 is made at 64x56" in event.get("message", "") for event in events)

"""The loop of denoising beside diffusers' own pipelines, and what steers it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from generation import samplers
from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.sampling import first_step, guidance_embedding, rescaled, slerp
from generation.specs import RenderSpec


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


@pytest.fixture(scope="module")
def engines(tiny_checkpoint: Path, tiny_sdxl: Path) -> dict[str, Engine]:
    folders = {"sd": tiny_checkpoint, "sdxl": tiny_sdxl}
    return {name: Engine(Catalogue([folder.parent]), device="cpu") for name, folder in folders.items()}


def theirs(engine: Engine, spec: RenderSpec, **more: Any) -> np.ndarray:
    """The picture diffusers' pipeline makes of the same tensors, seed and scheduler."""
    loaded = engine.prepare("tiny")
    pipe: Any = loaded.pipe
    choice = samplers.find(spec.sampler or "Euler")
    pipe.scheduler = getattr(diffusers, choice.scheduler_class).from_config(loaded.tools.scheduler, **choice.arguments)
    told = loaded.conditioner(spec.prompt, spec.negative)
    texts = {"prompt_embeds": told.positive, "negative_prompt_embeds": told.negative}
    if told.positive_pooled is not None:
        texts |= {"pooled_prompt_embeds": told.positive_pooled, "negative_pooled_prompt_embeds": told.negative_pooled}
    generator = torch.Generator("cpu").manual_seed(spec.seed)
    made = pipe(
        **texts, width=64, height=64, num_inference_steps=spec.steps or 4, guidance_scale=spec.cfg or 3.0,
        generator=generator, output_type="np", **more,
    ).images[0]  # fmt: skip
    return (made * 255).round().astype(int)


SAMPLERS = ["Euler", "Euler a", "DPM++ 2M Karras", "DPM++ 2M SDE", "Heun", "LMS", "DDIM", "PLMS", "UniPC"]


@pytest.mark.parametrize("family", ["sd", "sdxl"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_pixels_are_those_of_the_pipeline(
    engines: dict[str, Engine], tmp_path: Path, family: str, sampler: str
) -> None:
    spec = RenderSpec("a (red:1.2) fox", "blur", model="tiny", seed=5, steps=5, sampler=sampler)
    ours = pixels(engines[family].render(spec, tmp_path / "a.png").path)
    assert ours.std() > 0
    assert (ours == theirs(engines[family], spec)).all()


def test_the_noise_of_a_brownian_path_has_the_seed_too(engines: dict[str, Engine], tmp_path: Path) -> None:
    """diffusers' own pipeline seeds it with nothing: two calls give two pictures there."""
    batch = RenderSpec("fox", model="tiny", seed=5, steps=5, sampler="DPM++ SDE", batch=2)
    alone = RenderSpec("fox", model="tiny", seed=6, steps=5, sampler="DPM++ SDE")
    second = engines["sd"].render(batch, tmp_path / "a.png").paths[1]
    by_itself = engines["sd"].render(alone, tmp_path / "b.png").path
    assert np.abs(pixels(second) - pixels(by_itself)).max() <= 2


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_rescaled_guidance_is_the_pipelines(engines: dict[str, Engine], tmp_path: Path, family: str) -> None:
    spec = RenderSpec("fox", "blur", model="tiny", seed=5, cfg=9.0, cfg_rescale=0.7)
    ours = pixels(engines[family].render(spec, tmp_path / "a.png").path)
    assert (ours == theirs(engines[family], spec, guidance_rescale=0.7)).all()
    assert (ours != theirs(engines[family], spec)).any()


def test_without_guidance_the_negative_is_not_asked_about(engines: dict[str, Engine], tmp_path: Path) -> None:
    engine = engines["sd"]
    spec = RenderSpec("fox", "blur", model="tiny", seed=5, cfg=1.0)
    rows: list[int] = []
    handle = engine.prepare("tiny").pipe.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    ours = pixels(engine.render(spec, tmp_path / "a.png").path)
    handle.remove()
    assert rows == [1] * 4
    assert (ours == theirs(engine, spec)).all()


def test_the_formulas_by_hand() -> None:
    assert [first_step(20, s) for s in (1.0, 0.75, 0.5, 0.049, 0.0)] == [0, 5, 10, 20, 20]
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    half = slerp(one, other, 0.5)
    assert torch.allclose(half, torch.tensor([0.5**0.5, 2 * 0.5**0.5]))
    assert slerp(one, other, 0) is one
    assert slerp(one, other, 1) is other
    assert torch.allclose(slerp(one, one * 3, 0.5), one * 2)
    positive = torch.tensor([[0.0, 2.0]])[..., None, None]
    guided = torch.tensor([[1.0, 9.0]])[..., None, None]
    # Their deviations are in the ratio of 1 to 4: all of it, none of it, half of it.
    assert torch.allclose(rescaled(guided, positive, 1.0).flatten(), torch.tensor([0.25, 2.25]))
    assert torch.equal(rescaled(guided, positive, 0.0), guided)
    assert torch.allclose(rescaled(guided, positive, 0.5).flatten(), torch.tensor([0.625, 5.625]))
    found = guidance_embedding(0.0, 6, 2)
    assert torch.equal(found, torch.tensor([[0.0, 0, 0, 1, 1, 1]] * 2))
    assert found.shape == guidance_embedding(6.5, 6, 2).shape


def test_the_guidance_embedding_is_the_pipelines(engines: dict[str, Engine]) -> None:
    pipe: Any = engines["sd"].prepare("tiny").pipe
    wanted = pipe.get_guidance_scale_embedding(torch.tensor([6.5, 6.5]), embedding_dim=16)
    assert torch.allclose(guidance_embedding(6.5, 16, 2), wanted, atol=1e-4)

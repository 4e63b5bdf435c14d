"""What the engine keeps in memory: one checkpoint, another VAE where one is named, and a plan that suits the size."""

from __future__ import annotations

import gc
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from generation import engine as engine_module
from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.errors import BadSpec, BadWeights, RenderFailed
from generation.memory import Plan
from generation.specs import RenderSpec


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny checkpoint, a copy of it, and a VAE of other weights."""
    models = tmp_path / "models"
    shutil.copytree(tiny_checkpoint, models / "tiny")
    shutil.copytree(tiny_checkpoint, models / "copy")
    (models / "copy" / "atelier.json").write_text(
        (models / "tiny" / "atelier.json").read_text().replace("tiny", "copy", 1)
    )
    torch.manual_seed(9)
    config = AutoencoderKL.load_config(models / "tiny" / "vae")
    AutoencoderKL.from_config(config).save_pretrained(models / "other-vae")
    return models


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def test_a_model_that_is_switched_away_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    engine = Engine(Catalogue([folder]), device="cpu")
    for model in ("tiny", "copy", "tiny"):
        engine.render(RenderSpec("a fox", model=model, seed=1), tmp_path / "a.png")
        assert engine.loaded == model
        left = [weakref.ref(module) for module in engine.prepare(model).pipe.components.values() if module is not None]
        engine.unload()
        gc.collect()
        parts = [ref() for ref in left]
        assert not [type(part) for part in parts if isinstance(part, torch.nn.Module)]
        del parts
    assert engine.loaded == ""


def test_while_a_model_loads_the_former_one_is_gone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(Catalogue([folder]), device="cpu")
    former = weakref.ref(engine.prepare("tiny").pipe.unet)
    there: list[bool] = []
    real = engine_module.hold

    def hold(*args: Any, **named: Any) -> Any:
        gc.collect()
        there.append(former() is not None)
        return real(*args, **named)

    monkeypatch.setattr(engine_module, "hold", hold)
    engine.prepare("copy")
    assert there == [False]


def test_another_vae_decodes_and_its_own_comes_back(folder: Path, tmp_path: Path) -> None:
    engine = Engine(Catalogue([folder]), device="cpu")

    def made(**fields: Any) -> np.ndarray:
        return pixels(engine.render(RenderSpec("a fox", model="tiny", seed=1, **fields), tmp_path / "a.png").path)

    plain, other = made(), made(vae="other-vae")
    assert (plain != other).any()
    assert (made() == plain).all()
    with pytest.raises(BadWeights, match="copy is not a VAE but a checkpoint"):
        made(vae="copy")


def test_a_larger_picture_is_planned_anew_and_a_smaller_one_is_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int, int, int]] = []

    def plan(entry: Any, device: str, dtype: str, width: int, height: int, batch: int, **more: Any) -> Plan:
        asked.append((width, height, batch, more["held"]))
        return Plan("cpu", "fp32", "none", width > 100, 1000 + width, 10**9)

    monkeypatch.setattr(engine_module, "preflight", plan)
    engine = Engine(Catalogue([folder]), device="cpu")
    first = engine.prepare("tiny", size=(64, 64))
    assert engine.prepare("tiny", size=(32, 64)) is first
    assert engine.prepare("tiny", size=(64, 64), batch=2) is first
    tiled = engine.prepare("tiny", size=(128, 128))
    assert tiled is not first
    # The larger size is asked about once with the loaded one's memory counted as its own, then with it gone.
    assert asked == [(64, 64, 1, 0), (64, 64, 2, 1064), (128, 128, 1, 1064), (128, 128, 1, 0)]
    assert tiled.pipe.vae.use_tiling


def test_what_does_not_fit_is_refused_before_it_loads(folder: Path, tmp_path: Path) -> None:
    engine = Engine(Catalogue([folder]), device="cpu", precision="fp16")
    with pytest.raises(BadSpec, match="fp16"):
        engine.prepare("tiny")
    huge = RenderSpec("a", model="tiny", width=4096, height=4096, batch=64)
    with pytest.raises(RenderFailed, match="needs about"):
        Engine(Catalogue([folder]), device="cpu").render(huge, tmp_path / "a.png")

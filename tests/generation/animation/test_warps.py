"""Warps: Deforum's own numbers, places worked out by hand, and numbers no camera has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from generation.animation import warps


def ramp(height: int = 6, width: int = 8) -> np.ndarray:
    """Every pixel another colour."""
    return np.random.default_rng(0).random((height, width, 3), dtype=np.float32)


def test_the_reference_s_matrices(vectors: Callable[[str], Any]) -> None:
    for vector in vectors("deforum_warps.json")["warp2d"]:
        made = warps.matrix_2d(
            vector["W"], vector["H"], angle=vector["angle"], zoom=vector["zoom"], x=vector["tx"], y=vector["ty"],
            centre=tuple(vector["center"]),
        )  # fmt: skip
        assert np.abs(made - np.array(vector["matrix"])).max() < 1e-6
        for place, wanted in vector["forward_map_src_to_dst"].items():
            x, y = map(int, place.split(","))
            assert (made @ [x, y, 1])[:2] == pytest.approx(wanted, abs=1e-5)


def test_the_reference_s_grids(vectors: Callable[[str], Any]) -> None:
    for vector in vectors("deforum_warps.json")["warp3d"]:
        told = vector["params"]
        grid = warps.grid_3d(
            told["w"], told["h"], translation=(told["tx"], told["ty"], told["tz"]), fov=told["fov"],
            rotation=(told["rx"], told["ry"], told["rz"]), aspect=told["aspect"], depth=told["z"],
        )  # fmt: skip
        for place, wanted in vector["grid"].items():
            x, y = map(int, place.split(","))
            assert grid[y, x] == pytest.approx(wanted, abs=1e-6)


def test_the_geometry_by_hand() -> None:
    """The same without the vectors: a turn of 90 degrees, a shift, and the plane brought nearer."""
    turned = warps.matrix_2d(100, 60, angle=90)
    assert (turned @ [50, 30, 1])[:2] == pytest.approx([50, 30])
    # Against the clock: what is right of the middle goes up.
    assert (turned @ [60, 30, 1])[:2] == pytest.approx([50, 20])
    # Shifted first, then enlarged: the shift grows too.
    assert (warps.matrix_2d(100, 60, zoom=2, x=5) @ [50, 30, 1])[:2] == pytest.approx([60, 30])
    # 100 of 200 half pictures nearer: the plane at 1 is then at 0.5; with a view of 90 degrees k is 1.
    grid = warps.grid_3d(3, 3, translation=(0, 0, 100), fov=90)
    own = 2 / 3
    assert grid[1, 2] == pytest.approx([own - (1 / 0.5 - 1), 0])
    near, far = (warps.grid_3d(9, 9, translation=(10, 0, 0), depth=depth)[4, 4, 0] for depth in (1.0, 2.0))
    assert near == pytest.approx(2 * far), "what is twice as far moves half as much"
    assert np.allclose(warps.grid_3d(9, 9, translation=(0, 10, 0), aspect=2)[4, 4, 0], 0)


def test_pixels_go_where_they_should() -> None:
    picture = ramp()
    assert np.allclose(warps.warp_2d(picture, np.eye(3)), picture, atol=1e-5)
    right = warps.warp_2d(picture, warps.matrix_2d(8, 6, x=3))
    assert np.allclose(right[:, 3:], picture[:, :-3], atol=1e-5)
    assert np.allclose(right[:, :3], picture[:, :1], atol=1e-5), "the edge is repeated"
    wrapped = warps.warp_2d(picture, warps.matrix_2d(8, 6, x=3, y=-2), "wrap")
    assert np.allclose(wrapped, np.roll(picture, (3, -2), (1, 0)), atol=1e-5)
    half = warps.warp_2d(picture, warps.matrix_2d(8, 6, x=0.5))
    assert np.allclose(half[:, 1:], (picture[:, 1:] + picture[:, :-1]) / 2, atol=1e-5)
    assert np.allclose(warps.warp_3d(picture, warps.grid_3d(8, 6)), picture, atol=1e-5)
    left = warps.warp_3d(picture, warps.grid_3d(8, 6) + np.array([2 / 8, 0]), sampling="nearest")
    assert np.array_equal(left[:, :-1], picture[:, 1:])


def test_paddings_and_samplings_differ_and_stay_in_range() -> None:
    picture = np.round(ramp())
    grid = warps.grid_3d(8, 6, rotation=(0, 0, 20))
    made = {
        (sampling, padding): warps.warp_3d(picture, grid, sampling=sampling, padding=padding)
        for sampling in warps.SAMPLINGS
        for padding in warps.PADDINGS
    }
    assert len({one.tobytes() for one in made.values()}) == len(made)
    for one in made.values():
        assert one.min() >= 0 and one.max() <= 1
        assert one.dtype == np.float32


@pytest.mark.parametrize("rotation", [(150, 0, 0), (90, 0, 0), (0, 90, 0), (180, 180, 180), (1e6, -1e6, 3)])
@pytest.mark.parametrize("translation", [(0, 0, 200), (0, 0, 1e9), (-1e9, 1e9, 0)])
def test_no_camera_gives_anything_but_colours(rotation: Any, translation: Any) -> None:
    made = warps.warp_3d(ramp(), warps.grid_3d(8, 6, rotation=rotation, translation=translation))
    assert np.isfinite(made).all() and made.min() >= 0 and made.max() <= 1


@pytest.mark.parametrize("zoom", [0, 1e-12, 1e12, -1])
def test_no_zoom_gives_anything_but_colours(zoom: float) -> None:
    for border in warps.BORDERS:
        made = warps.warp_2d(ramp(), warps.matrix_2d(8, 6, zoom=zoom, angle=10), border)
        assert np.isfinite(made).all() and made.min() >= 0 and made.max() <= 1 + 1e-6


def test_a_picture_turned_in_space() -> None:
    flat = warps.flip_2d(100, 60, 0, 0, 0)
    assert np.allclose(flat, np.eye(3))
    turned = warps.flip_2d(100, 60, 0, 0, 90)
    place = turned @ [60, 30, 1]
    assert (place / place[2])[:2] == pytest.approx([50, 40])
    tipped = warps.flip_2d(100, 60, 40, 0, 0)
    corners = [tipped @ [x, y, 1] for y in (0, 60) for x in (0, 100)]
    corners = [corner[:2] / corner[2] for corner in corners]
    assert corners[1][0] - corners[0][0] != pytest.approx(corners[3][0] - corners[2][0]), "one edge is nearer"


def test_blending() -> None:
    one, other = np.zeros((2, 2, 3), np.float32), np.ones((2, 2, 3), np.float32)
    assert warps.blended(one, other, 0) is one
    assert warps.blended(one, other, 1) is other
    assert warps.blended(one, other, 0.25).mean() == pytest.approx(0.25)

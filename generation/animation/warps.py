"""A picture moved as a camera would move: in its plane, or in space over a plane or a depth map.

Knows Deforum's geometry, to whose numbers (sd-webui-deforum 32242685) it is equal within 1e-6. Leaves what the numbers
are at a frame to schedules, and where depth comes from to the caller. Pictures are float32 [height, width, 3] in 0..1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[Any]
BORDERS = ("replicate", "wrap")
PADDINGS = ("border", "reflection", "zeros")
SAMPLINGS = ("bicubic", "bilinear", "nearest")
# Units of translation that are one half of the picture.
TRANSLATION = 200.0
# What is nearer to the camera's own plane is taken as this far: beyond it everything is infinitely large.
CLOSEST = 1e-4
# Far outside the picture; farther ones lose their fractions in single precision.
OUTSIDE = 1e4


def matrix_2d(
    width: int,
    height: int,
    *,
    angle: float = 0.0,
    zoom: float = 1.0,
    x: float = 0.0,
    y: float = 0.0,
    centre: tuple[float, float] = (0.5, 0.5),
) -> Array:
    """[3, 3] float64 that takes a pixel's place to its new one: shifted by x, y pixels, then turned and enlarged.

    `angle` in degrees against the clock, about `centre` in shares of the picture.
    """
    around = width * centre[0], height * centre[1]
    cos, sin = zoom * math.cos(math.radians(angle)), zoom * math.sin(math.radians(angle))
    turned = np.array(
        [
            [cos, sin, (1 - cos) * around[0] - sin * around[1]],
            [-sin, cos, sin * around[0] + (1 - cos) * around[1]],
            [0.0, 0.0, 1.0],
        ]
    )
    return turned @ np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def flip_2d(width: int, height: int, theta: float, phi: float, gamma: float, fov: float = 53.0) -> Array:
    """[3, 3] of the picture turned in space about its middle: gamma in its plane, theta about x, phi about y, degrees.

    `fov` is the angle under which its diagonal is seen where nothing is turned.
    """
    away = math.hypot(width, height) / 2 / math.tan(math.radians(min(max(fov, 1.0), 179.0)) / 2)
    turned = _about("z", gamma) @ _about("x", theta) @ _about("y", phi)
    to_middle = np.array([[1.0, 0.0, -width / 2], [0.0, 1.0, -height / 2], [0.0, 0.0, 1.0]])
    seen = np.stack([turned[:, 0], turned[:, 1], np.array([0.0, 0.0, away])], axis=1)
    camera = np.array([[away, 0.0, width / 2], [0.0, away, height / 2], [0.0, 0.0, 1.0]])
    found: Array = camera @ seen @ to_middle
    return found / found[2, 2]


def warp_2d(picture: Array, matrix: Array, border: str = "replicate") -> Array:
    """The picture with each pixel where `matrix` takes it; what comes in from outside repeats the edge, or wraps."""
    height, width = picture.shape[:2]
    try:
        back = np.linalg.inv(matrix)
    except np.linalg.LinAlgError:  # zoom 0: the picture is one point, which is nowhere
        return np.broadcast_to(picture.mean((0, 1), keepdims=True), picture.shape).astype(np.float32)
    x, y = _plane(back, np.arange(width), np.arange(height))
    return sample(picture, x, y, border)


def sample(picture: Array, x: Array, y: Array, border: str = "replicate") -> Array:
    """The picture at places x, y (pixels, [h, w]) between its pixels, linearly."""
    height, width = picture.shape[:2]
    if border == "wrap":
        # One row and column more, so that the last pixel has its neighbour at the other side.
        picture = np.concatenate([picture, picture[:, :1]], 1)
        picture = np.concatenate([picture, picture[:1]], 0)
        x, y = np.mod(x, width), np.mod(y, height)
    edge = picture.shape[0] - 1, picture.shape[1] - 1
    grid = _paired(x * (2 / max(edge[1], 1)) - 1, y * (2 / max(edge[0], 1)) - 1)
    return _gridded(picture, grid, "bilinear", "border", corners=True)


def grid_3d(
    width: int,
    height: int,
    *,
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0),
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0),
    fov: float = 70.0,
    aspect: float = 1.0,
    depth: Array | float = 1.0,
) -> Array:
    """[height, width, 2] float32: where in the picture each pixel's colour comes from, -1 to 1 between its outer edges.

    `translation` in units of which 200 are half a picture, `rotation` about x, y and z in degrees. `depth` is how far
    away each pixel lies, [height, width] or the same for all; 1 is the plane that fills the view.
    """
    across, down = np.linspace(-1, 1, width), np.linspace(-1, 1, height)
    far = np.asarray(depth, dtype=np.float64)
    turned = _about("x", rotation[0]) @ _about("y", rotation[1]) @ _about("z", rotation[2])
    x, y, z = translation
    shift = np.array([-x, y, -z]) / TRANSLATION
    # A plane's far is one number: whole arrays of it would cost twice the time.
    placed = [
        np.add.outer(down * turned[1, n], across * turned[0, n]) + (far * turned[2, n] + shift[n]) for n in range(3)
    ]
    k = 1 / math.tan(math.radians(min(max(fov, 1.0), 179.0)) / 2)
    now, before = _apart(placed[2]), _apart(far)
    moved_x = k / (aspect or 1.0) * (placed[0] / now - across / before)
    moved_y = k * (placed[1] / now - down[:, None] / before)
    own_x = (2 * np.arange(width) + 1) / width - 1
    own_y = (2 * np.arange(height) + 1) / height - 1
    return _paired(own_x - moved_x, own_y[:, None] - moved_y)


def warp_3d(picture: Array, grid: Array, *, sampling: str = "bicubic", padding: str = "border") -> Array:
    """The picture as `grid_3d` says. Bicubic sampling overshoots at edges; the result is kept in 0..1."""
    return np.clip(_gridded(picture, grid, sampling, padding, corners=False), 0, 1)


def blended(one: Array, other: Array, share: float) -> Array:
    """`one` at share 0, `other` at share 1."""
    if share <= 0 or share >= 1:
        return one if share <= 0 else other
    return one + (other - one) * np.float32(share)


def _plane(matrix: Array, across: Array, down: Array) -> tuple[Array, Array]:
    """[h, w] twice: where `matrix` takes each pixel of rows `down` and columns `across`."""
    x, y, depth = (np.add.outer(row[1] * down + row[2], row[0] * across) for row in matrix)
    if np.array_equal(matrix[2], (0.0, 0.0, 1.0)):
        return x, y
    depth = _apart(depth)
    return x / depth, y / depth


def _paired(x: Array, y: Array) -> Array:
    """[h, w, 2] of two [h, w], no farther outside than single precision tells apart."""
    grid = np.empty((*x.shape, 2), np.float32)
    np.clip(x, -OUTSIDE, OUTSIDE, out=grid[..., 0])
    np.clip(y, -OUTSIDE, OUTSIDE, out=grid[..., 1])
    return grid


def _gridded(picture: Array, grid: Array, sampling: str, padding: str, *, corners: bool) -> Array:
    pixels = torch.from_numpy(np.ascontiguousarray(picture, dtype=np.float32)).permute(2, 0, 1)[None]
    places = torch.from_numpy(np.ascontiguousarray(grid, dtype=np.float32))[None]
    made = torch.nn.functional.grid_sample(pixels, places, mode=sampling, padding_mode=padding, align_corners=corners)
    return made[0].permute(1, 2, 0).contiguous().numpy()


def _apart(depth: Array) -> Array:
    """Depths that can be divided by, on the side of the camera they are on."""
    if np.abs(depth).min() >= CLOSEST:
        return depth
    return np.where(np.abs(depth) < CLOSEST, np.where(depth < 0, -CLOSEST, CLOSEST), depth)


def _about(axis: str, degrees: float) -> Array:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows = {
        "x": [[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]],
        "y": [[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]],
        "z": [[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]],
    }
    return np.array(rows[axis])

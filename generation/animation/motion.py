"""How the picture of one frame is moved to where the next one has it: in its plane, in space, by depth.

Knows which schedules steer which warp. Leaves geometry to `warps`, and depth to the local model it names.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generation.animation import warps
from generation.animation.colour import to_bytes
from generation.animation.timelines import Timeline
from generation.preprocessors.local_models import depth as nearness_of

Array = NDArray[Any]
# Distance of what a depth model sees nearest and farthest; the plane without one lies at the first.
NEAREST, FARTHEST = 1.0, 2.5


class Motion:
    """The warps of one animation; `moving` is False where the mode moves nothing."""

    def __init__(self, timeline: Timeline) -> None:
        self._line, self._settings = timeline, timeline.settings
        self.mode = self._settings["animation_mode"]
        self.moving = self.mode in {"2D", "3D"}
        self._model = self._settings["depth_model"] if self._settings["use_depth_warping"] else ""

    def depth(self, picture: Array) -> Array | float:
        """[h, w] distances in NEAREST..FARTHEST by the depth model, or the plane's. Raises `BadWeights`."""
        if self.mode != "3D" or not self._model:
            return NEAREST
        near = np.asarray(nearness_of(Image.fromarray(to_bytes(picture)), weights=self._model).convert("L"))
        share = np.asarray(cv2.equalizeHist(near), dtype=np.float64) / 255
        return FARTHEST - (FARTHEST - NEAREST) * share

    def moved(self, picture: Array, frame: int, depth: Array | float = NEAREST) -> Array:
        """The picture of the frame before, where `frame` has it."""
        if not self.moving:
            return picture
        height, width = picture.shape[:2]
        at = self._at(frame)
        flip = self._flip(at, width, height)
        if self.mode == "3D":
            picture = picture if flip is None else warps.warp_2d(picture, flip, self._settings["border"])
            grid = warps.grid_3d(
                width,
                height,
                translation=(at("translation_x"), at("translation_y"), at("translation_z")),
                rotation=(at("rotation_3d_x"), at("rotation_3d_y"), at("rotation_3d_z")),
                fov=at("fov_schedule"),
                aspect=at("aspect_ratio_schedule"),
                depth=depth,
            )
            return warps.warp_3d(
                picture, grid, sampling=self._settings["sampling_mode"], padding=self._settings["padding_mode"]
            )
        matrix = warps.matrix_2d(
            width,
            height,
            angle=at("angle"),
            zoom=at("zoom"),
            x=at("translation_x"),
            y=at("translation_y"),
            centre=(at("transform_center_x"), at("transform_center_y")),
        )
        return warps.warp_2d(picture, matrix if flip is None else matrix @ flip, self._settings["border"])

    def _flip(self, at: Any, width: int, height: int) -> Array | None:
        """The turn of the picture in space about its middle; a manifest of Parseq's has it switched on."""
        if not self._settings["enable_perspective_flip"] and self._line.manifest is None:
            return None
        theta, phi, gamma = (at(f"perspective_flip_{name}") for name in ("theta", "phi", "gamma"))
        if not (theta or phi or gamma):
            return None
        return warps.flip_2d(width, height, theta, phi, gamma, at("perspective_flip_fv"))

    def _at(self, frame: int) -> Any:
        return lambda name: self._line.at(name, frame) if self._line.has(name) else float(name == "zoom")

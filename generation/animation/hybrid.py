"""A video mixed into an animation: its frames laid over, and its motion followed.

Knows Deforum's hybrid video: composites by masks, and motion as flow or as one matrix. Leaves reading to `sources`.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from generation.animation import flow as flows
from generation.animation.colour import to_bytes
from generation.animation.motion import FARTHEST, NEAREST, Motion
from generation.animation.sources import Followed
from generation.animation.timelines import Timeline, clamped
from generation.animation.warps import blended, warp_2d

Array = NDArray[Any]
QUALITY = {"DIS Fast": "fast", "DIS Medium": "medium", "DIS Fine": "fine", "RAFT": "fine", "Farneback": "medium"}


class Hybrid:
    """The video of an animation, and what its settings make of it."""

    def __init__(self, timeline: Timeline, video: Followed, motion: Motion) -> None:
        self._line, self._settings, self._video, self._motion = timeline, timeline.settings, video, motion
        self.composite = self._settings["hybrid_composite"]
        self.follows = self._settings["hybrid_motion"] != "None"
        self._ways: dict[int, Any] = {}

    def moved(self, picture: Array, frame: int) -> Array:
        """The picture moved as the video moves from the frame before to `frame`."""
        if not self.follows or not frame:
            return picture
        if frame not in self._ways:
            before, now = self._video.at(frame - 1), self._video.at(frame)
            self._ways = {frame: self._way(before, now)}
        way = self._ways[frame]
        if way.shape == (3, 3):
            return warp_2d(picture, way).astype(np.float32)
        factor = np.float32(self._line.at("hybrid_flow_factor_schedule", frame))
        return flows.along(picture, way * factor)

    def _way(self, before: Array, now: Array) -> Array:
        """The flow from `now` back to `before`, or the matrix from `before` to `now`."""
        how = self._settings["hybrid_motion"]
        if how != "Optical Flow":
            return matrix(before, now, perspective=how == "Perspective")
        quality = QUALITY.get(self._settings["hybrid_flow_method"], "medium")
        back = flows.flow(now, before, quality)
        if self._settings["hybrid_flow_consistency"]:
            sure = flows.seen(back, flows.flow(before, now, quality)).astype(np.float32)
            if (blur := self._settings["hybrid_consistency_blur"]) > 0:
                sure = np.asarray(cv2.GaussianBlur(sure, (0, 0), blur), dtype=np.float32)
            back = back * sure[..., None]
        return back

    def composited(self, picture: Array, frame: int) -> Array:
        """The picture with the video's frame laid over it, as much as the schedules say."""
        video = self._video.at(frame)
        alpha = clamped(self._line.at("hybrid_comp_alpha_schedule", frame), 0.0, 1.0)
        kind = self._settings["hybrid_comp_mask_type"]
        if kind == "None":
            return blended(picture, video, alpha)
        mask = self._mask(kind, picture, video, frame)
        if self._settings["hybrid_comp_mask_inverse"]:
            mask = 1 - mask
        # Where the mask is white the video shows, and over all of it by alpha.
        inside = picture * (1 - mask[..., None]) + video * mask[..., None]
        return blended(picture, inside.astype(np.float32), alpha)

    def _mask(self, kind: str, picture: Array, video: Array, frame: int) -> Array:
        if kind in {"Depth", "Video Depth"}:
            far = self._motion.depth(picture if kind == "Depth" else video)
            far = np.broadcast_to(np.asarray(far, dtype=np.float32), picture.shape[:2])
            mask = (FARTHEST - far) / (FARTHEST - NEAREST)
        elif kind == "Blend":
            share = clamped(self._line.at("hybrid_comp_mask_blend_alpha_schedule", frame), 0.0, 1.0)
            mask = blended(picture, video, share).mean(-1)
        else:
            mask = np.abs(picture - video).mean(-1)
        spread = self._settings["hybrid_comp_mask_equalize"]
        if spread in {"Before", "Both"}:
            mask = _spread(mask)
        if self._settings["hybrid_comp_mask_auto_contrast"]:
            low = clamped(self._line.at("hybrid_comp_mask_auto_contrast_cutoff_low_schedule", frame), 0.0, 100.0)
            high = clamped(self._line.at("hybrid_comp_mask_auto_contrast_cutoff_high_schedule", frame), 0.0, 100.0)
            bottom, top = np.percentile(mask, [min(low, high), max(low, high)])
            mask = np.clip((mask - bottom) / max(float(top - bottom), 1e-6), 0, 1)
        contrast = self._line.at("hybrid_comp_mask_contrast_schedule", frame)
        if contrast != 1:
            mask = np.clip((mask - 0.5) * contrast + 0.5, 0, 1)
        return _spread(mask) if spread in {"After", "Both"} else np.asarray(mask, dtype=np.float32)


def _spread(mask: Array) -> Array:
    """The mask with every value as frequent as the others."""
    return np.asarray(cv2.equalizeHist(to_bytes(mask)), dtype=np.float32) / 255


def matrix(before: Array, now: Array, *, perspective: bool) -> NDArray[Any]:
    """[3, 3] that takes most corners of `before` to where they are in `now`; the unit where too few are found."""
    greys = [cv2.cvtColor(to_bytes(one), cv2.COLOR_RGB2GRAY) for one in (before, now)]
    corners = cv2.goodFeaturesToTrack(greys[0], 200, 0.01, 8)
    if corners is None or len(corners) < 4:
        return np.eye(3)
    there, found, _ = cv2.calcOpticalFlowPyrLK(greys[0], greys[1], corners, None)
    sure = found.ravel() == 1
    if sure.sum() < 4:
        return np.eye(3)
    # The corners are sampled by a generator of OpenCV's own, which begins anew each time.
    cv2.setRNGSeed(0)
    if perspective:
        made = cv2.findHomography(corners[sure], there[sure], cv2.RANSAC, 3.0)[0]
        return np.eye(3) if made is None else np.asarray(made)
    part = cv2.estimateAffinePartial2D(corners[sure], there[sure])[0]
    return np.eye(3) if part is None else np.vstack([part, [0, 0, 1]])

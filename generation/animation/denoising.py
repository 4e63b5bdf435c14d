"""What a frame of Deforum's animation is denoised from and by: the moved picture prepared, the values of the frame.

Knows masks, colours looked up to, pictures to begin with, and which schedule is which field of a render. Leaves the
order of frames to `deforum`, the render itself to `painting`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from generation.animation import colour, sources
from generation.animation.colour import to_bytes, to_floats
from generation.animation.frames import Frames
from generation.animation.hybrid import Hybrid
from generation.animation.motion import Motion
from generation.animation.painting import Frame, Painter
from generation.animation.settings import Settings
from generation.animation.timelines import Timeline, clamped, drawn
from generation.errors import BadSpec, RenderFailed
from generation.specs import RenderSpec

Array = NDArray[Any]
COLOURED = ("LAB", "HSV", "RGB")


def base_spec(settings: Settings, model: str) -> RenderSpec:
    """What every frame's render has in common; the model's own defaults stay open."""
    return RenderSpec(
        "",
        model=model,
        width=settings["W"] or None,
        height=settings["H"] or None,
        steps=settings["steps"] or None,
        sampler=settings["sampler"] or None,
        clip_skip=settings["clip_skip"],
        vae=settings["vae"],
        weighting=settings["weighting"],
        modifiers={"tiling": "both"} if settings["tiling"] else {},
    )


class Denoiser:
    """The denoised frames of one animation. `diffusion` are the seconds the model took, `size` is in pixels."""

    diffusion = 0.0

    def __init__(self, line: Timeline, painter: Painter, motion: Motion) -> None:
        self.line, self.settings, self.painter = line, line.settings, painter
        self.base = painter.resolved(base_spec(self.settings, self.settings["model"]))
        assert self.base.width is not None and self.base.height is not None
        self.size = self.base.width, self.base.height
        self.moving = motion.moving
        self.video = self._video() if self._mixes_video() else None
        # Of its own: it may stand some frames behind the other, and a video is only gone through forwards.
        self.coloured = self._video() if self.settings["color_coherence"] == "Video Input" else None
        self.hybrid = Hybrid(line, self.video, motion) if self.video and motion.moving else None
        masks = self.settings["use_mask_video"]
        self.masks = sources.followed(self.settings, "video_mask_path", self.size) if masks else None
        self.mask = sources.mask_of(self.settings, self.size)
        self.like: Array | None = None

    def _mixes_video(self) -> bool:
        named = self.settings["hybrid_composite"] != "None" or self.settings["hybrid_motion"] != "None"
        return named or self.settings["animation_mode"] == "Video Input"

    def _video(self) -> sources.Followed:
        found = sources.followed(self.settings, "video_init_path", self.size)
        if found is None:
            raise BadSpec("the settings take frames of a video and video_init_path is empty", "Name the video.")
        return found

    def picture(self, frame: int, before: Array | None, frames: Frames) -> Array:
        """The picture of a frame that the model makes, of the one before it, moved, where there is one.

        `frames` are those made so far: the first of them is the measure of colours.
        """
        settings, line = self.settings, self.line
        started, strength = before, clamped(line.at("strength_schedule", frame), 0.0, 1.0)
        mode = settings["animation_mode"]
        if mode == "Video Input" and self.video is not None:
            started = self.video.at(frame)
        elif not frame:
            started, strength = self._first()
        elif not self.moving:
            started = None
        elif self.hybrid is not None and self.hybrid.composite == "Normal" and started is not None:
            started = self.hybrid.composited(started, frame)
        like = self._like(frame, frames)
        if started is not None and frame and mode != "Video Input":
            started = self._prepared(started, frame, like)
        made = self._painted(frame, started, strength)
        if like is not None and (frame or settings["color_coherence"] not in COLOURED):
            made = self._matched(made, like)
        if frame and self.hybrid is not None and self.hybrid.composite == "After Generation":
            made = self.hybrid.composited(made, frame)
        return colour.grey(made) if settings["color_force_grayscale"] else made

    def _first(self) -> tuple[Array | None, float]:
        """(picture the first frame starts from, how much of it stays)."""
        settings = self.settings
        if settings["use_init"]:
            return sources.picture(settings["init_image"], "init_image", self.size), settings["strength"]
        if self.hybrid is not None and settings["hybrid_use_first_frame_as_init_image"]:
            return self.video.at(0) if self.video else None, settings["strength"]
        return None, 0.0

    def _prepared(self, picture: Array, frame: int, like: Array | None) -> Array:
        """What is done to a moved picture before it is denoised."""
        line, settings = self.line, self.settings
        picture = self._matched(picture, like)
        picture = colour.contrasted(picture, line.at("contrast_schedule", frame))
        picture = colour.sharpened(
            picture,
            kernel=line.at("kernel_schedule", frame),
            sigma=line.at("sigma_schedule", frame),
            amount=line.at("amount_schedule", frame),
            threshold=line.at("threshold_schedule", frame),
        )
        noisy = colour.noised(
            picture,
            clamped(line.at("noise_schedule", frame), 0.0, 1.0),
            drawn(line.seed(frame), frame, 1),
            kind=settings["noise_type"],
            octaves=settings["perlin_octaves"],
            persistence=settings["perlin_persistence"],
        )
        mask = self._mask(frame)
        return noisy if mask is None else picture + (noisy - picture) * mask[..., None]

    def _painted(self, frame: int, started: Array | None, strength: float) -> Array:
        if self.settings["motion_preview_mode"] and started is not None:
            return started
        mask = self._mask(frame) if started is not None else None
        times = int(self.settings["reroll_patience"]) if self.settings["reroll_blank_frames"] == "reroll" else 0
        began = time.perf_counter()
        for attempt in range(times + 1):
            spec = self.spec(frame, attempt)
            toward, share = self.line.next_prompt(frame) if self.settings["blend_prompts"] else (None, 0.0)
            factor = (
                self.line.at("noise_multiplier_schedule", frame) if self.line.has("noise_multiplier_schedule") else 1.0
            )
            made = self.painter.paint(
                Frame(
                    spec,
                    started,
                    1 - strength,
                    mask,
                    factor if started is not None else 1.0,
                    toward,
                    share,
                )
            )
            if to_bytes(made).any():
                break
        else:
            if self.settings["reroll_blank_frames"] != "ignore":
                raise RenderFailed(f"frame {frame} is black", "Choose another seed, sampler or prompt.")
        if mask is not None and started is not None and self.settings["overlay_mask"]:
            soft = colour.softened(mask, self.settings["mask_overlay_blur"])[..., None]
            made = started + (made - started) * soft
        self.diffusion += time.perf_counter() - began
        return made

    def spec(self, frame: int, attempt: int = 0) -> RenderSpec:
        """The render of a frame; each further attempt has another seed."""
        line, settings = self.line, self.settings
        positive, negative = line.prompt(frame)
        seed = line.seed(frame)
        changed: dict[str, Any] = {"prompt": positive, "negative": negative}
        changed["seed"] = drawn(seed, frame, 1 + attempt) if attempt else seed
        if line.has("cfg_scale_schedule"):
            changed["cfg"] = clamped(line.at("cfg_scale_schedule", frame), 0.0, 50.0)
        if line.has("steps_schedule"):
            changed["steps"] = int(clamped(round(line.at("steps_schedule", frame)), 1, 1000))
        if line.has("clipskip_schedule"):
            changed["clip_skip"] = int(clamped(round(line.at("clipskip_schedule", frame)), 1, 12))
        if line.has("sampler_schedule"):
            changed["sampler"] = line.word("sampler_schedule", frame)
        if line.has("checkpoint_schedule"):
            changed["model"] = line.word("checkpoint_schedule", frame)
        if settings["enable_subseed_scheduling"]:
            other = int(line.at("subseed_schedule", frame))
            changed["options"] = {
                "variation_seed": other if other >= 0 else drawn(line.seed_0, frame, 2),
                "variation_strength": clamped(line.at("subseed_strength_schedule", frame), 0.0, 1.0),
            }
        return replace(self.base, **changed)

    def _mask(self, frame: int) -> Array | None:
        if self.masks is not None:
            return sources.adjusted(sources.grey(self.masks.at(frame)), self.settings)
        return self.mask

    def _like(self, frame: int, frames: Frames) -> Array | None:
        """Whose colours the frame is to have; None for no coherence, and for frame 0 where it is the measure."""
        kind, settings = self.settings["color_coherence"], self.settings
        if kind == "None" or (kind in COLOURED and not frame):
            return None
        if kind == "Video Input":
            every = settings["color_coherence_video_every_N_frames"]
            return self.coloured.at(frame // every * every) if self.coloured is not None else None
        if self.like is None:
            if kind == "Image":
                self.like = sources.picture(
                    settings["color_coherence_image_path"], "color_coherence_image_path", self.size
                )
            else:
                self.like = to_floats(frames.read(0))
        return self.like

    def _matched(self, picture: Array, like: Array | None) -> Array:
        if like is None:
            return picture
        kind = self.settings["color_coherence"]
        return colour.matched(
            picture, like, kind if kind in COLOURED else "LAB", swapped=self.settings["swap_channels"]
        )

"""What a frame of Deforum's animation is denoised from and by: the moved picture prepared, the values of the frame.

Knows masks, colours looked up to, pictures to begin with, and which schedule is which field of a render. Leaves the
order of frames to `deforum`, the render itself to `painting`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.animation import colour, sources
from generation.animation import flow as flows
from generation.animation.colour import to_floats
from generation.animation.controlling import Units
from generation.animation.frames import DENOISED, Frames
from generation.animation.guided import Guides
from generation.animation.hybrid import QUALITY, Hybrid
from generation.animation.masks import Masks
from generation.animation.motion import Motion
from generation.animation.painting import Frame, Painter
from generation.animation.settings import Settings
from generation.animation.timelines import Timeline, clamped, drawn
from generation.animation.warps import blended
from generation.errors import BadSpec, RenderFailed
from generation.specs import RenderSpec

Array = NDArray[Any]
COLOURED = ("LAB", "HSV", "RGB")
# Attempts of a frame denoised before it counts are numbered from here on, those that were black behind each.
REDONE = 1000
DARKEST = 0.5 / 255  # rounded to 0 in a PNG


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
        self.masks = Masks(line, self.size)
        self.guides = Guides(line, self.size) if self.settings["use_looper"] and motion.moving else None
        self.colours: colour.Colours | None = None
        self.units: Units | None = None

    @property
    def files(self) -> list[str]:
        """Pictures that are named inside a setting."""
        return [*(self.guides.paths if self.guides else ()), *self.masks.files]

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
        self.units = self.units or Units(line, self.size, frames.folder / DENOISED)
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
        if started is not None and frame and mode != "Video Input":
            previous = self._coloured(started, frame, frames)
            started = self._prepared(previous, frame)
            strength = self.guides.strength(frame) if self.guides else strength
            if strength > 0:
                started = self._redone(frame, started, previous, strength, frames)
        made = self._coloured(self._painted(frame, started, strength), frame, frames)
        if frame and self.hybrid is not None and self.hybrid.composite == "After Generation":
            made = self.hybrid.composited(made, frame)
        return colour.grey(made) if settings["color_force_grayscale"] else made

    def _first(self) -> tuple[Array | None, float]:
        """(picture the first frame starts from, how much of it stays)."""
        settings = self.settings
        if self.guides is not None:
            return self.guides.at(0), self.guides.strength(0)
        if settings["use_init"]:
            return sources.picture(settings["init_image"], "init_image", self.size), settings["strength"]
        if self.hybrid is not None and settings["hybrid_use_first_frame_as_init_image"]:
            return self.video.at(0) if self.video else None, settings["strength"]
        return None, 0.0

    def _prepared(self, picture: Array, frame: int) -> Array:
        """What is done to a moved picture before it is denoised, its colours matched."""
        line, settings = self.line, self.settings
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
        mask = self.masks.noise(frame)
        return noisy if mask is None else picture + (noisy - picture) * mask[..., None]

    def _redone(self, frame: int, started: Array, previous: Array, strength: float, frames: Frames) -> Array:
        """What the frame starts from where it is denoised some times before it counts, each with a seed of its own."""
        how, times = self.settings["optical_flow_redo_generation"], int(self.settings["diffusion_redo"])
        if how != "None":
            tried = self._painted(frame, started, strength, REDONE)
            way = flows.flow(previous, tried, QUALITY[how]) * np.float32(
                self.line.at("redo_flow_factor_schedule", frame)
            )
            started = flows.along(tried, -way)
        for n in range(times):
            started = self._painted(frame, started, strength, (n + 2) * REDONE)
        return self._coloured(started, frame, frames) if times else started

    def _painted(self, frame: int, started: Array | None, strength: float, first: int = 0) -> Array:
        """The picture as the model makes it; `first` is the number of the first attempt, each of another seed."""
        if self.settings["motion_preview_mode"] and started is not None:
            return started
        led = self.guides if started is not None and frame else None
        if led is not None and started is not None:
            begun, started = started, blended(started, led.at(frame), led.share(frame))
        controls = self.units.at(frame, started) if self.units else ()
        mask = self.masks.at(frame) if started is not None else None
        began = time.perf_counter()
        made = self._attempted(frame, started, strength, mask, first, controls)
        self.diffusion += time.perf_counter() - began
        if mask is not None and started is not None and self.settings["overlay_mask"]:
            soft = colour.softened(mask, self.settings["mask_overlay_blur"])[..., None]
            made = started + (made - started) * soft
        if led is not None:
            wanted = blended(begun, led.at(frame), led.colour(frame))
            made = colour.Colours(wanted, "LAB", light=False).given(made)
        return made

    def _attempted(
        self, frame: int, started: Array | None, strength: float, mask: Array | None, first: int, controls: Any
    ) -> Array:
        """The first picture that is not black, as often as the settings want it tried."""
        line, settings = self.line, self.settings
        times = int(settings["reroll_patience"]) if settings["reroll_blank_frames"] == "reroll" else 0
        toward, share = line.next_prompt(frame) if settings["blend_prompts"] else (None, 0.0)
        factor = 1.0
        if started is not None and line.has("noise_multiplier_schedule"):
            factor = line.at("noise_multiplier_schedule", frame)
        for attempt in range(times + 1):
            spec = replace(self.spec(frame, first + attempt), controls=controls)
            made = self.painter.paint(Frame(spec, started, 1 - strength, mask, factor, toward, share))
            if made.max() > DARKEST:
                return made
        if settings["reroll_blank_frames"] != "ignore":
            raise RenderFailed(f"frame {frame} is black", "Choose another seed, sampler or prompt.")
        return made

    def spec(self, frame: int, attempt: int = 0) -> RenderSpec:
        """The render of a frame; each further attempt has another seed."""
        line = self.line
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
        if line.has("subseed_schedule"):
            other = int(line.at("subseed_schedule", frame))
            changed["options"] = {
                "variation_seed": other if other >= 0 else drawn(line.seed_0, frame, 2),
                "variation_strength": clamped(line.at("subseed_strength_schedule", frame), 0.0, 1.0),
            }
        return replace(self.base, **changed)

    def _coloured(self, picture: Array, frame: int, frames: Frames) -> Array:
        """The picture in the colours the frame is to have; as it is without coherence, and where frame 0 sets them."""
        kind = self.settings["color_coherence"]
        if kind == "None" or (kind in COLOURED and not frame):
            return picture
        if kind == "Video Input":
            every = self.settings["color_coherence_video_every_N_frames"]
            return self._colours(self.coloured.at(frame // every * every)).given(picture) if self.coloured else picture
        if self.colours is None:
            if kind == "Image":
                named = self.settings["color_coherence_image_path"]
                self.colours = self._colours(sources.picture(named, "color_coherence_image_path", self.size))
            else:
                self.colours = self._colours(to_floats(frames.read(0)))
        return self.colours.given(picture)

    def _colours(self, like: Array) -> colour.Colours:
        kind = self.settings["color_coherence"]
        return colour.Colours(like, kind if kind in COLOURED else "LAB", swapped=self.settings["swap_channels"])

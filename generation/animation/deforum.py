"""Deforum's animation: each picture is moved, mixed with noise and denoised again, every so many frames; between them
both neighbours move on and are blended.

Everything a frame depends on is the picture denoised before it, kept as a PNG, and its number: an animation that was
killed goes on with the same frames to the bit. Leaves warps to `motion`, denoising to `painting`, files to `frames`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from generation import infotext
from generation.animation import colour, sources
from generation.animation import flow as flows
from generation.animation.colour import to_bytes, to_floats
from generation.animation.frames import Frames, load
from generation.animation.hybrid import QUALITY, Hybrid
from generation.animation.motion import Motion
from generation.animation.painting import Frame, Painter
from generation.animation.settings import Settings
from generation.animation.timelines import Timeline, clamped, drawn
from generation.animation.warps import blended
from generation.engine import Engine
from generation.errors import RenderFailed
from generation.specs import RenderSpec

Array = NDArray[Any]
Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
PREVIEW_EVERY = 0.5  # seconds
COLOURED = ("LAB", "HSV", "RGB")


@dataclass(frozen=True)
class Animated:
    """The frames that are there: `made` of them now, `denoised` of these by the model; `size` in pixels.

    `seconds` is the time taken, `diffusion` the part of it that the model took. `spec` is the first frame's.
    """

    folder: Path
    frames: int
    made: int
    denoised: int
    seed: int
    size: tuple[int, int]
    seconds: float
    diffusion: float
    warnings: tuple[str, ...]
    spec: RenderSpec


def run(
    settings: Settings,
    folder: Path,
    engine: Engine,
    *,
    seed: int,
    fresh: bool = False,
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> Animated:
    """Make every frame of an animation under `folder`; what is there of the same settings is not made again.

    `seed` is the first frame's. Raises `BadSpec`, `BadVideo`, `BadImage`, `BadWeights`, `UnknownModel`, `RenderFailed`,
    and what `check` raises.
    """
    return _Animation(settings, folder, engine, seed, fresh, report, check).run()


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


class _Animation:
    def __init__(
        self, settings: Settings, folder: Path, engine: Engine, seed: int, fresh: bool, report: Report, check: Check
    ) -> None:
        self.settings, self.report, self.check = settings, report, check
        self.line = Timeline(settings, seed)
        self.painter = Painter(engine, report, check)
        self.base = self.painter.resolved(base_spec(settings, settings["model"]))
        assert self.base.width is not None and self.base.height is not None
        self.size = self.base.width, self.base.height
        self.motion = Motion(self.line)
        self.video = sources.followed(settings, "video_init_path", self.size) if self._wants_video() else None
        self.hybrid = Hybrid(self.line, self.video, self.motion) if self.video and self.motion.moving else None
        masks = settings["use_mask_video"]
        self.masks = sources.followed(settings, "video_mask_path", self.size) if masks else None
        self.mask = sources.mask_of(settings, self.size)
        self.total, self.cadence = self.line.frames, self.line.cadence
        if settings["animation_mode"] == "Video Input" and self.video is not None:
            self.total = min(self.total, self.video.count())
            if self.video.clip.note:
                report({"kind": "note", "message": self.video.clip.note})
        made_of = {**settings.to_json(), "seed": seed, "size": self.size, "steps": self.base.steps}
        made_of |= {"model": engine.catalogue.find(self.base.model).path, "sampler": self.base.sampler}
        for name in (
            "batch_name",
            "fps",
            "make_gif",
            "skip_video_creation",
            "add_soundtrack",
            "soundtrack_path",
            "delete_imgs",
        ):
            made_of.pop(name, None)
        self.frames = Frames(folder, made_of, fresh=fresh)
        self.like: Array | None = None
        self.made = self.denoised = 0
        self.diffusion, self.shown = 0.0, 0.0

    def _wants_video(self) -> bool:
        named = self.settings["hybrid_composite"] != "None" or self.settings["hybrid_motion"] != "None"
        return named or "Video Input" in (self.settings["animation_mode"], self.settings["color_coherence"])

    def run(self) -> Animated:
        began = time.perf_counter()
        for warning in (*self.settings.notes, *self.line.warnings):
            self.report({"kind": "note", "message": warning})
        start, now = self._resumed()
        before: Array | None = None
        self._progress(start)
        for block in range(start, self.total, self.cadence):
            if block and now is not None:
                before = self._moved(now, block)
            kept = self._kept(block)
            if kept is None:
                kept = to_bytes(self._denoised(block, before))
                self.frames.keep(block, kept, self._texts(block))
                self.denoised += 1
            now = to_floats(kept)
            before, now = self._emitted(block, before, now)
        self._progress(self.total)
        return Animated(
            self.frames.folder,
            self.total,
            self.made,
            self.denoised,
            self.line.seed_0,
            self.size,
            time.perf_counter() - began,
            self.diffusion,
            (*self.settings.notes, *self.line.warnings),
            self._spec(0, 0),
        )

    # What is there already

    def _resumed(self) -> tuple[int, Array | None]:
        """(the block to go on with, the picture of the one before brought to its last frame)."""
        whole = self.frames.whole_to(self.total)
        at = set(self.frames.kept())
        if whole == self.total:
            return whole + (-whole) % self.cadence, None
        for block in range(whole // self.cadence * self.cadence, 0, -self.cadence):
            if block - self.cadence in at:
                now = to_floats(self._kept(block - self.cadence))
                for frame in range(block - self.cadence + 1, block):
                    now = self._moved(now, frame)
                return block, now
        return 0, None

    def _kept(self, block: int) -> Any:
        path = self.frames.denoised(block)
        return load(path) if path.is_file() else None

    # From frame to frame

    def _moved(self, picture: Array, frame: int, depth: Array | float | None = None) -> Array:
        moved = self.motion.moved(picture, frame, self.motion.depth(picture) if depth is None else depth)
        return self.hybrid.moved(moved, frame) if self.hybrid is not None else moved

    def _emitted(self, block: int, before: Array | None, now: Array) -> tuple[Array | None, Array]:
        """Write the frames from `block` to the next; returns both pictures, moved to the last of these."""
        flowing = self.settings["optical_flow_cadence"]
        for frame in range(block, min(block + self.cadence, self.total)):
            self.check()
            if frame > block:
                depth = self.motion.depth(now)
                now = self._moved(now, frame, depth)
                before = self._moved(before, frame, depth) if before is not None else None
            share = (frame - block + 1) / self.cadence
            shown = now
            if before is not None and share < 1:
                if flowing != "None":
                    factor = self.line.at("cadence_flow_factor_schedule", frame)
                    quality = QUALITY.get(flowing, "medium")
                    shown = flows.between(before, now, share, quality=quality, factor=factor)
                else:
                    shown = blended(before, now, share)
            if self.cadence == 1:
                path = self.frames.same(frame)
            else:
                path = self.frames.write(frame, to_bytes(shown), self._texts(frame) if frame == block else None)
            self.made += 1
            self._progress(frame + 1, path)
        return before, now

    def _denoised(self, frame: int, before: Array | None) -> Array:
        """The picture of a frame that the model makes, of the one before it where there is one."""
        self.check()
        settings, line = self.settings, self.line
        started, strength = before, clamped(line.at("strength_schedule", frame), 0.0, 1.0)
        mode = settings["animation_mode"]
        if mode == "Video Input" and self.video is not None:
            started = self.video.at(frame)
        elif not frame:
            started, strength = self._first()
        elif not self.motion.moving:
            started = None
        elif self.hybrid is not None and self.hybrid.composite in {"Normal", "Before Motion"} and started is not None:
            started = self.hybrid.composited(started, frame)
        like = self._like(frame)
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
        if settings["use_init"] and settings["init_image"].strip():
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
            spec = self._spec(frame, attempt)
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

    def _spec(self, frame: int, attempt: int) -> RenderSpec:
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

    # Colours

    def _like(self, frame: int) -> Array | None:
        """Whose colours the frame is to have; None for no coherence, and for frame 0 where it is the measure."""
        kind, settings = self.settings["color_coherence"], self.settings
        if kind == "None" or (kind in COLOURED and not frame):
            return None
        if kind == "Video Input":
            every = settings["color_coherence_video_every_N_frames"]
            return self.video.at(frame // every * every) if self.video is not None else None
        if self.like is None:
            if kind == "Image":
                self.like = sources.picture(
                    settings["color_coherence_image_path"], "color_coherence_image_path", self.size
                )
            else:
                self.like = to_floats(self.frames.read(0))
        return self.like

    def _matched(self, picture: Array, like: Array | None) -> Array:
        if like is None:
            return picture
        kind = self.settings["color_coherence"]
        return colour.matched(
            picture, like, kind if kind in COLOURED else "LAB", swapped=self.settings["swap_channels"]
        )

    # What is told

    def _texts(self, frame: int) -> Mapping[str, str]:
        return {"parameters": infotext.write(self._spec(frame, 0).to_json())}

    def _progress(self, done: int, path: Path | None = None) -> None:
        self.report({"kind": "progress", "stage": "frames", "done": done, "total": self.total})
        now = time.perf_counter()
        if path is not None and now - self.shown > PREVIEW_EVERY:
            self.shown = now
            self.report({"kind": "preview", "path": str(path)})

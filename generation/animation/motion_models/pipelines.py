"""A clip of a video model: Stable Video Diffusion, LTX-Video or Wan out of a local folder, by diffusers' pipelines.

Knows which pipeline a folder serves with a prompt, a picture or a video, what sizes and lengths it can make, and how it
is held in memory. Such a model makes all frames at once: what was stopped before they are there begins anew. Leaves the
figures to `generation.video_models`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import diffusers
import numpy as np
import torch
from PIL import Image

from generation import infotext, pictures
from generation.animation.clips import Clip, resized
from generation.animation.deforum import Animated
from generation.animation.frames import Frames, stamp
from generation.animation.motion_models.running import video_model
from generation.animation.motion_models.settings import MotionSettings
from generation.catalogue import ModelEntry
from generation.engine import Engine
from generation.errors import BadSpec, BadWeights, RenderFailed
from generation.fitting import require
from generation.specs import ModelDefaults, RenderSpec
from generation.stage import Check, Report
from generation.video_models import VideoModel

# What a render can be told and these models cannot.
UNHEARD = ("controls", "references", "regions", "modifiers", "vae", "sampler", "clip_skip", "weighting")
SPARE = 1.3  # times the weights' bytes: what a GPU must have free to hold them all beside the work
DECODED = 4  # frames that Stable Video Diffusion decodes at once


def run(
    settings: MotionSettings,
    folder: Path,
    engine: Engine,
    *,
    seed: int,
    fresh: bool = False,
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> Animated:
    """As `running.run`, for a folder of a video model."""
    began = time.perf_counter()
    entry = engine.catalogue.find(settings.spec().model)
    require(entry, "video")
    own = video_model(entry)
    assert own is not None
    spec = _resolved(settings, own, seed)
    count = settings["frames"] or own.frames
    name = _pipeline(settings, own)
    _refuse(settings, own, spec, count)
    if unheard := [field for field in UNHEARD if settings.fields.get(field)]:
        report({"kind": "note", "message": f"{own.name} has no {', '.join(unheard)}: what was said of it does nothing"})
    source = settings["image"] or settings["video"]
    about = {"kind": "motion", "seed": seed, "settings": settings.to_json(), "spec": spec.to_json(), "frames": count,
             "model": [entry.path, entry.size], "source": stamp(Path(source)) if source else ""}  # fmt: skip
    frames = Frames(folder, about, fresh=fresh)
    missing = frames.whole_to(count) < count
    diffusion = 0.0
    if missing:
        started = time.perf_counter()
        made = _made(settings, entry, own, name, spec, count, engine, report, check)
        diffusion = time.perf_counter() - started
        count = len(made)
        text = infotext.write(spec.to_json())
        with frames:
            for number, picture in enumerate(made):
                check()
                report({"kind": "progress", "stage": "frames", "done": number + 1, "total": count})
                frames.write(number, picture, {"parameters": text})
        report({"kind": "preview", "path": str(frames.path(0))})
    size = int(spec.width or 0), int(spec.height or 0)
    new = count if missing else 0
    return Animated(folder, count, new, new, seed, size, time.perf_counter() - began, diffusion, (), spec)


def _resolved(settings: MotionSettings, own: VideoModel, seed: int) -> RenderSpec:
    width, height = own.size
    fields = {**settings.fields, "seed": seed}
    if settings["image"] and not {"width", "height"} & fields.keys():
        width, height = _shaped(pictures.read(settings["image"]).size, own)
    fields.setdefault("width", width)
    fields.setdefault("height", height)
    spec = RenderSpec.from_json({"prompt": settings.prompts.get("0", ""), **fields})
    spec = spec.resolve(ModelDefaults(width, height, own.steps, own.cfg), lambda: seed)
    return RenderSpec.from_json({**spec.to_json(), "sampler": None})


def _shaped(size: tuple[int, int], own: VideoModel) -> tuple[int, int]:
    """The model's number of pixels in the picture's shape."""
    area, (width, height) = own.size[0] * own.size[1], size
    scale = (area / (width * height)) ** 0.5
    wide, high = (max(round(side * scale / own.side) * own.side, own.side) for side in (width, height))
    return wide, high


def _pipeline(settings: MotionSettings, own: VideoModel) -> str:
    """The pipeline of what is given. Raises `BadSpec` where the model has none for it."""
    if settings["video"] and settings["image"]:
        raise BadSpec("a clip begins with a picture or with a video, not with both", "Take one of them out.")
    able = {"a prompt alone": own.text, "an image": own.image, "a video": own.video}
    given = "a video" if settings["video"] else "an image" if settings["image"] else "a prompt alone"
    if not able[given]:
        ways = [what for what, name in able.items() if name]
        raise BadSpec(f"{own.name} begins with {' or '.join(ways)}, not with {given}", f"Give it {ways[-1]}.")
    return able[given]


def _refuse(settings: MotionSettings, own: VideoModel, spec: RenderSpec, count: int) -> None:
    """Raises `BadSpec` for sizes and lengths that the model has no latents for."""
    for name in ("width", "height"):
        value = int(getattr(spec, name))
        if value % own.side:
            low = max(value // own.side, 1) * own.side
            raise BadSpec(f"{name} {value} is no multiple of {own.side}, as {own.name} needs",
                          f"Choose {low} or {low + own.side}.")  # fmt: skip
    if (count - 1) % own.span:
        low = (count - 1) // own.span * own.span + 1
        raise BadSpec(f"{own.name} cannot make {count} frames", f"Choose {low} or {low + own.span}.")
    if settings.prompts:
        raise BadSpec(f"{own.name} has one prompt for the whole clip", "Write prompt: instead of prompts:.")


def _made(
    settings: MotionSettings,
    entry: ModelEntry,
    own: VideoModel,
    name: str,
    spec: RenderSpec,
    count: int,
    engine: Engine,
    report: Report,
    check: Check,
) -> list[np.ndarray]:
    """The frames, each [h, w, 3] of 0..255."""
    assert spec.width is not None and spec.height is not None and spec.steps is not None and spec.cfg is not None
    size = spec.width, spec.height
    steps = spec.steps
    call: dict[str, Any] = {
        "width": size[0], "height": size[1], "num_inference_steps": steps, "output_type": "np",
        "generator": torch.Generator("cpu").manual_seed(spec.seed),
    }  # fmt: skip
    if own.kind != "svd":
        call |= {"prompt": spec.prompt, "negative_prompt": spec.negative, "guidance_scale": spec.cfg}
    if settings["image"]:
        call["image"] = pictures.fitted(pictures.read(settings["image"]), size, "crop")
    if settings["video"]:
        call |= {"video": _filmed(settings, size, count), "strength": settings["strength"]}
    else:
        call["num_frames"] = count
    fps = settings["fps"] or own.fps
    if own.kind == "ltx":
        call["frame_rate"] = round(fps)
    if own.kind == "svd":
        call |= {
            "motion_bucket_id": settings["motion_bucket"], "noise_aug_strength": settings["noise_augmentation"],
            "max_guidance_scale": spec.cfg, "fps": round(fps), "decode_chunk_size": DECODED,
        }  # fmt: skip

    def behind(pipe: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        report({"kind": "progress", "stage": "denoising", "done": step + 1, "total": steps})
        check()
        return {}

    engine.unload()  # a video model needs all the room there is
    report({"kind": "progress", "stage": "loading", "done": 0, "total": None, "message": entry.name})
    pipe = _loaded(entry, own, name, engine.device)
    check()
    try:
        found = pipe(**call, callback_on_step_end=behind).frames[0]
    except torch.OutOfMemoryError as error:
        raise RenderFailed(
            f"{count} frames of {size[0]}x{size[1]} do not fit into the memory of {engine.device}",
            "Choose fewer frames or a smaller size.",
        ) from error
    except (ValueError, RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise RenderFailed(f"{own.name} ended with: {reason}", "Choose another size or length.") from error
    found = np.asarray(found, dtype=np.float32)
    if not np.isfinite(found).all():
        raise RenderFailed("the clip came out as not-a-number", "Lower cfg, or choose another size.")
    return [(np.clip(frame, 0, 1) * 255).round().astype(np.uint8) for frame in found]


def _filmed(settings: MotionSettings, size: tuple[int, int], count: int) -> list[Image.Image]:
    clip = Clip(settings["video"])
    found = [Image.fromarray(resized(frame, size)) for frame in clip.part(last=count - 1)]
    if len(found) < count:
        raise BadSpec(f"{clip.path.name} has {len(found)} frames, and the clip {count}", "Set frames to fewer.")
    return found


def _loaded(entry: ModelEntry, own: VideoModel, name: str, device: str) -> Any:
    """The pipeline, held as the memory allows. Raises `BadWeights`."""
    dtype = torch.float32 if device == "cpu" else torch.float16 if own.kind == "svd" else torch.bfloat16
    try:
        # Safetensors alone: a pickle would run what it holds.
        pipe = getattr(diffusers, name).from_pretrained(
            entry.path, torch_dtype=dtype, local_files_only=True, use_safetensors=True
        )
        if own.kind == "wan":
            pipe.vae.to(torch.float32)  # it overflows in half
    # diffusers and transformers answer what is missing or damaged with errors of many kinds.
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise BadWeights(
            f"{entry.path} cannot be loaded as {name}: {reason}", "Copy the whole folder again."
        ) from error
    pipe.set_progress_bar_config(disable=True)
    if device == "cpu":
        return pipe
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else 0
    if device == "cuda" and free < entry.size * SPARE:
        pipe.enable_model_cpu_offload()
        return pipe
    return pipe.to(device)

"""A clip made by whichever model it names: a motion module over a checkpoint, or a video model of its own."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from generation.animation.deforum import Animated
from generation.animation.motion_models.settings import MotionSettings
from generation.catalogue import ModelEntry
from generation.diffusers_folders import read_json
from generation.engine import Engine
from generation.errors import BadSpec
from generation.stage import Check, Report
from generation.video_models import VIDEO_MODELS, VideoModel

_HERE = "generation.animation.motion_models."
FPS = 8.0  # of AnimateDiff's clips


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
    """Make every frame of a clip under `folder`, each a PNG; what is there of the same settings is not made again.

    Raises `BadSpec`, `BadVideo`, `BadImage`, `BadWeights`, `UnknownModel`, `RenderFailed`, and what `check` raises.
    """
    own = video_model(engine.catalogue.find(settings.spec().model))
    if not own and settings["image"]:
        raise BadSpec("a motion module begins with no picture", "Name a video model (SVD, LTX, Wan), or a video.")
    module: Any = import_module(_HERE + ("pipelines" if own else "animatediff"))
    made: Animated = module.run(settings, folder, engine, seed=seed, fresh=fresh, report=report, check=check)
    return made


def video_model(entry: ModelEntry) -> VideoModel | None:
    """What kind of video model a folder is; None for a checkpoint of pictures."""
    if entry.kind != "video":
        return None
    return VIDEO_MODELS[str(read_json(Path(entry.path) / "model_index.json")["_class_name"])]


def frame_rate(settings: MotionSettings, engine: Engine) -> float:
    """Frames a second: those asked for, or the model's own."""
    own = video_model(engine.catalogue.find(settings.spec().model))
    return float(settings["fps"] or (own.fps if own else FPS))

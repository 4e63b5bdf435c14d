"""A painter that needs no model, and what tests of animations share: settings, a run, the pixels of its frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from generation.animation import deforum
from generation.animation.frames import load
from generation.animation.painting import Frame
from generation.animation.settings import Settings, of
from generation.catalogue import Catalogue
from generation.specs import RenderSpec

BASE: dict[str, Any] = {
    "prompts": {"0": "a red apple", "4": "a blue mug"}, "W": 32, "H": 32, "steps": 2, "max_frames": 7,
    "animation_mode": "2D", "angle": "0:(5)", "translation_x": "0:(1.5)", "cfg_scale_schedule": "0:(2)",
}  # fmt: skip


class Engines:
    """An engine's catalogue, for animations whose frames are not rendered."""

    def __init__(self, root: Path) -> None:
        self.catalogue = Catalogue([root])


class FakePainter:
    """Paints a pattern of the seed over what it gets, and remembers what it was asked for."""

    asked: list[Frame]

    def __init__(self, engine: Any, report: Any, check: Any) -> None:
        self._engine = engine
        FakePainter.asked = []

    def resolved(self, spec: RenderSpec) -> RenderSpec:
        return spec.resolve(self._engine.catalogue.find(spec.model).defaults, lambda: 0)

    def paint(self, frame: Frame) -> np.ndarray:
        self.asked.append(frame)
        drawn = np.random.default_rng(frame.spec.seed).random(
            (frame.spec.height, frame.spec.width, 3), dtype=np.float32
        )
        if frame.picture is None:
            return drawn
        return (frame.picture * (1 - frame.strength) + drawn * frame.strength).astype(np.float32)


def settings(**changes: Any) -> Settings:
    return of({**BASE, "model": "tiny", **changes})


def pixels(folder: Path) -> list[bytes]:
    return [load(path).tobytes() for path in sorted(folder.glob("[0-9]*.png"))]


def animate(told: Settings, folder: Path, engine: Any, **named: Any) -> deforum.Animated:
    return deforum.run(told, folder, engine, seed=named.pop("seed", 5), **named)

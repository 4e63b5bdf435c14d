"""The part of `atelier bench` about animation: what a frame costs beside the model, and beside it in the same run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

FRAMES = 8
SIDE = 512  # pixels
STEPS = 2  # a frame's of the demo checkpoint, which takes seconds each without a card
CARD = 0.5  # seconds of a frame of Stable Diffusion 1.5 on a quick card


def measure_animation(row: Callable[..., None], folder: Path, engine: Any) -> None:
    """Deforum's work in space, its dearest: warps, colours, noise and files."""
    from generation.animation import deforum
    from generation.animation.settings import of

    told = {"prompts": {"0": "a red apple"}, "W": SIDE, "H": SIDE, "steps": STEPS, "max_frames": FRAMES}
    told |= {"animation_mode": "3D", "rotation_3d_y": "0:(0.5)", "model": "atelier-demo"}
    made = deforum.run(of(told), folder, engine, seed=1)
    beside = (made.seconds - made.diffusion) / FRAMES
    note = f"bar: 0.1; {SIDE} pixels, {STEPS} steps, every other frame denoised"
    row("an animation's work beside its diffusion", (made.seconds - made.diffusion) / made.diffusion, "x", note)
    row("an animation's work a frame, without the model", beside, "s", f"{CARD / 10:g} is a tenth of a card's time")

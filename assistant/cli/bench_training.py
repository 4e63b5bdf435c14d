"""The part of `atelier bench` about training: the same loop with and without its caches, in turns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

STEPS = 16
TURNS = 3
PHOTO = (768, 512)  # pixels, smaller than what a camera gives
CAPTION = "a picture of something on a green background, soft light"


def measure_training(row: Callable[..., None], folder: Path) -> None:
    """Steps a second of a LoRA on the demo checkpoint, latents and texts kept or made again for each step."""
    import numpy as np
    from PIL import Image

    from generation.catalogue import BUNDLED, Catalogue
    from generation.training.running import train
    from generation.training.settings import TrainingSpec

    data = folder / "training"
    data.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(8):
        small = rng.integers(0, 255, (16, 24, 3), dtype=np.uint8)
        Image.fromarray(small).resize(PHOTO, Image.Resampling.BICUBIC).save(data / f"{number}.jpg", quality=92)
        (data / f"{number}.txt").write_text(f"{CAPTION} {number}", "utf-8")
    settings = {"steps": STEPS, "batch": 4, "rank": 8, "validation": 0.0, "state_every": STEPS}
    taken: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(TURNS):
        for cached in (False, True):
            spec = TrainingSpec("lora", str(data), str(folder / "bench.safetensors"), str(BUNDLED), settings)
            done: dict[str, Any] = train(spec, Catalogue(), device="cpu", cached=cached).record
            taken[cached].append(done["training_seconds"])
    quick, slow = min(taken[True]), min(taken[False])
    row(
        "training steps a second, with caches to without",
        slow / quick,
        "x",
        f"8 pictures of {PHOTO[0]}x{PHOTO[1]}; bar: 1.3",
    )
    row("training steps a second, demo checkpoint, batch 4", STEPS / quick, "1/s")

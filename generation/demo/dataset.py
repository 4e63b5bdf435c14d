"""The training set: scenes drawn once, kept as one array file, never holding a held-out combination."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from random import Random

import numpy as np

from generation.demo import scenes
from generation.demo.scenes import Scene

WEIGHTED = 0.25  # share of scenes whose background is drawn at the strength of a random weight


def make(art: Mapping[tuple[str, str], np.ndarray], folder: Path, count: int, seed: int = 0) -> None:
    """Draw `count` scenes into `folder`: pictures.npy [count, 64, 64, 3] uint8 and scenes.jsonl.

    `art` maps (style, subject) to RGBA [n, n, 4] uint8, as `art.load_art` gives it.
    Each line of scenes.jsonl is a scene with the colour of its art (`main`) and the prompt `weight` of its background.
    """
    rng = Random(seed)
    pictures = np.empty((count, scenes.SIZE, scenes.SIZE, 3), np.uint8)
    lines = []
    for number in range(count):
        scene = scenes.draw_scene(rng)
        while scene.held_out:
            scene = scenes.draw_scene(rng)
        weight = 1.0
        if rng.random() < WEIGHTED:
            weight = round(rng.uniform(0.4, 1.6), 3)
            scene = Scene(**{**asdict(scene), "strength": scenes.strength(weight)})
        picture = art[scene.style, scene.subject]
        pictures[number] = scenes.compose(scene, picture, rng)
        main = scenes.main_colour(scenes.rotate_hue(picture, scene.hue))
        lines.append(json.dumps({"scene": asdict(scene), "main": main, "weight": weight}))
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "pictures.tmp.npy"
    np.save(temporary, pictures)
    (folder / "scenes.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    temporary.replace(folder / "pictures.npy")


def load(folder: Path) -> tuple[np.ndarray, list[tuple[Scene, str, float]]]:
    """The pictures (memory-mapped) and, for each, its scene, main colour and weight."""
    pictures = np.load(folder / "pictures.npy", mmap_mode="r")
    rows = [json.loads(line) for line in (folder / "scenes.jsonl").read_text("utf-8").splitlines()]
    return pictures, [(Scene(**row["scene"]), row["main"], row["weight"]) for row in rows]

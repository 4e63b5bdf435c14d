"""The demo checkpoint's own motion module: there, measured, and moving where it is told to."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from generation.animation.frames import load
from generation.animation.motion_models import finding, modules, running
from generation.animation.motion_models.settings import of
from generation.catalogue import BUNDLED, Catalogue, look
from generation.demo import moving
from generation.engine import Engine


def test_it_is_the_one_that_fits_the_demo_checkpoint() -> None:
    found = finding.module(Catalogue([]), "", look(BUNDLED))
    assert found.path == str(finding.DEMO) and found.problem == "" and found.kind == "motion"
    assert modules.trained_on(finding.DEMO) == moving.FRAMES and modules.adapter_beside(finding.DEMO) is not None


def test_an_apple_moves_left_to_right_and_back(tmp_path: Path) -> None:
    engine = Engine(Catalogue([]), device="cpu")
    gone = {}
    for way in ("left to right", "right to left"):
        told = of({"prompt": f"an apple moving {way}, blue background, flat style"})
        made = running.run(told, tmp_path / way.replace(" ", "-"), engine, seed=7)
        pictures = np.stack([load(made.folder / f"{number:06d}.png") for number in range(made.frames)])
        gone[way] = moving.gone(pictures)[0]
    assert gone["left to right"] > 0.12 and gone["right to left"] < -0.12


def test_how_a_subject_goes_is_measured_along_a_line() -> None:
    for direction, (x, y) in moving.DIRECTIONS.items():
        clip = np.full((8, 64, 64, 3), 200, np.uint8)
        for number in range(8):
            left, top = 24 + x * (3 * number - 10), 24 + y * (3 * number - 10)
            clip[number, top : top + 16, left : left + 16] = (200, 40, 40)
        assert moving.direction_of(clip) == direction
        sideways, downwards = moving.gone(clip)
        assert abs(sideways - x * 21 / 64) < 0.01 and abs(downwards - y * 21 / 64) < 0.01
    assert moving.direction_of(np.repeat(clip[:1], 8, 0)) == "still"

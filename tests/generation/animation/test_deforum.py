"""Deforum's animation: what each frame is made of, and that a stopped one goes on with the same frames."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_painting import Engines, FakePainter, animate, pixels, settings
from PIL import Image

from generation.animation import deforum, motion, timelines, video, warps
from generation.animation.frames import load
from generation.animation.hybrid import Hybrid
from generation.animation.painting import Frame, Painter
from generation.animation.sources import followed
from generation.animation.timelines import Timeline
from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.errors import BadSpec, RenderFailed
from generation.specs import RenderSpec


class Stopped(Exception):
    """As a person stops a job."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path) -> Engines:
    monkeypatch.setattr(deforum, "Painter", FakePainter)
    return Engines(tiny_checkpoint.parent)


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Iterator[Engine]:
    made = Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")
    yield made
    made.unload()


VARIANTS: list[dict[str, Any]] = [
    {"diffusion_cadence": 1},
    {"diffusion_cadence": 2},
    {"diffusion_cadence": 3, "animation_mode": "3D", "translation_z": "0:(8)"},
    {"diffusion_cadence": 3, "optical_flow_cadence": "DIS Medium"},
    {"diffusion_cadence": 2, "seed_behavior": "random", "noise_type": "uniform", "color_coherence": "HSV"},
    {"diffusion_cadence": 10},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=range(len(VARIANTS)))
def test_stopped_anywhere_it_goes_on_with_the_same_frames(variant: dict[str, Any], tmp_path: Path, fake: Any) -> None:
    told = settings(**variant)
    checks = 0

    def count() -> None:
        nonlocal checks
        checks += 1

    animate(told, tmp_path / "whole", fake, check=count)
    whole = pixels(tmp_path / "whole")
    assert len(whole) == 7 and len(set(whole)) > 3
    for stop in range(checks):
        left = stop

        def stopping() -> None:
            nonlocal left
            if not left:
                raise Stopped
            left -= 1

        folder = tmp_path / f"stopped-{stop}"
        with pytest.raises(Stopped):
            animate(told, folder, fake, check=stopping)
        before = len(pixels(folder))
        made = animate(told, folder, fake)
        assert pixels(folder) == whole, stop
        assert made.made <= 7 - before + told["diffusion_cadence"], "what is there is not made again"


def test_whatever_a_kill_leaves_it_goes_on(tmp_path: Path, fake: Any) -> None:
    """Frames and pictures of the state missing, cut short, or half written, in every combination that matters."""
    told = settings(diffusion_cadence=2)
    folder = tmp_path / "frames"
    animate(told, folder, fake)
    whole = pixels(folder)
    for damage in range(7):
        for path in sorted(folder.glob("[0-9]*.png"))[damage:]:
            path.unlink()
        kept = sorted((folder / "denoised").glob("*.png"))
        if damage % 3 == 0:
            kept[-1].write_bytes(kept[-1].read_bytes()[:40])
        elif damage % 3 == 1:
            kept[0].unlink()
        (folder / ".000003.png.77.part").write_bytes(b"half")
        animate(told, folder, fake)
        assert pixels(folder) == whole, damage


KILLED = """
import json, sys
from pathlib import Path
from generation.animation import deforum
from generation.animation.settings import of
from generation.catalogue import Catalogue
from generation.engine import Engine
told = of(json.loads(Path(sys.argv[1]).read_text()))
deforum.run(told, Path(sys.argv[2]), Engine(Catalogue([Path(sys.argv[3])]), device="cpu"), seed=5)
"""


def test_killed_by_the_system_it_goes_on(tmp_path: Path, engine: Engine, tiny_checkpoint: Path) -> None:
    """A process of its own, killed without warning in the middle; its frames and ours are the same to the bit."""
    told = settings(diffusion_cadence=2, max_frames=12, steps=8)
    (tmp_path / "told.json").write_text(json.dumps(told.to_json()), "utf-8")
    animate(told, tmp_path / "whole", engine)
    folder = tmp_path / "killed"
    arguments = [str(tmp_path / "told.json"), str(folder), str(tiny_checkpoint.parent)]
    with subprocess.Popen([sys.executable, "-c", KILLED, *arguments], start_new_session=True) as process:
        while process.poll() is None and not (folder / "000003.png").is_file():
            time.sleep(0.002)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
    assert len(pixels(folder)) >= 4
    animate(told, folder, engine)
    assert pixels(folder) == pixels(tmp_path / "whole")


def test_the_first_frame_is_the_render(tmp_path: Path, engine: Engine) -> None:
    told = settings(diffusion_cadence=1, max_frames=3)
    made = animate(told, tmp_path / "frames", engine)
    spec = RenderSpec("a red apple", model="tiny", seed=5, steps=2, cfg=2.0, width=32, height=32)
    alone = engine.render(spec, tmp_path / "alone.png")
    assert np.array_equal(load(tmp_path / "frames/000000.png"), load(alone.path))
    assert (made.frames, made.made, made.denoised, made.size) == (3, 3, 3, (32, 32))
    assert (made.spec.prompt, made.spec.seed, made.spec.steps) == ("a red apple", 5, 2)
    assert animate(told, tmp_path / "frames", engine).made == 0


def test_frames_of_other_settings_are_left_alone(tmp_path: Path, fake: Any) -> None:
    folder = tmp_path / "frames"
    animate(settings(), folder, fake)
    before = pixels(folder)
    for other, seed in ((settings(angle="0:(6)"), 5), (settings(), 6)):
        with pytest.raises(BadSpec, match="other settings") as caught:
            animate(other, folder, fake, seed=seed)
        assert "--fresh" in caught.value.hint
        assert pixels(folder) == before
    animate(settings(max_frames=3), folder, fake, fresh=True)
    assert len(pixels(folder)) == 3, "frames of the longer one are gone"
    animate(settings(max_frames=3, fps=30, make_gif=True), folder, fake)


def test_a_folder_of_the_person_s_own_pictures_is_left_alone(tmp_path: Path, fake: Any) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    Image.new("RGB", (4, 4)).save(mine / "000.png")
    with pytest.raises(BadSpec, match="other settings"):
        animate(settings(), mine, fake)
    assert [path.name for path in mine.iterdir()] == ["000.png"]


def test_schedules_reach_each_frame(tmp_path: Path, fake: Any) -> None:
    told = settings(
        diffusion_cadence=2, strength_schedule="0:(0.2), 6:(0.8)", cfg_scale_schedule="0:(1), 6:(7)",
        enable_steps_scheduling=True, steps_schedule="0:(t+3)", enable_sampler_scheduling=True,
        sampler_schedule='0:("Euler"), 4:("DDIM")', enable_clipskip_scheduling=True, clipskip_schedule="0:(1), 2:(2)",
        enable_subseed_scheduling=True, subseed_schedule="0:(9)", subseed_strength_schedule="0:(0.25)",
        noise_multiplier_schedule="0:(1.1)", negative_prompts="ugly", positive_prompts="sharp",
    )  # fmt: skip
    animate(told, tmp_path / "frames", fake)
    asked = FakePainter.asked
    assert [frame.spec.seed for frame in asked] == [5, 6, 7, 8], "the seed goes on with what is denoised"
    assert [frame.spec.cfg for frame in asked] == pytest.approx([1, 3, 5, 7])
    assert [frame.spec.steps for frame in asked] == [3, 5, 7, 9]
    assert [frame.spec.sampler for frame in asked] == ["Euler", "Euler", "DDIM", "DDIM"]
    assert [frame.spec.clip_skip for frame in asked] == [1, 2, 2, 2]
    assert [frame.strength for frame in asked[1:]] == pytest.approx([0.6, 0.4, 0.2])
    assert asked[0].picture is None and asked[0].noise_factor == 1
    assert [frame.noise_factor for frame in asked[1:]] == pytest.approx([1.1] * 3)
    assert [frame.spec.prompt for frame in asked] == ["a red apple, sharp"] * 2 + ["a blue mug, sharp"] * 2
    assert asked[0].spec.negative == "ugly"
    assert asked[0].spec.options["variation_seed"] == 9 and asked[0].spec.options["variation_strength"] == 0.25
    assert all(frame.toward is None for frame in asked)


def test_prompts_blend(tmp_path: Path, fake: Any) -> None:
    animate(settings(diffusion_cadence=1, blend_prompts=True), tmp_path / "frames", fake)
    assert [frame.share for frame in FakePainter.asked] == pytest.approx([0, 0.25, 0.5, 0.75, 0, 0, 0])
    assert FakePainter.asked[1].toward == ("a blue mug", "")


def test_a_blended_prompt_is_between(tmp_path: Path, engine: Engine) -> None:
    """At share 0 the one, at share 1 the other, and a small step between is a small change."""
    painter = Painter(engine)
    spec = painter.resolved(RenderSpec("a red apple", model="tiny", seed=1, steps=2, cfg=2.0, width=32, height=32))
    for toward in (("a blue mug", "ugly"), ("a blue mug, " + "word, " * 90, "ugly")):
        one, near, far, other = (painter.paint(Frame(spec, toward=toward, share=share)) for share in (0, 0.01, 0.99, 1))
        wanted = painter.paint(Frame(replace(spec, prompt=toward[0], negative=toward[1])))
        assert np.abs(other - wanted).max() < 1e-4
        assert np.abs(one - other).max() > 10 * np.abs(one - near).max() > 0
        assert np.abs(one - other).max() > 10 * np.abs(far - other).max() > 0
    alone = painter.paint(Frame(spec))
    assert np.array_equal(alone, painter.paint(Frame(spec, toward=("a blue mug", ""), share=0)))


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("iter", [5, 6, 7, 8, 9]),
        ("fixed", [5] * 5),
        ("ladder", [5, 7, 6, 8, 7]),
        ("alternate", [5, 6, 5, 6, 5]),
        ("schedule", [3, 4, 5, 6, 7]),
    ],
)
def test_seeds(how: str, wanted: list[int], tmp_path: Path, fake: Any) -> None:
    told = settings(seed_behavior=how, seed_schedule="0:(3+t)", diffusion_cadence=1, max_frames=5)
    animate(told, tmp_path / "frames", fake)
    assert [frame.spec.seed for frame in FakePainter.asked] == wanted


def test_drawn_seeds_are_the_animation_s_own(tmp_path: Path, fake: Any) -> None:
    seeds = []
    for seed in (5, 5, 6):
        animate(settings(seed_behavior="random"), tmp_path / "frames", fake, fresh=True, seed=seed)
        seeds.append([frame.spec.seed for frame in FakePainter.asked])
    assert seeds[0] == seeds[1] != seeds[2] and len(set(seeds[0])) == len(seeds[0])


def test_cadence_moves_both_neighbours_and_blends_them(tmp_path: Path, fake: Any) -> None:
    """Pictures moved by whole pixels, by hand: frame 3 is between what frames 0 and 2 became."""
    told = settings(
        diffusion_cadence=2, max_frames=4, angle="0:(0)", zoom="0:(1)", translation_x="0:(2)", border="wrap",
        color_coherence="None", noise_schedule="0:(0)", amount_schedule="0:(0)", strength_schedule="0:(0)",
    )  # fmt: skip
    animate(told, tmp_path / "frames", fake)
    first, second = (load(path).astype(float) for path in sorted((tmp_path / "frames/denoised").glob("*.png")))
    frames = [load(tmp_path / f"frames/{n:06d}.png").astype(float) for n in range(4)]
    assert np.array_equal(frames[0], first)
    assert np.abs(frames[1] - np.roll(first, 2, 1)).max() <= 1
    assert np.abs(frames[2] - (np.roll(first, 4, 1) + second) / 2).max() <= 1
    assert np.abs(frames[3] - np.roll(second, 2, 1)).max() <= 1


def test_without_change_a_moved_picture_stays_what_it_was(tmp_path: Path, fake: Any) -> None:
    """Strength 1 asks the painter for nothing: each frame is the one before, moved."""
    told = settings(
        diffusion_cadence=1, max_frames=3, angle="0:(0)", zoom="0:(1)", translation_x="0:(1)", border="wrap",
        color_coherence="None", noise_schedule="0:(0)", amount_schedule="0:(0)", strength_schedule="0:(1)",
    )  # fmt: skip
    animate(told, tmp_path / "frames", fake)
    frames = [load(tmp_path / f"frames/{n:06d}.png").astype(int) for n in range(3)]
    for before, now in pairwise(frames):
        assert np.abs(np.roll(before, 1, 1) - now).max() <= 1


def test_what_the_mask_keeps_is_kept(tmp_path: Path, fake: Any) -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[:, 16:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.new("RGB", (32, 32), (10, 200, 30)).save(tmp_path / "init.png")
    told = settings(
        use_init=True, init_image=str(tmp_path / "init.png"), strength=0.1, use_mask=True, mask_overlay_blur=0,
        mask_file=str(tmp_path / "mask.png"), max_frames=2, diffusion_cadence=1, animation_mode="2D", angle="0:(0)",
        zoom="0:(1)", translation_x="0:(0)", color_coherence="None", amount_schedule="0:(0)",
    )  # fmt: skip
    animate(told, tmp_path / "frames", fake)
    for number in range(2):
        frame = load(tmp_path / f"frames/{number:06d}.png").astype(int)
        assert np.abs(frame[:, :16] - [10, 200, 30]).max() <= 1, "black stays"
        assert frame[:, 16:].std() > 20, "white changes"
    assert FakePainter.asked[0].strength == pytest.approx(0.9)
    turned = animate(told.changed({"invert_mask": "yes"}), tmp_path / "turned", fake)
    frame = load(turned.folder / "000000.png").astype(int)
    assert np.abs(frame[:, 16:] - [10, 200, 30]).max() <= 1 and frame[:, :16].std() > 20


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of one colour each, darker and darker."""
    path = tmp_path_factory.mktemp("clips") / "clip.mkv"
    video.write((np.full((32, 32, 3), 240 - 40 * n, np.uint8) for n in range(6)), path, 10)
    return path


def test_frames_of_a_video(tmp_path: Path, fake: Any, clip: Path) -> None:
    told = settings(
        animation_mode="Video Input", video_init_path=str(clip), diffusion_cadence=1, extract_nth_frame=2,
        strength_schedule="0:(0.9)", color_coherence="None",
    )  # fmt: skip
    made = animate(told, tmp_path / "frames", fake)
    assert made.frames == 3, "it ends with the video"
    assert [frame.picture.mean() * 255 for frame in FakePainter.asked] == pytest.approx([240, 160, 80], abs=3)


def test_a_video_mixed_in(tmp_path: Path, fake: Any, clip: Path) -> None:
    told = settings(
        hybrid_composite="Normal", hybrid_comp_alpha_schedule="0:(1)", video_init_path=str(clip), diffusion_cadence=1,
        noise_schedule="0:(0)", amount_schedule="0:(0)", color_coherence="None", max_frames=4,
    )  # fmt: skip
    animate(told, tmp_path / "frames", fake)
    assert [frame.picture.mean() * 255 for frame in FakePainter.asked] == pytest.approx([240, 200, 160, 120], abs=3)
    for kind in ("Blend", "Difference"):
        animate(told.changed({"hybrid_comp_mask_type": kind, "hybrid_comp_mask_auto_contrast": "yes"}),
                tmp_path / kind, fake)  # fmt: skip


def test_a_mask_is_spread(tmp_path: Path, fake: Any, clip: Path) -> None:
    """A difference of few and small values: spread, it reaches from black to white."""
    told = settings(
        hybrid_composite="Normal", hybrid_comp_mask_type="Difference", video_init_path=str(clip), max_frames=2
    )
    ramp = np.tile(np.linspace(0.9, 1, 32, dtype=np.float32)[None, :, None], (32, 1, 3))
    spread = {}
    for how in ("None", "Before", "After"):
        line = Timeline(told.changed({"hybrid_comp_mask_equalize": how}), 5)
        video_of = followed(line.settings, "video_init_path", (32, 32))
        assert video_of is not None
        mask = Hybrid(line, video_of, motion.Motion(line))._mask("Difference", ramp, np.ones_like(ramp), 0)
        spread[how] = float(np.ptp(mask))
    assert spread["None"] < 0.12 and spread["Before"] == spread["After"] == 1


def test_a_video_mixed_in_before_and_after(tmp_path: Path, fake: Any) -> None:
    """A video of a light left half over a picture that moves 8 pixels: before motion, the half moves along."""
    half = np.zeros((32, 32, 3), np.uint8)
    half[:, :16] = 255
    video.write((half for _ in range(3)), tmp_path / "half.mkv", 10)
    told = settings(
        video_init_path=str(tmp_path / "half.mkv"), hybrid_comp_alpha_schedule="0:(1)", diffusion_cadence=1,
        zoom="0:(1)", angle="0:(0)", translation_x="0:(8)", border="wrap", strength_schedule="0:(0)",
        color_coherence="None", noise_schedule="0:(0)", amount_schedule="0:(0)", max_frames=2,
    )  # fmt: skip
    lit = {}
    for how in ("Normal", "Before Motion", "After Generation"):
        animate(told.changed({"hybrid_composite": how}), tmp_path / how, fake)
        lit[how] = FakePainter.asked[1].picture[16, :, 0]
    assert lit["Normal"][2] > 0.9 and lit["Normal"][20] < 0.1
    assert lit["Before Motion"][2] < 0.1 and lit["Before Motion"][20] > 0.9
    assert np.abs(load(tmp_path / "After Generation/000001.png").astype(int) - half).mean() < 4


@pytest.mark.parametrize("how", ["Optical Flow", "Affine", "Perspective"])
def test_motion_of_a_video_is_followed(how: str, tmp_path: Path, fake: Any) -> None:
    texture = np.asarray(
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)).resize((64, 64))
    )
    path = tmp_path / "moving.mkv"
    video.write((np.roll(texture, 2 * n, 1) for n in range(3)), path, 10)
    told = settings(
        W=64, H=64, hybrid_motion=how, video_init_path=str(path), diffusion_cadence=1, max_frames=2, angle="0:(0)",
        zoom="0:(1)", translation_x="0:(0)", noise_schedule="0:(0)", amount_schedule="0:(0)", color_coherence="None",
        hybrid_flow_consistency=True, hybrid_use_first_frame_as_init_image=True, strength=1,
    )  # fmt: skip
    animate(told, tmp_path / "frames", fake)
    moved = FakePainter.asked[1].picture * 255
    still = np.abs(moved[16:-16, 16:-16] - texture[16:-16, 16:-16]).mean()
    there = np.abs(moved[16:-16, 16:-16] - np.roll(texture, 2, 1)[16:-16, 16:-16]).mean()
    assert there < still / 2


def test_colours_are_frame_zero_s(tmp_path: Path, fake: Any) -> None:
    """The painter's noise has its own colours; matched, each frame's histogram is the first's."""
    for coherence, near in (("RGB", True), ("None", False)):
        told = settings(color_coherence=coherence, diffusion_cadence=1, contrast_schedule="0:(0.5)")
        folder = tmp_path / coherence
        animate(told, folder, fake)
        first, last = (np.sort(load(folder / f"{n:06d}.png")[..., 0].ravel()).astype(int) for n in (0, 6))
        assert (np.abs(first - last).mean() < 2) == near


def test_colours_are_the_video_s_every_so_many_frames(tmp_path: Path, fake: Any, clip: Path) -> None:
    told = settings(
        color_coherence="Video Input", color_coherence_video_every_N_frames=2, video_init_path=str(clip),
        diffusion_cadence=1, max_frames=6,
    )  # fmt: skip
    animate(told, tmp_path / "frames", fake)
    means = [load(tmp_path / f"frames/{n:06d}.png").mean() for n in range(6)]
    assert means == pytest.approx([240, 240, 160, 160, 80, 80], abs=4)


def test_a_file_that_changed_is_another_setting(tmp_path: Path, fake: Any) -> None:
    path = tmp_path / "init.png"
    Image.new("RGB", (32, 32), "red").save(path)
    told = settings(use_init=True, init_image=str(path))
    animate(told, tmp_path / "frames", fake)
    Image.new("RGB", (32, 32), "blue").resize((40, 40)).save(path)
    with pytest.raises(BadSpec, match="other settings"):
        animate(told, tmp_path / "frames", fake)


def test_depth_moves_what_is_near_more(tmp_path: Path, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that sees the left half near: there a step to the side is longer."""
    near = np.zeros((32, 32), np.uint8)
    near[:, :16] = 255
    monkeypatch.setattr(motion, "nearness_of", lambda image, weights: Image.fromarray(near).convert("RGB"))
    told = settings(
        animation_mode="3D", translation_x="0:(20)", translation_z="0:(0)", depth_model="some", diffusion_cadence=1,
        max_frames=1,
    )  # fmt: skip
    moving = motion.Motion(Timeline(told, 5))
    depth = moving.depth(np.zeros((32, 32, 3), np.float32))
    assert depth[:, :16].max() == motion.NEAREST and depth[:, 16:].min() == motion.FARTHEST
    ramp = np.tile(np.linspace(0, 1, 32, dtype=np.float32)[None, :, None], (32, 1, 3))
    moved = moving.moved(ramp, 0, depth) - ramp
    assert abs(moved[:, 6:12].mean()) > 2 * abs(moved[:, 20:26].mean()) > 0
    flat = motion.Motion(Timeline(told.changed({"use_depth_warping": "no"}), 5))
    assert flat.depth(ramp) == motion.NEAREST


def test_a_turn_out_of_view_is_told() -> None:
    """A guide's 180:(150), where 1.50 was meant: right by the rules, and hardly anything but a repeated edge."""
    turned = {"animation_mode": "3D", "rotation_3d_x": "0:(0), 3:(0.5), 4:(150)", "rotation_3d_y": "0:(-3.5)"}
    told = [one for one in Timeline(settings(**turned), 5).warnings if "turns" in one]
    assert len(told) == 1 and "rotation_3d_x turns by 150 degrees" in told[0] and "at frame 4" in told[0]
    grids = [warps.grid_3d(32, 32, rotation=(angle, 0, 0)) for angle in (timelines.WIDEST, 150)]
    assert all((np.abs(grid) < 1).all(-1).mean() < 0.5 for grid in grids), "less than half comes from the picture"
    for changes in ({"rotation_3d_x": "0:(350)"}, {"animation_mode": "2D"}):
        assert Timeline(settings(**turned).changed(changes), 5).warnings == []


def test_the_picture_is_turned_in_both_modes() -> None:
    ramp = np.tile(np.linspace(0, 1, 32, dtype=np.float32)[None, :, None], (32, 1, 3))
    still = {"angle": "0:(0)", "zoom": "0:(1)", "translation_x": "0:(0)", "translation_z": "0:(0)"}
    for mode in ("2D", "3D"):
        told = settings(animation_mode=mode, perspective_flip_gamma="0:(90)", **still)
        assert np.abs(motion.Motion(Timeline(told, 5)).moved(ramp, 1) - ramp).max() < 1e-3, "it is switched off"
        turned = motion.Motion(Timeline(told.changed({"enable_perspective_flip": "yes"}), 5)).moved(ramp, 1)
        assert np.abs(turned[1:-1, 1:-1] - np.rot90(ramp, 3)[1:-1, 1:-1]).max() < 0.07, mode


def test_black_frames(tmp_path: Path, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def paint(self: Any, frame: Frame) -> np.ndarray:
        calls.append(frame.spec.seed)
        return np.full((32, 32, 3), 0.0 if len(calls) < 3 else 0.5, np.float32)

    monkeypatch.setattr(FakePainter, "paint", paint)
    one = {"max_frames": 1}
    animate(settings(**one, reroll_blank_frames="reroll"), tmp_path / "again", fake)
    assert len(calls) == 3 and len(set(calls)) == 3, "another seed each time"
    calls.clear()
    with pytest.raises(RenderFailed, match="frame 0 is black"):
        animate(settings(**one, reroll_blank_frames="interrupt"), tmp_path / "stop", fake)
    calls.clear()
    assert animate(settings(**one), tmp_path / "ignore", fake).made == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"zoom": "2:(1)"}, "zoom: column 1: frame 0"),
        ({"angle": "0:(1/(t-3))"}, "angle: column"),
        ({"prompts": {"3": "late"}}, "prompts: frame 0"),
        ({"use_init": True, "init_image": "https://example.org/x.png"}, "init_image is an address"),
        ({"use_init": True, "init_image": "/nowhere.png"}, "/nowhere.png"),
        ({"use_mask": True}, "mask_file"),
        ({"use_init": True}, "init_image is empty"),
        ({"animation_mode": "Video Input"}, "video_init_path is empty"),
        ({"color_coherence": "Video Input"}, "video_init_path is empty"),
        ({"color_coherence": "Image"}, "color_coherence_image_path is empty"),
        ({"hybrid_motion": "Affine"}, "video_init_path is empty"),
        ({"use_mask": True, "mask_file": "/nowhere.png"}, "/nowhere.png"),
        ({"animation_mode": "Video Input", "video_init_path": "/nowhere.mp4"}, "/nowhere.mp4"),
        ({"enable_checkpoint_scheduling": True, "checkpoint_schedule": "0:(nowhere)"}, "nowhere"),
        ({"enable_sampler_scheduling": True, "sampler_schedule": "0:(Eulr)"}, "Eulr"),
        ({"animation_mode": "3D", "depth_model": "/nowhere"}, "/nowhere"),
    ],
)
def test_what_cannot_be_is_one_line(changes: dict[str, Any], told: str, tmp_path: Path, engine: Engine) -> None:
    from generation.errors import GenerationError

    with pytest.raises(GenerationError) as caught:
        animate(settings(**changes, max_frames=5), tmp_path / "frames", engine)
    assert told in caught.value.message and caught.value.hint
    assert "\n" not in caught.value.message


def test_two_denoised_pictures_are_kept_and_no_more(tmp_path: Path, fake: Any) -> None:
    animate(settings(max_frames=40, diffusion_cadence=2), tmp_path / "frames", fake)
    assert len(list((tmp_path / "frames/denoised").iterdir())) == 2

"""Stages over a video: what each does to frames, that a stopped run goes on with the same, files that are wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from generation import pictures
from generation.animation import video
from generation.animation.frames import save
from generation.animation.measures import measure
from generation.animation.stages import PAINTED, STAGES, Pipeline, running
from generation.animation.stages.footage import difference
from generation.animation.stages.inserting import between
from generation.animation.stages.keying import colour_of
from generation.animation.stages.reading import parse, read
from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.errors import BadSpec, GenerationError

SIDE = 64
Bytes = Any


class Stopped(Exception):
    """As a person stops a job."""


class FakeEngine:
    """Renders the picture it starts from, lighter or darker by the frame as models flicker, and counts."""

    def __init__(self, root: Path, flicker: float = 0.0, fail_at: int = -1) -> None:
        self.catalogue = Catalogue([root])
        self.flicker, self.fail_at = flicker, fail_at
        self.specs: list[Any] = []

    def render(self, spec: Any, path: Path, *, report: Any, check: Any) -> None:
        if len(self.specs) == self.fail_at:
            raise Stopped
        number = int(Path(spec.options["image"]).stem)
        self.specs.append(spec)
        picture = np.asarray(pictures.read(spec.options["image"]), dtype=np.float32)
        noise = np.random.default_rng(number + spec.seed).normal(0, self.flicker, picture.shape)
        save(path, np.clip(picture + noise, 0, 255).round().astype(np.uint8))


def ground(seed: int = 1) -> Bytes:
    """Soft blobs, which flow can be found in."""
    small = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((2 * SIDE, 2 * SIDE), Image.Resampling.BICUBIC))


def panned(frames: int, step: int = 2, seed: int = 1) -> list[Bytes]:
    whole = ground(seed)
    return [whole[16 : 16 + SIDE, n * step : n * step + SIDE].copy() for n in range(frames)]


def clip(folder: Path, frames: list[Bytes], name: str = "clip") -> str:
    path = folder / name
    path.mkdir()
    for number, frame in enumerate(frames):
        save(path / f"{number:03d}.png", frame)
    return str(path)


def plan(text: str, source: str, **video: Any) -> Pipeline:
    found = parse(f"name: tried\nstages:\n{text}")
    return dataclasses.replace(found, input=source, video={**found.video, **video})


def done(text: str, source: str, folder: Path, engine: Any = None, **video: Any) -> running.Made:
    return running.run(plan(text, source, **video), folder, engine or FakeEngine(folder))


def frames_of(made: running.Made) -> list[Bytes]:
    return list(made.all())


def apart(one: Bytes, other: Bytes, rim: int = 8) -> float:
    inner = (slice(rim, -rim), slice(rim, -rim))
    return float(np.abs(one[inner].astype(float) - other[inner].astype(float)).mean())


# What the stages do


def test_what_is_carried_moves_with_the_film(tmp_path: Path) -> None:
    """A mark painted into the first frame alone is found where the film took it, and behind a cut no more."""

    class Marking(FakeEngine):
        def render(self, spec: Any, path: Path, *, report: Any, check: Any) -> None:
            picture = np.asarray(pictures.read(spec.options["image"])).copy()
            if Path(spec.options["image"]).stem == "000000":
                picture[28:36, 40:48] = (255, 0, 0)
            save(path, picture)

    source = clip(tmp_path, [*panned(5), *panned(2, seed=9)])
    text = "- {do: carry, with: {weight: 1.0, match: false}}\n- {do: img2img, prompt: x}"
    made = done(text, source, tmp_path / "out", Marking(tmp_path), scene=0.3)
    frames = frames_of(made)
    assert made.cuts == (5,)
    for number in range(1, 5):
        red, filmed = (
            one[..., 0] - one[..., 1:].max(-1) for one in (frames[number].astype(int), panned(5)[number].astype(int))
        )
        marked = (red - filmed > 80)[:, :56].sum(0)  # what comes in at the right is new
        assert 40 <= marked.sum() <= 90  # as large as it was, 64 pixels
        across = (marked * np.arange(56)).sum() / marked.sum()
        assert abs(across - (43.5 - 2 * number)) < 1
    assert np.array_equal(frames[5], panned(2, seed=9)[0])


def test_deflicker_takes_noise_and_leaves_motion(tmp_path: Path) -> None:
    source = clip(tmp_path, panned(8))
    engine = FakeEngine(tmp_path, flicker=14)
    text = "- {do: img2img, prompt: x, seed: 3}\n- {do: deflicker}"
    calm = done(text, source, tmp_path / "out", engine)
    calm_frames = frames_of(calm)
    raw = frames_of(running.run(parse_off(text, source, "deflicker"), tmp_path / "out", engine))
    clean = panned(8)
    for number in range(1, 7):
        assert apart(calm_frames[number], clean[number]) < 0.62 * apart(raw[number], clean[number])
    one, other = measure(calm_frames, clean), measure(raw, clean)
    assert one.warp_error < 0.5 * other.warp_error
    assert one.motion > 0.8 * measure(clean).motion


def parse_off(text: str, source: str, off: str) -> Pipeline:
    return dataclasses.replace(parse(f"name: tried\nstages:\n{text}", off=(off,)), input=source)


def test_a_cut_is_not_smeared_over(tmp_path: Path) -> None:
    dark, light = [frame // 4 for frame in panned(3)], [255 - frame // 4 for frame in panned(3)]
    source = clip(tmp_path, [*dark, *light])
    made = done("- {do: deflicker, with: {radius: 3, alike: 10}}", source, tmp_path / "out")
    assert made.cuts == (3,)
    assert apart(frames_of(made)[2], dark[2]) < 3 and apart(frames_of(made)[3], light[0]) < 3
    smeared = done("- {do: deflicker, with: {radius: 3, alike: 10}}", source, tmp_path / "other", scene=0.0)
    assert smeared.cuts == () and apart(frames_of(smeared)[3], light[0]) > 10


def test_stabilised_frames_stand_still_and_are_given_back(tmp_path: Path) -> None:
    whole = ground(4)
    shake = [(16, 16), (19, 14), (14, 18), (17, 20), (13, 13)]
    frames = [whole[y : y + SIDE, x : x + SIDE].copy() for x, y in shake]
    source = clip(tmp_path, frames)
    still = frames_of(done("- {do: stabilise, with: {smooth: 0}}", source, tmp_path / "out"))
    for number in range(1, 5):
        assert apart(frames[number], frames[0], 10) > 4 * apart(still[number], still[0], 10)
    text = "- {do: stabilise, with: {smooth: 0}}\n- do: unstabilise"
    back = frames_of(done(text, source, tmp_path / "out"))
    for number in range(5):
        # Within a pixel: less apart than the frame from itself a pixel further.
        moved = np.roll(frames[number], 1, axis=1)
        assert apart(back[number], frames[number], 10) < 0.5 * apart(moved, frames[number], 10)


def test_smoothing_a_camera_keeps_its_way(tmp_path: Path) -> None:
    source = clip(tmp_path, panned(12))
    still = frames_of(done("- {do: stabilise, with: {smooth: 3}}", source, tmp_path / "out"))
    # An even pan is smooth already: its middle is left alone.
    assert apart(still[6], panned(12)[6]) < 2.5


def test_a_green_screen_is_keyed_and_composited(tmp_path: Path) -> None:
    frame = np.full((SIDE, SIDE, 3), (0, 177, 64), np.uint8)
    frame[20:44, 20:44] = (200, 40, 40)
    source = clip(tmp_path, [frame, frame])
    keyed = done("- do: key", source, tmp_path / "out")
    matte = np.asarray(Image.open(keyed.folder / "000000.png"))
    assert matte.shape == (SIDE, SIDE, 4)
    assert matte[4, 4, 3] == 0 and matte[32, 32, 3] == 255
    assert matte[4, 4, 1] <= max(matte[4, 4, 0], matte[4, 4, 2])  # despilled
    assert np.array_equal(matte[32, 32, :3], (200, 40, 40))
    text = "- do: key\n- {do: composite, with: {colour: '#0000ff'}}"
    laid = frames_of(done(text, source, tmp_path / "out"))[1]
    assert np.array_equal(laid[4, 4], (0, 0, 255)) and np.array_equal(laid[32, 32], (200, 40, 40))
    assert colour_of(" GREEN ") == (0, 177, 64)


def test_a_background_video_goes_on_and_its_last_frame_stays(tmp_path: Path) -> None:
    green = np.full((SIDE, SIDE, 3), (0, 255, 0), np.uint8)
    behind = clip(tmp_path, [np.full((SIDE, SIDE, 3), value, np.uint8) for value in (10, 90)], "behind")
    source = clip(tmp_path, [green] * 4)
    text = f"- do: key\n- {{do: composite, with: {{background: {behind}}}}}"
    made = frames_of(done(text, source, tmp_path / "out"))
    assert [int(frame[0, 0, 0]) for frame in made] == [10, 90, 90, 90]


def test_only_key_frames_are_painted_and_spread(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path)
    source = clip(tmp_path, panned(9))
    made = done("- {do: img2img, prompt: x}\n- {do: propagate, with: {every: 4}}", source, tmp_path / "out", engine)
    painted = [int(Path(spec.options["image"]).stem) for spec in engine.specs]
    assert sorted(painted) == [0, 4, 8]
    for number, frame in enumerate(frames_of(made)):
        assert apart(frame, panned(9)[number]) < 0.35 * apart(panned(9)[number], panned(9)[(number + 2) % 9])


def test_frames_between_are_where_they_belong(tmp_path: Path) -> None:
    source = clip(tmp_path, [*panned(9, 1)[::2], *panned(2, seed=9)])
    made = done("- do: interpolate", source, tmp_path / "out", scene=0.3)
    frames = frames_of(made)
    assert made.frames == 13 and made.fps == 30
    for number in range(9):
        limit = 0.5 if number % 2 == 0 else 0.5 * apart(panned(9, 1)[number], panned(9, 1)[max(number - 1, 0)])
        assert apart(frames[number], panned(9, 1)[number]) <= limit
    assert np.array_equal(frames[9], frames[8]) and made.cuts == (10,)  # nothing is put between two scenes
    one, other = (picture.astype(np.float32) / 255 for picture in (panned(2)[0], panned(2)[1]))
    assert np.abs(between(one, other, 0.001) - one).mean() < 0.01
    assert np.abs(between(one, other, 0.999) - other).mean() < 0.01


def test_painting_follows_its_fields(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path)
    text = (
        "- {do: stabilise, with: {smooth: 0}}\n"
        "- {do: img2img, prompt: a fox <lora:x:0.5>, seed: 7, steps: 3, with: {strength: 0.4, seed_step: 2},\n"
        "   controls: [{preprocessor: canny, low: 50}], references: [{weight: 0.3}, {image: me.png}]}"
    )
    made = done(text, clip(tmp_path, panned(2)), tmp_path / "out", engine)
    one, other = engine.specs
    assert (one.seed, other.seed, one.steps, one.options["strength"]) == (7, 9, 3, 0.4)
    steady = made.stages[0]["folder"]
    assert one.options["image"] == f"{steady}/000000.png" == one.controls[0]["image"]
    assert one.controls[0]["low"] == 50 and one.references[0]["weight"] == 0.3
    assert Path(one.references[1]["image"]).name == "me.png"
    assert one.prompt == "a fox <lora:x:0.5>" and made.spec is not None and made.spec.seed == 7


def test_a_frame_without_a_face_stays(tmp_path: Path) -> None:
    from generation.errors import BadImage

    class Faceless(FakeEngine):
        def render(self, spec: Any, path: Path, *, report: Any, check: Any) -> None:
            raise BadImage("no face was found in it", "")

    source = clip(tmp_path, panned(2))
    face = f"{source}/000.png"
    notes: list[Any] = []
    pipeline = plan(f"- {{do: face_swap, with: {{face: {face}}}}}", source)
    made = running.run(pipeline, tmp_path / "out", Faceless(tmp_path), report=notes.append)  # type: ignore[arg-type]
    assert np.array_equal(frames_of(made)[1], panned(2)[1])
    assert len([one for one in notes if one["kind"] == "note"]) == 1
    missing = plan("- {do: face_swap, with: {face: /nowhere.png}}", source)
    with pytest.raises(BadImage, match="nowhere"):
        running.run(missing, tmp_path / "out", Faceless(tmp_path))  # type: ignore[arg-type]


def test_the_real_engine_paints(tmp_path: Path, tiny_checkpoint: Path) -> None:
    engine = Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")
    source = clip(tmp_path, panned(3))
    text = "- do: carry\n- {do: img2img, prompt: x, model: tiny, steps: 2, with: {strength: 0.6}}"
    pipeline = plan(text, source, width=32)
    one = frames_of(running.run(pipeline, tmp_path / "out", engine))
    # The seed was drawn once for all, so that a stopped run goes on with the same noise.
    assert all(frame.shape == (32, 32, 3) for frame in one)
    (tmp_path / "out" / "seeds.json").replace(tmp_path / "seeds.json")
    (tmp_path / "again").mkdir()
    (tmp_path / "seeds.json").replace(tmp_path / "again" / "seeds.json")
    again = frames_of(running.run(pipeline, tmp_path / "again", engine))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    engine.unload()


# Resuming


@pytest.mark.parametrize("stop", [1, 4])
def test_a_stopped_run_goes_on_with_the_same_frames(tmp_path: Path, stop: int) -> None:
    text = "- do: carry\n- {do: img2img, prompt: x, seed: 3}\n- do: deflicker"
    source = clip(tmp_path, panned(7))
    whole = frames_of(done(text, source, tmp_path / "whole", FakeEngine(tmp_path, 9)))
    with pytest.raises(Stopped):
        done(text, source, tmp_path / "out", FakeEngine(tmp_path, 9, fail_at=stop))
    rest = FakeEngine(tmp_path, 9)
    made = done(text, source, tmp_path / "out", rest)
    assert len(rest.specs) == 7 - stop
    assert [one["made"] for one in made.stages][1:] == [7 - stop, 7 if stop < 3 else 7 - (stop - 2)]
    assert all(np.array_equal(a, b) for a, b in zip(whole, frames_of(made), strict=True))
    again = FakeEngine(tmp_path, 9)
    assert [one["made"] for one in done(text, source, tmp_path / "out", again).stages] == [0, 0, 0]
    assert not again.specs


def test_a_changed_setting_makes_what_depends_on_it(tmp_path: Path) -> None:
    source = clip(tmp_path, panned(3))
    first = "- {do: img2img, prompt: x, seed: 3}\n- {do: deflicker, with: {radius: 1}}"
    done(first, source, tmp_path / "out")
    engine = FakeEngine(tmp_path)
    made = done(first.replace("radius: 1", "radius: 2"), source, tmp_path / "out", engine)
    assert not engine.specs and [one["made"] for one in made.stages] == [0, 3]
    # What was superseded is gone; what stages before it made stays.
    assert len(list((tmp_path / "out").glob("deflicker.*"))) == 1
    made = done(first.replace("seed: 3", "seed: 4"), source, tmp_path / "out", engine)
    assert len(engine.specs) == 3 and [one["made"] for one in made.stages] == [3, 3]


def test_what_is_carried_depends_on_what_paints_it(tmp_path: Path) -> None:
    source = clip(tmp_path, panned(2))
    text = "- do: carry\n- {do: img2img, prompt: x, seed: 3}"
    done(text, source, tmp_path / "out")
    made = done(text.replace("seed: 3", "seed: 4"), source, tmp_path / "out")
    assert [one["made"] for one in made.stages] == [2, 2]


def test_more_frames_reuse_those_that_are_there(tmp_path: Path) -> None:
    source = clip(tmp_path, panned(6))
    engine = FakeEngine(tmp_path)
    text = "- {do: img2img, prompt: x, seed: 3}"
    assert done(text, source, tmp_path / "out", engine, frames=2).frames == 2
    assert done(text, source, tmp_path / "out", engine).frames == 6
    assert len(engine.specs) == 6


def test_a_damaged_frame_is_made_again_and_others_files_stay(tmp_path: Path) -> None:
    source = clip(tmp_path, panned(3))
    text = "- {do: img2img, prompt: x, seed: 3}\n- do: deflicker"
    made = done(text, source, tmp_path / "out")
    Path(made.stages[0]["folder"], "000001.png").write_bytes(b"cut")
    for path in made.folder.glob("*.png"):
        path.unlink()
    (tmp_path / "out" / "img2img.notes").mkdir()
    again = running.run(plan(text, source), tmp_path / "out", FakeEngine(tmp_path))  # type: ignore[arg-type]
    assert again.stages[0]["made"] == 1
    fresh = running.run(plan(text, source), tmp_path / "out", FakeEngine(tmp_path), fresh=True)  # type: ignore[arg-type]
    assert [one["made"] for one in fresh.stages] == [3, 3]
    assert (tmp_path / "out" / "img2img.notes").is_dir()


def test_a_preview_makes_what_it_needs(tmp_path: Path) -> None:
    source = clip(tmp_path, panned(9))
    engine: Any = FakeEngine(tmp_path)
    text = "- {do: img2img, prompt: x, seed: 3}\n- {do: deflicker, with: {radius: 1}}"
    shown = running.preview(plan(text, source), tmp_path / "out", engine, 5)
    assert shown.stage == "deflicker" and shown.path.name == "000005.png" and len(engine.specs) == 3
    assert (shown.frames, shown.fps) == (9, 15)
    shown = running.preview(plan(text, source), tmp_path / "out", engine, 8, "img2img")
    assert shown.path.parent.name.startswith("img2img.") and len(engine.specs) == 4
    more = f"{text}\n- {{do: interpolate, with: {{factor: 3}}}}"
    assert running.preview(plan(more, source), tmp_path / "out", engine, 0)[2:] == (25, 45)
    assert running.preview(plan(text, source), tmp_path / "out", engine, 0, "input")[0].parent.name.startswith("input.")
    with pytest.raises(BadSpec, match="has no frame 9"):
        running.preview(plan(text, source), tmp_path / "out", engine, 9)
    with pytest.raises(BadSpec) as caught:
        running.preview(plan(text, source), tmp_path / "out", engine, 0, "imgimg")
    assert "img2img" in caught.value.hint


def test_a_long_carry_is_previewed_without_recursion(tmp_path: Path) -> None:
    source = clip(tmp_path, panned(30, 1))
    engine: Any = FakeEngine(tmp_path)
    text = "- do: carry\n- {do: img2img, prompt: x, seed: 3}"
    deep: list[int] = []
    import inspect

    engine.render = lambda spec, path, **_: (deep.append(len(inspect.stack(0))), save(path, panned(1)[0]))
    running.preview(plan(text, source), tmp_path / "out", engine, 29)
    assert len(deep) == 30 and max(deep) - min(deep) < 20


# Files that are wrong

GOOD = "name: a\ninput: clip.mp4\nwidth: 64\nstages:\n"
WRONG = [
    ("stages: [", "a.yaml:1: no YAML"),
    ("", "a.yaml:1: a file of stages is a table"),
    ("- 1", "a.yaml:1: a file of stages is a table"),
    ("name: a\n", "a.yaml:1: there is no list"),
    ("name: a\nstages: []\n", "a.yaml:2: there is no list"),
    ("name: a b\nstages: [{do: key}]", 'a.yaml:1: the name cannot be "a b"'),
    ("nam: a\nstages: [{do: key}]", 'a.yaml:1: a file of stages has no "nam"'),
    ("input: 3\nstages: [{do: key}]", "a.yaml:1: input is a path"),
    ("width: wide\nstages: [{do: key}]", "a.yaml:1: width must be a whole number"),
    ("name: a\nwidth: -5\nstages: [{do: key}]", "a.yaml:2: width -5 is out of range"),
    ("scene: 3\nstages: [{do: key}]", "a.yaml:1: scene 3 is out of range"),
    (GOOD + "  - key", "a.yaml:5: a stage is a table"),
    (GOOD + "  - {id: x}", "a.yaml:5: a stage has no do"),
    (GOOD + "  - {do: key}\n  - {do: deflick}", 'a.yaml:6: there is no stage "deflick"'),
    (GOOD + "  - {do: key, id: a/b}", 'a.yaml:5: the id cannot be "a/b"'),
    (GOOD + "  - {do: key, id: input}", 'a.yaml:5: the id "input" is taken'),
    (GOOD + "  - {do: key}\n  - {do: key}", 'a.yaml:5: the id "key" is taken'),
    (GOOD + "  - {do: key, on: maybe}", "a.yaml:5: on is true or false"),
    (GOOD + "  - {do: key, with: 3}", "a.yaml:5: the settings under with are a table"),
    (GOOD + "  - {do: key, prompt: x}", 'a.yaml:5: key has no "prompt"'),
    (GOOD + "  - {do: img2img, strength: 0.5}", 'a.yaml:5: img2img has no "strength"'),
    (GOOD + "  - do: deflicker\n    with:\n      radius: 0", "a.yaml:7: deflicker: radius 0 is out of range"),
    (GOOD + "  - do: deflicker\n    with:\n      radios: 2", 'a.yaml:7: deflicker: deflicker has no setting "radios"'),
    (GOOD + "  - {do: interpolate, with: {quality: best}}", 'a.yaml:5: interpolate: quality cannot be "best"'),
    (GOOD + "  - {do: img2img}", "a.yaml:5: img2img: img2img has no prompt"),
    (GOOD + "  - {do: img2img, prompt: x, sampler: Eulr}", "a.yaml:5: img2img: "),
    (
        GOOD + "  - {do: img2img, prompt: x, controls: canny}",
        "a.yaml:5: img2img: the settings of a control are a table",
    ),
    (GOOD + "  - {do: img2img, prompt: x, controls: [{preprocessor: cany}]}", "a.yaml:5: img2img: preprocessor"),
    (GOOD + "  - {do: face_swap}", "a.yaml:5: face_swap: face_swap needs face"),
    (GOOD + "  - {do: carry}", "a.yaml:5: carry: carry needs a stage behind it that renders"),
    (GOOD + "  - {do: carry}\n  - {do: img2img, prompt: x, on: false}", "a.yaml:5: carry: carry needs"),
    (GOOD + "  - {do: carry, with: {of: y}}\n  - {do: img2img, prompt: x}", 'and "y" is none that is on'),
    (GOOD + "  - {do: carry}\n  - {do: deflicker}\n  - {do: img2img, prompt: x}", "a.yaml:5: carry: between carry"),
    (GOOD + "  - {do: unstabilise}", "a.yaml:5: unstabilise: unstabilise needs a stabilise stage before it"),
    (GOOD + "  - {do: composite}", "a.yaml:5: composite: composite needs a key stage before it"),
    (GOOD + "  - {do: stabilise}\n  - {do: interpolate}\n  - {do: unstabilise}", "interpolate stands between"),
    (GOOD + "  - &a {do: key}\n  - *a", "anchors are not used here"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_wrong_file_is_told_by_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(GenerationError) as caught:
        read(path)
    assert said in caught.value.message and "\n" not in caught.value.message
    assert caught.value.hint


def test_changes_beside_the_file() -> None:
    text = GOOD + "  - {do: carry}\n  - {do: img2img, prompt: x}\n  - {do: deflicker}"
    found = parse(text, None, {"img2img.strength": "0.3", "img2img.prompt": "a fox", "frames": "9"}, ("carry",))
    assert [step.on for step in found.steps] == [False, True, True] and found.video["frames"] == 9
    assert found.steps[1].settings["strength"] == 0.3 and found.steps[1].fields["prompt"] == "a fox"
    assert parse(text, None, {"carry.on": "false"}).running == found.running[:0] + parse(text, off=("carry",)).running
    assert parse(yaml_again(found)).to_json() == found.to_json()
    for changes, off in (({"frams": "9"}, ()), ({"img.strength": "1"}, ()), ({"carry.on": "x"}, ()), ({}, ("cary",))):
        with pytest.raises(BadSpec) as caught:
            parse(text, None, changes, off)
        assert caught.value.hint


def yaml_again(found: Pipeline) -> str:
    import yaml

    return yaml.safe_dump({**found.to_json(), "input": found.input})


def test_wrong_videos_say_so(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no video", "utf-8")
    (tmp_path / "nothing").mkdir()
    for name in ("empty.mp4", "text.mp4", "nothing", "missing.mp4", ""):
        with pytest.raises(GenerationError) as caught:
            done("- do: key", str(tmp_path / name) if name else "", tmp_path / "out")
        assert caught.value.hint and "\n" not in caught.value.message
    source = clip(tmp_path, panned(2))
    with pytest.raises(BadSpec, match="no frame from 5"):
        done("- do: key", source, tmp_path / "out", first=5)
    with pytest.raises(BadSpec, match="no colour"):
        done("- {do: key, with: {colour: grene}}", source, tmp_path / "out")


def test_a_damaged_video_gives_what_can_be_had(tmp_path: Path) -> None:
    path = tmp_path / "cut.mkv"
    noisy = [np.random.default_rng(n).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for n in range(60)]
    video.write(iter(noisy), path, 10)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    made = done("- {do: key, with: {colour: blue}}", str(path), tmp_path / "out", scene=0.0)
    assert 1 <= made.frames < 60


def test_the_table_names_classes_that_are_there() -> None:
    from importlib import import_module

    for name, stage in STAGES.items():
        module, attribute = stage.run.split(":")
        made = getattr(import_module(module), attribute)
        assert hasattr(made, "frame") or hasattr(made, "write"), name
        assert stage.painted == (name in PAINTED)
    assert difference(panned(1)[0], panned(1)[0]) == 0
    white, black = (np.full((8, 8, 3), value, np.uint8) for value in (255, 0))
    assert difference(white, black) == pytest.approx(1)

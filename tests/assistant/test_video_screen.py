"""A film made over on the screen: stages edited, any frame of any of them looked at, the run watched; how it looks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textual.pilot import Pilot
from textual.widgets import Checkbox, Input, OptionList, ProgressBar, Static, TextArea

from assistant.jobs import HANDLERS
from assistant.jobs.videos import planned
from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.animation import AnimationScreen
from assistant.tui.animation_run import AnimationRun
from assistant.tui.app import Atelier
from assistant.tui.attachments import Attachments
from assistant.tui.dialogs import Ask, Confirm
from assistant.tui.parameter_form import ParameterForm
from assistant.tui.video import VideoScreen
from assistant.tui.video_rows import StageKinds
from assistant.tui.video_stages import Stages, begun, opened
from generation.animation.stages import STAGES, editing
from generation.animation.stages.reading import read
from generation.errors import BadSpec
from tests.assistant.test_rooms import Recorder

SIZES = [(60, 20), (80, 24), (140, 40)]
INKED = """\
# as ink
name: inked
input: run.mp4
width: 64
stages:
  - {do: stabilise, on: false}   # shaky ones alone
  - do: carry
    with: {weight: 0.2}
  - id: painted
    do: img2img
    prompt: an ink drawing
    seed: 3
    with: {strength: 0.4}   # more is freer
  - {do: deflicker}
"""
MEASURES = {"warp_error": 7.25, "flow_of": "source", "motion": 1.5, "flicker": 0.25, "consistency": 0.98765,
            "consistency_by": "thumbnails"}  # fmt: skip


@pytest.fixture
def app(paths: Paths, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Atelier:
    settings["look.preview"] = "halfcell"
    monkeypatch.setattr(TextArea, "cursor_blink", False)
    monkeypatch.setattr(Input, "cursor_blink", False, raising=False)
    return Atelier(paths, settings, work=False)


@pytest.fixture
def inked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.mp4").write_bytes(b"a film")
    path = tmp_path / "inked.yaml"
    path.write_text(INKED, "utf-8")
    return path


async def settle(pilot: Pilot[Any]) -> None:
    for _ in range(3):
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def shown(pilot: Pilot[Any], file: str = "inked.yaml") -> Any:
    """The screen with a file opened, reached by the palette."""
    app: Any = pilot.app
    command = next(one for one in app.get_system_commands(app.screen) if one.title == "Video to video")
    await command.callback()
    await settle(pilot)
    screen = app.screen
    assert isinstance(screen, VideoScreen)
    if file:
        await name(pilot, screen, file)
    return screen


async def name(pilot: Pilot[Any], screen: Any, file: str) -> None:
    field = screen.query_one("#anim-file", Input)
    field.focus()
    field.value = file
    await pilot.press("enter")
    await settle(pilot)


def said(screen: Any, what: str = "anim-state") -> str:
    return str(screen.query_one(f"#{what}", Static).render())


def rows(screen: Any) -> list[str]:
    return [str(option.prompt).rstrip() for option in screen.rows.options]


def picture(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)
    return path


async def test_a_file_is_opened_and_its_stages_switched_moved_and_taken_out(app: Atelier, inked: Path) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await shown(pilot)
        assert rows(screen)[0].split() == ["film", "run.mp4"] and rows(screen)[1].split() == ["off", "stabilise"]
        assert rows(screen)[3].split() == ["on", "painted", "img2img", "“an", "ink", "drawing”", "strength", "0.4"]
        assert screen.focused is screen.rows and screen.rows.chosen == -1
        await pilot.press("space")
        assert screen.stages.text == INKED, "the film is no stage"
        await pilot.press("j", "space")
        assert rows(screen)[1].split() == ["on", "stabilise"] and not said(screen, "anim-problem")
        await pilot.press("down", "plus")
        # carry behind what renders has nothing to carry: it says so, with the line, and nothing else is lost.
        assert [row.id for row in screen.stages.rows] == ["stabilise", "painted", "carry", "deflicker"]
        assert said(screen, "anim-problem").startswith("inked.yaml:12: carry: carry needs a stage behind it that rende")
        assert screen.rows.chosen == 2
        await pilot.press("minus")
        assert [row.id for row in screen.stages.rows] == ["stabilise", "carry", "painted", "deflicker"]
        assert screen.rows.chosen == 1 and not said(screen, "anim-problem")
        await pilot.press("up", "minus")
        assert "it is the first" in said(screen, "anim-problem")
        await pilot.press("d", "delete", "d")
        assert [row.id for row in screen.stages.rows] == ["deflicker"]
        await pilot.press("d")
        assert "the only stage" in said(screen, "anim-problem") and len(screen.stages.rows) == 1
        await pilot.press(*"uuuuuu")
        assert screen.stages.text == INKED


async def test_settings_are_changed_in_a_form_and_what_is_wrong_stands_in_it(app: Atelier, inked: Path) -> None:
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot)
        await pilot.press("j", "j", "j", "enter")
        await settle(pilot)
        form: Any = app.screen
        assert isinstance(form, ParameterForm)
        assert form.query_one("#form-prompt", Input).value == "an ink drawing"
        assert form.query_one("#form-steps", Input).value == "" and form.query_one("#form-strength").value == "0.4"
        form.query_one("#form-sampler", Input).value = "Eulre"
        await pilot.press("ctrl+s")
        problem = str(form.query_one("#parameter-problem", Static).render())
        assert app.screen is form and "inked.yaml:9: painted: " in problem and "Euler" in problem
        form.query_one("#form-sampler", Input).value = ""
        form.query_one("#form-strength", Input).value = "2"
        await pilot.press("ctrl+s")
        assert "out of range" in str(form.query_one("#parameter-problem", Static).render())
        form.query_one("#form-strength", Input).value = "0.5"
        form.query_one("#form-steps", Input).value = "9"
        form.query_one("#form-seed", Input).value = "-1"
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert app.screen is screen
        wanted = INKED.replace("strength: 0.4}", "strength: 0.5}").replace("    seed: 3\n", "")
        assert screen.stages.text == wanted.replace("# more is freer\n", "# more is freer\n    steps: 9\n")
        step = screen.stages.pipeline.steps[2]
        assert step.fields == {"prompt": "an ink drawing", "steps": 9} and step.settings["strength"] == 0.5
        # A stage that renders nothing has its own settings alone.
        await pilot.press("k", "enter")
        await settle(pilot)
        assert not app.screen.query("#form-prompt") and app.screen.query_one("#form-weight", Input).value == "0.2"


async def test_the_film_has_a_form_and_its_path_counts_from_the_file(app: Atelier, inked: Path, tmp_path: Path) -> None:
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot)
        await pilot.press("enter")
        await settle(pilot)
        form: Any = app.screen
        assert form.query_one("#form-input", Input).value == str(tmp_path / "run.mp4")
        form.query_one("#form-frames", Input).value = "8"
        form.query_one("#form-audio", Checkbox).value = False
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert screen.stages.text == INKED.replace("width: 64\n", "width: 64\nframes: 8\naudio: false\n")
        await pilot.press("j", "t")
        await settle(pilot)
        app.screen.query_one("#form-width", Input).value = "5000"
        await pilot.press("ctrl+s")
        assert "out of range" in str(app.screen.query_one("#parameter-problem", Static).render())
        app.screen.query_one("#form-width", Input).value = "64"
        app.screen.query_one("#form-name", Input).value = "a b"
        await pilot.press("ctrl+s")
        assert 'inked.yaml:2: the name cannot be "a b"' in str(app.screen.query_one("#parameter-problem").render())


async def test_a_stage_is_added_behind_the_chosen_one(app: Atelier, inked: Path) -> None:
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot)
        await pilot.press("j", "j", "j", "j", "a")
        await settle(pilot)
        assert isinstance(app.screen, StageKinds)
        kinds = app.screen.query_one(OptionList)
        assert kinds.option_count == len(STAGES)
        assert STAGES["interpolate"].help in str(kinds.get_option_at_index(list(STAGES).index("interpolate")).prompt)
        kinds.highlighted = list(STAGES).index("interpolate")
        await pilot.press("enter")
        await settle(pilot)
        assert app.screen is screen and screen.stages.text == INKED + "  - {do: interpolate}\n"
        assert screen.rows.chosen == 4
        # One that renders is asked what; a name that is there is not taken twice.
        await pilot.press("up", "a")
        await settle(pilot)
        app.screen.query_one(OptionList).highlighted = list(STAGES).index("img2img")
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(app.screen, ParameterForm)
        app.screen.query_one("#form-prompt", Input).value = "a fox"
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert [row.id for row in screen.stages.rows][3:] == ["deflicker", "img2img", "interpolate"]
        assert screen.stages.pipeline.steps[4].fields["prompt"] == "a fox"
        assert Stages(INKED).added(4, "carry").rows[4].id == "carry-2"


async def test_controls_take_each_frame(app: Atelier, inked: Path) -> None:
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot)
        await pilot.press("j", "c")
        assert "renders" in said(screen) and app.screen is screen
        await pilot.press("j", "j", "c", "c")
        await settle(pilot)
        assert app.screen.query_one("#form-image", Input).value == "@frame"
        app.screen.query_one("#form-preprocessor").value = "canny"
        await pilot.press("ctrl+s")
        await settle(pilot)
        await pilot.press("ctrl+s")  # the form again, with what canny has
        await settle(pilot)
        assert isinstance(app.screen, Attachments)
        await pilot.press("escape")
        await settle(pilot)
        assert (
            "    controls: [{preprocessor: canny}]\n" in screen.stages.text and "# more is freer" in screen.stages.text
        )
        assert screen.stages.pipeline.steps[2].fields["controls"][0]["image"] == "@frame"
        assert rows(screen)[3].endswith("strength 0.4  canny")
        await pilot.press("c", "x", "escape")
        await settle(pilot)
        assert screen.stages.text == INKED


async def test_a_frame_behind_a_stage_is_asked_for_and_found_again(app: Atelier, inked: Path, tmp_path: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot)
        await pilot.press("right", "right", "f")
        kind, job = recorder.asked[-1]
        assert not HANDLERS[kind].durable and (job["preview"], job["stage"]) == (2, "input")
        assert job["video"] == str(tmp_path / "run.mp4") and planned(job).video["width"] == 64
        assert job["output"] == str(app.paths.output / "animations" / "run-inked.mp4")
        asked = len(recorder.asked)
        await pilot.press("f")
        assert "One moment" in said(screen) and len(recorder.asked) == asked
        recorder.answer(asked, kind="progress", stage="reading", done=20, total=40)
        assert said(screen) == "reading 20 of 40"
        path = picture(tmp_path / "frames" / "input.0" / "000002.png")
        result = {"path": str(path), "stage": "input", "frame": 2, "frames": 40, "fps": 10.0}
        recorder.answer(asked, kind="done", result=result)
        await settle(pilot)
        assert screen.picture._paths == (path,) and str(path) in said(screen)
        assert said(screen, "anim-here") == "frame 2 of 40, 0.20 s  of the film"
        # A frame of a stage that is known and there is shown at once; others are asked for.
        there = picture(path.with_name("000003.png"), "blue")
        await pilot.press("l")
        await settle(pilot)
        assert screen.picture._paths == (there,) and len(recorder.asked) == asked
        await pilot.press("b", "w", "w", "w", "w")
        assert screen.frame == 39 and "(F makes it)" in said(screen, "anim-here")
        await pilot.press("g", *"500", "enter")
        await settle(pilot)
        assert screen.frame == 39
        await pilot.press("j", "f")
        assert "stabilise is off" in said(screen) and len(recorder.asked) == asked
        await pilot.press("j", "j", "f")
        assert recorder.asked[-1][1]["stage"] == "painted" and recorder.asked[-1][1]["preview"] == 39
        await pilot.press("x")
        assert recorder.stopped == [asked + 1]
        recorder.answer(asked + 1, kind="cancelled")
        assert "stopped" in said(screen)
        await pilot.press("f")
        recorder.answer(asked + 2, kind="failed", message="painted has no frame 39", hint="Give 0 to 9.")
        assert said(screen) == "painted has no frame 39. Give 0 to 9."
        # Another setting may mean other frames.
        await pilot.press("k", "space", "k", "k", "h")
        assert "(F makes it)" in said(screen, "anim-here")


async def test_the_video_is_made_watched_paused_and_measured(app: Atelier, inked: Path, tmp_path: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await shown(pilot)
        await pilot.press("f5")
        kind, spec = recorder.asked[-1]
        number = len(recorder.asked)
        assert kind == "vid2vid" and HANDLERS[kind].durable and spec["measure"] and not spec["fresh"]
        assert planned(spec) == planned(spec | {"pipeline": read(inked).to_json()}), "what the shell would make"
        recorder.answer(number, kind="started")
        run: AnimationRun = screen.queue.runs[0]
        run.clock = lambda: 0.0
        recorder.answer(number, kind="progress", stage="reading", done=3, total=40)
        assert "reading 3 of 40" in said(screen)
        recorder.answer(number, kind="progress", stage="frames", done=10, total=40)
        newest = picture(tmp_path / "newest.png")
        recorder.answer(number, kind="preview", path=str(newest))
        await settle(pilot)
        bar = screen.query_one("#anim-progress", ProgressBar)
        assert screen.picture._paths == (newest,) and bar.display and (bar.progress, bar.total) == (10, 40)
        asked = len(recorder.asked)
        await pilot.press("f")
        assert "single frames come when it is paused" in said(screen) and len(recorder.asked) == asked
        await pilot.press("f5")
        assert "already" in said(screen)
        await pilot.press("p")
        assert recorder.stopped == [number]
        recorder.answer(number, kind="cancelled")
        assert "paused at frame 10 of 40; P goes on" in said(screen)
        await pilot.press("p")
        assert recorder.asked[-1] == (kind, spec)
        last = len(recorder.asked)
        folder = tmp_path / "run-inked.frames" / "painted.1"
        result = {
            "path": spec["output"], "frames": 40, "fps": 10.0, "seconds": 61.0, "measures": MEASURES,
            "source_measures": {**MEASURES, "warp_error": 21.0}, "strip": str(picture(tmp_path / "strip.png")),
            "stages": [{"id": "painted", "folder": str(folder), "frames": 40, "fps": 10.0, "made": 30}],
        }  # fmt: skip
        recorder.answer(last, kind="done", result=result)
        await settle(pilot)
        assert "40 frames, 30 made now, 1 min 1 s" in said(screen) and "warp error 7.25 (21)" in said(screen)
        assert spec["output"] in said(screen).replace("\n", "") and screen.picture._paths == (tmp_path / "strip.png",)
        # Its frames can be gone through.
        there = picture(folder / "000001.png", "green")
        await pilot.press("j", "j", "j", "right")
        await settle(pilot)
        assert screen.picture._paths == (there,) and said(screen, "anim-here").startswith(
            "frame 1 of 40, 0.10 s  behind"
        )


async def test_closed_and_opened_again_it_shows_the_run_and_what_waits(app: Atelier, inked: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot)
        await pilot.press("j", "space", "space", "f5")
        recorder.answer(1, kind="started")
        await pilot.press("escape")
        await settle(pilot)
        assert len(app.screen_stack) == 1
        recorder.answer(1, kind="progress", stage="frames", done=7, total=40)
        # The animation screen tells what stands before it, and leads here.
        await pilot.press("f4")
        await settle(pilot)
        await pilot.press("ctrl+y")
        await settle(pilot)
        assert isinstance(app.screen, AnimationScreen)
        await pilot.press("f5")
        assert "run-inked: running, 33 frames left" in said(app.screen)
        await pilot.press("o")
        await settle(pilot)
        again: Any = app.screen
        assert isinstance(again, VideoScreen) and again is not screen and again.stages.text == INKED
        assert "frame 7 of 40" in said(again) and "animation: waiting, 30 frames left" in said(again)
        assert again.file.path == inked and again.query_one("#anim-file", Input).value == str(inked)
        recorder.answer(1, kind="progress", stage="frames", done=8, total=40)
        assert "frame 8 of 40" in said(again), "the screen that was left does not take its events away"


async def test_a_film_begins_the_whole_chain(app: Atelier, inked: Path, tmp_path: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("f3")
        await settle(pilot)
        app.room("draft").fill("a fox, [red: 2]", "")
        await settle(pilot)
        screen = await shown(pilot, "none.mp4")
        assert "there is no film" in said(screen, "anim-problem") and screen.stages is None
        await pilot.press("escape", "f5", "space", "f", "a", "t", "c", "u", "s", "d")
        assert not recorder.asked and app.screen is screen
        await name(pilot, screen, "run.mp4")
        on = [row.id for row in screen.stages.rows if row.on]
        assert on == ["carry", "painted", "deflicker"] and not screen.stages.problem
        assert screen.stages.rows[4].entry["prompt"] == "a fox, [red: 2]"
        assert screen.stages.input == str(tmp_path / "run.mp4")
        # Everything that is off can be switched on, each with its partner.
        stages = screen.stages
        for number, row in enumerate(stages.rows):
            stages = stages if row.on else stages.switched(number)
        assert stages.problem == "" and all(row.on for row in stages.rows)
        await pilot.press("f5")
        assert recorder.asked[-1][1]["output"] == str(app.paths.output / "animations" / "run-painted.mp4")
        await pilot.press("s")
        await settle(pilot)
        assert isinstance(app.screen, Ask)
        app.screen.query_one(Input).value = str(tmp_path / "new.yaml")
        await pilot.press("enter")
        await settle(pilot)
        assert opened(tmp_path / "new.yaml").text == screen.stages.text and "saved" in said(screen)
        assert editing.comments(screen.stages.text), "what a stage is for stands beside it"


async def test_saving_keeps_comments_and_closing_loses_nothing(app: Atelier, inked: Path) -> None:
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot)
        await pilot.press("j", "space", "escape")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        await pilot.press("n", "s")
        await settle(pilot)
        assert inked.read_text("utf-8") == INKED.replace("stabilise, on: false}", "stabilise}")
        await pilot.press("escape")
        await settle(pilot)
        assert len(app.screen_stack) == 1 and not screen.is_attached


async def test_a_wrong_file_is_told_with_its_line_and_can_be_mended(app: Atelier, inked: Path) -> None:
    recorder = Recorder(app)
    inked.with_name("odd.yaml").write_text(INKED.replace("weight: 0.2", "weight: 9"), "utf-8")
    inked.with_name("none.yaml").write_text("stages:\n- {do: carry}\n- {do: paint}\n", "utf-8")
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot, "none.yaml")
        assert 'none.yaml:3: there is no stage "paint"' in said(screen, "anim-problem") and screen.stages is None
        await name(pilot, screen, "missing.yaml")
        assert "cannot be read" in said(screen, "anim-problem")
        await name(pilot, screen, "odd.yaml")
        assert said(screen, "anim-problem").startswith("odd.yaml:8: carry: weight 9 is out of range")
        await pilot.press("f5", "f")
        assert not recorder.asked
        await pilot.press("j", "j", "enter")
        await settle(pilot)
        app.screen.query_one("#form-weight", Input).value = "0.9"
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert not said(screen, "anim-problem") and screen.stages.text == INKED.replace("0.2", "0.9")


async def test_a_file_without_a_film_asks_for_one(app: Atelier, inked: Path) -> None:
    recorder = Recorder(app)
    inked.write_text(INKED.replace("input: run.mp4\n", ""), "utf-8")
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot)
        assert "T names the film" in said(screen) and rows(screen)[0].endswith("none yet")
        await pilot.press("f5")
        assert "no film yet" in said(screen, "anim-problem") and not recorder.asked


@pytest.mark.parametrize("size", SIZES)
async def test_everything_fits(app: Atelier, inked: Path, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        screen = await shown(pilot)
        for what in ("anim-file", "anim-rows", "anim-here", "anim-state"):
            region = screen.query_one(f"#{what}").region
            assert region.height >= 1 and region.bottom <= size[1], what
        assert screen.query_one("#anim-rows").region.height >= 5
        if size[0] == 60:
            assert not screen.picture.region
            await pilot.press("v")
            await pilot.pause()
            assert screen.picture.region.height >= 5 and not screen.query_one("#anim-rows").region


def test_what_a_file_holds_that_no_form_can_show() -> None:
    stages = Stages("stages:\n- {do: deflicker, with: {radius: many, quality: best}}\n- {do: img2img, prompt: 3}\n")
    assert stages.values(0)["radius"] == 2 and stages.values(0)["quality"] == "medium"
    assert stages.values(1)["prompt"] == "" and stages.problem.startswith("stages:2: deflicker: ")
    mended = stages.with_form(0, {**stages.values(0), "radius": 3})
    assert mended.rows[0].entry["with"]["radius"] == 3
    folded = Stages("stages:\n- do: img2img\n  prompt: >\n    an ink\n    drawing\n  seed: 4\n")
    assert folded.with_form(0, {**folded.values(0), "seed": 5}).text == folded.text.replace("4", "5")
    assert begun(Path("/v/a b.mp4"), 'x: {"y"} # z').pipeline is not None
    with pytest.raises(BadSpec):
        stages.moved(1, 1)


def test_this_screen_loads_nothing_heavy() -> None:
    code = (
        "import sys, assistant.tui.video\n"
        "heavy = {'torch', 'numpy', 'PIL', 'scipy', 'av', 'cv2', 'diffusers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("size", SIZES)
def test_look_of_the_stages(snap_compare: Any, app: Atelier, inked: Path, size: tuple[int, int]) -> None:
    async def edit(pilot: Pilot[Any]) -> None:
        screen = await shown(pilot)
        # The field holds the path of a folder that is another one each time.
        screen.query_one("#anim-file", Input).value = "inked.yaml"
        await pilot.press("j", "j", "plus")
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=edit)


@pytest.mark.parametrize("size", SIZES)
def test_look_of_a_video_that_is_made(
    snap_compare: Any, app: Atelier, inked: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    recorder = Recorder(app)

    async def make(pilot: Pilot[Any]) -> None:
        screen = await shown(pilot)
        screen.query_one("#anim-file", Input).value = "inked.yaml"
        await pilot.press("f5")
        recorder.answer(1, kind="started")
        recorder.answer(1, kind="progress", stage="frames", done=10, total=40)
        screen.queue.runs[0].clock = lambda: 0.0
        recorder.answer(1, kind="preview", path=str(picture(tmp_path / "newest.png", "orange")))
        if size[0] == 60:
            await pilot.press("v")
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=make)

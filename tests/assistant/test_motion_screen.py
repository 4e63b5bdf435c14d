"""A clip of a motion model told, made, paused, cancelled and played on the screen; and what that looks like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, ProgressBar, Select, Static, TextArea

from assistant.jobs import HANDLERS
from assistant.jobs.queue import Queue
from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.animation import AnimationScreen
from assistant.tui.animation_queue import AnimationQueue
from assistant.tui.animation_run import AnimationRun, figure
from assistant.tui.app import Atelier
from assistant.tui.attachments import Attachments
from assistant.tui.dialogs import Ask, Confirm
from assistant.tui.motion import NO_PROMPT, MotionScreen
from assistant.tui.motion_clip import ORDER, TABLE, MovingClip, begun, opened, table
from assistant.tui.motion_rows import NAMED
from assistant.tui.motion_run import MotionRun
from assistant.tui.parameter_form import ParameterForm
from assistant.tui.picture import Picture
from generation.animation.frames import Frames
from generation.animation.motion_models import finding
from generation.animation.motion_models.settings import MOTION, of, read
from generation.catalogue import BUNDLED, Catalogue, ModelEntry
from generation.errors import BadSpec
from generation.specs import ModelDefaults
from tests.assistant.test_rooms import Recorder

SIZES = [(60, 20), (80, 24), (140, 40)]
LAKE = """\
# a lake over the year
prompts: {0: a lake in spring, 8: a lake in winter}
negative: fog
model: atelier-demo
motion_loras: {pan_left: 0.8}   # slowly
frames: 12
video: dance.mp4
controls: [{preprocessor: canny}]
"""
MEASURES = {"warp_error": 7.25, "flow_of": "video", "motion": 1.5, "flicker": 0.25, "consistency": 0.98765,
            "consistency_by": "thumbnails"}  # fmt: skip


def entry(name: str, kind: str, family: str = "sd15-small", **more: Any) -> ModelEntry:
    return ModelEntry(name, f"/models/{name}", kind, family, 1, ModelDefaults(), **more)


DEMO = ModelEntry("atelier-demo", str(BUNDLED), "checkpoint", "sd15-small", 1, ModelDefaults())
MODELS = [
    DEMO,
    entry("dreamshaper", "checkpoint", "sd15"),
    entry("broken", "checkpoint", problem="it is cut off"),
    entry("svd", "video", "Stable Video Diffusion"),
    entry("wan", "video", "Wan"),
    entry("small", "motion"),
    entry("mm_v2", "motion", "sd15"),
    entry("v3_mm", "motion", "sd15"),
    entry("pan_left", "motion", "sd15", format="lora"),
]


@pytest.fixture
def app(paths: Paths, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Atelier:
    settings["look.preview"] = "halfcell"
    monkeypatch.setattr(TextArea, "cursor_blink", False)
    monkeypatch.setattr(Input, "cursor_blink", False, raising=False)
    monkeypatch.setattr(Catalogue, "entries", lambda self: MODELS)
    monkeypatch.setattr(finding, "DEMO", tmp_path / "none.safetensors")
    monkeypatch.chdir(tmp_path)
    return Atelier(paths, settings, work=False)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    path = tmp_path / "lake.yaml"
    path.write_text(LAKE, "utf-8")
    return path


async def settle(pilot: Pilot[Any]) -> None:
    for _ in range(3):
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def shown(pilot: Pilot[Any], prompt: str = "", file: str = "") -> Any:
    """The screen, reached by the palette, with a prompt typed or a file opened."""
    app: Any = pilot.app
    command = next(one for one in app.get_system_commands(app.screen) if one.title == "Moving clip")
    await command.callback()
    await settle(pilot)
    screen = app.screen
    assert isinstance(screen, MotionScreen)
    for name, text in (("motion-prompt", prompt), ("anim-file", file)):
        if text:
            await typed(pilot, screen, name, text)
    return screen


async def typed(pilot: Pilot[Any], screen: Any, name: str, text: str) -> None:
    field = screen.query_one(f"#{name}", Input)
    field.focus()
    field.value = text
    await pilot.press("enter")
    await settle(pilot)


def said(screen: Any, what: str = "anim-state") -> str:
    return str(screen.query_one(f"#{what}", Static).render())


def rows(screen: Any) -> dict[str, str]:
    """Setting -> what the list says of it."""
    lines = [str(option.prompt) for option in screen.rows.options]
    return {line[:NAMED].strip(): line[NAMED:].strip() for line in lines}


def picture(screen: Any) -> tuple[Path, ...]:
    found: tuple[Path, ...] = screen.query_one("#anim-picture", Picture)._paths
    return found


def choices(screen: Any, name: str) -> list[Any]:
    return [value for _, value in screen.query_one(f"#motion-{name}", Select)._options]


def drawn(path: Path, colour: str = "red", size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def made(output: Path, frames: int = 4, fps: float = 8.0) -> dict[str, Any]:
    """What a job gives back, its frames there."""
    folder = output.with_name(f"{output.stem}.frames")
    for number in range(frames):
        drawn(folder / f"{number:06d}.png", ("red", "green", "blue", "white")[number % 4])
    strip = drawn(output.with_name(f"{output.stem}.strip.png"), "green", (32, 8))
    return {"path": str(output), "folder": str(folder), "frames": frames, "made": frames, "seed": 5, "fps": fps,
            "size": [8, 8], "seconds": 61.0, "strip": str(strip), "measures": MEASURES}  # fmt: skip


async def test_it_begins_with_the_draft_and_the_studio(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("f3")
        await settle(pilot)
        app.room("draft").fill("a (blue:1.2) apple\nmoving [right]", "blurry")
        await pilot.press("f4")
        await settle(pilot)
        app.room("studio").query_one("#seed", Input).value = "7"
        app.room("studio").query_one("#model", Select).value = "dreamshaper"
        await settle(pilot)
        screen = await shown(pilot)
        assert screen.query_one("#motion-prompt", Input).value == "a (blue:1.2) apple moving [right]"
        assert screen.query_one("#motion-negative", Input).value == "blurry"
        assert choices(screen, "model") == ["atelier-demo", "dreamshaper", "svd", "wan"]
        assert screen.query_one("#motion-model", Select).value == "dreamshaper"
        assert choices(screen, "motion") == ["", "mm_v2", "v3_mm"], "no LoRAs, and none of another family"
        assert rows(screen)["seed"] == "7" and rows(screen)["frames"] == "model's own"
        assert screen.focused is screen.rows
        await pilot.press("f5")
        kind, spec = recorder.asked[-1]
        assert kind == "motion" and HANDLERS[kind].durable and spec["measure"] and not spec["fresh"]
        told = of(spec["settings"])
        assert told.fields == {"prompt": "a (blue:1.2) apple\nmoving [right]", "negative": "blurry",
                               "model": "dreamshaper", "seed": 7}  # fmt: skip
        assert spec["output"] == str(app.paths.output / "animations" / "a-blue-1-2-apple-moving-right.mp4")
        assert told.name == spec["name"] == "a-blue-1-2-apple-moving-right"


async def test_what_is_typed_is_taken_and_what_is_wrong_stands_beside_it(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot)
        assert screen.focused is screen.query_one("#motion-prompt")
        await pilot.press("f5")
        assert said(screen, "anim-problem") == NO_PROMPT and not recorder.asked
        screen.query_one("#motion-prompt", Input).value = "{a|b}"
        screen.query_one("#motion-loras", Input).value = "pan_left:much"
        await pilot.press("f5")
        assert said(screen, "anim-problem") == 'the strength of "pan_left" cannot be "much". Write name:0.8, other:0.5.'
        assert screen.focused is screen.query_one("#motion-loras") and not recorder.asked
        # It is not lost by closing, nor does it hold the person.
        await pilot.press("escape", "escape")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        await pilot.press("n")
        await pilot.pause()
        for wrong, why in (("pan_left:9", "must be a number"), ("pan_left:nan", "must be a number")):
            await typed(pilot, screen, "motion-loras", wrong)
            assert why in said(screen, "anim-problem")
        await typed(pilot, screen, "motion-loras", "pan_left:0.5, zoom")
        assert not said(screen, "anim-problem") and screen.focused is screen.rows
        await typed(pilot, screen, "motion-prompt", "{0: a lake, wrong: a sea}")
        assert "column" in said(screen, "anim-problem") or "prompts" in said(screen, "anim-problem")
        await typed(pilot, screen, "motion-prompt", "{0: a lake, 8: 'a sea, wide'}")
        # Typed and not yet taken by Enter, F5 takes it.
        screen.query_one("#motion-negative", Input).value = "fog"
        await pilot.press("f5")
        told = of(recorder.asked[-1][1]["settings"])
        assert told.prompts == {"0": "a lake", "8": "a sea, wide"} and told.fields["negative"] == "fog"
        assert told.loras == (("pan_left", 0.5), ("zoom", 1.0)) and "prompt" not in told.fields


async def test_settings_are_changed_in_a_form_at_the_chosen_one(app: Atelier) -> None:
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot, "a fox")
        names = list(rows(screen))
        assert names[:4] == ["frames", "seed", "steps", "cfg"] and names[-1] == "hung onto it"
        screen.rows.highlighted = names.index("stride")
        await pilot.press("enter")
        await settle(pilot)
        form: Any = app.screen
        assert isinstance(form, ParameterForm) and form.focused.id == "form-stride"
        assert form.query_one("#form-frames", Input).value == "0" and form.query_one("#form-steps", Input).value == ""
        form.query_one("#form-stride", Input).value = "20"
        await pilot.press("ctrl+s")
        assert "stride is larger than context" in str(form.query_one("#parameter-problem", Static).render())
        form.query_one("#form-stride", Input).value = "8"
        form.query_one("#form-sampler", Input).value = "Eulre"
        await pilot.press("ctrl+s")
        assert app.screen is form and "Euler" in str(form.query_one("#parameter-problem", Static).render())
        form.query_one("#form-sampler", Input).value = "Euler"
        form.query_one("#form-scale", Input).value = "0"
        form.query_one("#form-free_noise").value = False
        form.query_one("#form-seed", Input).value = "0"
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert app.screen is screen and rows(screen)["stride"] == "8" and rows(screen)["scale"] == "0"
        assert screen.clip.data == {"prompt": "a fox", "model": "atelier-demo", "sampler": "Euler", "stride": 8,
                                    "scale": 0.0, "free_noise": False, "seed": 0}  # fmt: skip
        # Back to the usual it is not said any more.
        await pilot.press("t")
        await settle(pilot)
        app.screen.query_one("#form-stride", Input).value = "0"
        app.screen.query_one("#form-seed", Input).value = "-1"
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert not {"stride", "seed"} & set(screen.clip.data) and rows(screen)["seed"] == "drawn"


async def test_each_model_has_its_own_settings_and_modules(app: Atelier) -> None:
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot, "a fox")
        assert choices(screen, "motion") == ["", "small"] and "image" not in rows(screen)
        for model, there, not_there in (
            ("svd", {"image", "motion bucket", "frames"}, {"scale", "context", "free init", "sampler"}),
            ("wan", {"image", "video", "strength"}, {"scale", "motion bucket"}),
            ("dreamshaper", {"scale", "context", "free init space"}, {"image", "motion bucket"}),
        ):
            screen.query_one("#motion-model", Select).value = model
            await settle(pilot)
            assert there <= set(rows(screen)) and not not_there & set(rows(screen)), model
        assert choices(screen, "motion") == ["", "mm_v2", "v3_mm"]
        screen.query_one("#motion-motion", Select).value = "v3_mm"
        await settle(pilot)
        assert screen.clip.settings["motion"] == "v3_mm" and screen.clip.settings.fields["model"] == "dreamshaper"
        # A module that does not fit stays chosen until the person chooses another: the job says so.
        screen.query_one("#motion-model", Select).value = "atelier-demo"
        await settle(pilot)
        assert choices(screen, "motion") == ["", "small", "v3_mm"] and screen.clip.settings["motion"] == "v3_mm"


async def test_a_video_model_begins_with_a_picture_and_needs_no_prompt(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot)
        screen.query_one("#motion-model", Select).value = "svd"
        await settle(pilot)
        assert not said(screen, "anim-problem"), "no module is missed"
        screen.rows.focus()
        await pilot.press("t")
        await settle(pilot)
        app.screen.query_one("#form-image", Input).value = "apple.png"
        await pilot.press("ctrl+s")
        await settle(pilot)
        await pilot.press("f5")
        told = of(recorder.asked[-1][1]["settings"])
        assert told["image"] == str(Path("apple.png").absolute()) and told.fields == {"model": "svd"}
        assert Path(recorder.asked[-1][1]["output"]).name == "clip.mp4"
        recorder.answer(1, kind="progress", stage="frames", done=2, total=14)
        await pilot.press("p")
        recorder.answer(1, kind="cancelled")
        assert "P begins it again" in said(screen), "such a model makes all frames at once"


async def test_a_model_without_a_module_says_what_to_provide(app: Atelier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Catalogue, "entries", lambda self: MODELS[:2])
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot)
        told = said(screen, "anim-problem")
        assert told.startswith("there is no motion module for atelier-demo") and "mm_sd_v15_v2" in told


async def test_a_file_is_opened_changed_and_written_with_its_comments(app: Atelier, lake: Path, tmp_path: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot, file="lake.yaml")
        prompt = screen.query_one("#motion-prompt", Input)
        assert yaml.safe_load(prompt.value) == {0: "a lake in spring", 8: "a lake in winter"}
        assert screen.query_one("#motion-loras", Input).value == "pan_left:0.8"
        assert rows(screen)["frames"] == "12" and rows(screen)["hung onto it"] == "1 control"
        assert screen.query_one("#anim-file", Input).value == str(lake)
        # Nothing changed: it may be closed, and saving leaves it as it is.
        await pilot.press("s")
        await pilot.pause()
        assert lake.read_text("utf-8") == LAKE
        await pilot.press("f5")
        spec = recorder.asked[-1][1]
        assert spec["output"] == str(app.paths.output / "animations" / "lake.mp4")
        assert spec["settings"] == read(lake).to_json(), "the shell finds the same frames"
        await typed(pilot, screen, "motion-negative", "fog, rain")
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        await pilot.press("n")
        await pilot.pause()
        await pilot.press("s")
        await pilot.pause()
        text = lake.read_text("utf-8")
        assert "# a lake over the year" in text and "# slowly" in text and "0: a lake in spring" in text
        before = of({**recorder.asked[-1][1]["settings"], "negative": "fog, rain"})
        assert read(lake) == before and f"saved: {lake}" in said(screen)
        assert "stride" not in text, "no more is written than what is not usual"
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.screen_stack) == 1


async def test_a_file_that_is_wrong_or_not_there(app: Atelier, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("prompt: a\nframes: many\n")
    async with app.run_test(size=(60, 20)) as pilot:
        screen = await shown(pilot, "a fox", "wrong.yaml")
        assert isinstance(app.screen, Confirm), "what was typed would be lost"
        await pilot.press("y")
        await settle(pilot)
        assert "wrong.yaml:2: frames must be a whole number" in said(screen, "anim-problem")
        assert screen.clip.field("prompt") == "a fox", "nothing was taken of it"
        await typed(pilot, screen, "anim-file", "new.yaml")
        assert "S writes it" in said(screen)
        await pilot.press("s")
        await pilot.pause()
        assert read(tmp_path / "new.yaml").spec().prompt == "a fox"
        assert yaml.safe_load((tmp_path / "new.yaml").read_text()) == {"prompt": "a fox", "model": "atelier-demo"}


async def test_controls_hang_on_every_frame_of_a_video(app: Atelier) -> None:
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot, "a fox")
        screen._show(MovingClip({"prompt": "a fox", "video": "/films/run.mp4"}), None)
        await pilot.press("c", "c")
        await settle(pilot)
        form: Any = app.screen
        assert form.query_one("#form-image", Input).value == "@frame"
        form.query_one("#form-preprocessor", Select).value = "canny"
        await pilot.press("ctrl+s", "escape")
        await settle(pilot)
        while isinstance(app.screen, ParameterForm | Attachments):
            await pilot.press("escape")
            await settle(pilot)
        assert rows(screen)["hung onto it"] == "1 control"
        assert screen.clip.settings.fields["controls"][0]["image"] == "@frame"


async def test_it_is_made_watched_paused_and_gone_on_with(app: Atelier, tmp_path: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot, "a fox")
        await pilot.press("f5")
        number = len(recorder.asked)
        output = Path(recorder.asked[-1][1]["output"])
        assert output == app.paths.output / "animations" / "a-fox.mp4" and "waits" in said(screen)
        recorder.answer(number, kind="started")
        recorder.answer(number, kind="progress", stage="loading", done=0, total=None, message="small")
        assert "loading small" in said(screen)
        bar = screen.query_one("#anim-progress", ProgressBar)
        recorder.answer(number, kind="progress", stage="denoising", done=0, total=10)
        screen.run._pace._began -= 12.0  # it was twelve seconds ago
        recorder.answer(number, kind="progress", stage="denoising", done=4, total=10)
        assert "denoising 4 of 10" in said(screen) and "18 s left" in said(screen)
        assert bar.display and (bar.progress, bar.total) == (4, 10)
        newest = drawn(tmp_path / "newest.png")
        recorder.answer(number, kind="preview", path=str(newest))
        await settle(pilot)
        assert picture(screen) == (newest,)
        await pilot.press("f5")
        assert "already" in said(screen) and len(recorder.asked) == number
        await pilot.press("space", "right")
        assert "no frames yet" in said(screen)
        # Stopped while it is denoised it begins again; behind that it goes on with the frames.
        await pilot.press("p")
        assert recorder.stopped == [number] and "kept" in said(screen)
        recorder.answer(number, kind="cancelled")
        assert "paused before it was denoised; P begins it again" in said(screen) and not bar.display
        await pilot.press("p")
        again = len(recorder.asked)
        assert again == number + 1 and recorder.asked[-1] == recorder.asked[number - 1]
        recorder.answer(number, kind="failed", message="late", hint="")
        assert "late" not in said(screen)
        recorder.answer(again, kind="started")
        recorder.answer(again, kind="progress", stage="denoising", done=10, total=10)
        recorder.answer(again, kind="progress", stage="frames", done=3, total=16)
        assert "frame 3 of 16" in said(screen) and (bar.progress, bar.total) == (3, 16)
        recorder.answer(again, kind="progress", stage="measuring", done=0, total=None)
        assert "measuring" in said(screen) and "left" not in said(screen)
        await pilot.press("x")
        assert recorder.stopped == [number, again]
        recorder.answer(again, kind="cancelled")
        assert "stopped at frame 3 of 16" in said(screen) and "P goes on" in said(screen)
        await pilot.press("p")
        last = len(recorder.asked)
        result = made(output)
        recorder.answer(last, kind="done", result=result)
        await settle(pilot)
        assert "4 frames, seed 5, 1 min 1 s" in said(screen) and str(output) in said(screen)
        assert "warp error 7.25, motion 1.5, flicker 0.25, consistency 0.988" in said(screen).replace("\n", " ")
        assert picture(screen) == (Path(result["strip"]),) and not bar.display
        assert "4 frames at 8 a second" in said(screen, "anim-here")


async def test_its_frames_are_flipped_through_and_played(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot, "a fox")
        await pilot.press("f5")
        output = Path(recorder.asked[-1][1]["output"])
        result = made(output)
        recorder.answer(1, kind="done", result=result)
        await settle(pilot)
        frames = [Path(result["folder"]) / f"{number:06d}.png" for number in range(4)]
        await pilot.press("left")
        assert picture(screen) == (frames[3],), "back from the strip is the last one"
        for key, at in (("right", 3), ("left", 2), ("h", 1), ("l", 2)):
            await pilot.press(key)
            assert screen.frame == at and picture(screen) == (frames[at],), key
        assert "frame 2 of 4, 0.25 s" in said(screen, "anim-here")
        await pilot.press("f")
        assert picture(screen) == (Path(result["strip"]),)
        await pilot.press("g")
        await pilot.pause()
        assert isinstance(app.screen, Ask)
        await pilot.press("1", "enter")
        await settle(pilot)
        assert picture(screen) == (frames[1],)
        # Played it goes round; another job's events do not put the strip in its place.
        await pilot.press("space")
        timer = screen._timer
        assert timer is not None and timer._interval == 1 / 8
        timer.pause()
        at = screen.frame
        for _ in range(3):
            screen.next_frame()
        assert screen.frame == (at + 3) % 4
        screen.show_run()
        assert picture(screen) == (frames[screen.frame],)
        await pilot.press("space")
        assert screen._timer is None
        # Twenty-four a second are shown eight times a second, as fast as they are.
        screen.run.result = {**result, "fps": 24.0, "frames": 12}
        await pilot.press("f", "space")
        assert screen._timer._interval == 1 / 8
        screen._timer.pause()
        screen._at = 0.0
        screen.next_frame()
        assert screen.frame == 3
        timer = screen._timer
        await pilot.press("right")
        assert screen._timer is None and screen.frame == 4, "a key stops it"
        await pilot.press("space")
        timer = screen._timer
        await pilot.press("escape")
        await settle(pilot)
        assert len(app.screen_stack) == 1 and timer._task is None and screen._timer is None


async def test_another_making_of_a_drawn_seed_is_another_clip(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot, "a fox")
        outputs = []
        for seed in ("", "", "3", "3"):
            if seed:
                screen.clip = screen.clip.with_form({"seed": int(seed)})
            await pilot.press("f5")
            outputs.append(Path(recorder.asked[-1][1]["output"]).stem)
            recorder.answer(len(recorder.asked), kind="done", result=made(Path(recorder.asked[-1][1]["output"])))
            await settle(pilot)
        assert outputs == ["a-fox", "a-fox-2", "a-fox-3", "a-fox-3"]
        # One that waits has its name too.
        await typed(pilot, screen, "motion-negative", "fog")
        await pilot.press("f5")
        screen.clip = screen.clip.with_form({"seed": 4})
        await pilot.press("f5")
        assert [Path(spec["output"]).stem for _, spec in recorder.asked[-2:]] == ["a-fox-4", "a-fox-5"]
        assert "a-fox-4: waiting" in said(screen)


async def test_frames_of_other_settings_are_thrown_away_only_when_asked(
    app: Atelier, lake: Path, tmp_path: Path
) -> None:
    Frames(tmp_path / "x.frames", {"a": 1})
    with pytest.raises(BadSpec) as caught:
        Frames(tmp_path / "x.frames", {"a": 2})
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot, file="lake.yaml")
        for key, fresh in (("n", False), ("y", True)):
            await pilot.press("f5")
            number = len(recorder.asked)
            recorder.answer(number, kind="failed", message=caught.value.message, hint=caught.value.hint)
            await pilot.pause()
            assert isinstance(app.screen, Confirm)
            await pilot.press(key)
            await pilot.pause()
            assert app.screen is screen and (len(recorder.asked) > number) is fresh
        assert recorder.asked[-1][1]["fresh"] is True


async def test_closed_and_opened_again_it_shows_how_far_it_is(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await shown(pilot, "a fox")
        await pilot.press("f5", "escape")
        await settle(pilot)
        assert len(app.screen_stack) == 1, "its job keeps what was typed"
        recorder.answer(1, kind="started")
        recorder.answer(1, kind="progress", stage="denoising", done=2, total=9)
        again = await shown(pilot)
        assert again is not screen and again.query_one("#motion-prompt", Input).value == "a fox"
        assert "denoising 2 of 9" in said(again)
        await pilot.press("n")
        await settle(pilot)
        assert not again.query_one("#motion-prompt", Input).value and again.run is None
        recorder.answer(1, kind="progress", stage="denoising", done=3, total=9)
        assert not again.query_one("#anim-progress").display


async def test_the_animation_screen_leads_there(app: Atelier) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(AnimationScreen("a cat"))
        await settle(pilot)
        await pilot.press("m")
        await settle(pilot)
        assert isinstance(app.screen, MotionScreen)
        await pilot.press("escape", "escape")
        await settle(pilot)
        assert len(app.screen_stack) == 1


async def test_the_list_gives_way_to_the_picture_where_both_have_no_room(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(60, 20)) as pilot:
        screen = await shown(pilot, "a fox")
        listed, place = screen.query_one("#anim-rows"), screen.query_one("#anim-picture")
        assert listed.region.height >= 3 and not place.region
        for name in ("anim-file", "motion-prompt", "motion-negative", "motion-loras", "motion-choices", "anim-state"):
            assert screen.query_one(f"#{name}").region.height >= 1 and screen.query_one(f"#{name}").region.bottom <= 20
        await pilot.press("f5")
        await pilot.pause()
        assert recorder.asked and place.region.height >= 3 and not listed.region, "what is made is looked at"
        await pilot.press("v")
        await pilot.pause()
        assert listed.region.height >= 3


def test_all_rounds_are_reckoned_with() -> None:
    class App:
        def submit(self, kind: str, spec: Any, receiver: Any) -> int:
            return 1

        def notify(self, *words: Any, **options: Any) -> None: ...

    run = MotionRun(spec={"output": "/o/a.mp4", "settings": {"free_init": 2}})
    assert run.begin(App()) and run.kind == run.job == "motion"
    for stage, done, at in (("denoising", 5, (5, 30)), ("round 2", 0, (10, 30)), ("round 3", 10, (30, 30))):
        run.on_event(App(), 1, {"kind": "progress", "stage": stage, "done": done, "total": 10})
        assert run.steps == run.bar == at
    assert run.left is not None and not run.denoised
    run.on_event(App(), 1, {"kind": "progress", "stage": "frames", "done": 1, "total": 4})
    assert run.bar == (1, 4) and run.denoised
    run.state = "paused"
    assert "P goes on" in run.told()
    run.keeps = False
    assert "begins it again" in run.told(), "a video model makes all frames at once"
    run.begin(App(), fresh=True)
    assert not run.denoised


def test_measures_are_told_without_powers_of_ten() -> None:
    assert [figure(one) for one in (1780.4, 999.4, 7.256, 0.0312, 0)] == ["1780", "999", "7.26", "0.0312", "0"]


def test_the_queue_promises_nothing_behind_a_clip_whose_length_is_not_known() -> None:
    class App:
        submitted = 0

        def submit(self, kind: str, spec: Any, receiver: Any) -> int:
            self.submitted += 1
            return self.submitted

    app, queue = App(), AnimationQueue()
    clip, film = MotionRun(spec={"output": "/o/a.mp4", "settings": {}}), AnimationRun(spec={"output": "/o/b.mp4"})
    film.total = 30
    assert queue.add(app, clip) and queue.add(app, film)
    assert queue.latest("motion") is clip and queue.latest("animate") is film
    clip.left = 10.0
    assert queue.lines() == ["a: waiting, ready in 10 s", "b: waiting, 30 frames left"]


async def test_the_jobs_room_names_it(app: Atelier) -> None:
    queue = Queue(app.paths.jobs)
    for settings in ({"prompt": "a fox runs"}, {"prompts": {"0": "a lake"}}):
        queue.add("motion", {"settings": of(settings).to_json(), "name": "clip"})
    queue.add("train-motion", {"dataset": "/films/clips", "model": "atelier-demo"})
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("f6")
        await settle(pilot)
        told = app.query_one("#job-table", DataTable)
        lines = [" ".join(str(cell) for cell in told.get_row_at(number)) for number in range(3)]
        assert any("motion" in line and "a fox runs" in line for line in lines)
        assert any("a lake" in line for line in lines)
        assert any("train-motion" in line and "/films/clips on atelier-demo" in line for line in lines)


def test_a_clip_says_no_more_than_what_is_not_usual(lake: Path) -> None:
    clip = opened(lake)
    assert dict(clip.data["motion_loras"]) == {"pan_left": 0.8} and clip.data["video"] == str(lake.parent / "dance.mp4")
    assert not {"strength", "seed", "name", "prompt"} & set(clip.data)
    assert clip.settings.values == read(lake).values and clip.settings.prompts == read(lake).prompts
    assert clip.with_field("prompt", clip.field("prompt")) is clip and clip.written(lake) == LAKE
    one = clip.with_field("prompt", "a {red|blue} lake")
    assert one.settings.prompts == {} and one.settings.spec().prompt == "a {red|blue} lake"
    with pytest.raises(BadSpec, match="no video"):
        clip.with_form({"video": ""})
    other = clip.with_form({"frames": 0, "strength": 0.5})
    assert "frames" not in other.data and other.settings["strength"] == 0.5
    # What is written in another folder means the same there.
    place = lake.with_name("x") / "far.yaml"
    other.write(place)
    again = opened(place)
    assert again.data == other.data and again.told("far")["name"] == "far"
    assert begun("", "", "m", "-1").data == {"model": "m"} and begun("a", "", "m", "9").data["seed"] == 9


def test_a_name_that_a_file_says_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: dance\nprompt: a fox\n")
    clip = opened(path)
    assert clip.told("a")["name"] == "dance" and "name: dance" in clip.with_field("negative", "x").written(path)


def test_the_form_has_every_setting_once() -> None:
    own = {"motion"}
    assert {one.name for one in MOTION} - own <= set(ORDER) and len(set(ORDER)) == len(ORDER)
    assert table(None) == TABLE
    for model in (DEMO, entry("svd", "video", "Stable Video Diffusion"), entry("wan", "video", "Wan")):
        assert {"frames", "fps", "seed", "steps", "video"} <= {one.name for one in table(model)} < set(ORDER)


def test_this_screen_loads_nothing_heavy() -> None:
    code = (
        "import sys, assistant.tui.motion\n"
        "heavy = {'torch', 'numpy', 'PIL', 'scipy', 'av', 'cv2', 'diffusers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("size", SIZES)
def test_look_of_a_clip(snap_compare: Any, app: Atelier, lake: Path, size: tuple[int, int]) -> None:
    async def open_it(pilot: Pilot[Any]) -> None:
        screen = await shown(pilot, file="lake.yaml")
        screen.query_one("#anim-file", Input).value = "lake.yaml"
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=open_it)


@pytest.mark.parametrize("size", SIZES)
def test_look_of_a_clip_that_is_made(snap_compare: Any, app: Atelier, size: tuple[int, int]) -> None:
    recorder = Recorder(app)

    async def make(pilot: Pilot[Any]) -> None:
        screen = await shown(pilot, "an apple moving left to right, blue background")
        await pilot.press("f5")
        recorder.answer(1, kind="started")
        recorder.answer(1, kind="progress", stage="denoising", done=0, total=20)
        screen.run._pace.update = lambda *given: 65.0
        recorder.answer(1, kind="progress", stage="denoising", done=7, total=20)
        recorder.answer(1, kind="preview", path=str(drawn(Path("newest.png"), "orange", (32, 8))))
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=make)

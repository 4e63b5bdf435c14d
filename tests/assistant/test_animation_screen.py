"""An animation edited on its timeline, looked at, made, paused, gone on with and stopped; and what that looks like."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textual.pilot import Pilot
from textual.widgets import Input, ProgressBar, Static, TextArea

from assistant.jobs import HANDLERS
from assistant.jobs.timelines import timeline
from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.animation import AnimationScreen
from assistant.tui.animation_queue import AnimationQueue
from assistant.tui.animation_run import AnimationRun
from assistant.tui.app import Atelier
from assistant.tui.dialogs import Ask, Confirm
from assistant.tui.film import TABLE, Film, begun
from assistant.tui.film_rows import FilmRows
from assistant.tui.parameter_form import ParameterForm
from assistant.tui.picture import Picture
from assistant.tui.timeline_plot import Shown, TimelinePlot, drawn
from generation.animation.frames import Frames
from generation.animation.settings import of, read
from generation.errors import BadSpec
from generation.specs import RenderSpec
from tests.assistant.test_rooms import Recorder

SIZES = [(60, 20), (80, 24), (140, 40)]
TOLD = {
    "prompts": {"0": "a red apple", "30": "a blue mug --neg cup", "70": "a green car"},
    "max_frames": 100,
    "animation_mode": "2D",
    "fps": 10,
    "seed": 5,
    "zoom": "0:(1), 30:(1.2), 60:(1+0.1*sin(t/5)), 90:(1)",
    "angle": "0:(0), 50:(12)",
}


@pytest.fixture
def app(paths: Paths, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Atelier:
    settings["look.preview"] = "halfcell"
    monkeypatch.setattr(TextArea, "cursor_blink", False)
    monkeypatch.setattr(Input, "cursor_blink", False, raising=False)
    return Atelier(paths, settings, work=False)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "apple.txt"
    path.write_text(json.dumps(TOLD), "utf-8")
    return path


def values(settings: dict[str, Any]) -> dict[str, Any]:
    """What the worker answers."""
    return timeline(None, {"settings": settings}, report=lambda event: None, check=lambda: None)  # type: ignore[arg-type]


def answer(recorder: Recorder) -> None:
    """The latest question for values, answered."""
    number = max(n for n, (kind, _) in enumerate(recorder.asked, 1) if kind == "timeline")
    recorder.answer(number, kind="done", result=values(recorder.asked[number - 1][1]["settings"]))


async def settle(pilot: Pilot[Any]) -> None:
    for _ in range(3):
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def opened(pilot: Pilot[Any], recorder: Recorder, file: str = "apple.txt") -> Any:
    """The screen with a file's timeline shown."""
    await pilot.press("f4")
    await settle(pilot)
    await pilot.press("ctrl+y")
    await settle(pilot)
    screen: Any = pilot.app.screen
    assert isinstance(screen, AnimationScreen)
    if file:
        field = screen.query_one("#anim-file", Input)
        field.focus()
        field.value = file
        await pilot.press("enter")
        await settle(pilot)
    answer(recorder)
    await settle(pilot)
    return screen


def said(screen: Any, name: str = "anim-state") -> str:
    return str(screen.query_one(f"#{name}", Static).render())


def rows(screen: Any) -> list[str]:
    return [str(option.prompt) for option in screen.query_one("#anim-rows", FilmRows).options]


def animated(recorder: Recorder) -> int:
    """The number of the latest animation asked for."""
    return max(n for n, (kind, _) in enumerate(recorder.asked, 1) if kind == "animate")


async def test_the_playhead_goes_by_frames_and_by_keys(app: Atelier, told: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        listed = [line.split()[0 if line[0] == " " else 1] for line in rows(screen)]
        # Deforum's own zoom and shift differ from none; what the file names comes first.
        assert listed[:3] == ["prompts", "angle", "zoom"] and "a red apple" in rows(screen)[0]
        await pilot.press("right", "right", "l", "h")
        assert screen.frame == 2 and "frame 2 of 100, 0.20 s" in said(screen, "anim-here")
        await pilot.press("left", "left", "left")
        assert screen.frame == 0, "there is nothing before the first"
        for key, at in (("shift+right", 30), ("w", 70), ("w", 99), ("shift+left", 70), ("b", 30), ("b", 0), ("b", 0)):
            await pilot.press(key)
            assert screen.frame == at, key
        # Another row has other keys, and its curve.
        await pilot.press("j", "w")
        assert screen.chosen == "angle" and screen.frame == 50
        plot = screen.query_one("#anim-plot", TimelinePlot).shown
        assert list(plot.keys) == [0, 50] and plot.values[25] == 6 and plot.at == 50
        assert [frame for frame, _ in plot.prompts] == [0, 30, 70]
        assert rows(screen)[1].startswith("◆") and not rows(screen)[2].startswith("◆")
        assert "angle 12" in said(screen, "anim-here")
        await pilot.press("g")
        await pilot.pause()
        assert isinstance(app.screen, Ask)
        await pilot.press(*"500", "enter")
        await settle(pilot)
        assert screen.frame == 99
        screen.query_one("#anim-plot", TimelinePlot).post_message(TimelinePlot.Sought(7))
        await settle(pilot)
        assert screen.frame == 7


async def test_keys_are_set_changed_and_taken_out(app: Atelier, told: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        await pilot.press("j", "right", "enter")
        field = screen.query_one("#anim-value", Input)
        assert screen.focused is field and field.value == "0.24", "where no key is the value is there to begin from"
        field.value = "3:ease-in"
        await pilot.press("enter")
        assert screen.film.settings["angle"] == "0:(0), 1:(3):ease-in, 50:(12)"
        asked = len(recorder.asked)
        assert recorder.asked[-1] == ("timeline", {"settings": screen.film.settings.to_json()})
        answer(recorder)
        await settle(pilot)
        assert "angle 3" in said(screen, "anim-here") and screen.focused is screen.query_one("#anim-rows")
        # A key that is there is changed; an error stands beside the field, with its column, and changes nothing.
        await pilot.press("enter")
        field.value = "2*foo"
        await pilot.press("enter")
        assert said(screen, "anim-problem").startswith('column 3: "foo" is unknown') and len(recorder.asked) == asked
        assert screen.focused is field
        field.value = "4"
        await pilot.press("enter")
        assert screen.film.settings["angle"] == "0:(0), 1:(4), 50:(12)" and not said(screen, "anim-problem")
        await pilot.press("delete")
        assert screen.film.settings["angle"] == "0:(0), 50:(12)"
        await pilot.press("left", "delete")
        assert "frame 0 has to have a value" in said(screen, "anim-problem")
        # Esc leaves the field first, without its change.
        await pilot.press("enter")
        field.value = "99"
        await pilot.press("escape")
        assert app.screen is screen and screen.film.settings["angle"] == "0:(0), 50:(12)" and field.value == "0"


async def test_prompts_are_edited_the_same_way(app: Atelier, told: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        await pilot.press("w", *["right"] * 5, "enter")
        screen.query_one("#anim-value", Input).value = "a [white] mug"
        await pilot.press("enter")
        answer(recorder)
        await settle(pilot)
        assert list(screen.film.settings["prompts"]) == ["0", "30", "35", "70"]
        assert "a [white] mug" in rows(screen)[0] and "a [white] mug" in said(screen, "anim-here")
        await pilot.press("b", "d")
        assert list(screen.film.settings["prompts"]) == ["0", "35", "70"]


async def test_a_schedule_that_is_off_is_switched_on(app: Atelier, told: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        names = screen.query_one("#anim-rows", FilmRows)
        names.highlighted = names.names.index("steps_schedule")
        await pilot.pause()
        assert "off" in rows(screen)[names.highlighted]
        await pilot.press("enter")
        screen.query_one("#anim-value", Input).value = "12"
        await pilot.press("enter")
        assert screen.film.settings["enable_steps_scheduling"] and "switched on" in said(screen)
        assert screen.chosen == "steps_schedule", "it moved up, and is still the chosen one"


async def test_only_the_latest_values_are_shown_and_warnings_told(app: Atelier, told: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        first = len(recorder.asked)
        await pilot.press("j", "enter")
        screen.query_one("#anim-value", Input).value = "5"
        await pilot.press("enter")
        before = screen.film.value("zoom", 30)
        assert before == 1.2, "what did not change stays known"
        recorder.answer(first, kind="done", result={"late": True})
        recorder.answer(first + 1, kind="failed", message="zoom: column 3: no number", hint="Mend it.")
        assert (
            "late" not in screen.film.values and said(screen, "anim-problem") == "zoom: column 3: no number. Mend it."
        )
        screen._take(screen.film.changed({"max_frames": 40}))
        answer(recorder)
        await settle(pilot)
        assert said(screen).startswith("note: 4 keys stand behind the last frame")


async def test_settings_are_changed_in_a_form(app: Atelier, told: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        await pilot.press(*["w"] * 3, "t")
        await settle(pilot)
        assert isinstance(app.screen, ParameterForm) and screen.frame == 99
        app.screen.query_one("#form-max_frames", Input).value = "20"
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert screen.film.frames == 20 and screen.frame == 19
        assert recorder.asked[-1][0] == "timeline" and recorder.asked[-1][1]["settings"]["max_frames"] == 20


async def test_saving_and_closing_lose_nothing(app: Atelier, told: Path, tmp_path: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        await pilot.press("j", "enter")
        screen.query_one("#anim-value", Input).value = "5"
        await pilot.press("enter", "escape")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        await pilot.press("n", "s")
        await pilot.pause()
        assert read(told)["angle"] == "0:(5), 50:(12)" and str(told) in said(screen)
        assert read(told)["prompts"] == TOLD["prompts"]
        # A guide's text is not written over: another name is asked for, and one that is taken is asked about.
        guide = tmp_path / "guide.txt"
        guide.write_text('Zoom: 0:(1.1)\n"0": "a wall"\n')
        there = tmp_path / "guide.json"
        there.write_text("mine")
        screen.query_one("#anim-file", Input).focus()
        screen.query_one("#anim-file", Input).value = "guide.txt"
        await pilot.press("enter")
        await settle(pilot)
        assert screen.film.settings["zoom"] == "0:(1.1)"
        await pilot.press("s")
        await pilot.pause()
        assert isinstance(app.screen, Ask) and app.screen.query_one(Input).value == str(there)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Confirm) and there.read_text() == "mine"
        await pilot.press("y")
        await pilot.pause()
        assert read(there)["zoom"] == "0:(1.1)" and guide.read_text().startswith("Zoom")
        assert screen.query_one("#anim-file", Input).value == str(there)
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.screen_stack) == 1, "what is saved may be closed"


async def test_a_file_that_is_wrong_or_not_there(app: Atelier, told: Path, tmp_path: Path) -> None:
    recorder = Recorder(app)
    (tmp_path / "wrong.txt").write_text('{"prompts": {"0": "a"}, "zoom": "0:(sin(t)"}')
    async with app.run_test(size=(60, 20)) as pilot:
        screen = await opened(pilot, recorder, "wrong.txt")
        assert "wrong.txt: zoom: column" in said(screen)
        field = screen.query_one("#anim-file", Input)
        field.value = "new.json"
        await pilot.press("enter")
        await settle(pilot)
        assert "S writes it" in said(screen)
        await pilot.press("s")
        await pilot.pause()
        assert read(tmp_path / "new.json")["zoom"] == "0:(1.02)"


async def test_a_still_is_rendered_of_the_playhead(app: Atelier, told: Path, tmp_path: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        await pilot.press("w", "space")
        kind, job = recorder.asked[-1]
        assert kind == "render" and job["remember"] is False
        assert Path(job["output"]).parent == app.paths.previews
        spec = RenderSpec.from_json(job["spec"])
        # Frame 30 is the fifteenth that is denoised; the seed grows with each.
        assert (spec.prompt, spec.negative, spec.seed) == ("a blue mug", "cup", 5 + 15)
        number = len(recorder.asked)
        await pilot.press("space")
        assert len(recorder.asked) == number, "one after another"
        Image.new("RGB", (8, 8), "blue").save(tmp_path / "still.png")
        result = {"path": str(tmp_path / "still.png"), "seed": 20, "spec": job["spec"]}
        recorder.answer(number, kind="done", result=result)
        await settle(pilot)
        assert screen.query_one("#anim-picture", Picture)._paths == (tmp_path / "still.png",)
        await pilot.press("space")
        recorder.answer(number + 1, kind="failed", message="no such model", hint="Name one.")
        assert said(screen) == "no such model. Name one."


async def test_it_is_made_watched_paused_and_gone_on_with(app: Atelier, told: Path, tmp_path: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        await pilot.press("f5")
        number = animated(recorder)
        kind, spec = recorder.asked[number - 1]
        assert HANDLERS[kind].durable and spec["fresh"] is False and spec["measure"]
        output = app.paths.output / "animations" / "apple.mp4"
        assert spec["output"] == str(output) and of(spec["settings"])["max_frames"] == 100
        recorder.answer(number, kind="started")
        recorder.answer(number, kind="progress", stage="loading", done=0, total=None, message="atelier-demo")
        assert "loading atelier-demo" in said(screen)
        run = app.animations.runs[0]  # type: ignore[union-attr]
        ticks = iter([10.0, 14.0, 14.0, 14.0, 14.0, 14.0, 14.0, 14.0])
        run.clock = lambda: next(ticks)
        recorder.answer(number, kind="progress", stage="frames", done=40, total=100)
        Image.new("RGB", (8, 8), "red").save(tmp_path / "newest.png")
        run._pace._began -= 8  # as if the first of them had come eight seconds ago
        recorder.answer(number, kind="progress", stage="frames", done=42, total=100)
        assert "frame 42 of 100" in said(screen) and "3 min 52 s left" in said(screen) and "2 s a frame" in said(screen)
        bar = screen.query_one("#anim-progress", ProgressBar)
        assert bar.display and (bar.progress, bar.total) == (42, 100)
        run.clock = lambda: 14.0
        recorder.answer(number, kind="preview", path=str(tmp_path / "newest.png"))
        await settle(pilot)
        assert screen.query_one("#anim-picture", Picture)._paths == (tmp_path / "newest.png",)
        assert screen.query_one("#anim-plot", TimelinePlot).shown.made == 42
        asked = len(recorder.asked)
        await pilot.press("f5")
        assert "already" in said(screen)
        await pilot.press("space")
        assert "being made" in said(screen) and len(recorder.asked) == asked
        await pilot.press("p")
        assert recorder.stopped == [number] and "frames are kept" in said(screen)
        recorder.answer(number, kind="cancelled")
        assert "paused at frame 42 of 100" in said(screen) and not bar.display
        await pilot.press("p")
        again = animated(recorder)
        assert again > number and recorder.asked[again - 1] == (kind, spec)
        # What the first job still says is not of this one.
        recorder.answer(number, kind="failed", message="late", hint="")
        assert "late" not in said(screen)
        recorder.answer(again, kind="started")
        await pilot.press("x")
        assert recorder.stopped == [number, again]
        recorder.answer(again, kind="cancelled")
        assert "stopped at frame 42" in said(screen)
        await pilot.press("p")
        last = animated(recorder)
        measures = {"warp_error": 7.25, "flow_of": "video", "motion": 1.5, "flicker": 0.2, "consistency": 0.98,
                    "consistency_by": "thumbnails"}  # fmt: skip
        Image.new("RGB", (32, 8), "green").save(tmp_path / "strip.png")
        result = {"path": str(output), "frames": 100, "made": 58, "seconds": 61.0, "measures": measures,
                  "strip": str(tmp_path / "strip.png")}  # fmt: skip
        recorder.answer(last, kind="done", result=result)
        await settle(pilot)
        assert "100 frames, 58 made now, 1 min 1 s" in said(screen) and "warp error 7.2" in said(screen)
        assert screen.query_one("#anim-picture", Picture)._paths == (tmp_path / "strip.png",)
        # A frame that is there is shown when the playhead comes to it.
        frames = output.with_name("apple.frames")
        frames.mkdir(parents=True)
        Image.new("RGB", (8, 8), "white").save(frames / "000001.png")
        await pilot.press("right")
        await settle(pilot)
        assert screen.query_one("#anim-picture", Picture)._paths == (frames / "000001.png",)


async def test_frames_of_other_settings_are_thrown_away_only_when_asked(
    app: Atelier, told: Path, tmp_path: Path
) -> None:
    Frames(tmp_path / "x.frames", {"a": 1})
    with pytest.raises(BadSpec) as caught:
        Frames(tmp_path / "x.frames", {"a": 2})
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        for key, fresh in (("n", False), ("y", True)):
            await pilot.press("f5")
            number = animated(recorder)
            recorder.answer(number, kind="failed", message=caught.value.message, hint=caught.value.hint)
            await pilot.pause()
            assert isinstance(app.screen, Confirm)
            await pilot.press(key)
            await pilot.pause()
            assert app.screen is screen and (animated(recorder) > number) is fresh
        assert recorder.asked[-1][1]["fresh"] is True
        # Paused, it goes on with what it made.
        recorder.answer(animated(recorder), kind="started")
        await pilot.press("p")
        recorder.answer(animated(recorder), kind="cancelled")
        await pilot.press("p")
        assert recorder.asked[-1][1]["fresh"] is False


async def test_closed_and_opened_again_it_shows_how_far_it_is_and_what_waits(app: Atelier, told: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        await pilot.press("f5")
        number = animated(recorder)
        recorder.answer(number, kind="started")
        # A second one waits behind it.
        screen._opened(Path("boat.json"), Film(of({"prompts": {"0": "a boat"}, "max_frames": 60})), False)
        await pilot.press("f5")
        assert animated(recorder) > number and "apple: running, 100 frames left" in said(screen)
        await pilot.press("escape")
        await settle(pilot)
        assert len(app.screen_stack) == 1
        recorder.answer(number, kind="progress", stage="frames", done=7, total=100)
        await pilot.press("ctrl+y")
        await settle(pilot)
        again: Any = app.screen
        assert again is not screen and again.film.settings["zoom"] == TOLD["zoom"]
        assert "frame 7 of 100" in said(again) and "boat: waiting, 60 frames left" in said(again)


async def test_a_new_one_begins_with_the_draft_and_takes_a_free_name(app: Atelier) -> None:
    recorder = Recorder(app)
    folder = app.paths.output / "animations"
    folder.mkdir(parents=True)
    (folder / "animation.mp4").write_bytes(b"mine")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f3")
        await settle(pilot)
        app.room("draft").fill("a fox", "blurry")
        await settle(pilot)
        screen = await opened(pilot, recorder, "")
        assert screen.film.settings["prompts"] == {"0": "a fox --neg blurry"}
        await pilot.press("f5")
        assert recorder.asked[-1][1]["output"] == str(folder / "animation-2.mp4")
        number = len(recorder.asked)
        recorder.answer(number, kind="failed", message="the disk is full", hint="Make room.")
        assert "the disk is full. Make room. P tries again" in said(screen)
        await pilot.press("p")
        assert recorder.asked[-1][1]["output"] == str(folder / "animation-2.mp4") and len(recorder.asked) == number + 1


async def test_without_workers_keys_are_still_edited(app: Atelier, told: Path) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        screen = AnimationScreen("a cat")
        await app.push_screen(screen)
        await settle(pilot)
        await pilot.press("right", "enter")
        screen.query_one("#anim-value", Input).value = "a dog"
        await pilot.press("enter")
        assert screen.film.settings["prompts"] == {"0": "a cat", "1": "a dog"}
        await pilot.press("space")
        assert "not known" in said(screen)


async def test_the_list_gives_way_to_the_picture_where_both_have_no_room(app: Atelier, told: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(60, 20)) as pilot:
        screen = await opened(pilot, recorder)
        listed, picture = screen.query_one("#anim-rows"), screen.query_one("#anim-picture")
        assert listed.region.height >= 3 and not picture.region
        await pilot.press("v")
        await pilot.pause()
        assert picture.region.height >= 3 and not listed.region
        # Everything that can be typed or read is on the screen.
        for name in ("anim-file", "anim-plot", "anim-here", "anim-value"):
            assert screen.query_one(f"#{name}").region.bottom <= 20 and screen.query_one(f"#{name}").region.height >= 1


async def test_the_palette_leads_there(app: Atelier) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        command = next(one for one in app.get_system_commands(app.screen) if one.title == "Animate")
        await command.callback()
        await settle(pilot)
        assert isinstance(app.screen, AnimationScreen)


def test_the_queue_reckons_by_the_pace_of_the_one_that_is_made() -> None:
    class App:
        submitted = 0

        def submit(self, kind: str, spec: Any, receiver: Any) -> int | None:
            self.submitted += 1
            return self.submitted if self.submitted < 3 else None

        def notify(self, *words: Any, **options: Any) -> None: ...

    app, queue = App(), AnimationQueue()
    first, second, third = (AnimationRun(spec={"output": f"/o/{name}.mp4"}, total=30) for name in "abc")
    assert queue.add(app, first) and queue.add(app, second) and queue.latest("animate") is first
    assert queue.latest("vid2vid") is None, "a screen goes on with what it can show"
    assert not queue.add(app, third) and len(queue.runs) == 2
    assert queue.lines() == ["a: waiting, 30 frames left", "b: waiting, 30 frames left"]
    first.on_event(app, 1, {"kind": "started"})
    now = [0.0]
    first.clock = lambda: now[0]
    first.on_event(app, 1, {"kind": "progress", "stage": "frames", "done": 10, "total": 30})
    now[0] = 20.0
    first.on_event(app, 1, {"kind": "progress", "stage": "frames", "done": 20, "total": 30})
    assert first.pace == 2.0
    first.left = 20.0
    assert queue.lines() == [
        "a: running, 10 frames left, ready in 20 s",
        "b: waiting, 30 frames left, ready in 1 min 20 s",
    ]
    assert queue.lines(but=first) == ["b: waiting, 30 frames left, ready in 1 min 20 s"]


def test_a_run_pauses_before_it_began() -> None:
    class App:
        stopped: tuple[int, ...] = ()

        def submit(self, kind: str, spec: Any, receiver: Any) -> int:
            return 1

        def stop(self, number: int) -> None:
            self.stopped += (number,)

    app = App()
    run = AnimationRun(spec={"output": "/o/a.mp4"})
    assert run.begin(app) and run.told().startswith("waits")
    run.pause(app)
    assert app.stopped == (1,)
    run.on_event(app, 1, {"kind": "cancelled"})
    assert run.state == "paused" and "its beginning" in run.told()
    run.stop(app)
    assert run.state == "stopped" and app.stopped == (1,)


def test_the_timeline_is_drawn_to_its_width() -> None:
    shown = Shown(100, 50, [0.0, 10.0], [0, 50, 99], [(0, "a red apple"), (50, "b")], made=25)
    for width, height in ((30, 5), (60, 8), (12, 3)):
        lines = str(drawn(shown, width, height)).split("\n")
        assert len(lines) == height and all(len(line) == width for line in lines)
    lines = str(drawn(shown, 53, 6)).split("\n")  # 50 columns behind a scale of two and a blank
    assert lines[0][3] == "▸" and "a red apple" in lines[0] and lines[0][28] == "▸"
    assert [n - 3 for n, letter in enumerate(lines[4]) if letter == "◆"] == [0, 25, 49]
    assert lines[5].strip().startswith("0━") and lines[5].endswith("99") and "50" in lines[5]
    assert lines[5].count("━") == 12 and lines[1].startswith("10 ") and lines[3].startswith(" 0 ")
    assert str(drawn(shown, 5, 5)) == "" and str(drawn(Shown(), 30, 4)).count("\n") == 3


def test_a_film_knows_its_values_between_those_told() -> None:
    film = Film(of({"prompts": {"0": "x `t`"}, "max_frames": 25_000, "zoom": "0:(0), 24999:(24999)", "seed": 1}))
    assert film.value("zoom", 3) is None
    told = values(film.settings.to_json())
    assert told["every"] == 3 and len(told["schedules"]["zoom"]) <= 10_000 and len(told["prompts"]) <= 1_001
    assert told["schedules"]["angle"] == [0.0] and "steps_schedule" not in told["schedules"]
    film = film.told(told)
    assert film.value("zoom", 3000) == 3000 and film.value("zoom", 24_999) == 24_999
    assert (
        film.value("prompts", 500) == "x 500"
        and film.value("angle", 9) == 0
        and film.value("steps_schedule", 1) is None
    )
    assert values({**TOLD, "seed": -1})["seeds"] == [], "a seed that is drawn is not known"


def test_a_still_takes_what_is_switched_on() -> None:
    film = Film(
        of({"prompts": {"0": "a"}, "max_frames": 10, "seed": -1, "W": 72, "H": 64, "steps": 9, "clip_skip": 2,
            "cfg_scale_schedule": "0:(3), 9:(90)", "enable_sampler_scheduling": True,
            "sampler_schedule": '0:("Euler"), 5:("Euler a")'})
    )  # fmt: skip
    film = film.told(values(film.settings.to_json()))
    early, late = film.still(0, "demo"), film.still(9, "demo")
    assert (early["width"], early["height"], early["steps"], early["clip_skip"], early["model"]) == (
        72,
        64,
        9,
        2,
        "demo",
    )
    assert (early["cfg"], late["cfg"]) == (3, 50) and (early["sampler"], late["sampler"]) == ("Euler", "Euler a")


def test_the_form_takes_its_own_values() -> None:
    film = begun("a", "b")
    for parameter in TABLE:
        parameter.checked(film.settings[parameter.name])
    assert film.settings["prompts"] == {"0": "a --neg b"}


def test_this_screen_loads_nothing_heavy() -> None:
    code = (
        "import sys, assistant.tui.animation\n"
        "heavy = {'torch', 'numpy', 'PIL', 'scipy', 'av', 'cv2', 'diffusers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("size", SIZES)
def test_look_of_the_timeline(snap_compare: Any, app: Atelier, told: Path, size: tuple[int, int]) -> None:
    recorder = Recorder(app)

    async def edit(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, recorder)
        await pilot.press("j", "j", "w")
        await settle(pilot)
        assert screen.chosen == "zoom"

    assert snap_compare(app, terminal_size=size, run_before=edit)


@pytest.mark.parametrize("size", SIZES)
def test_look_of_an_animation_that_is_made(
    snap_compare: Any, app: Atelier, told: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    recorder = Recorder(app)

    async def make(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, recorder)
        await pilot.press("f5")
        number = animated(recorder)
        Image.new("RGB", (16, 16), "orange").save(tmp_path / "newest.png")
        recorder.answer(number, kind="started")
        recorder.answer(number, kind="progress", stage="frames", done=40, total=100)
        screen.queue.runs[0].clock = lambda: 0.0
        recorder.answer(number, kind="preview", path=str(tmp_path / "newest.png"))
        if size[0] == 60:
            await pilot.press("v")
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=make)

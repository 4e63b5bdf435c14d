"""A training planned, changed, begun, paused, gone on with and stopped from the Studio; and what that looks like."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textual.pilot import Pilot
from textual.widgets import ContentSwitcher, Input, OptionList, ProgressBar, Select, Static, TextArea

from assistant.jobs import HANDLERS
from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.app import Atelier
from assistant.tui.caption_editor import CaptionEditor
from assistant.tui.loss_plot import LossPlot
from assistant.tui.parameter_form import ParameterForm
from assistant.tui.training import TrainingScreen
from assistant.tui.training_run import TrainingRun
from generation.training import datasets
from generation.training.plan import make
from generation.training.planned import Base, Machine
from generation.training.settings import TrainingSpec
from tests.assistant.test_rooms import Recorder

SIZES = [(60, 20), (80, 24), (140, 40)]


@pytest.fixture
def app(paths: Paths, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Atelier:
    settings["look.preview"] = "halfcell"
    monkeypatch.setattr(TextArea, "cursor_blink", False)
    return Atelier(paths, settings, work=False)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, (size, colour) in enumerate([((150, 100), "red"), ((100, 150), "green"), ((100, 100), "blue")]):
        Image.new("RGB", size, colour).save(folder / f"p{number}.png")
    (folder / "p0.txt").write_text("a red wall")
    (folder / "old.gif").write_bytes(b"GIF89a")
    monkeypatch.chdir(tmp_path)
    return folder


def planned(spec: dict[str, Any], **machine: Any) -> dict[str, Any]:
    """What the worker would answer, without decoding."""
    data = datasets.read(Path(spec["dataset"]))
    base = Base(spec["model"], "sd15-small", 64)
    room = Machine("cpu", **{"memory": 4 * 2**30, "speed": 0.03, "start": 0.06, **machine})
    made = make(data, base, room, kind=spec["kind"], subject=spec["preset"], given=spec["settings"])
    return {**made.to_json(), "device": "cpu", "contact": ""}


async def settle(pilot: Pilot[Any]) -> None:
    for _ in range(3):
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def opened(pilot: Pilot[Any], recorder: Recorder, dataset: str = "photos") -> Any:
    """The screen with a plan shown."""
    await pilot.press("f4")
    await settle(pilot)
    await pilot.press("ctrl+t")
    await settle(pilot)
    screen: Any = pilot.app.screen
    assert isinstance(screen, TrainingScreen)
    screen.query_one("#train-dataset", Input).value = dataset
    await pilot.press("enter")
    await settle(pilot)
    assert recorder.asked[-1][0] == "plan-training"
    recorder.answer(len(recorder.asked), kind="done", result=planned(recorder.asked[-1][1]))
    await settle(pilot)
    return screen


def said(screen: Any, name: str = "train-state") -> str:
    return str(screen.query_one(f"#{name}", Static).render())


def view(screen: Any) -> str:
    return str(screen.query_one("#train-views", ContentSwitcher).current)


async def test_a_plan_is_asked_for_shown_and_changed(app: Atelier, photos: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        spec = recorder.asked[-1][1]
        assert (spec["dataset"], spec["kind"], spec["preset"]) == (str(photos), "lora", "character")
        assert spec["memory_gb"] is None and spec["look"]
        assert "3 pictures" in said(screen, "train-summary") and "cropped off" in said(screen, "train-summary")
        texts = [str(option.prompt) for option in screen.query_one("#train-rows", OptionList).options]
        assert any("old.gif" in text and "GIF" in text for text in texts)
        assert any("p1.png" in text and "has no caption" in text for text in texts)
        assert any("80x48" in text and "1 picture" in text for text in texts)
        # The crop of the first picture is drawn; another row shows another picture.
        crop = app.paths.previews / "crop.png"
        assert Image.open(crop).getpixel((75, 50)) == (255, 0, 0)
        rows = screen.query_one("#train-rows", OptionList)
        rows.highlighted = next(n for n, text in enumerate(texts) if "p2.png" in text)
        await settle(pilot)
        assert Image.open(crop).getpixel((50, 50)) == (0, 0, 255)
        # A changed setting is planned anew and stays beside the ones of the preset.
        await pilot.press("s")
        await settle(pilot)
        assert isinstance(app.screen, ParameterForm)
        app.screen.query_one("#form-epochs", Input).value = "3"
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert recorder.asked[-1][1]["settings"] == {"epochs": 3}
        recorder.answer(len(recorder.asked), kind="done", result=planned(recorder.asked[-1][1]))
        await settle(pilot)
        assert "3 epochs" in said(screen, "train-summary") and "1 settings are yours" in said(screen)
        # So is another kind, without settings that it does not have.
        screen._given["rank"] = 4
        screen.query_one("#train-kind", Select).value = "embedding"
        screen.query_one("#train-memory", Select).value = "8"
        await settle(pilot)
        spec = recorder.asked[-1][1]
        assert (spec["kind"], spec["settings"], spec["memory_gb"]) == ("embedding", {"epochs": 3}, 8.0)


async def test_only_the_latest_plan_is_shown(app: Atelier, photos: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        first = recorder.asked[-1][1]
        screen.plan()
        screen.plan()
        late = {**planned(first), "images": 999}
        recorder.answer(len(recorder.asked) - 1, kind="done", result=late)
        await settle(pilot)
        assert "999" not in said(screen, "train-summary")
        recorder.answer(len(recorder.asked), kind="failed", message="no such folder", hint="Name another.")
        assert said(screen) == "no such folder. Name another."


async def test_it_is_trained_watched_paused_and_gone_on_with(app: Atelier, photos: Path, tmp_path: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        await pilot.press("f5")
        await settle(pilot)
        kind, spec = recorder.asked[-1]
        assert kind == "train-lora" and kind in HANDLERS and view(screen) == "train-run"
        assert spec["output"] == str(app.paths.models / "photos.safetensors")
        TrainingSpec.from_json(spec)
        number = len(recorder.asked)
        recorder.answer(number, kind="started")
        recorder.answer(number, kind="progress", stage="encoding", done=1, total=3)
        assert "encoding 1 of 3" in said(screen)
        recorder.answer(number, kind="progress", stage="training", done=40, total=100, seconds_left=90)
        for step, aside in ((10, None), (20, 0.4), (30, 0.4), (40, 0.3)):
            recorder.answer(number, kind="loss", step=step, loss=1 / step, validation=aside, rate=1e-4)
        assert "step 40 of 100" in said(screen) and "1 min 30 s left" in said(screen)
        plot = screen.query_one("#train-plot", LossPlot)
        assert [point[0] for point in plot._loss] == [10, 20, 30, 40]
        # Validation is told with every loss; a value counts once.
        assert plot._aside == [(20, 0.4), (40, 0.3)]
        bar = screen.query_one("#train-progress", ProgressBar)
        assert bar.display and (bar.progress, bar.total) == (40, 100)
        # Not twice at once.
        await pilot.press("f5")
        assert len(recorder.asked) == number and "already" in said(screen)
        await pilot.press("p")
        assert recorder.stopped == [number] and "state is saved" in said(screen)
        recorder.answer(number, kind="cancelled")
        assert "paused at step 40 of 100" in said(screen) and not bar.display
        await pilot.press("p")
        assert recorder.asked[-1] == (kind, spec) and len(recorder.asked) == number + 1
        # What the first job still says is not of this one.
        recorder.answer(number, kind="failed", message="late", hint="")
        assert "late" not in said(screen)
        recorder.answer(number + 1, kind="started")
        recorder.answer(number + 1, kind="loss", step=35, loss=0.02, validation=None, rate=1e-4)
        assert [point[0] for point in plot._loss] == [10, 20, 30, 35]
        await pilot.press("x")
        assert recorder.stopped[-1] == number + 1
        recorder.answer(number + 1, kind="cancelled")
        assert "stopped" in said(screen)
        await pilot.press("v")
        assert view(screen) == "train-plan"
        # Another training of the same pictures does not go over the first one's file.
        app.paths.models.mkdir(parents=True, exist_ok=True)
        (app.paths.models / "photos.safetensors").write_bytes(b"x")
        await pilot.press("f5")
        assert recorder.asked[-1][1]["output"].endswith("photos-2.safetensors")


async def test_closed_and_opened_again_it_shows_how_far_it_is(app: Atelier, photos: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        await pilot.press("f5")
        number = len(recorder.asked)
        recorder.answer(number, kind="started")
        await pilot.press("escape")
        await settle(pilot)
        assert len(app.screen_stack) == 1
        recorder.answer(number, kind="progress", stage="training", done=7, total=9)
        recorder.answer(number, kind="loss", step=7, loss=0.5, validation=None, rate=1e-4)
        await pilot.press("ctrl+t")
        await settle(pilot)
        again: Any = app.screen
        assert again is not screen and view(again) == "train-run" and "step 7 of 9" in said(again)
        assert again.query_one("#train-plot", LossPlot)._loss == [(7, 0.5)]
        result = {"path": "/m/photos.safetensors", "steps": 9, "seconds": 61.0, "loss": 0.25, "overfit": None}
        recorder.answer(number, kind="done", result=result)
        assert "9 steps, 1 min 1 s, loss 0.2500" in said(again) and "/m/photos.safetensors" in said(again)
        await settle(pilot)
        assert any("photos.safetensors" in note.message for note in app._notifications)


async def test_a_failure_is_told_and_can_be_tried_again(app: Atelier, photos: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        await pilot.press("f5")
        number = len(recorder.asked)
        recorder.answer(number, kind="failed", message="the loss became nan at step 3", hint="Lower the rate.")
        assert "nan at step 3. Lower the rate." in said(screen)
        await pilot.press("p")
        assert len(recorder.asked) == number + 1


async def test_what_does_not_fit_is_not_begun(app: Atelier, photos: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        screen.plan()
        recorder.answer(len(recorder.asked), kind="done", result=planned(recorder.asked[-1][1], memory=1000))
        await settle(pilot)
        before = len(recorder.asked)
        await pilot.press("f5")
        assert len(recorder.asked) == before and "does not fit" in said(screen)


async def test_without_a_dataset_nothing_is_asked(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("f4", "ctrl+t")
        await settle(pilot)
        await pilot.press("enter", "f5")
        assert recorder.asked == [] and "first" in said(app.screen)


async def test_captions_changed_from_here_are_planned_anew(app: Atelier, photos: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(pilot, recorder)
        await pilot.press("c")
        await settle(pilot)
        assert isinstance(app.screen, CaptionEditor)
        await pilot.press("enter", *"!", "enter")
        await settle(pilot)
        before = len(recorder.asked)
        await pilot.press("escape")
        await settle(pilot)
        assert len(recorder.asked) == before + 1 and recorder.asked[-1][0] == "plan-training"


async def test_a_kind_without_a_plan_says_so_and_is_trained(app: Atelier, photos: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot, recorder)
        screen._given = {"rank": 4, "batch": 2}
        asked = len(recorder.asked)
        screen.plan()
        screen.query_one("#train-kind", Select).value = "motion"
        await settle(pilot)
        assert "A training of motion has no plan: no guide gives figures for clips" in said(screen, "train-summary")
        # A plan that comes late is of another kind.
        recorder.answer(asked + 1, kind="done", result=planned(recorder.asked[-1][1]))
        await settle(pilot)
        assert "no plan" in said(screen, "train-summary") and "1 settings are yours; F5 trains" in said(screen)
        lines = [str(option.prompt).split() for option in screen.query_one("#train-rows", OptionList).options]
        assert ["frames", "16"] in lines and ["batch", "2"] in lines and not any("rank" in line[:1] for line in lines)
        await pilot.press("c")
        assert app.screen is screen and "cat.txt for cat.mp4" in said(screen)
        await pilot.press("s")
        await settle(pilot)
        assert app.screen.query_one("#form-rate", Input).value == "0.0001"
        app.screen.query_one("#form-frames", Input).value = "8"
        app.screen.query_one("#form-steps", Input).value = "50"
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert len(recorder.asked) == asked + 1, "nothing is planned"
        await pilot.press("f5")
        kind, spec = recorder.asked[-1]
        assert kind == "train-motion" and kind in HANDLERS
        told = TrainingSpec.from_json(spec)
        assert (told.settings["frames"], told.settings["batch"], told.settings["steps"]) == (8, 2, 50)
        assert told.dataset == str(photos) and told.settings["caption_dropout"] == 0.1
        recorder.answer(len(recorder.asked), kind="started")
        recorder.answer(len(recorder.asked), kind="progress", stage="training", done=5, total=50)
        assert "step 5 of 50" in said(screen)


def test_these_screens_load_nothing_heavy() -> None:
    code = (
        "import sys, assistant.tui.training, assistant.tui.caption_editor, assistant.cli.dataset_commands\n"
        "heavy = {'torch', 'numpy', 'PIL', 'scipy', 'transformers', 'diffusers', 'onnxruntime'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_run_alone_pauses_before_it_began() -> None:
    class App:
        submitted = 0
        stopped: tuple[int, ...] = ()

        def submit(self, kind: str, spec: Any, receiver: Any) -> int | None:
            self.submitted += 1
            return self.submitted if self.submitted < 3 else None

        def stop(self, number: int) -> None:
            self.stopped += (number,)

    app = App()
    run = TrainingRun(kind="lora", spec={})
    assert run.begin(app) and run.told().startswith("waits")
    run.pause(app)
    assert app.stopped == (1,)
    run.on_event(app, 1, {"kind": "cancelled"})
    assert run.state == "paused" and "its beginning" in run.told()
    run.stop(app)
    assert run.state == "stopped" and app.stopped == (1,)
    run.pause(app)
    assert run.state == "waiting" and run.number == 2
    run.on_event(app, 2, {"kind": "cancelled"})
    assert run.state == "stopped"
    assert not run.begin(app) and run.state == "stopped"


@pytest.mark.parametrize("size", SIZES)
def test_look_of_the_plan(snap_compare: Any, app: Atelier, photos: Path, size: tuple[int, int]) -> None:
    recorder = Recorder(app)

    async def plan(pilot: Pilot[Any]) -> None:
        await opened(pilot, recorder)

    assert snap_compare(app, terminal_size=size, run_before=plan)


@pytest.mark.parametrize("size", SIZES)
def test_look_of_the_losses(snap_compare: Any, app: Atelier, photos: Path, size: tuple[int, int]) -> None:
    recorder = Recorder(app)

    async def train(pilot: Pilot[Any]) -> None:
        await opened(pilot, recorder)
        await pilot.press("f5")
        number = len(recorder.asked)
        recorder.answer(number, kind="started")
        for step in range(1, 80):
            aside = 0.2 + 0.1 * math.exp(-step / 20) + step / 2000 if step % 10 == 0 else None
            loss = 0.1 + 0.2 * math.exp(-step / 20)
            recorder.answer(number, kind="loss", step=step, loss=loss, validation=aside, rate=1e-4)
        recorder.answer(number, kind="progress", stage="training", done=79, total=300, seconds_left=221)
        recorder.answer(number, kind="preview", path=str(photos / "p2.png"))
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=train)

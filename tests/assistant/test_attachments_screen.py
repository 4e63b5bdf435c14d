"""Controls, references, regions and modifiers hung onto a render from the Studio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Select, Static

from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.app import Atelier
from assistant.tui.attachments import Attachments
from generation.specs import RenderSpec
from tests.assistant.test_rooms import Recorder, text_of


@pytest.fixture
def app(paths: Paths, settings: Settings) -> Atelier:
    settings["look.preview"] = "halfcell"
    return Atelier(paths, settings, work=False)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "edges.png")
    return tmp_path / "edges.png"


async def in_studio(pilot: Pilot[Any]) -> Any:
    app: Any = pilot.app
    (await app.ensure("draft")).fill("a fox", "")
    await pilot.press("f4")
    await pilot.pause()
    return app.room("studio")


async def test_a_region_and_a_modifier_reach_the_spec(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        studio = await in_studio(pilot)
        await pilot.press("ctrl+k", "g")
        await pilot.pause()
        await pilot.press("ctrl+s")
        await pilot.pause()
        # A region without a prompt is told, and the form stays.
        assert "prompt" in str(app.screen.query_one("#parameter-problem", Static).render())
        app.screen.query_one("#form-prompt", Input).value = "a red apple"
        app.screen.query_one("#form-place", Input).value = "left"
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert isinstance(app.screen, Attachments)
        await pilot.press("m")
        await pilot.pause()
        app.screen.query_one("#form-freeu", Select).value = "sd15"
        await pilot.press("ctrl+s")
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause()
        assert "1 region" in text_of(app, "#attached")
        await pilot.press("f5")
        await pilot.pause()
        spec = recorder.asked[-1][1]["spec"]
        assert (spec["regions"][0]["prompt"], spec["regions"][0]["place"]) == ("a red apple", "left")
        assert spec["modifiers"] == {"freeu": "sd15"}
        RenderSpec.from_json(spec)
        # Taking a picture's settings takes these as well.
        await studio.fill(RenderSpec("b").to_json())
        assert "nothing" in text_of(app, "#attached")
        await studio.fill(spec)
        assert "1 region" in text_of(app, "#attached")


async def test_a_control_asks_for_its_preprocessors_numbers_and_is_taken_off(app: Atelier, photo: Path) -> None:
    Recorder(app)
    async with app.run_test(size=(100, 40)) as pilot:
        studio = await in_studio(pilot)
        await pilot.press("ctrl+k", "c")
        await pilot.pause()
        app.screen.query_one("#form-image", Input).value = str(photo)
        app.screen.query_one("#form-preprocessor", Select).value = "canny"
        await pilot.press("ctrl+s")
        await pilot.pause()
        await pilot.pause()
        # The form opens again with what the preprocessor takes.
        assert app.screen.query("#form-low, #form-low_threshold, #form-threshold_low")
        await pilot.press("ctrl+s")
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause()
        spec = RenderSpec.from_json(await studio.spec())
        assert (spec.controls[0]["preprocessor"], spec.controls[0]["image"]) == ("canny", str(photo))
        await pilot.press("ctrl+k")
        await pilot.pause()
        assert app.screen.query_one("#attachment-list", OptionList).option_count == 1
        await pilot.press("x", "escape")
        await pilot.pause()
        assert RenderSpec.from_json(await studio.spec()).controls == ()

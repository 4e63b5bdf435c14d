"""A recipe read, its stages switched, run from the Studio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textual.widgets import Input, OptionList

from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.app import Atelier
from assistant.tui.recipe import RecipeScreen
from generation.recipes.reading import read
from tests.assistant.test_rooms import Recorder

RECIPE = """name: postcards
inputs: photos/
stages:
  - {id: paint, do: img2img, from: input, prompt: "an oil painting", with: {strength: 0.5}}
  - {id: large, do: upscale, from: paint, with: {scale: 2}}
  - {id: huge, do: upscale, from: large, on: false, with: {scale: 4}}
"""


@pytest.fixture
def app(paths: Paths, settings: Settings) -> Atelier:
    settings["look.preview"] = "halfcell"
    return Atelier(paths, settings, work=False)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 64), "red").save(tmp_path / "photos" / "a.png")
    (tmp_path / "postcards.yaml").write_text(RECIPE)
    return tmp_path / "postcards.yaml"


async def test_a_stage_is_switched_off_and_the_job_says_so(app: Atelier, recipe: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(80, 24)) as pilot:

        async def settle() -> None:
            await pilot.pause()
            await app.workers.wait_for_complete()
            await pilot.pause()

        await pilot.press("f4")
        await settle()
        app.room("studio").action_recipe()
        await settle()
        screen: Any = app.screen
        assert isinstance(screen, RecipeScreen)

        def said() -> str:
            return str(screen.query_one("#recipe-state").render())

        screen.query_one("#recipe-file", Input).value = str(recipe.with_name("none.yaml"))
        await pilot.press("enter")
        await settle()
        assert "none.yaml" in said()
        screen.query_one("#recipe-file", Input).value = str(recipe)
        await pilot.press("enter")
        await settle()
        assert "3 stages" in said()
        assert screen.query_one("#recipe-stages", OptionList).option_count == 3
        await pilot.press("down", "space", "down", "space", "f5")
        kind, spec = recorder.asked[-1]
        assert (kind, spec["recipe"], spec["off"], spec["inputs"]) == ("recipe", str(recipe), ["large"], [])
        assert spec["set"] == {"huge.on": "true"}
        assert [step.on for step in read(recipe, spec["set"], tuple(spec["off"])).steps] == [True, False, True]
        recorder.answer(1, kind="progress", stage="paint", done=0, total=1, message="a.png")
        assert "paint" in said()
        result = {"recipe": "postcards", "made": 1, "cached": 0, "failed": 0, "path": "/p"}
        recorder.answer(1, kind="done", result=result)
        assert "1 made" in said()
        await pilot.press("f5", "escape")
        await settle()
        assert len(app.screen_stack) == 1
        # It goes on behind, and its end is told wherever the person is.
        recorder.answer(2, kind="done", result=result)
        await settle()
        assert any("1 made" in note.message for note in app._notifications)

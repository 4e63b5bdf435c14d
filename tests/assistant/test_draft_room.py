"""The Draft room: completion, variants, versions, and the picture beside the text with its letters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from textual.widgets import Checkbox, ContentSwitcher, Input, Select, Static

from assistant import prompt_names
from assistant.completion import Names
from assistant.paths import Paths
from assistant.prompt_names import gather
from assistant.settings import Settings
from assistant.styles import Style
from assistant.styles import write as write_styles
from assistant.tui.app import Atelier
from assistant.tui.compare import differences
from assistant.tui.completions import Completions
from assistant.tui.picture import sheet
from assistant.tui.picture_actions import PictureActions
from assistant.tui.result import Result
from assistant.tui.slider import Slider
from assistant.versions import Versions
from generation.catalogue import ModelEntry
from generation.specs import ModelDefaults, RenderSpec
from tests.assistant.test_rooms import Recorder, text_of


@pytest.fixture
def app(paths: Paths, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Atelier:
    settings["look.preview"] = "halfcell"
    lora = ModelEntry("blue_alien", "/m/blue_alien.safetensors", "lora", "sd15", 1, ModelDefaults())
    names = Names(networks=[lora], wildcards=["animals"], styles=["Noir"], phrases={"golden hour": "lighting"})
    monkeypatch.setattr(prompt_names, "gather", lambda paths, settings: names)
    monkeypatch.setattr(PictureActions, "marked", None)
    return Atelier(paths, settings, work=False)


def picture(folder: Path, name: str, **fields: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    texts = PngInfo()
    texts.add_text("atelier", json.dumps(RenderSpec(**fields).to_json()))
    Image.new("RGB", (64, 48), "red").save(folder / name, pnginfo=texts)
    return folder / name


async def in_draft(pilot: Any) -> Any:
    await pilot.press("f3")
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    return pilot.app.room("draft")


async def test_tab_takes_the_completion_and_down_chooses_and_esc_puts_it_away(app: Atelier) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        room = await in_draft(pilot)
        await pilot.press(*"a <lora:bl")
        await pilot.pause()
        completions = app.query_one(Completions)
        assert completions.display
        await pilot.press("tab")
        assert room.prompt == "a <lora:blue_alien:1>"
        assert not completions.display
        assert app.focused is not None
        assert app.focused.id == "prompt"
        await pilot.press(*", gold")
        await pilot.pause()
        assert completions.display
        await pilot.press("escape")
        assert not completions.display
        assert room.prompt.endswith(", gold")
        await pilot.press("tab")
        assert app.focused.id != "prompt"


async def test_what_is_filled_in_proposes_nothing(app: Atelier) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        room = await in_draft(pilot)
        room.fill("a cat, golden", "")
        await pilot.pause()
        assert not app.query_one(Completions).display
        await pilot.press("end", "space", "h")
        await pilot.pause()
        assert app.query_one(Completions).display


async def test_a_style_is_laid_over_both_texts(app: Atelier) -> None:
    write_styles(app.paths.styles, [Style("Noir", "film noir, {prompt}, high contrast", "colour")])
    async with app.run_test(size=(80, 24)) as pilot:
        room = await in_draft(pilot)
        await pilot.press(*"a fox, @no")
        await pilot.pause()
        await pilot.press("tab")
        assert (room.prompt, room.negative) == ("film noir, a fox, high contrast", "colour")


async def test_an_unknown_network_is_told_with_the_nearest(app: Atelier) -> None:
    async with app.run_test(size=(140, 40)) as pilot:
        room = await in_draft(pilot)
        room.fill("a fox <lora:blue_aliens:1>", "")
        await pilot.pause()
        assert "there is no lora “blue_aliens”; did you mean blue_alien?" in text_of(app, "#meter")


async def test_the_meter_names_the_words_that_moved(app: Atelier) -> None:
    async with app.run_test(size=(140, 40)) as pilot:
        room = await in_draft(pilot)
        room.fill("cat " * 70 + ", red fox in deep snow", "")
        await pilot.pause()
        assert "71/75" in text_of(app, "#meter")
        assert "moved: red fox in deep" in text_of(app, "#meter")


async def test_the_form_asks_and_the_key_goes_through_the_variants(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(140, 40)) as pilot:
        room = await in_draft(pilot)
        app.query_one("#expand-style", Select).value = "sentence"
        slider = app.query_one("#expand-strength", Slider)
        slider.focus()
        await pilot.press("right", "right", "right", "right", "left")
        assert slider.value == 0.9
        app.query_one("#prompt").focus()
        await pilot.press(*"a fox", "ctrl+g")
        asked = recorder.asked[-1][1]
        assert (asked["style"], asked["strength"], asked["chunks"], asked["variants"]) == ("sentence", 0.9, 1, 3)
        drafts = [
            {"prompt": f"a fox, {light}", "negative": "blur", "sources": [], "model": "m"}
            for light in ("rim light", "neon", "dusk")
        ]
        recorder.answer(1, kind="done", result={**drafts[0], "variants": drafts[1:]})
        await pilot.press("ctrl+g")
        assert "neon" in text_of(app, "#proposal-text")
        assert "variant 2 of 3" in text_of(app, "#proposal-text")
        await pilot.press("ctrl+g", "ctrl+g")
        assert [asked["seed"] for _, asked in recorder.asked] == [0, 1]
        recorder.answer(2, kind="done", result={**drafts[1], "variants": []})
        await pilot.press("ctrl+t")
        assert room.prompt == "a fox, neon"
        assert room.origin() == {"idea": "a fox", "expansion": "a fox, neon"}
        room.fill("something else", "")
        assert room.origin() == {}


async def test_versions_are_remembered_and_brought_back(app: Atelier) -> None:
    Recorder(app)
    async with app.run_test(size=(140, 40)) as pilot:
        room = await in_draft(pilot)
        await pilot.press(*"a red fox", "f5")
        await pilot.pause()
        await app.workers.wait_for_complete()
        room.fill("a blue fox", "")
        await pilot.press("f10")
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
        screen = app.screen
        assert "a red fox" in str(screen.query_one("#versions-then", Static).render())
        assert "a blue fox" in str(screen.query_one("#versions-now", Static).render())
        await pilot.press("enter")
        await pilot.pause()
        await app.workers.wait_for_complete()
        assert room.prompt == "a red fox"
        # What was replaced is a version as well.
        assert [v.prompt for v in Versions(app.paths.history).list()] == ["a blue fox", "a red fox"]


@pytest.mark.parametrize(("keys", "batch"), [("f5", 1), ("shift+f5", 4), ("f17", 4)])
async def test_the_picture_comes_beside_the_text(app: Atelier, tmp_path: Path, keys: str, batch: int) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(140, 40)) as pilot:
        await in_draft(pilot)
        await pilot.press(*"a fox", keys)
        await pilot.pause()
        kind, job = recorder.asked[-1]
        assert (kind, job["spec"]["batch"]) == ("render", batch)
        assert app.query_one("#rooms", ContentSwitcher).current == "draft"
        paths = [str(picture(tmp_path, f"{n}.png", prompt="a fox", seed=n)) for n in range(batch)]
        recorder.answer(1, kind="started")
        recorder.answer(1, kind="progress", stage="denoising", done=1, total=4)
        spec = RenderSpec("a fox", sampler="Euler", steps=4, cfg=3.0).to_json()
        recorder.answer(
            1, kind="done", result={"path": paths[0], "paths": paths, "seed": 0, "seconds": 1.5, "spec": spec}
        )
        await pilot.pause()
        assert "1.5 s, seed 0" in text_of(app, "#result-state")
        result = app.query_one(Result)
        assert result.chosen_picture() == Path(paths[0])
        await pilot.press("ctrl+b")
        assert result.has_focus
        await pilot.press("n", "n")
        assert result.chosen_picture() == Path(paths[1 if batch > 1 else 0])
        await pilot.press("ctrl+b")
        assert app.query_one("#prompt").has_focus


async def test_letters_of_a_picture(app: Atelier, tmp_path: Path) -> None:
    recorder = Recorder(app)
    path = picture(tmp_path, "a.png", prompt="a fox", seed=77, idea="fox", expansion="a fox, dusk")
    async with app.run_test(size=(140, 40)) as pilot:
        room = await in_draft(pilot)
        result = app.query_one(Result)
        result._paths = [path]
        await pilot.press("ctrl+b", "m")
        await pilot.pause()
        spec = recorder.asked[-1][1]["spec"]
        assert (spec["operation"], spec["batch"], spec["options"]["image"]) == ("variation", 4, str(path))
        RenderSpec.from_json(spec)
        await pilot.press("l")
        await pilot.pause()
        assert app.room("studio").query_one("#seed", Input).value == "77"
        await pilot.press("l")
        await pilot.pause()
        assert app.room("studio").query_one("#seed", Input).value == ""
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("down", "down", "enter")
        await pilot.pause()
        assert room.prompt == "fox"
        await pilot.press("ctrl+b", "i")
        await pilot.pause()
        await pilot.pause()
        assert app.query_one("#rooms", ContentSwitcher).current == "studio"
        assert app.query_one("#own-image", Input).value == str(path)
        await pilot.press("f5")
        await pilot.pause()
        spec = recorder.asked[-1][1]["spec"]
        assert (spec["operation"], spec["options"]["strength"], spec["prompt"]) == ("img2img", 0.75, "fox")


async def test_two_pictures_are_compared(app: Atelier, tmp_path: Path) -> None:
    one, other = (picture(tmp_path, f"{n}.png", prompt=f"a {n} fox", seed=n, steps=20) for n in (1, 2))
    async with app.run_test(size=(140, 40)) as pilot:
        await in_draft(pilot)
        result = app.query_one(Result)
        result._paths = [one]
        await pilot.press("ctrl+b", "c")
        assert len(app.screen_stack) == 1
        result._paths = [other]
        await pilot.press("c")
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
        text = str(app.screen.query_one("#differences", Static).render())
        assert "seed  1  2" in text
        assert "steps" not in text
        await pilot.press("escape")
        assert len(app.screen_stack) == 1


def test_differences_look_into_the_options_and_say_when_there_is_nothing() -> None:
    one = RenderSpec("a fox", operation="img2img", options={"image": "x.png", "strength": 0.5}).to_json()
    other = {**one, "options": {**one["options"], "strength": 0.7}}
    text = differences(one, other).plain
    assert "strength  0.5  0.7" in text
    assert "prompt  the same in both" in text
    assert "carries no settings" in differences(one, {}).plain


async def test_the_form_follows_the_operation(app: Atelier, tmp_path: Path) -> None:
    recorder = Recorder(app)
    path = picture(tmp_path, "a.png", prompt="a fox", seed=77)
    async with app.run_test(size=(140, 40)) as pilot:
        await in_draft(pilot)
        await pilot.press(*"a fox", "f4")
        await pilot.pause()
        studio = app.room("studio")
        await studio.begin("inpaint", path)
        await pilot.pause()
        assert app.focused is not None
        assert app.focused.id == "own-mask"
        await pilot.press("f5")
        await pilot.pause()
        assert "inpaint needs mask" in text_of(app, "#form-problem")
        assert recorder.asked == []
        app.query_one("#own-mask", Input).value = str(path)
        app.query_one("#own-mask_blur", Input).value = "2"
        app.query_one("#own-strict", Checkbox).value = False
        await pilot.press("f5")
        await pilot.pause()
        options = recorder.asked[-1][1]["spec"]["options"]
        assert (options["strict"], options["mask_blur"], options["fill"]) == (False, 2, "original")
        app.query_one("#operation", Select).value = "outpaint"
        await pilot.pause()
        await pilot.pause()
        assert app.query_one("#own-image", Input).value == str(path)
        assert not app.query("#own-mask")
        await studio.fill(recorder.asked[-1][1]["spec"])
        await pilot.pause()
        assert (await studio.spec())["options"] == options


async def test_at_sixty_columns_the_picture_takes_the_proposals_place(app: Atelier, tmp_path: Path) -> None:
    Recorder(app)
    async with app.run_test(size=(60, 20)) as pilot:
        await in_draft(pilot)
        assert not app.query_one(Result).display
        assert app.query_one("#proposal").display
        await pilot.press(*"a fox", "f5")
        await pilot.pause()
        assert app.query_one(Result).region.height >= 3
        assert not app.query_one("#proposal").display
        await pilot.press("ctrl+b", "ctrl+b")
        assert app.query_one("#proposal").display


def test_names_are_gathered_from_what_the_person_has(paths: Paths, settings: Settings) -> None:
    paths.make()
    write_styles(paths.styles, [Style("Noir", "film noir, {prompt}, high contrast", "")])
    Versions(paths.history).add("a lemon tree, cinnabar sky", "", "rendered")
    paths.wildcards.mkdir(parents=True)
    (paths.wildcards / "animals.txt").write_text("fox\ncat\n")
    (paths.templates.parent).mkdir(exist_ok=True)
    found = gather(paths, settings)
    assert isinstance(found, Names)
    assert found.phrases["film noir"] == "styles"
    assert found.phrases["cinnabar sky"] == "your prompts"
    assert list(found.wildcards) == ["animals"]
    assert found.styles == ["Noir"]
    assert "portrait" in found.templates
    paths.styles.write_text('name,prompt\n"broken')
    assert gather(paths, settings).phrases["cinnabar sky"] == "your prompts"


def test_a_sheet_holds_every_picture() -> None:
    pictures = [Image.new("RGB", (4, 2), c) for c in ("red", "green", "blue")]
    found = sheet(pictures)
    assert found.size == (8, 4)
    assert [found.getpixel(p) for p in ((1, 1), (5, 1), (1, 3), (5, 3))] == [
        (255, 0, 0), (0, 128, 0), (0, 0, 255), (0, 0, 0),
    ]  # fmt: skip

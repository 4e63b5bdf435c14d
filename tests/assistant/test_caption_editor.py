"""Captions written one by one and together, tags counted and removed, edits taken back; and what that looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static, TextArea

from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.app import Atelier
from assistant.tui.caption_editor import CaptionEditor
from generation.training.caption_edits import Edit
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
    for number, colour in enumerate(("red", "green", "blue", "black")):
        Image.new("RGB", (96, 64), colour).save(folder / f"p{number}.png")
    (folder / "p0.txt").write_text("a cat, red, sitting")
    (folder / "p1.txt").write_text("a cat, green")
    (folder / "p2.caption").write_text("a dog, Red")
    monkeypatch.chdir(tmp_path)
    return folder


def captions(folder: Path) -> dict[str, str]:
    return {
        path.name: path.read_text("utf-8") for path in sorted(folder.iterdir()) if path.suffix in {".txt", ".caption"}
    }


async def settle(pilot: Pilot[Any]) -> None:
    for _ in range(3):
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def opened(pilot: Pilot[Any], dataset: str = "photos") -> Any:
    pilot.app.push_screen(CaptionEditor(dataset))
    await settle(pilot)
    return pilot.app.screen


def said(screen: Any) -> str:
    return str(screen.query_one("#caption-state", Static).render())


def listed(screen: Any, name: str = "caption-list") -> list[str]:
    return [str(option.prompt) for option in screen.query_one(f"#{name}", OptionList).options]


async def fill(app: Atelier, pilot: Pilot[Any], **fields: str) -> None:
    for name, value in fields.items():
        app.screen.query_one(f"#form-{name}", Input).value = value
    await pilot.press("ctrl+s")
    await settle(pilot)


async def test_captions_are_written_one_after_another(app: Atelier, photos: Path) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await opened(pilot)
        assert listed(screen) == [
            "p0.png  a cat, red, sitting",
            "p1.png  a cat, green",
            "p2.png  a dog, Red",
            "p3.png  no caption",
        ]
        assert "4 pictures, 1 without a caption, 5 tags" in said(screen)
        text = screen.query_one("#caption-text", TextArea)
        assert text.text == "a cat, red, sitting"
        await pilot.press("enter")
        assert text.has_focus
        text.text = "a cat,\n asleep"
        await pilot.press("enter")
        await settle(pilot)
        assert captions(photos)["p0.txt"] == "a cat, asleep\n"
        # The next picture is there, and what is typed is written when another is chosen as well.
        assert text.text == "a cat, green" and screen.query_one("#caption-list").has_focus
        text.text = "a fox"
        await pilot.press("j", "j")
        await settle(pilot)
        assert captions(photos)["p1.txt"] == "a fox\n" and text.text == ""
        text.text = "the dark"
        await pilot.press("k")
        await settle(pilot)
        assert captions(photos)["p3.txt"] == "the dark\n"
        assert listed(screen)[3] == "p3.png  the dark"
        assert captions(photos)["p2.caption"] == "a dog, Red"


async def test_escape_writes_what_was_typed_and_tells(app: Atelier, photos: Path) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        told: list[Any] = []
        app.push_screen(CaptionEditor("photos"), told.append)
        await settle(pilot)
        await pilot.press("enter")
        app.screen.query_one("#caption-text", TextArea).text = "a lion"
        await pilot.press("escape")
        assert isinstance(app.screen, CaptionEditor) and app.screen.query_one("#caption-list").has_focus
        await pilot.press("escape")
        await settle(pilot)
        assert told == [True] and captions(photos)["p0.txt"] == "a lion\n"
        app.push_screen(CaptionEditor("photos"), told.append)
        await settle(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert told == [True, False]


async def test_find_and_replace_prefix_and_undo(app: Atelier, photos: Path) -> None:
    before = captions(photos)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("f")
        await settle(pilot)
        await fill(app, pilot, find="cat", replace="fox", prefix="ohwx", remove="green")
        assert captions(photos) == {
            "p0.txt": "ohwx, a fox, red, sitting\n", "p1.txt": "ohwx, a fox\n", "p2.caption": "ohwx, a dog, Red\n",
            "p3.txt": "ohwx\n",
        }  # fmt: skip
        assert screen.query_one("#caption-text", TextArea).text == "ohwx, a fox, red, sitting"
        assert listed(screen, "caption-tags")[0].split() == ["4", "ohwx"]
        await pilot.press("u")
        await settle(pilot)
        assert captions(photos) == before and "4 files brought back" in said(screen)
        assert screen.query_one("#caption-text", TextArea).text == "a cat, red, sitting"
        await pilot.press("u")
        await settle(pilot)
        assert "no edit" in said(screen)
        await pilot.press("f")
        await settle(pilot)
        await fill(app, pilot, replace="fox")
        assert "nothing to find" in said(screen) and captions(photos) == before
        await pilot.press("f")
        await settle(pilot)
        await fill(app, pilot, find="whale")
        assert "No caption changes" in said(screen)


async def test_a_tag_shows_its_pictures_and_edits_keep_to_them(app: Atelier, photos: Path) -> None:
    async with app.run_test(size=(140, 40)) as pilot:
        screen = await opened(pilot)
        assert [text.split(maxsplit=1) for text in listed(screen, "caption-tags")] == [
            ["2", "a cat"], ["2", "red"], ["1", "a dog"], ["1", "green"], ["1", "sitting"],
        ]  # fmt: skip
        await pilot.press("t", "j", "enter")
        await settle(pilot)
        assert [line.split()[0] for line in listed(screen)] == ["p0.png", "p2.png"] and "2 of 4" in said(screen)
        await pilot.press("f")
        await settle(pilot)
        await fill(app, pilot, suffix="warm")
        assert captions(photos)["p0.txt"] == "a cat, red, sitting, warm\n"
        assert captions(photos)["p2.caption"] == "a dog, Red, warm\n" and captions(photos)["p1.txt"] == "a cat, green"
        # Esc shows all again before it closes.
        await pilot.press("escape")
        await settle(pilot)
        assert len(listed(screen)) == 4 and app.screen is screen


async def test_a_tag_is_removed_after_a_question(app: Atelier, photos: Path) -> None:
    async with app.run_test(size=(140, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("x")
        assert "T leads" in said(screen)
        await pilot.press("t", "j", "x")
        await settle(pilot)
        await pilot.press("n")
        await settle(pilot)
        assert captions(photos)["p2.caption"] == "a dog, Red"
        await pilot.press("x")
        await settle(pilot)
        await pilot.press("y")
        await settle(pilot)
        assert captions(photos)["p0.txt"] == "a cat, sitting\n" and captions(photos)["p2.caption"] == "a dog\n"


async def test_what_cannot_be_written_is_told_and_comes_back(app: Atelier, photos: Path) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await opened(pilot)
        (photos / "p0.txt").write_bytes(b"\xff\x00")
        await pilot.press("enter")
        screen.query_one("#caption-text", TextArea).text = "a lion"
        await pilot.press("enter")
        await settle(pilot)
        assert "p0.txt" in said(screen) and (photos / "p0.txt").read_bytes() == b"\xff\x00"
        assert listed(screen)[0] == "p0.png  a cat, red, sitting"


async def test_a_model_captions_what_has_none(app: Atelier, photos: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await opened(pilot)
        await pilot.press("a")
        await settle(pilot)
        await pilot.press(*"blip", "enter")
        await settle(pilot)
        kind, spec = recorder.asked[-1]
        assert (kind, spec["dataset"], spec["overwrite"]) == ("captions", str(photos), False)
        assert spec["auto"] == str(photos.parent / "blip") and Edit(**spec["edit"]) == Edit()
        recorder.answer(1, kind="failed", message="there is no folder blip", hint="Give a folder.")
        assert "no folder blip" in said(screen)
        (photos / "p3.txt").write_text("a dark wall")
        change = {"path": str(photos / "p3.png"), "before": "", "after": "a dark wall"}
        recorder.answer(1, kind="done", result={"changed": [change], "failed": []})
        await settle(pilot)
        assert "1 captions made" in said(screen) and listed(screen)[3] == "p3.png  a dark wall"


async def test_another_dataset_and_none(app: Atelier, photos: Path) -> None:
    async with app.run_test(size=(60, 20)) as pilot:
        screen = await opened(pilot, "")
        await pilot.press("f")
        assert screen.query_one("#caption-dataset", Input).value == "f"
        screen.query_one("#caption-dataset", Input).value = "nowhere"
        await pilot.press("enter")
        await settle(pilot)
        assert "nowhere" in said(screen)
        screen.query_one("#caption-dataset", Input).value = "photos"
        await pilot.press("enter")
        await settle(pilot)
        assert len(listed(screen)) == 4 and screen.query_one("#caption-list").has_focus


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", [(), ("t",)], ids=["pictures", "tags"])
def test_look(snap_compare: Any, app: Atelier, photos: Path, size: tuple[int, int], keys: tuple[str, ...]) -> None:
    async def show(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        await pilot.press(*keys)
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=show)

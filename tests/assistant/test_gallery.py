"""The gallery's index: in step with the folders, searched by what pictures carry, rated."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from textual.widgets import Input

from assistant.errors import BadArgument
from assistant.gallery import GalleryIndex, chosen
from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.app import Atelier
from assistant.tui.gallery import Pictures
from generation.specs import RenderSpec


def picture(path: Path, when: int, **fields: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = PngInfo()
    texts.add_text("atelier", json.dumps(RenderSpec(**fields).to_json()))
    Image.new("RGB", (16, 8)).save(path, pnginfo=texts)
    os.utime(path, (when, when))
    return path


@pytest.fixture
def index(tmp_path: Path) -> GalleryIndex:
    folder = tmp_path / "pictures"
    picture(folder / "a" / "fox.png", 100, prompt="a Red fox", model="demo", seed=5, sampler="Euler")
    picture(folder / "b" / "cat.png", 200, prompt="a blue cat", negative="dog", model="other", seed=50)
    found = GalleryIndex(tmp_path / "gallery.sqlite3", [folder])
    found.refresh()
    return found


def names(index: GalleryIndex, query: str = "") -> list[str]:
    return [Path(shot.path).name for shot in index.find(query)]


def test_what_is_new_changed_or_gone_is_noticed_and_nothing_else_is_read(index: GalleryIndex, tmp_path: Path) -> None:
    assert names(index) == ["cat.png", "fox.png"]
    assert index.refresh() == 0
    picture(tmp_path / "pictures" / "a" / "fox.png", 300, prompt="a green fox", seed=6)
    (tmp_path / "pictures" / "b" / "cat.png").unlink()
    picture(tmp_path / "pictures" / "new.png", 250, prompt="owl")
    (tmp_path / "pictures" / "broken.png").write_bytes(b"no picture")
    os.utime(tmp_path / "pictures" / "broken.png", (1, 1))
    (tmp_path / "pictures" / ".hidden.png.part").write_bytes(b"")
    assert index.refresh() == 3
    assert names(index) == ["fox.png", "new.png", "broken.png"]
    assert index.find("green")[0].seed == 6


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("red", ["fox.png"]), ("RED fox", ["fox.png"]), ("red cat", []), ("cat.png", ["cat.png"]),
        ("model:demo", ["fox.png"]), ("seed:5", ["fox.png"]), ("seed:>=5", ["cat.png", "fox.png"]),
        ("seed:<50 fox", ["fox.png"]), ("negative:dog", ["cat.png"]), ('sampler:"euler"', ["fox.png"]),
        ("operation:txt2img", ["cat.png", "fox.png"]), ("rating:0", ["cat.png", "fox.png"]), ("model:demo seed:50", []),
    ],
)  # fmt: skip
def test_pictures_are_found_by_words_and_fields(index: GalleryIndex, query: str, wanted: list[str]) -> None:
    assert names(index, query) == wanted


def test_ratings_stay_with_the_path_and_can_be_asked_for(index: GalleryIndex, tmp_path: Path) -> None:
    fox = tmp_path / "pictures" / "a" / "fox.png"
    assert index.rate(fox, 4) == 4
    assert names(index, "rating:>3") == ["fox.png"]
    os.utime(fox, (400, 400))
    index.refresh()
    assert (index.rating(fox), names(index, "rating:>=4")) == (4, ["fox.png"])
    index.rate(fox, 0)
    assert names(index, "rating:>=1") == []
    with pytest.raises(BadArgument, match="out of range"):
        index.rate(fox, 6)


def test_what_cannot_be_is_told(index: GalleryIndex, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="no number"):
        index.find("seed:five")
    assert chosen(index, "fox.png").seed == 5
    with pytest.raises(BadArgument, match="not in the gallery") as caught:
        chosen(index, "foxx.png")
    assert "fox.png" in caught.value.hint
    assert GalleryIndex(tmp_path / "none.sqlite3", [tmp_path / "no folder"]).find() == []
    (tmp_path / "bad.sqlite3").write_text("no database at all, " * 100)
    with pytest.raises(BadArgument, match="cannot be used"):
        GalleryIndex(tmp_path / "bad.sqlite3", []).refresh()


async def test_the_list_is_searched_rated_and_taken_from(
    paths: Paths, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings["look.preview"] = "halfcell"
    fox = picture(paths.output / "a" / "fox.png", 100, prompt="a red fox", seed=5)
    picture(paths.output / "a" / "cat.png", 200, prompt="a blue cat", seed=6)
    app = Atelier(paths, settings, work=False)
    async with app.run_test(size=(140, 40)) as pilot:

        async def settle() -> None:
            for _ in range(3):
                await pilot.pause()
                await app.workers.wait_for_complete()
            await pilot.pause()

        await pilot.press("f4")
        await settle()
        listed = app.query_one(Pictures)
        assert listed.option_count == 2
        listed.focus()
        await pilot.press("slash", *"red")
        await settle()
        assert listed.option_count == 1
        await pilot.press("enter", "j", "plus", "plus", "plus", "minus")
        await settle()
        index = GalleryIndex(paths.gallery, [paths.output])
        assert listed.chosen_picture() == fox
        assert index.rating(fox) == 2
        await pilot.press("enter")
        await settle()
        assert (app.room("draft").prompt, app.query_one("#seed", Input).value) == ("a red fox", "5")

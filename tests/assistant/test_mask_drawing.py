"""A mask drawn in the terminal: by keys and by mouse, at the picture's own size, and put into the form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from textual.pilot import Pilot
from textual.widgets import Input

from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.app import Atelier
from assistant.tui.mask_drawing import MaskCanvas, MaskDrawing
from tests.assistant.test_rooms import Recorder


@pytest.fixture
def app(paths: Paths, settings: Settings) -> Atelier:
    settings["look.preview"] = "halfcell"
    return Atelier(paths, settings, work=False)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.new("RGB", (128, 64), "blue").save(path)
    return path


async def opened(app: Atelier, pilot: Pilot[Any], photo: Path) -> MaskCanvas:
    await pilot.press("f4")
    await pilot.pause()
    await app.room("studio").begin("inpaint", photo)
    await pilot.press("ctrl+d")
    await pilot.pause()
    await app.workers.wait_for_complete()
    await pilot.pause()
    assert isinstance(app.screen, MaskDrawing)
    return app.screen.query_one(MaskCanvas)


async def test_keys_paint_and_enter_puts_the_mask_into_the_form(app: Atelier, photo: Path) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(80, 24)) as pilot:
        canvas = await opened(app, pilot, photo)
        await pilot.press("enter")
        assert isinstance(app.screen, MaskDrawing)  # nothing is painted yet
        await pilot.press(*["left"] * 100, *["up"] * 50, "space", "right", "right", "space")
        assert canvas.mask is not None
        share = (np.asarray(canvas.mask) > 0).mean()
        assert 0 < share < 0.05
        assert np.asarray(canvas.mask)[0, 0] == 255
        await pilot.press("i")
        assert np.isclose((np.asarray(canvas.mask) > 0).mean(), 1 - share)
        await pilot.press("u", "u")
        assert 0 < (np.asarray(canvas.mask) > 0).mean() < share
        await pilot.press("e", "space")
        await pilot.press(*["left"] * 9, "space")
        assert (np.asarray(canvas.mask) > 0).mean() == 0
        await pilot.press("e", "plus", "space", "enter")
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert len(app.screen_stack) == 1
        written = Path(app.query_one("#own-mask", Input).value)
        assert written.parent == app.paths.masks
        mask = np.asarray(Image.open(written))
        assert mask.shape == (64, 128)
        assert set(np.unique(mask)) == {0, 255}
        (await app.ensure("draft")).fill("a red door", "")
        await pilot.press("f5")
        await pilot.pause()
        options = recorder.asked[-1][1]["spec"]["options"]
        assert (options["mask"], options["image"]) == (str(written), str(photo))


async def test_the_mouse_paints_a_line_where_it_goes(app: Atelier, photo: Path) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        canvas = await opened(app, pilot, photo)
        columns, rows = canvas.cells
        assert columns <= canvas.size.width
        assert rows <= canvas.size.height * 2
        assert columns / rows == pytest.approx(2, rel=0.1)
        await pilot.mouse_down(MaskCanvas, offset=(5, 3))
        await pilot.hover(MaskCanvas, offset=(columns - 5, 3))
        await pilot.mouse_up(MaskCanvas, offset=(columns - 5, 3))
        assert canvas.mask is not None
        painted = np.asarray(canvas.mask) > 0
        middle = round((3 * 2 + 1) * 64 / rows)
        assert painted[middle, 16:112].all()
        assert not painted[middle + 20 :].any()


async def test_a_picture_that_cannot_be_read_is_told_and_nothing_opens(app: Atelier, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f4")
        await pilot.pause()
        await pilot.press("ctrl+d")
        assert len(app.screen_stack) == 1
        await app.room("studio").begin("inpaint", tmp_path / "bad.png")
        await pilot.press("ctrl+d")
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert len(app.screen_stack) == 1

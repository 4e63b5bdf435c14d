"""Makes the captures of the README with the real program: real workers, real answers, a real render.

python docs/capture.py
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from assistant.tui.app import Atelier

IMAGES = Path(__file__).parent / "images"
QUESTION = "What does the CFG scale do?"
PROMPT = "a large (sun:1.1), blue background, flat style"


async def until(pilot: Any, ready: Any) -> None:
    """Wait for at most five minutes."""
    began = time.monotonic()
    while not ready():
        await pilot.pause(0.2)
        if time.monotonic() - began > 300:
            raise TimeoutError


async def capture(home: str) -> None:
    """Ask, draft, render; an SVG of each room."""
    app = Atelier.for_home(home)
    app.settings["look.preview"] = "halfcell"
    async with app.run_test(size=(120, 34)) as pilot:
        await pilot.pause(2)
        await until(pilot, lambda: not app._receivers)
        await pilot.pause(1)
        await pilot.press(*QUESTION, "enter")
        await until(pilot, lambda: not app._receivers)
        await pilot.pause(0.5)
        (IMAGES / "library.svg").write_text(app.export_screenshot(title="Atelier"), "utf-8")
        await pilot.press("f9")
        await until(pilot, lambda: not app._receivers)
        await pilot.pause(1)
        (IMAGES / "files.svg").write_text(app.export_screenshot(title="Atelier"), "utf-8")
        await pilot.press("escape", "f3")
        await pilot.pause(1)
        await pilot.press(*"a blue alien in a (night shop:1.2)", "ctrl+g")
        await until(pilot, lambda: not app._receivers)
        await pilot.pause(0.5)
        await pilot.press("f5")
        await pilot.pause(1)
        await until(pilot, lambda: not app._receivers)
        await pilot.pause(2)
        (IMAGES / "draft.svg").write_text(app.export_screenshot(title="Atelier"), "utf-8")
        app.room("draft").fill(PROMPT, "")
        await pilot.press("f5")
        await pilot.pause(1)
        await until(pilot, lambda: not app._receivers)
        await pilot.press("f4")
        await pilot.pause(3)
        (IMAGES / "studio.svg").write_text(app.export_screenshot(title="Atelier"), "utf-8")
        assert app.runner is not None
        app.runner.close()


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(capture(folder))

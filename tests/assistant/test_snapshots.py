"""What the rooms look like at the three sizes; `pytest --snapshot-update` after a change that is meant."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import TextArea

from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.app import Atelier

SIZES = [(60, 20), (80, 24), (140, 40)]
CITATIONS = [
    {
        "n": 1, "path": "/notes/sampling.md", "title": "Sampling", "heading": "Sampling > CFG scale", "line_start": 5,
        "line_end": 5, "page": None, "quote": "The CFG scale says how strongly the picture is pulled.",
    },
    {
        "n": 2, "path": "/notes/guide.pdf", "title": "Guide", "heading": "Guide", "line_start": 3, "line_end": 4,
        "page": 2, "quote": "7 is the usual middle.",
    },
]  # fmt: skip
ANSWER = {
    "answer": "“The CFG scale says how strongly the picture is pulled.” [1]\n\n“7 is the usual middle.” [2]",
    "refused": False, "citations": CITATIONS, "nearest": [], "model": "extractive",
}  # fmt: skip


@pytest.fixture
def app(paths: Paths, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Atelier:
    settings["look.preview"] = "halfcell"
    monkeypatch.setattr(TextArea, "cursor_blink", False)
    return Atelier(paths, settings, work=False)


async def settle(pilot: Pilot[Any]) -> None:
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
def test_library(snap_compare: Any, app: Atelier, size: tuple[int, int]) -> None:
    async def ask(pilot: Pilot[Any]) -> None:
        receivers: list[Any] = []
        app.submit = lambda kind, spec, receiver: receivers.append(receiver) or 1  # type: ignore[method-assign,func-returns-value]
        app.room("library").enter()
        await pilot.press(*"What does CFG do?", "enter")
        receivers[0](1, {"kind": "done", "result": ANSWER})
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=ask)


@pytest.mark.parametrize("size", SIZES)
def test_draft(snap_compare: Any, app: Atelier, size: tuple[int, int]) -> None:
    async def write(pilot: Pilot[Any]) -> None:
        await pilot.press("f3")
        await settle(pilot)
        app.room("draft").fill("a (blue alien:1.2) in a [night] shop, <lora:x:0.8>, [fog:0.8] " + "cat " * 70, "blurry")
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=write)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", ["f4", "f6", "f1"])
def test_other_rooms(snap_compare: Any, app: Atelier, size: tuple[int, int], key: str) -> None:
    async def enter(pilot: Pilot[Any]) -> None:
        await pilot.press(key)
        await settle(pilot)
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=enter)

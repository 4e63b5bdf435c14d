"""The character's screen: read, weighed by keys, refused where a constraint breaks, presets, one LoRA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, Select, Static

from assistant.tui import character
from assistant.tui.app import Atelier
from assistant.tui.character import CharacterScreen, PartSlider

TREE = """
character: hero
prompt: a hero
parts:
  body: {parts: {torso: {lora: torso}, arm: {lora: arm, weight: 0.5}}}
presets: {slim: {body: 0.3}}
constraints: ["body.torso + body.arm <= 2"]
"""


@pytest.mark.parametrize("size", [(60, 20), (140, 40)])
async def test_a_character_is_weighed_and_rendered(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What was moved is rendered by itself when it rests, which on a slow machine may be anywhere below.
    monkeypatch.setattr(character, "SETTLED", 3600.0)
    (tmp_path / "hero.yaml").write_text(TREE)
    app = Atelier.for_home(str(tmp_path / "home"), work=False)
    asked: list[tuple[str, dict[str, Any], Any]] = []

    def submit(kind: str, spec: dict[str, Any], receive: Any) -> int:
        asked.append((kind, spec, receive))
        return len(asked)

    async with app.run_test(size=size) as pilot:
        app.submit = submit  # type: ignore[method-assign, assignment]
        screen = CharacterScreen()
        await app.push_screen(screen)
        screen.query_one("#character-file", Input).value = str(tmp_path / "none.yaml")
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        state = screen.query_one("#character-state", Static)
        assert "cannot be read" in str(state.render())
        screen.query_one("#character-file", Input).focus()
        screen.query_one("#character-file", Input).value = str(tmp_path / "hero.yaml")
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        sliders = list(screen.query(PartSlider))
        assert [slider.path for slider in sliders] == ["body", "body.torso", "body.arm"]
        assert app.focused is sliders[0]
        await pilot.press("tab", "tab", "right", "right")
        assert sliders[2].value == pytest.approx(0.7)
        await pilot.press("f5")
        kind, spec, receive = asked[0]
        assert kind == "character" and spec["set"] == {"body.arm": pytest.approx(0.7)}
        assert spec["render"] == {"seed": 1} and spec["keep"] is False
        # What is moved while one runs is rendered behind it, once.
        await pilot.press("right", "f5", "f5")
        assert len(asked) == 1
        result = {"render": None, "export": None, "prompt": "a hero"}
        receive(1, {"kind": "done", "result": result})
        assert len(asked) == 2 and asked[1][1]["set"] == {"body.arm": pytest.approx(0.8)}
        asked[1][2](2, {"kind": "failed", "message": 'there is no model "torso"', "hint": "Name one."})
        assert 'no model "torso"' in str(state.render())
        await pilot.press("n")
        assert asked[2][1]["render"] == {"seed": 2}
        asked[2][2](3, {"kind": "done", "result": result})
        await pilot.press("e")
        assert asked[3][1]["export"].endswith("hero.safetensors") and asked[3][1]["render"] is None
        asked[3][2](4, {"kind": "done", "result": {**result, "export": {"path": "/x/hero.safetensors"}}})
        assert "/x/hero.safetensors" in str(state.render())
        screen.query_one("#character-preset", Select).value = "slim"
        await pilot.pause()
        assert sliders[0].value == pytest.approx(0.3) and sliders[2].value == pytest.approx(0.5)
        sliders[1].focus()
        await pilot.press("tab", "shift+tab")
        screen._moved = {"body": 1.5, "body.torso": 1.5}
        await pilot.press("f5")
        assert "does not hold" in str(state.render()) and len(asked) == 4
        await pilot.press("escape")
        assert not isinstance(app.screen, CharacterScreen)


async def test_the_palette_leads_there(tmp_path: Path) -> None:
    app = Atelier.for_home(str(tmp_path / "home"), work=False)
    async with app.run_test() as pilot:
        names = [command.title for command in app.get_system_commands(app.screen)]
        assert "Weigh a character" in names
        await app._in_studio("character")
        await pilot.pause()
        assert isinstance(app.screen, CharacterScreen)

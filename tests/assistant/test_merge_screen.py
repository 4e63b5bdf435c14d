"""The merging screen: a recipe looked at by headers, refused in one line, sent as a job, told when it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from textual.widgets import Input, OptionList, Static

from assistant.jobs.merging import run
from assistant.jobs.workshop import Workshop
from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.app import Atelier
from assistant.tui.merge import MergeScreen, call
from generation.merging import METHODS
from generation.merging.recipes import parse

QUERY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"


def lora(path: Path) -> Path:
    save_file({f"{QUERY}.lora_up.weight": torch.ones(320, 2), f"{QUERY}.lora_down.weight": torch.ones(2, 320)}, path)
    return path


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_begins_with_is_a_recipe(name: str) -> None:
    assert parse(call(name)).result.method == name


@pytest.mark.parametrize("size", [(60, 20), (140, 40)])
async def test_a_merge_is_looked_at_and_made(tmp_path: Path, size: tuple[int, int]) -> None:
    one, other = lora(tmp_path / "one.safetensors"), lora(tmp_path / "other.safetensors")
    app = Atelier.for_home(str(tmp_path / "home"), work=False)
    asked: list[tuple[str, dict[str, Any], Any]] = []

    def submit(kind: str, spec: dict[str, Any], receive: Any) -> int:
        asked.append((kind, spec, receive))
        return len(asked)

    async with app.run_test(size=size) as pilot:
        app.submit = submit  # type: ignore[method-assign, assignment]
        screen = MergeScreen()
        await app.push_screen(screen)
        field, state = screen.query_one("#merge-recipe", Input), screen.query_one("#merge-state", Static)

        async def settle() -> str:
            await app.workers.wait_for_complete()
            await pilot.pause()
            return str(state.render())

        field.value = 'concat_loras("nothing", "none")'
        await pilot.press("enter")
        assert "nothing" in await settle() and asked == []
        await pilot.press("f5")
        assert "nothing" in await settle() and asked == []
        field.value = f'concat_loras("{one}", "{other}", weights=[1, 0.5])'
        await pilot.press("enter")
        assert "concat_loras" in await settle() and asked == []
        await pilot.press("f5")
        await settle()
        kind, spec, receive = asked[0]
        assert kind == "merge" and spec["recipe"] == field.value and Path(spec["output"]).name == "merged.safetensors"
        await pilot.press("f5")
        assert len(asked) == 1
        checked = {"sampled": 1, "largest_error": 1e-7, "nan": 0, "render": ""}
        result = {"path": "/models/merged.safetensors", "tensors": 3, "bytes": 9, "verified": checked}
        receive(1, {"kind": "progress", "stage": "writing", "done": 1, "total": 3})
        receive(1, {"kind": "done", "result": result})
        assert "/models/merged.safetensors" in str(state.render())
        methods = screen.query_one("#merge-methods", OptionList)
        methods.focus()
        await pilot.press("home", "enter")
        assert field.value == call(next(iter(METHODS)))
        await pilot.press("escape")
        assert not isinstance(app.screen, MergeScreen)


async def test_the_palette_leads_there(tmp_path: Path) -> None:
    app = Atelier.for_home(str(tmp_path / "home"), work=False)
    async with app.run_test() as pilot:
        commands = {command.title: command.callback for command in app.get_system_commands(app.screen)}
        await commands["Merge weights"]()
        await pilot.pause()
        assert isinstance(app.screen, MergeScreen)


async def test_what_the_screen_asks_for_is_made(tmp_path: Path) -> None:
    one, other = lora(tmp_path / "one.safetensors"), lora(tmp_path / "other.safetensors")
    app = Atelier.for_home(str(tmp_path / "home"), work=False)
    asked: list[dict[str, Any]] = []
    async with app.run_test() as pilot:
        app.submit = lambda kind, spec, receive: asked.append(spec) or 1  # type: ignore[method-assign, assignment, func-returns-value]
        screen = MergeScreen()
        await app.push_screen(screen)
        screen.query_one("#merge-recipe", Input).value = f'concat_loras("{one}", "{other}", weights=[1, 1])'
        await pilot.press("f5")
        await app.workers.wait_for_complete()
        await pilot.pause()
    paths = Paths.find(tmp_path / "home")
    made = run(Workshop(paths, Settings(paths.settings)), asked[0], report=lambda event: None, check=lambda: None)
    assert Path(made["path"]) == paths.models / "merged.safetensors" and Path(made["path"]).is_file()
    assert Path(made["note"]).read_text("utf-8").count("merged") >= 3

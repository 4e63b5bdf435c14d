"""--region, --reference and --modifier: what they mean, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistant.cli import main
from assistant.cli.attachment_words import modifiers, reference, region
from assistant.errors import AssistantError
from assistant.paths import Paths
from assistant.settings import Settings
from generation.errors import GenerationError
from generation.specs import RenderSpec


def test_a_region_is_a_place_and_a_prompt() -> None:
    assert region("left:a red apple") == {"prompt": "a red apple", "place": "left"}
    assert region("row 1 of 2, column 2 of 3: a (red:1.2) fox, blue sky,weight=0.5") == {
        "prompt": "a (red:1.2) fox, blue sky", "place": "row 1 of 2, column 2 of 3", "weight": 0.5,
    }  # fmt: skip
    assert region("0,0,0.5,1:sea, soft=0.1, weight=2") == {
        "prompt": "sea", "place": "0,0,0.5,1", "soft": 0.1, "weight": 2.0,
    }  # fmt: skip
    assert region("top:a sign, size=3")["prompt"] == "a sign, size=3"


def test_a_picture_in_its_place_is_the_mask(tmp_path: Path) -> None:
    mask = tmp_path / "a:b, c.png"
    mask.write_bytes(b"x")
    assert region(f"{mask}:a fox: red") == {"prompt": "a fox: red", "mask": str(mask)}


def test_a_reference_is_a_file_and_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.safetensors").write_bytes(b"x")
    assert reference("a, b.png,weight=0.5,kind=style,mask=m.png,adapter=own.safetensors") == {
        "image": str(tmp_path / "a, b.png"), "weight": 0.5, "kind": "style", "mask": str(tmp_path / "m.png"),
        "adapter": str(tmp_path / "own.safetensors"),
    }  # fmt: skip
    assert reference("a.png,adapter=plus")["adapter"] == "plus"


def test_modifiers_are_names_and_values() -> None:
    found = modifiers(["freeu=auto", "token-merging = 0.5", "deepcache=3", "refiner=sd_xl_refiner"])
    assert found == {"freeu": "auto", "token_merging": 0.5, "deepcache": 3, "refiner": "sd_xl_refiner"}
    assert RenderSpec("a", modifiers=found).modifiers == found


@pytest.mark.parametrize(
    ("read", "text", "message", "hint"),
    [
        (region, "a red apple", "names no place", "left:a red apple"),
        (region, "left:", "has no prompt", "left:a red apple"),
        (region, "lfet:a fox", 'no place "lfet"', "left"),
        (region, "left:a fox,weight=9", "weight 9.0 is out of range", "0 to 2"),
        (region, "left:a fox,weight=1,weight=1", "said already", ""),
        (reference, ",weight=1", "names no picture", "photo.png"),
        (reference, "a.png,wieght=1", 'no setting "wieght"', "weight"),
        (reference, "a.png,kind=stile", 'kind cannot be "stile"', "style"),
        (lambda text: modifiers([text]), "freeo=auto", 'no modifier "freeo"', "freeu"),
        (lambda text: modifiers([text]), "freeu", "has no value", "freeu=sdxl"),
        (lambda text: modifiers([text]), "deepcache=x", "must be a number", "1 to 10"),
    ],
)
def test_what_cannot_be_is_one_line(read: object, text: str, message: str, hint: str) -> None:
    with pytest.raises((AssistantError, GenerationError)) as caught:
        read(text)  # type: ignore[operator]
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message


def test_the_shell_takes_them(tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(tmp_path / "home")]
    settings = Settings(Paths.find(home[1]).settings)
    settings["studio.models"], settings["studio.device"] = [str(tiny_checkpoint.parent)], "cpu"
    out = str(tmp_path / "a.png")
    render = [*home, "render", "fox", "--model", "tiny", "--seed", "1", "-o", out, "--json"]
    assert main([*render, "--region", "left:a car", "--region", "right:a boat", "--modifier", "freeu=auto"]) == 0
    spec = json.loads(capsys.readouterr().out)["spec"]
    assert [one["prompt"] for one in spec["regions"]] == ["a car", "a boat"]
    assert spec["modifiers"] == {"freeu": "auto"}
    assert main([*render, "--reference", str(tmp_path / "none.png")]) == 2
    assert "there is no picture" in capsys.readouterr().err
    sheet = [*home, "character-sheet", "a fox", "--model", "tiny", "--steps", "1", "-o", out, "--json"]
    assert main(sheet) == 0
    assert json.loads(capsys.readouterr().out)["spec"]["operation"] == "character_sheet"
    assert main([*home, "character-sheet", "--model", "tiny"]) == 2
    assert "the prompt is empty" in capsys.readouterr().err
    assert main([*home, "face-restore", str(tmp_path / "none.png")]) == 2
    assert "there is no picture" in capsys.readouterr().err

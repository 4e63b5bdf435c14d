"""Recipes from the shell, beside the commands of the newer operations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from assistant.cli import main

TEXT = """\
name: larger
stages:
  - {id: big, do: upscale, from: input, with: {scale: 2}}
  - {id: turned, do: preprocess, from: big, with: {kind: invert}}
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    (tmp_path / "in").mkdir()
    for n, name in enumerate("ab"):
        noise = np.random.default_rng(n).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "larger.yaml").write_text(TEXT)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    assert main([*arguments, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_a_folder_runs_once_and_goes_on(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ("recipe", "run", str(files / "larger.yaml"), str(files / "in"), "-o", str(files / "out"))
    plan = said(capsys, *call, "--dry-run", "--off", "turned")
    assert [stage["on"] for stage in plan["plan"]] == [True, False]
    assert [one["stem"] for one in plan["inputs"]] == ["a", "b"]
    assert not (files / "out").exists()
    result = said(capsys, *call)
    assert (result["made"], result["cached"], result["failed"]) == (4, 0, 0)
    assert result["path"] == str(files / "out" / "larger")
    assert Image.open(files / "out" / "larger" / "a" / "turned.png").size == (64, 48)
    again = said(capsys, *call, "--set", "big.scale=2")
    assert (again["made"], again["cached"]) == (0, 4)
    assert said(capsys, *call, "--set", "big.scale=3")["made"] == 4
    (files / "in" / "c.png").write_bytes(b"no")
    broken = said(capsys, *call, "--set", "big.scale=3", status=1)
    assert (broken["cached"], broken["failed"]) == (4, 2)
    assert main(list(call)) == 1
    assert "failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("upscale", "upscal"), 'larger.yaml:3: there is no operation "upscal". Did you mean "upscale"?'),
        (("from: big", "from: bigg"), "larger.yaml:4: turned takes from"),
        (("scale: 2", "scale: x"), "larger.yaml:3: big: scale must be a number"),
    ],
)
def test_a_wrong_recipe_is_one_line_with_its_place(
    files: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], words: str
) -> None:
    (files / "larger.yaml").write_text(TEXT.replace(*change))
    for command in ("check", "run"):
        assert main(["recipe", command, str(files / "larger.yaml")]) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"atelier: {words}")
        assert told.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--set", "nothing"], ["--set", "big.sclae=2"], ["--off", "bigg"], ["--cluster", "0"], []]
)
def test_wrong_options_are_one_line(files: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    inputs = [str(files / "in")] if arguments else []
    assert main(["recipe", "run", str(files / "larger.yaml"), *inputs, *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_upscale_needs_no_prompt_and_makes_a_recipe(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = files / "big.png"
    result = said(capsys, "upscale", str(files / "in" / "a.png"), "--scale", "1.5", "-o", str(picture))
    assert result["size"] == [48, 36]
    saved = said(capsys, "recipe", "save", str(picture))
    assert saved["path"] == str(files / "big.yaml")
    assert [stage["do"] for stage in saved["plan"]] == ["upscale"]
    assert main(["recipe", "save", str(picture)]) == 2
    assert "there already" in capsys.readouterr().err
    made = said(capsys, "recipe", "run", str(files / "big.yaml"), "-o", str(files / "out"))
    assert (made["made"], made["failed"]) == (1, 0)
    remade = np.asarray(Image.open(made["stages"][0]["path"]))
    assert (remade == np.asarray(Image.open(picture))).all()


def test_an_instruction_must_be_given(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["instruct", str(files / "in" / "a.png")]) == 2
    assert "the prompt is empty" in capsys.readouterr().err

"""Jobs that make pictures, in this process on a checkpoint of random weights: templates drawn, grids resumed; and the
commands that ask for them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from assistant.cli import main
from assistant.jobs import handlers
from assistant.jobs.workshop import Workshop
from assistant.paths import Paths
from assistant.settings import Settings
from generation.metadata import read


@pytest.fixture
def shop(paths: Paths, settings: Settings, tiny_checkpoint: Path) -> Workshop:
    settings["studio.models"] = [str(tiny_checkpoint.parent)]
    settings["studio.device"] = "cpu"
    settings["studio.remember"] = False
    return Workshop(paths, settings)


def do(shop: Workshop, kind: str, **spec: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    result = getattr(handlers, kind)(shop, spec, report=events.append, check=lambda: None)
    return result, events


def test_a_template_is_drawn_by_the_seed_and_kept_as_the_idea(shop: Workshop, tmp_path: Path) -> None:
    shop.paths.wildcards.mkdir(parents=True)
    (shop.paths.wildcards / "animals.txt").write_text("fox\ncat\nowl\n")
    template = "a {red|blue} __animals__"
    found = set()
    for seed in range(6):
        spec = {"prompt": template, "model": "tiny", "seed": seed}
        one, _ = do(shop, "render", spec=spec, output=str(tmp_path / f"{seed}.png"))
        two, _ = do(shop, "render", spec=spec, output=str(tmp_path / f"{seed}-again.png"))
        assert one["spec"]["prompt"] == two["spec"]["prompt"]
        assert one["spec"]["idea"] == template
        words = one["spec"]["prompt"].split()
        assert words[1] in {"red", "blue"}
        assert words[2] in {"fox", "cat", "owl"}
        found.add(one["spec"]["prompt"])
    assert len(found) > 2
    assert read(tmp_path / "0.png").prompt in found


def test_a_prompt_that_is_no_template_is_left_alone(shop: Workshop, tmp_path: Path) -> None:
    for prompt in ("a {red} fox", "snake_case __ name", "[red|blue] fox"):
        result, _ = do(shop, "render", spec={"prompt": prompt, "model": "tiny"}, output=str(tmp_path / "a.png"))
        assert (result["spec"]["prompt"], result["spec"]["idea"]) == (prompt, "")


def test_a_grid_has_every_cell_and_goes_on_where_it_stopped(shop: Workshop, tmp_path: Path) -> None:
    job = {
        "spec": {"prompt": "a red fox", "model": "tiny", "seed": 3},
        "axes": ["cfg=2,4", "replace=red,blue", "steps=2,3"],
        "output": str(tmp_path / "grid.png"),
    }  # fmt: skip
    result, _ = do(shop, "grid", **job)
    assert [Path(path).name for path in result["paths"]] == ["grid-1.png", "grid-2.png"]
    assert len(result["cells"]) == 8
    spec = read(tmp_path / "grid-cells" / "cell-1-1-0.png").spec() or {}
    assert (spec["cfg"], spec["prompt"], spec["steps"], spec["seed"]) == (4.0, "a blue fox", 2, 3)
    width, height = Image.open(tmp_path / "grid-1.png").size
    assert width > 2 * 64
    assert height > 2 * 64
    kept = tmp_path / "grid-cells" / "cell-0-0-0.png"
    gone = tmp_path / "grid-cells" / "cell-1-0-1.png"
    before = kept.stat().st_mtime_ns
    pixels = Image.open(gone).tobytes()
    gone.unlink()
    again, events = do(shop, "grid", **job)
    assert kept.stat().st_mtime_ns == before
    assert Image.open(gone).tobytes() == pixels
    assert again["paths"] == result["paths"]
    assert [e["done"] for e in events if e["kind"] == "progress"] == list(range(8))
    # Other settings over the same name are rendered anew.
    do(shop, "grid", **{**job, "spec": {**job["spec"], "seed": 4}})
    assert (read(kept).spec() or {})["seed"] == 4


def test_a_cancelled_grid_keeps_its_cells(shop: Workshop, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    cells = tmp_path / "g-cells"

    def check() -> None:
        if len(list(cells.glob("*.png"))) == 2:
            raise Stop

    job = {
        "spec": {"prompt": "fox", "model": "tiny", "seed": 1},
        "axes": ["cfg=2,3,4"],
        "output": str(tmp_path / "g.png"),
    }
    with pytest.raises(Stop):
        handlers.grid(shop, job, report=lambda event: None, check=check)
    assert sorted(path.name for path in cells.iterdir()) == ["cell-0-0-0.png", "cell-1-0-0.png"]
    assert not (tmp_path / "g.png").exists()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_commands_make_pictures_from_pictures(
    tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(tmp_path / "home")]
    common = [*home, "--model", "tiny", "--seed", "5", "--json"]
    run(capsys, "settings", "studio.models", str(tiny_checkpoint.parent), *home)

    def made(*arguments: str) -> dict[str, Any]:
        status, out, error = run(capsys, *arguments, *common)
        assert status == 0, error
        return dict(json.loads(out))

    first = made("render", "a fox", "-o", str(tmp_path / "a.png"))
    assert (first["size"], first["paths"]) == ([64, 64], [first["path"]])
    # Without a prompt the picture's own is taken.
    second = made("img2img", first["path"], "--strength", "0.5", "-o", str(tmp_path / "b.png"))
    assert (second["spec"]["prompt"], second["spec"]["options"]["strength"]) == ("a fox", 0.5)
    Image.new("L", (64, 64), 255).save(tmp_path / "mask.png")
    third = made(
        "inpaint", first["path"], str(tmp_path / "mask.png"), "a cat", "--no-strict", "-o", str(tmp_path / "c.png")
    )
    assert (third["spec"]["options"]["strict"], third["spec"]["prompt"]) == (False, "a cat")
    fourth = made("outpaint", first["path"], "--left", "16", "-o", str(tmp_path / "d.png"))
    assert fourth["size"] == [80, 64]
    fifth = made("variation", first["path"], "--batch", "2", "-o", str(tmp_path / "e.png"))
    assert len(fifth["paths"]) == 2
    again = made("render", "--again", second["path"], "-o", str(tmp_path / "f.png"))
    assert Image.open(again["path"]).tobytes() == Image.open(second["path"]).tobytes()
    sheet = made("grid", "a fox", "--x", "cfg=2,3", "-o", str(tmp_path / "g.png"))
    assert [cell["place"] for cell in sheet["cells"]] == [[0, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("img2img", "none.png", "a fox"), "there is no picture"),
        (("img2img", "none.png"), "there is no picture"),
        (("img2img", "none.png", "a", "--strength", "much"), "strength must be a number"),
        (("inpaint", "none.png", "none.png", "a", "--mask-blur", "99"), "mask blur 99 is out of range"),
        (("grid", "a fox"), "a grid has axes or is a matrix"),
        (("grid", "a fox", "--x", "cgf=1"), 'there is no axis "cgf"'),
        (("render", "a fox", "--hires-scale", "9"), "hires scale 9.0 is out of range"),
        (("render", "a fox <lora:nothing:1>"), 'there is no LoRA "nothing"'),
    ],
)
def test_what_cannot_be_made_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    status, out, error = run(capsys, *arguments, "--home", str(tmp_path))
    assert status == 2
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert out == ""

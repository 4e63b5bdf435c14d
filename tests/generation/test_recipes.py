"""Recipes: what is refused before anything runs, what runs, and what is not run again."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.errors import BadImage, BadSpec
from generation.recipes import Recipe, references
from generation.recipes.inputs import Input, gather
from generation.recipes.keys import beside, key
from generation.recipes.reading import filled, parse, prepared, read
from generation.recipes.running import run
from generation.recipes.saving import of_picture, save
from generation.specs import RenderSpec

TEXT = """\
name: poster
variables: {subject: a red fox, grow: 1.5}
inputs: photos
stages:
  - id: drawn
    do: img2img
    from: input
    prompt: "${subject} in snow"
    model: tiny
    seed: 5
    with: {strength: 0.5}
  - id: edges
    do: preprocess
    from: drawn
    with: {kind: invert}
  - id: large
    do: upscale
    from: edges
    with: {scale: "${grow}"}
  - id: sheet
    do: grid
    from: [input, drawn, large]
    with: {columns: 2}
"""


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Engine:
    return Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for n, name in enumerate(("one.png", "two.jpg")):
        noise = np.random.default_rng(n).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    path = tmp_path / "poster.yaml"
    path.write_text(TEXT)
    return path


def stages(made: list[Any], what: str = "cached") -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for one in made:
        found.setdefault(one.input, []).append(getattr(one, what))
    return found


# Reading


def test_a_recipe_is_read_in_the_order_in_which_it_can_run() -> None:
    shuffled = yaml.safe_load(TEXT)
    shuffled["stages"].reverse()
    recipe = parse(yaml.safe_dump(shuffled))
    order = [step.id for step in recipe.steps]
    assert order.index("drawn") < order.index("edges") < order.index("large") < order.index("sheet")
    assert recipe.takes_input
    assert references(recipe.steps[-1]) == {"input", "drawn", "large"}


BASE = "name: a\nstages:\n  - {id: one, do: upscale, from: input}\n"


@pytest.mark.parametrize(
    ("text", "line", "words", "hint"),
    [
        ("name: a\nstagess: []\n", 2, 'has no "stagess"', "stages"),
        (BASE + "  - {id: two, do: upscal, from: one}\n", 4, 'no operation "upscal"', "upscale"),
        (BASE + "  - {id: two, do: upscale, from: on1}\n", 4, 'takes from "on1"', "one"),
        (BASE + "  - {id: one, do: upscale, from: one}\n", 3, '"one" is taken', "own"),
        (BASE + "  - id: two\n    do: upscale\n    from: one\n    with: {scal: 2}\n", 4, 'no setting "scal"', "scale"),
        (BASE + "  - {id: two, do: upscale, from: one, with: {scale: big}}\n", 4, "must be a number", "1 to 8"),
        (BASE + "  - {id: two, do: upscale, from: one, with: {scale: 9}}\n", 4, "out of range", "1 to 8"),
        (BASE + "  - {id: two, do: upscale, from: one, stps: 3}\n", 4, 'has no "stps"', "steps"),
        (BASE + "  - {id: two, do: upscale}\n", 4, "has no picture", "from"),
        (BASE + "  - {id: two, do: txt2img, from: one, prompt: x}\n", 4, "starts from no picture", "from"),
        (BASE + "  - {id: two, do: txt2img}\n", 4, "has no prompt", "prompt"),
        (BASE + "  - {id: two, do: instruct, from: one}\n", 4, "has no prompt", "prompt"),
        (BASE + "  - {id: two, do: txt2img, prompt: 'a ${subjct}'}\n", 4, 'no variable "subjct"', "Choose"),
        (BASE + "  - {id: two, do: img2img, from: one, prompt: x, steps: 0}\n", 4, "steps 0 is out of range", "1"),
        (BASE + "  - {id: two, do: preprocess, from: one, with: {kind: cany}}\n", 4, '"cany"', "canny"),
        (BASE + "  - {id: two, do: preprocess, from: one, prompt: x}\n", 4, "takes no prompt", "Leave"),
        (BASE + "  - {id: two, do: grid, from: one, with: {colums: 2}}\n", 4, '"colums"', "columns"),
        (BASE + "  - {id: ../x, do: grid, from: one}\n", 4, "the id cannot be", "letters"),
        (BASE + "  - {id: two, do: upscale, from: one, on: maybe}\n", 4, "on is true or false", "on: true"),
        (BASE + "  - {id: two, do: upscale, from: [one, input]}\n", 4, "takes one picture", "@id"),
        (
            "name: a\nstages:\n  - {id: x, do: upscale, from: y}\n  - {id: y, do: upscale, from: x}\n",
            3,
            "each other",
            "",
        ),
        ("name: ../a\nstages: []\n", 1, "the name cannot be", "letters"),
        ("name: a\nstages:\n  - {id: [\n", 4, "no YAML", "Mend"),
        ("name: &x a\nstages:\n  - *x\n", 3, "anchors", "variable"),
        ("just text", 1, "a recipe is a table", "name"),
        ("", 1, "a recipe is a table", "name"),
        ("name: !!python/object/apply:os.system ['true']\n", 1, "no YAML", "Mend"),
    ],
)
def test_what_cannot_run_is_one_line_with_file_and_line(text: str, line: int, words: str, hint: str) -> None:
    with pytest.raises(BadSpec) as caught:
        parse(text, Path("/x/made.yaml"))
    assert caught.value.message.startswith(f"made.yaml:{line}: ")
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    assert hint in caught.value.hint


def test_a_stage_that_needs_what_is_off_is_refused_and_one_that_passes_on_is_not() -> None:
    text = "stages:\n  - {id: a, do: txt2img, prompt: x}\n  - {id: b, do: upscale, from: a}\n"
    with pytest.raises(BadSpec, match="a, which is off"):
        parse(text, off=("a",))
    assert [step.on for step in parse(text, off=("b",)).steps] == [True, False]
    with pytest.raises(BadSpec, match='no stage "c"'):
        parse(text, off=("c",))


def test_what_is_given_beside_the_file_counts_and_is_checked() -> None:
    recipe = parse(TEXT, changes={"grow": "3", "drawn.steps": "7", "drawn.strength": "0.25", "drawn.prompt": "12 owls"})
    assert recipe.variables["grow"] == 3
    assert (recipe.steps[0].fields["steps"], recipe.steps[0].settings["strength"]) == (7, 0.25)
    assert recipe.steps[0].fields["prompt"] == "12 owls"
    for changes, words in (
        ({"grwo": "3"}, 'no variable "grwo"'),
        ({"drwn.steps": "3"}, 'no stage "drwn"'),
        ({"drawn.steps": "many"}, "steps must be a whole number"),
        ({"drawn.strenght": "0.5"}, 'no setting "strenght"'),
    ):
        with pytest.raises(BadSpec, match=words):
            parse(TEXT, changes=changes)


def test_variables_keep_their_type_and_files_their_folder() -> None:
    assert filled({"a": "${n}", "b": ["x ${n}"], "c": "@edges"}, {"n": 2}, {"edges": "/e.png"}) == {
        "a": 2, "b": ["x 2"], "c": "/e.png"
    }  # fmt: skip


def test_relative_files_lie_beside_the_recipe_and_stages_are_named_by_an_at(tmp_path: Path) -> None:
    text = (
        "stages:\n  - {id: a, do: upscale, from: input}\n"
        "  - {id: b, do: inpaint, from: a, prompt: x, with: {mask: hole.png},\n"
        "     controls: [{image: '@a'}, {image: pose.png}]}\n"
    )
    recipe = parse(text, tmp_path / "r.yaml")
    made = prepared(recipe.steps[1], {}, {"a": "/out/a.png"}, recipe.folder)
    assert isinstance(made, RenderSpec)
    assert (made.options["image"], made.options["mask"]) == ("/out/a.png", str(tmp_path / "hole.png"))
    assert [one["image"] for one in made.controls] == ["/out/a.png", str(tmp_path / "pose.png")]


# Inputs


def test_inputs_are_pictures_of_folders_patterns_and_names(recipe_file: Path) -> None:
    recipe = read(recipe_file)
    folder = recipe_file.parent / "photos"
    assert [(one.stem, Path(one.path)) for one in gather(recipe)] == [
        ("one", folder / "one.png"), ("two", folder / "two.jpg")
    ]  # fmt: skip
    (folder / "two-2.png").write_bytes((folder / "two.jpg").read_bytes())
    given = [str(folder / "*.jpg"), str(folder / "two.jpg"), str(folder / "two-2.png")]
    assert [one.stem for one in gather(recipe, given)] == ["two", "two-2", "two-2-2"]
    with pytest.raises(BadImage, match="no picture"):
        gather(recipe, [str(folder / "*.gif")])
    (folder / "none").mkdir()
    with pytest.raises(BadImage, match="no pictures in"):
        gather(recipe, [str(folder / "none")])
    with pytest.raises(BadSpec, match="has no input"):
        gather(parse(BASE))


def test_prompts_are_inputs_too() -> None:
    text = "inputs: {prompts: [a red fox, A red fox!]}\nstages:\n  - {id: a, do: txt2img, prompt: '${prompt}, oil'}\n"
    found = gather(parse(text))
    assert [(one.stem, one.prompt) for one in found] == [("a-red-fox", "a red fox"), ("a-red-fox-2", "A red fox!")]
    assert gather(parse("stages:\n  - {id: a, do: txt2img, prompt: x}\n")) == [Input("once")]


# Running


def test_a_folder_is_made_once_and_only_what_changed_again(engine: Engine, recipe_file: Path, tmp_path: Path) -> None:
    recipe = read(recipe_file)
    output = tmp_path / "out"
    events: list[dict[str, Any]] = []
    made = run(recipe, gather(recipe), output, engine, report=events.append)
    assert stages(made) == {"one": [False] * 4, "two": [False] * 4}
    folder = output / "poster" / "one"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{name}.{kind}" for name in ("drawn", "edges", "large", "sheet") for kind in ("png", "json")
    )
    assert Image.open(folder / "large.png").size == (96, 96)
    inverted = 255 - np.asarray(Image.open(folder / "drawn.png")).astype(int)
    assert (np.asarray(Image.open(folder / "edges.png")) == inverted).all()
    told = [(e["done"], e["total"], e.get("message")) for e in events if e.get("stage") == "stages"]
    assert told[0] == (0, 8, "one: drawn")
    assert told[5] == (5, 8, "two: edges")
    assert told[-1][:2] == (8, 8)
    assert any(e.get("stage") == "drawn: denoising" for e in events)
    stamps = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert stages(run(recipe, gather(recipe), output, engine)) == {"one": [True] * 4, "two": [True] * 4}
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == stamps
    # Another scale: what is before it stays, what is behind it is made again.
    changed = read(recipe_file, {"grow": "2"})
    assert stages(run(changed, gather(changed), output, engine))["one"] == [True, True, False, False]
    # Another picture under the same name.
    Image.new("RGB", (64, 64), "red").save(tmp_path / "photos" / "one.png")
    assert stages(run(changed, gather(changed), output, engine)) == {"one": [False] * 4, "two": [True] * 4}
    # A picture that was painted over since is not taken for the stage's.
    Image.new("RGB", (64, 64), "blue").save(folder / "edges.png")
    assert stages(run(changed, gather(changed), output, engine))["one"] == [True, False, True, True]


def test_a_stage_that_is_off_passes_its_picture_through(engine: Engine, recipe_file: Path, tmp_path: Path) -> None:
    recipe = read(recipe_file, {"grow": "1"}, ("edges",))
    made = run(recipe, gather(recipe)[:1], tmp_path / "out", engine)
    assert [one.stage for one in made] == ["drawn", "large", "sheet"]
    folder = tmp_path / "out" / "poster" / "one"
    assert not (folder / "edges.png").exists()
    assert (np.asarray(Image.open(folder / "large.png")) == np.asarray(Image.open(folder / "drawn.png"))).all()


def test_stopped_anywhere_it_goes_on_where_it_stood(engine: Engine, recipe_file: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    recipe = read(recipe_file)
    wanted = run(recipe, gather(recipe), tmp_path / "whole", engine)
    left = 0

    def check() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Stop

    stops = 0
    while True:
        left = 5 + 4 * stops
        try:
            made = run(recipe, gather(recipe), tmp_path / "parts", engine, check=check)
            break
        except Stop:
            stops += 1
            for path in (tmp_path / "parts").rglob("*.*"):
                if path.suffix == ".png":
                    Image.open(path).load()
                else:
                    assert path.suffix == ".json", path
                    json.loads(path.read_text())
    assert stops >= 2
    assert any(one.cached for one in made)
    for one, other in zip(wanted, made, strict=True):
        assert (np.asarray(Image.open(one.path)) == np.asarray(Image.open(other.path))).all()


def test_a_picture_without_its_key_is_made_again(engine: Engine, recipe_file: Path, tmp_path: Path) -> None:
    """As where the machine stopped between the two files."""
    recipe = read(recipe_file)
    one = gather(recipe)[:1]
    run(recipe, one, tmp_path / "out", engine)
    folder = tmp_path / "out" / "poster" / "one"
    beside(folder / "drawn.png").unlink()
    beside(folder / "large.png").write_text('{"key": ')
    assert stages(run(recipe, one, tmp_path / "out", engine))["one"][:3] == [False, True, False]


def test_what_one_input_cannot_be_does_not_keep_the_others(engine: Engine, recipe_file: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    recipe = read(recipe_file)
    made = run(recipe, gather(recipe), tmp_path / "out", engine)
    errors = stages(made, "error")
    assert "broken.png is no picture" in errors["broken"][0]
    assert errors["broken"][1] == "edges needs drawn, which was not made"
    assert errors["one"] == errors["two"] == [""] * 4


def test_weights_and_prompts_count_in_the_key(engine: Engine, tmp_path: Path, tiny_checkpoint: Path) -> None:
    spec = RenderSpec("a fox", model="tiny", seed=5)
    first = key("txt2img", spec, [], engine.catalogue)
    assert first == key("txt2img", RenderSpec("a fox", model="tiny", seed=5), [], engine.catalogue)
    others = [
        key("txt2img", RenderSpec("a fox", model="tiny", seed=6), [], engine.catalogue),
        key("txt2img", RenderSpec("a/fox" * 200, model="tiny", seed=5), [], engine.catalogue),
        key("txt2img", RenderSpec("a fox", model="atelier-demo", seed=5), [], engine.catalogue),
        key("txt2img", spec, [], Catalogue()),
    ]
    assert len({first, *others}) == 5


# Saving


def test_a_recipe_of_a_render_makes_it_again(engine: Engine, tmp_path: Path) -> None:
    spec = RenderSpec("a (red:1.2) fox", "blur", model="tiny", seed=7, steps=3, modifiers={"tiling": "both"})
    first = engine.render(spec, tmp_path / "first.png")
    larger = RenderSpec("", operation="upscale", seed=1, options={"image": str(first.path), "scale": 1.5})
    last = engine.render(larger, tmp_path / "last one.png")
    path = save(last.path, tmp_path / "again.yaml")
    recipe: Recipe = read(path)
    assert (recipe.name, [step.do for step in recipe.steps]) == ("last-one", ["txt2img", "upscale"])
    made = run(recipe, gather(recipe), tmp_path / "out", engine)
    assert not any(one.error for one in made)
    assert (np.asarray(Image.open(made[-1].path)) == np.asarray(Image.open(last.path))).all()
    # A picture whose own source is gone starts from an input.
    first.path.unlink()
    assert of_picture(last.path)["stages"][0]["from"] == "input"


def test_a_picture_without_settings_makes_no_recipe(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    with pytest.raises(BadImage, match="no settings"):
        save(tmp_path / "plain.png", tmp_path / "a.yaml")
    assert not (tmp_path / "a.yaml").exists()


# Many machines


@pytest.mark.skipif(find_spec("ray") is None, reason="the package ray is not installed")
def test_two_workers_make_what_one_process_makes(
    engine: Engine, recipe_file: Path, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    from generation.recipes import cluster

    recipe = read(recipe_file)
    wanted = run(recipe, gather(recipe), tmp_path / "here", engine)
    about = {"roots": [str(tiny_checkpoint.parent)], "device": "cpu", "precision": "auto", "offload": "auto"}
    events: list[dict[str, Any]] = []
    made = cluster.run(recipe, gather(recipe), tmp_path / "there", about, 2, report=events.append)
    assert [(one.input, one.stage, one.error) for one in made] == [(one.input, one.stage, "") for one in wanted]
    for one, other in zip(wanted, made, strict=True):
        assert (np.asarray(Image.open(one.path)) == np.asarray(Image.open(other.path))).all()
    assert [e["done"] for e in events if e.get("stage") == "inputs"] == [1, 2]


@pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed")
def test_without_ray_the_package_is_named(recipe_file: Path, tmp_path: Path) -> None:
    from generation.recipes import cluster

    recipe = read(recipe_file)
    with pytest.raises(BadSpec, match="package ray") as caught:
        cluster.run(recipe, gather(recipe), tmp_path, {}, 2)
    assert "cluster" in caught.value.hint

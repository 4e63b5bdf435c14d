"""Axes, cells and labels of grids, and the sheet they make."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from generation.errors import BadSpec
from generation.grids import MOST, Axis, axis, matrix, plan
from generation.sheets import GAP, grid
from generation.specs import RenderSpec

SPEC = RenderSpec("a red fox, red hat", "red", seed=7)


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("cfg=3,5.5,7", "cfg", (3.0, 5.5, 7.0)),
        ("CFG scale=3", "cfg", (3.0,)),
        ("steps=1-5", "steps", (1, 2, 3, 4, 5)),
        ("steps=10-30 (+10), 50", "steps", (10, 20, 30, 50)),
        ("steps=5-1", "steps", (5, 4, 3, 2, 1)),
        ("cfg=1-2 [5]", "cfg", (1.0, 1.25, 1.5, 1.75, 2.0)),
        ("cfg=0-1 (0.25)", "cfg", (0.0, 0.25, 0.5, 0.75, 1.0)),
        ("seed=-1", "seed", (-1,)),
        ("sampler=euler a, ddim", "sampler", ("Euler a", "DDIM")),
        ('replace=red,"blue, pale",', "replace", ("red", "blue, pale", "")),
        ("hires_strength=0.2-0.6 [3]", "hires_strength", (0.2, 0.4, 0.6)),
        ("hires upscaler=latent,lanczos", "hires_upscaler", ("latent", "lanczos")),
    ],
)
def test_values_are_read_as_the_plot_writes_them(text: str, name: str, values: tuple[Any, ...]) -> None:
    assert axis(text) == Axis(name, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cgf=1", 'there is no axis "cgf"'), ("cfg", "has no values"), ("cfg=", "has no values"),
        ("steps=two", "steps cannot be two"), ("steps=1-100000", "too many"), ("steps=1-9 [0]", "cannot have 0"),
        ("cfg=1-2 (0)", "too many"), ("sampler=Eulr", "no sampler"), ("hires_strength=3", "out of range"),
        ("strength=0.5", "there is no axis"), (f"seed=1-{MOST * 2} (+2),1-{MOST} (+1)", "values"),
    ],
)  # fmt: skip
def test_what_cannot_be_an_axis_is_one_line(text: str, message: str) -> None:
    with pytest.raises(BadSpec, match=message) as caught:
        axis(text)
    assert caught.value.hint or "nearest" not in message


def test_every_cell_has_its_values_and_its_place() -> None:
    made = plan(SPEC, [axis("cfg=3,5"), axis("steps=10,20,30"), axis("hires_scale=1,2")])
    assert len(made.cells) == 12
    by_place = {cell.place: cell.spec for cell in made.cells}
    spec = by_place[1, 2, 1]
    assert (spec.cfg, spec.steps, spec.options["hires_scale"], spec.seed) == (5.0, 30, 2.0, 7)
    assert [cell.place for cell in made.cells[:3]] == [(0, 0, 0), (1, 0, 0), (0, 1, 0)]
    assert made.labels(0) == ["cfg 3", "cfg 5"]
    assert plan(SPEC, [axis("cfg=3,5")]).labels(1) == [""]


def test_replacing_reaches_both_prompts_and_needs_its_word() -> None:
    made = plan(SPEC, [axis("replace=red,blue")])
    assert [(c.spec.prompt, c.spec.negative) for c in made.cells] == [
        ("a red fox, red hat", "red"), ("a blue fox, blue hat", "blue"),
    ]  # fmt: skip
    with pytest.raises(BadSpec, match="does not stand in the prompt"):
        plan(SPEC, [axis("replace=cat,dog")])
    with pytest.raises(BadSpec, match="same thing"):
        plan(SPEC, [axis("cfg=1,2"), axis("cfg=3")])
    with pytest.raises(BadSpec, match="cells"):
        plan(SPEC, [axis("seed=1-30"), axis("steps=1-30")])
    with pytest.raises(BadSpec, match="multiple of 8"):
        plan(SPEC, [axis("width=64,65")])


def test_a_matrix_has_every_combination_once() -> None:
    made = matrix(RenderSpec("a fox | in snow | [red|blue] sky | at night", seed=1))
    assert [cell.spec.prompt for cell in made.cells] == [
        "a fox", "a fox, in snow", "a fox, [red|blue] sky", "a fox, in snow, [red|blue] sky",
        "a fox, at night", "a fox, in snow, at night", "a fox, [red|blue] sky, at night",
        "a fox, in snow, [red|blue] sky, at night",
    ]  # fmt: skip
    assert made.labels(0) == ["-", "in snow", "[red|blue] sky", "in snow, [red|blue] sky"]
    assert made.labels(1) == ["-", "at night"]
    with pytest.raises(BadSpec, match="no choices"):
        matrix(RenderSpec("a fox | "))


def test_pictures_stand_in_their_places_with_room_for_labels() -> None:
    red, blue = (Image.new("RGB", (64, 48), colour) for colour in ("red", "blue"))
    plain = grid([[red, blue], [None, red]], ["", ""], ["", ""])
    assert plain.size == (64 * 2 + GAP, 48 * 2 + GAP)
    assert [plain.getpixel(p) for p in ((5, 5), (70, 5), (5, 60), (70, 60))] == [
        (255, 0, 0), (0, 0, 255), (255, 255, 255), (255, 0, 0),
    ]  # fmt: skip
    named = grid([[red, blue]], ["cfg 3", "cfg 5"], ["a row"])
    side, top = named.width - plain.width, named.height - 48
    assert side > 20
    assert top >= 10
    assert named.getpixel((side + 5, top + 5)) == (255, 0, 0)
    labels = named.crop((side, 0, named.width, top)).convert("L")
    assert labels.getextrema()[0] < 100
    long = grid([[red]], ["word " * 40], ["Supercalifragilistic" * 3])
    assert long.width < 300

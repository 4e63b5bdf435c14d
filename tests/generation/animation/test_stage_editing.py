"""A file of stages changed as text: one thing each time, the rest to the letter, comments never lost."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from generation.animation.stages import editing
from generation.errors import BadSpec

TEXT = """\
# my film
name: inked   # its name
input: run.mp4
width: 256
stages:
  # held still
  - do: stabilise
    with: {smooth: 3}   # little

  # painted
  - id: painted
    do: img2img
    prompt: >
      an ink
      drawing
    seed: 5
    with:
      strength: 0.5  # half
    # controls: later
  - {do: deflicker, on: false}   # calm
  # the end
# behind
"""


def same_but(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("number", "values", "settings", "changes"),
    [
        (2, {"on": None}, None, [("{do: deflicker, on: false}", "{do: deflicker}")]),
        (2, {"on": True}, None, [("on: false", "on: true")]),
        (2, {}, {"radius": 3}, [("on: false}", "on: false, with: {radius: 3}}")]),
        (0, {"on": False}, None, [("   # little\n", "   # little\n    on: false\n")]),
        (0, {}, {"smooth": 0, "hold": "face"}, [("{smooth: 3}", "{smooth: 0, hold: face}")]),
        (1, {"seed": -1}, None, [("seed: 5", "seed: -1")]),
        (1, {"seed": None}, None, [("    seed: 5\n", "")]),
        (1, {"prompt": "a fox"}, None, [(">\n      an ink\n      drawing\n", "a fox\n")]),
        (1, {"prompt": "a: {b} # c"}, None, [(">\n      an ink\n      drawing\n", "'a: {b} # c'\n")]),
        (1, {"prompt": "two\nlines"}, None, [(">\n      an ink\n      drawing\n", '"two\\nlines"\n')]),
        (1, {"controls": [{"preprocessor": "canny"}]}, {"strength": 0.6},
         [("0.5  # half\n", "0.6  # half\n    controls: [{preprocessor: canny}]\n")]),
    ],
)  # fmt: skip
def test_a_stage_is_changed_where_it_stands(
    number: int, values: dict[str, Any], settings: dict[str, Any] | None, changes: list[tuple[str, str]]
) -> None:
    assert editing.with_stage(TEXT, number, values, settings) == same_but(TEXT, *changes)


def test_switched_off_and_on_again_it_is_the_same_text() -> None:
    for number in (0, 1):
        off = editing.with_stage(TEXT, number, {"on": False})
        assert editing.data_of(off)["stages"][number]["on"] is False
        assert editing.with_stage(off, number, {"on": None}) == TEXT


def test_the_film_s_values_stand_above_the_stages() -> None:
    made = editing.with_values(TEXT, {"width": 512, "frames": 9, "input": "other film.mp4"})
    assert made == same_but(
        TEXT, ("width: 256\n", "width: 512\nframes: 9\n"), ("input: run.mp4", "input: other film.mp4")
    )
    assert editing.with_values(TEXT, {"width": None}) == same_but(TEXT, ("width: 256\n", ""))
    assert editing.with_values("stages:\n- do: carry\n", {"name": "x"}) == "name: x\nstages:\n- do: carry\n"


def test_stages_are_moved_with_their_comments() -> None:
    made = editing.moved(TEXT, 0, 2)
    assert [one["do"] for one in editing.data_of(made)["stages"]] == ["img2img", "deflicker", "stabilise"]
    assert made.index("# held still") > made.index("# calm") and made.index("# the end") > made.index("# little")
    assert sorted(editing.comments(made)) == sorted(editing.comments(TEXT))
    assert editing.data_of(editing.moved(made, 2, 0)) == editing.data_of(TEXT)
    assert "    # controls: later\n  - do: stab" not in editing.moved(TEXT, 1, 0), (
        "a comment inside goes with its stage"
    )


def test_stages_come_and_go() -> None:
    made = editing.added(TEXT, 1, {"do": "carry", "on": False, "with": {"weight": 0.2}})
    assert made == same_but(TEXT, ("\n  # painted", "\n  - {do: carry, on: false, with: {weight: 0.2}}\n  # painted"))
    assert editing.removed(made, 1) == TEXT
    last = editing.added(TEXT, 3, {"do": "img2img", "prompt": "long " * 30})
    assert editing.data_of(last)["stages"][3]["prompt"] == "long " * 30 and last.endswith("  # the end\n# behind\n")
    assert max(len(line) for line in last.splitlines()) < 120
    less = editing.removed(TEXT, 0)
    assert "held still" not in less and "# painted" in less and less.startswith(TEXT[: TEXT.index("  # held")])
    with pytest.raises(BadSpec, match="only stage"):
        editing.removed("stages: [{do: carry}]", 0)


@pytest.mark.parametrize(
    "text",
    [
        "# a\nstages: [{do: carry}, {do: img2img, prompt: x}]   # b\n",
        "stages:\r\n- do: carry   # a\r\n- {do: img2img, prompt: x}   # b\r\n",
        "{stages: [{do: carry}, {do: img2img, prompt: x}]}  # a b",
        "stages:\n-\n  do: carry # a\n-\n  # b\n  do: img2img\n  prompt: x",
        '"stages": # a\n  - "do": carry\n  - {"do": img2img, "prompt": x} # b\n',
    ],
)
def test_however_it_is_written_the_change_is_made_and_comments_stay(text: str) -> None:
    before = editing.data_of(text)
    for made, wanted in (
        (editing.with_stage(text, 0, {"on": False}, {"weight": 0.1}),
         [{"do": "carry", "on": False, "with": {"weight": 0.1}}, before["stages"][1]]),
        (editing.moved(text, 1, 0), before["stages"][::-1]),
        (editing.added(text, 2, {"do": "deflicker"}), [*before["stages"], {"do": "deflicker"}]),
        (editing.with_values(text, {"frames": 3}), before["stages"]),
    ):  # fmt: skip
        assert editing.data_of(made)["stages"] == wanted
        assert all(letter in " ".join(editing.comments(made)) for letter in "ab")
    assert editing.data_of(editing.with_values(text, {"frames": 3}))["frames"] == 3


def test_the_key_on_is_no_truth() -> None:
    data = editing.data_of("stages:\n- {do: carry, on: false}\n- {do: x, 'on': true}")
    assert [one["on"] for one in data["stages"]] == [False, True]
    # Written in a block, too long for a line, it has no quotes that it would have as a text.
    made = editing.added("stages:\n- {do: carry}\n", 0, {"do": "img2img", "on": False, "prompt": "long " * 30})
    assert "\n  on: false\n" in made and yaml.safe_load(made)["stages"][0][True] is False


@pytest.mark.parametrize("text", ["", "stages: 3", "stages: [1]", "a: [", "- x"])
def test_what_holds_no_stages(text: str) -> None:
    with pytest.raises(BadSpec):
        editing.data_of(text)

"""The text of recipes: what it means, and where it goes wrong."""

from __future__ import annotations

import pytest

from generation.errors import BadSpec
from generation.merging import METHODS, blocks
from generation.merging.recipes import BadRecipe, Call, Named, parse, walk


def test_values_nest_and_keep_their_order() -> None:
    recipe = parse(
        'base = model("one")\nmixed = slerp(base, "two", alpha=0.25)\nties("base", mixed, base, vote="count")'
    )
    call = recipe.result
    assert (call.method, call.values["vote"], call.values["density"]) == ("ties", "count", 0.2)
    assert call.inputs[0] == Named("base") and call.inputs[2] == Named("one")
    inner = call.inputs[1]
    assert isinstance(inner, Call) and inner.values == {"alpha": 0.25}
    assert recipe.names() == ("base", "one", "two")


def test_the_last_line_may_have_a_name() -> None:
    assert parse('x = weighted_sum("a", "b")').result.values == {"alpha": 0.5}


def test_every_method_can_be_called_as_its_table_says() -> None:
    for name, method in METHODS.items():
        inputs = ", ".join(f'"{n}"' for n in range(len(method.takes)))
        extra = ", rank=4" if name in {"svd_loras", "resize_lora"} else ""
        assert parse(f"{name}({inputs}{extra})").result.method == name


def test_weights_of_networks_have_one_for_each() -> None:
    assert parse('concat_loras("a", "b", "c")').result.values["weights"] == [1.0, 1.0, 1.0]
    assert parse('concat_loras("a", "b", weights=[-1, 0.5])').result.values["weights"] == [-1.0, 0.5]


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("", 1, 1, "empty"),
        ('weighted_sum("a"', 1, 13, "never closed"),
        ('weigted_sum("a", "b")', 1, 1, 'no method "weigted_sum"'),
        ("x = 1\nx", 1, 5, "weights are expected"),
        ('weighted_sum("a", b)', 1, 19, 'nothing is named "b"'),
        ('weighted_sum("a")', 1, 1, "takes 2 weights, not 1"),
        ('weighted_sum("a", "b", "c")', 1, 1, "takes 2 weights, not 3"),
        ('ties("a")', 1, 1, "2 or more"),
        ('weighted_sum("a", "b", alfa=1)', 1, 29, 'no setting "alfa"'),
        ('weighted_sum("a", "b", alpha=11)', 1, 30, "out of range"),
        ('weighted_sum("a", "b", alpha="x")', 1, 30, "must be a number"),
        ('weighted_sum("a", "b", alpha=True)', 1, 30, "must be a number"),
        ('weighted_sum("a", "b", alpha=1e999)', 1, 30, "out of range"),
        ('weighted_sum("a", "b", alpha=c.d)', 1, 30, "a setting is"),
        ('weighted_sum("a", "b", **{"alpha": 1})', 1, 26, "no setting"),
        ('weighted_sum(*"ab")', 1, 1, "unpacked"),
        ('ties("a", "b", vote="most")', 1, 21, 'cannot be "most"'),
        ('ties("a", "b", density=0)', 1, 24, "out of range"),
        ('dare("a", "b", drop=1)', 1, 21, "out of range"),
        ('dare("a", "b", seed=1.5)', 1, 21, "whole number"),
        ('svd_loras("a", "b")', 1, 1, "needs a rank"),
        ('concat_loras("a", "b", weights=[1])', 1, 32, "1 weights for 2"),
        ('concat_loras("a", "b", weights=[1, "x"])', 1, 32, "list of numbers"),
        ('weighted_sum("a", extract_lora("b", "c"))', 1, 19, "gives a lora"),
        ('add_lora("a", weighted_sum("b", "c"))', 1, 15, "gives a checkpoint"),
        ("import os", 1, 1, "no line of a recipe"),
        ('__import__("os")', 1, 1, "no method"),
        ("(lambda: 1)()", 1, 1, "weights are expected"),
        ('slerp("a", "b")\nslerp("a", "b")', 1, 1, "only the last line"),
        ('slerp = model("a")\nslerp("a", "b")', 1, 1, "is a method"),
        ('model("a")', 1, 1, "makes nothing"),
        ('weighted_sum("a", "")', 1, 19, "empty"),
        ("weighted_sum(model(3), 'b')", 1, 14, "one name in quotes"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, line: int, column: int, said: str) -> None:
    with pytest.raises(BadRecipe) as caught:
        parse(text)
    assert said in caught.value.message and "\n" not in caught.value.message and caught.value.hint
    assert (caught.value.line, caught.value.column) == (line, column)


def test_the_nearest_name_is_proposed() -> None:
    with pytest.raises(BadRecipe) as caught:
        parse('base = model("a")\nslerp(bose, "b")')
    assert caught.value.hint == 'Did you mean "base"?'


def test_a_short_text_cannot_stand_for_a_huge_one() -> None:
    doubled = 'x = slerp("a", "a")\n' + "x = slerp(x, x)\n" * 60
    with pytest.raises(BadRecipe, match="steps"):
        parse(doubled)
    assert len(walk(parse('x = slerp("a", "a")\n' + "x = slerp(x, x)\n" * 5).result)) == 127
    for text in ("(" * 5000, "slerp(" * 150 + '"a"' + ")" * 150, "-" * 50_000 + "1", "x" * 200_000):
        with pytest.raises(BadRecipe):
            parse(text)


def test_blocks_are_counted_as_supermerger_does() -> None:
    assert len(blocks.names("sd15")) == 26 and len(blocks.names("sdxl")) == 20
    assert blocks.names("sd15-inpainting") == blocks.names("sd15")
    for name, block in (
        ("model.diffusion_model.time_embed.0.weight", "BASE"),
        ("model.diffusion_model.label_emb.0.0.weight", "BASE"),
        ("cond_stage_model.transformer.text_model.final_layer_norm.weight", "BASE"),
        ("first_stage_model.encoder.conv_in.weight", "BASE"),
        ("model.diffusion_model.input_blocks.0.0.weight", "IN00"),
        ("model.diffusion_model.input_blocks.11.0.in_layers.0.bias", "IN11"),
        ("model.diffusion_model.middle_block.1.proj_in.weight", "M00"),
        ("model.diffusion_model.output_blocks.3.1.proj_in.weight", "OUT03"),
        ("model.diffusion_model.out.2.weight", "OUT11"),
    ):
        assert blocks.block_of(name, "sd15") == block
    assert blocks.block_of("model.diffusion_model.out.2.weight", "sdxl") == "OUT08"


def test_block_weights_as_a_list_and_as_a_table() -> None:
    weight = blocks.by_name([n / 100 for n in range(26)], "sd15")
    assert isinstance(weight, dict) and weight["BASE"] == 0 and weight["M00"] == 0.13 and weight["OUT11"] == 0.25
    assert blocks.at(weight, "model.diffusion_model.output_blocks.0.0.skip_connection.weight", "sd15") == 0.14
    table = blocks.by_name({"M00": 1, "default": 0.25}, "sdxl")
    assert isinstance(table, dict) and len(table) == 20 and table["M00"] == 1 and table["IN03"] == 0.25


@pytest.mark.parametrize(
    ("value", "family", "said"),
    [
        ([0.5] * 25, "sd15", "25 numbers, and SD 1.5 has 26"),
        ([0.5] * 26, "sdxl", "26 numbers, and SDXL has 20"),
        ({"M0": 1.0, "default": 0}, "sd15", 'no block "M0"'),
        ({"M00": 1.0}, "sd15", "other blocks"),
        ([0.5] * 25 + ["x"], "sd15", "must be a number"),
        ([0.5] * 25 + [99], "sd15", "out of range"),
        ([0.5], "sd15-small", "not counted"),
        (float("nan"), "sd15", "out of range"),
    ],
)
def test_wrong_block_weights(value: object, family: str, said: str) -> None:
    with pytest.raises(BadSpec, match=said):
        blocks.by_name(value, family)

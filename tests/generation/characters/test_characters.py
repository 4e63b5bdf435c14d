"""Characters: trees read and weighed by hand-computed products, constraints, damage, and what one LoRA of them does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from generation.catalogue import Catalogue, look
from generation.characters import constraints, making, trees
from generation.errors import BadSpec, GenerationError
from generation.networks import exporting, files
from generation.networks.deltas import Layer, delta
from generation.prompts.grammar import parse

TREE = """
character: hero
model: tiny
prompt: a hero
parts:
  body:
    weight: 0.5
    range: [0, 2]
    parts:
      torso: {lora: torso, words: broad chest}
      arm:
        weight: 1.2
        parts:
          bicep: {lora: bicep, weight: 0.5, range: [-1, 1]}
          tricep: bicep
  head: {lora: head, active: false}
presets:
  slim: {body: 0.25, body.torso: 0.4}
constraints:
  - body.torso + body.arm.bicep <= 1.5
  - 0 <= head < 1
"""


def write_tree(folder: Path, text: str = TREE, name: str = "hero.yaml") -> Path:
    (folder / name).write_text(text, "utf-8")
    return folder / name


def network(path: Path, seed: int, rank: int = 2) -> Path:
    generator = torch.Generator().manual_seed(seed)

    def tensor(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    layers = {
        "unet.down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q": Layer(
            "lora", {"lora_up": tensor(16, rank), "lora_down": tensor(rank, 16)}, alpha=1.0
        )
    }
    exporting.write(path, layers, family="sd15", metadata={}, precision="fp32")
    return path


@pytest.fixture
def hero(tmp_path: Path) -> trees.Tree:
    for number, name in enumerate(("torso", "bicep", "head")):
        network(tmp_path / f"{name}.safetensors", number, rank=2 + number)
    return trees.read(write_tree(tmp_path))


def test_weights_are_products_down_the_tree(hero: trees.Tree) -> None:
    acting = hero.acting()
    assert acting["body.torso"] == pytest.approx(0.5)
    assert acting["body.arm.bicep"] == pytest.approx(0.5 * 1.2 * 0.5)
    assert acting["body.arm.tricep"] == pytest.approx(0.6)
    assert acting["head"] == 0
    assert [one.part.path for one in hero.leaves()] == ["body.torso", "body.arm.bicep", "body.arm.tricep"]
    slim = hero.preset("slim").acting()
    assert slim["body.torso"] == pytest.approx(0.1) and slim["body.arm.tricep"] == pytest.approx(0.3)


def test_ranges_are_inherited_and_kept(hero: trees.Tree) -> None:
    there = {part.path: part for part in hero.walk()}
    assert (there["body.torso"].low, there["body.torso"].high) == (0, 2)
    assert (there["body.arm.bicep"].low, there["body.arm.bicep"].high) == (-1, 1)
    assert (there["head"].low, there["head"].high) == (0, 1.5)
    with pytest.raises(BadSpec, match=r"body\.arm\.bicep cannot weigh 1\.5"):
        hero.set({"body.arm.bicep": 1.5})
    with pytest.raises(BadSpec) as error:
        hero.set({"body.troso": 1})
    assert "body.torso" in error.value.hint
    with pytest.raises(BadSpec, match="no preset"):
        hero.preset("slym")


def test_constraints_are_of_what_acts(hero: trees.Tree) -> None:
    assert hero.broken() == [] and hero.checked() is hero
    heavy = hero.set({"body": 2, "body.torso": 1})
    assert heavy.broken() == ["body.torso + body.arm.bicep <= 1.5"]
    with pytest.raises(BadSpec, match=r"body\.torso is 2"):
        heavy.checked()


@pytest.mark.parametrize(
    ("text", "weights", "holds"),
    [
        ("a <= b", {"a": 1, "b": 1}, True), ("a < b", {"a": 1, "b": 1}, False),
        ("0 <= a <= 1 < b", {"a": 1, "b": 2}, True),
        ("a + 2 * b == 5", {"a": 1, "b": 2}, True), ("max(a, b) - min(a, b) <= 0.5", {"a": 0.2, "b": 0.9}, False),
        ("a / b > 1", {"a": 1, "b": 0}, False), ("abs(a) >= 1", {"a": -1, "b": 0}, True),
        ("-a != b", {"a": 1, "b": 1}, True),
    ],
)  # fmt: skip
def test_constraints_by_hand(text: str, weights: dict[str, float], holds: bool) -> None:
    assert constraints.parse(text, weights).holds(weights) is holds


@pytest.mark.parametrize(
    "text",
    ["a", "a <= __import__('os').getpid()", "a in b", "a <= c", "a <= 'x'", "a <= b ** 9", "(lambda: 1)() <= a", "a <=",
     "a <= [1]", "a.b <= 1", "a <= True", "x" * 600 + " <= 1", "a <= b if a else b", 3, ""],
)  # fmt: skip
def test_constraints_that_are_none(text: Any) -> None:
    with pytest.raises(BadSpec) as error:
        constraints.parse(text, ["a", "b"])
    assert error.value.hint and "\n" not in error.value.message


def test_the_prompt_calls_every_leaf_up(hero: trees.Tree, tmp_path: Path) -> None:
    found = making.files(hero, Catalogue([tmp_path]))
    text = making.prompt(hero, "", found)
    assert text.startswith("a hero, (broad chest:0.5) <lora:")
    networks = parse(text).networks
    assert [(Path(one.name).stem, one.positional[1:]) for one in networks] == [
        ("torso", ("0.5", "0.5")), ("bicep", ("0.3", "0.3")), ("bicep", ("0.6", "0.6")),
    ]  # fmt: skip


def test_one_lora_is_the_sum_of_the_leaves(hero: trees.Tree, tmp_path: Path) -> None:
    made = making.export(hero, tmp_path / "one.safetensors", Catalogue([tmp_path]))
    place = "unet.down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    zeros = torch.zeros(16, 16)

    def change(path: Path) -> torch.Tensor:
        return delta(files.read(path).layers[place], zeros)

    wanted = sum(one.weight * change(tmp_path / f"{Path(one.part.lora).stem}.safetensors") for one in hero.leaves())
    assert torch.allclose(change(Path(made["path"])), wanted, atol=2e-2)
    assert made["verified"]["nan"] == 0 or made["verified"]["nan"] is False
    alone = hero.set({"body.arm": 0})
    making.export(alone, tmp_path / "alone.safetensors", Catalogue([tmp_path]))
    one = change(tmp_path / "alone.safetensors")
    assert torch.allclose(one, 0.5 * change(tmp_path / "torso.safetensors"), atol=2e-2)
    with pytest.raises(BadSpec, match="no part"):
        making.export(hero.set({"body": 0}), tmp_path / "none.safetensors", Catalogue([tmp_path]))


def test_a_leaf_that_is_a_merge_is_made_once(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        network(tmp_path / f"{name}.safetensors", number)
    recipe = 'concat_loras(\\"a.safetensors\\", \\"b.safetensors\\", weights=[1, 0.5])'
    tree = trees.read(write_tree(tmp_path, f'parts: {{both: {{merge: "{recipe}"}}}}'))
    path = making.files(tree, Catalogue([tmp_path]))["both"]
    stamp = path.stat().st_mtime_ns
    assert look(path).kind == "lora"
    assert making.files(tree, Catalogue([tmp_path]))["both"].stat().st_mtime_ns == stamp


def test_a_file_is_laid_over_the_one_it_extends(tmp_path: Path) -> None:
    write_tree(tmp_path)
    over = write_tree(
        tmp_path,
        "character: villain\nextends: hero.yaml\nparts: {body: {parts: {torso: {weight: 0.1}}}}",
        "villain.yaml",
    )
    tree = trees.read(over)
    assert tree.name == "villain" and tree.weights["body.torso"] == 0.1 and tree.weights["body"] == 0.5
    assert tree.presets.keys() == {"slim"}


BROKEN = {
    "": "is a table", "[1]": "is a table", "a: [": "expected", "parts: {}": "no parts", "prats: {}": 'no "prats"',
    "parts: {a: {}}": "without a lora", "parts: {a: {lora: x, merge: y}}": "both", "parts: {a: 3}": "no table",
    "parts: {a: {lora: x, wieght: 1}}": 'no "wieght"', "parts: {a: {lora: x, weight: heavy}}": "must be a number",
    "parts: {a: {lora: x, weight: .nan}}": "must be a number", "parts: {a: {lora: x, weight: 9}}": "out of range",
    "parts: {a: {lora: x, range: [1, 0]}}": "is empty", "parts: {a: {lora: x, range: 3}}": "two numbers",
    "parts: {a: {lora: x, active: 3}}": "true or false", "parts: {a: {lora: [x]}}": "must be text",
    "parts: {a: {lora: x, parts: {b: y}}}": "network of its own", "parts: {a: {parts: {}}}": "no parts under",
    "parts: {1a: x}": "cannot be called", "parts: {a: x}\nconstraints: a < 1": "must be a list",
    "parts: {a: x}\nconstraints: [b < 1]": 'names "b"', "parts: {a: x}\npresets: {p: {b: 1}}": 'no part "b"',
    "parts: {a: x}\npresets: [p]": "must be a table", "parts: {a: x}\npresets: {p: {a: 9}}": "cannot weigh 9",
    "parts: {a: x}\nmodel: 3": "must be text", "parts: &p {a: x}\npresets: *p": "anchors",
    "extends: 3\nparts: {a: x}": "extends must be", "extends: none.yaml\nparts: {a: x}": "cannot be read",
    "extends: t.yaml\nparts: {a: x}": "extends itself", "\tparts: x": "cannot start any token",
    "parts: " + "{a: {parts: " * 20 + "{b: x}" + "}}" * 20: "levels",
}  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_broken_files_get_one_line(tmp_path: Path, text: str) -> None:
    path = write_tree(tmp_path, text, "t.yaml")
    with pytest.raises(GenerationError) as error:
        trees.read(path)
    assert BROKEN[text] in error.value.message and error.value.hint
    assert "\n" not in error.value.message and ("t.yaml" in error.value.message or "none.yaml" in error.value.message)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00x", b"\x00" * 50, b"%PDF-1.7\n\x80\x81"])
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.yaml").write_bytes(data)
    with pytest.raises(GenerationError) as error:
        trees.read(tmp_path / "t.yaml")
    assert "\n" not in error.value.message


def test_a_lora_that_is_missing_or_none_is_named(tmp_path: Path, tiny_checkpoint: Path) -> None:
    tree = trees.read(write_tree(tmp_path, "parts: {a: nothing}"))
    with pytest.raises(GenerationError, match="nothing"):
        making.files(tree, Catalogue([tmp_path]))
    (tmp_path / "bad.safetensors").write_bytes(b"12345678{}")
    tree = trees.read(write_tree(tmp_path, "parts: {a: bad}"))
    with pytest.raises(GenerationError) as error:
        making.files(tree, Catalogue([tmp_path]))
    assert "\n" not in error.value.message

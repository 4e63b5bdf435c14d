"""A1111's text: the reference's reading, the careful one, and writing."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from generation import infotext
from generation.specs import ModelDefaults, RenderSpec

# The rule as the reference states it; slow on long lines, so the package walks from colon to colon instead.
STATED = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
TAIL = "Steps: 20, Sampler: Euler, CFG scale: 7, Seed: 1"


def test_pairs_are_those_of_the_stated_rule() -> None:
    dice = random.Random(5)
    for _ in range(20_000):
        line = "".join(dice.choice('ab1 -/:,"\\\t_é[x') for _ in range(dice.randint(0, 24)))
        assert list(infotext._pairs(line)) == STATED.findall(line), repr(line)


def test_the_careful_reading_is_the_better_one(vectors: Callable[[str], Any]) -> None:
    for sample in vectors("infotext.json")["samples"]:
        got = infotext.read(sample["text"], careful=True)
        better = sample.get("better_parse")
        if better is None:
            assert got == infotext.read(sample["text"]), sample["id"]
        else:
            assert better in (got["params"], {"prompt": got["prompt"]}), sample["id"]


def test_long_lines_take_no_long_time() -> None:
    for line in ("a" * 300_000, "aa:" * 100_000, 'aa:["aa:[",' * 5_000, "aa:" + "[" * 100_000):
        began = time.process_time()
        infotext.read(f"a fox\n{line}", careful=True)
        assert time.process_time() - began < 5, line[:20]


@pytest.mark.parametrize(
    ("text", "prompt", "negative"),
    [
        ("", "", ""),
        ("a fox", "a fox", ""),
        (f"a\n\nb\n{TAIL}", "a\n\nb", ""),
        (f"Negative prompt: bad\n{TAIL}", "", "bad"),
        (f"a\nNegative prompt:\nbad\nworse\n{TAIL}", "a", "bad\nworse"),
        ("a\nNegative prompt: bad", "a", "bad"),
        ("a\nSteps: 20, Seed: 1", "a\nSteps: 20, Seed: 1", ""),
    ],
)
def test_where_the_prompt_ends(text: str, prompt: str, negative: str) -> None:
    got = infotext.read(text)
    assert (got["prompt"], got["negative_prompt"]) == (prompt, negative)


def test_quotes() -> None:
    got = infotext.read(f'a\n{TAIL}, Lora hashes: "x: 1, y: 2", Odd: "a\\qb", Name: "said \\"so\\"", Last: "open')
    params = got["params"]
    assert (params["Lora hashes"], params["Name"]) == ("x: 1, y: 2", 'said "so"')
    assert (params["Odd"], params["Last"]) == ('"a\\qb"', '"open')


def test_writing_leaves_out_what_is_not_known() -> None:
    spec = RenderSpec("a fox").to_json()
    assert infotext.write(spec, version="") == "a fox\nModel: atelier-demo, RNG: CPU"
    full = RenderSpec("a", cfg=7.25, seed=0, model="Model").resolve(ModelDefaults(), lambda: 0).to_json()
    last = infotext.write(full, model_hash="eef545047f", version="1:2").split("\n")[-1]
    assert last == (
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.25, Seed: 0, Size: 512x512, "
        'Model hash: eef545047f, Model, RNG: CPU, Version: "1:2"'
    )


@pytest.mark.parametrize("cfg", [0.0, 7.0, 7.1234567, 1e-07])
def test_every_digit_of_cfg_comes_back(cfg: float) -> None:
    full = RenderSpec("a", cfg=cfg, seed=1).resolve(ModelDefaults(), lambda: 0).to_json()
    assert infotext.to_spec(infotext.read(json.loads(json.dumps(infotext.write(full)))))["cfg"] == cfg

"""The bounds of a spec, and the trip through JSON, for what `test_specs_and_files` does not ask."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.errors import BadSpec, UnknownSampler, nearest
from generation.specs import LARGEST_SEED, ModelDefaults, RenderSpec


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("steps", 1, 1000), ("clip_skip", 1, 12), ("batch", 1, 64), ("seed", -1, LARGEST_SEED), ("cfg", 0, 50)],
)
def test_both_ends_are_allowed_and_no_more(name: str, low: int, high: int) -> None:
    for value in (low, high):
        assert getattr(RenderSpec("a", **{name: value}), name) == value
    for value in (low - 1, high + 1):
        with pytest.raises(BadSpec) as caught:
            RenderSpec("a", **{name: value})
        assert caught.value.hint


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 10**400, "7", True, [7]])
def test_a_cfg_that_is_no_number_in_range(value: Any) -> None:
    with pytest.raises(BadSpec):
        RenderSpec("a", cfg=value)


@given(st.integers(-100, 5000))
def test_sizes_are_multiples_of_8_or_refused_with_one_that_is(value: int) -> None:
    if value % 8 == 0 and 32 <= value <= 4096:
        assert RenderSpec("a", width=value).width == value
        return
    with pytest.raises(BadSpec) as caught:
        RenderSpec("a", width=value)
    offered = [int(word.strip(".")) for word in caught.value.hint.split() if word.strip(".").isdigit()]
    assert offered
    assert all(number % 8 == 0 and 32 <= number <= 4096 for number in offered)


@pytest.mark.parametrize("mapping", [None, [], "a fox", 3, [("prompt", "a")]])
def test_what_is_no_table_is_a_bad_spec(mapping: Any) -> None:
    with pytest.raises(BadSpec):
        RenderSpec.from_json(mapping)


@pytest.mark.parametrize("name", ["prompt", "negative", "model"])
def test_bytes_that_were_no_text_are_refused_before_they_meet_a_file(name: str) -> None:
    with pytest.raises(BadSpec, match=name):
        RenderSpec(**{"prompt": "a", name: "caf\udce9"})


def test_an_unknown_sampler_is_a_bad_spec_too() -> None:
    with pytest.raises(BadSpec) as caught:
        RenderSpec("a", sampler="Eular a")
    assert isinstance(caught.value, UnknownSampler)
    assert caught.value.hint == 'Did you mean "Euler a"?'


def test_the_draw_is_asked_only_for_an_open_seed() -> None:
    def draw() -> int:
        raise AssertionError("drawn")

    assert RenderSpec("a", seed=7).resolve(ModelDefaults(), draw).seed == 7
    full = RenderSpec("a").resolve(ModelDefaults(), lambda: 3)
    assert RenderSpec.from_json(json.loads(json.dumps(full.to_json()))) == full
    assert None not in full.to_json().values()


def test_nothing_is_suggested_for_what_is_far_from_all() -> None:
    assert nearest("zzzzzz", ["steps", "seed"]) == ""
    assert nearest("STEP", ["steps", "seed"]) == 'Did you mean "steps"?'

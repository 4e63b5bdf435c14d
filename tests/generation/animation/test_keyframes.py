"""Keys found, set and taken out, the other keys left to the letter; what is printed is read and evaluated again."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.animation.deforum_keys import SCHEDULES
from generation.animation.evaluation import evaluate
from generation.animation.evaluation import prompts as prompts_of
from generation.animation.keyframes import (
    keyframes,
    place,
    prompt_keys,
    with_key,
    with_prompt,
    without_key,
    without_prompt,
)
from generation.animation.schedules import parse, read_prompts
from generation.errors import BadSchedule

TEXT = '0: (0), 30:(where(t<10, 1, 2)) , "max_f-1": (15):ease-in'


def test_keys_lie_where_their_frames_are() -> None:
    keys = keyframes(TEXT, 120)
    assert [(key.frame, key.value) for key in keys] == [(0, "0"), (30, "where(t<10, 1, 2)"), (118, "15:ease-in")]
    assert [key.text for key in keys] == ["0: (0)", "30:(where(t<10, 1, 2))", '"max_f-1": (15):ease-in']
    # Behind the last frame nothing acts; of two at one frame the last counts.
    assert [key.value for key in keyframes("0:(1), 200:(5), 0:(2)", 120)] == ["2"]
    assert keyframes("", 120) == []


@pytest.mark.parametrize(
    ("text", "frames", "seed", "at"),
    [
        ("max_f", 120, 0, 119), ("max_f/2", 120, 0, 59), ("-3", 9, 0, -3), ("7//2+1", 9, 0, 4), ("-7%4", 9, 0, -3),
        ("s", 9, 5, 5), ("+2*3", 9, 0, 6), ("sin(4)", 9, 0, None), ("1/0", 9, 0, None), ("t", 9, 0, None),
    ],
)  # fmt: skip
def test_where_a_frame_is(text: str, frames: int, seed: int, at: int | None) -> None:
    key = parse(f"{text}:(1)").keys[0]
    assert place(key.frame, frames, seed) == at
    if at is not None and 0 < at < frames:
        # As the evaluator places it: the value is there and not a frame before.
        values = evaluate(parse(f"0:(0):hold, {text}:(1):hold"), frames, seed=seed).values
        assert values[at] == 1 and values[at - 1] == 0


def test_a_key_is_added_in_its_place_and_the_others_keep_their_letters() -> None:
    text = with_key(TEXT, 40, "0.00001:hold", 120)
    assert text == '0: (0), 30:(where(t<10, 1, 2)), 40:(0.00001):hold, "max_f-1": (15):ease-in'
    assert keyframes(text, 120)[2].value == "0.00001:hold"
    assert with_key(TEXT, 118, "3", 120) == "0: (0), 30:(where(t<10, 1, 2)), 118:(3)"
    assert with_key(TEXT, 30, "(1)+(2)", 120) == '0: (0), 30:((1)+(2)), "max_f-1": (15):ease-in'
    assert with_key("0:(1), 5:(2), 5:(3)", 5, "9", 10) == "0:(1), 5:(2), 5:(9)", "of equal keys the one that counts"
    assert with_key("0:(-3.5)", 0, "-0.0", 9) == "0:(0)"
    # Where nothing stood the value holds from the first frame on.
    assert with_key("", 10, "7", 20) == "0:(7), 10:(7)" and with_key(" ", 0, "7", 20) == "0:(7)"
    assert with_key('0: ("Euler a")', 10, "DPM++ 2M", 20, words=True) == '0: ("Euler a"), 10:("DPM++ 2M")'


@pytest.mark.parametrize(
    ("typed", "column", "said"),
    [
        ("sin(t", 4, "not closed"),
        ("1, 5:(2)", 4, "more than one value"),
        ("1:hodl", 3, "hodl"),
        ("1))", 2, "not opened"),
        ("2*foo", 3, "foo"),
        ("", 1, "missing"),
    ],
)
def test_what_cannot_be_a_value_is_told_by_its_own_column(typed: str, column: int, said: str) -> None:
    with pytest.raises(BadSchedule, match=said) as caught:
        with_key(TEXT, 40, typed, 120)
    assert caught.value.column == column and caught.value.message.startswith(f"column {column}: ")
    assert caught.value.message.count("column") == 1 and caught.value.hint


def test_a_key_is_taken_out() -> None:
    assert without_key(TEXT, 30, 120) == '0: (0), "max_f-1": (15):ease-in'
    assert without_key("0:(1), 5:(2), 5:(3)", 5, 10) == "0:(1)", "both of equal ones"
    with pytest.raises(BadSchedule, match="frame 0"):
        without_key(TEXT, 0, 120)
    with pytest.raises(BadSchedule, match="frame 31 has no key"):
        without_key(TEXT, 31, 120)
    with pytest.raises(BadSchedule, match="no key"):
        without_key("", 3, 120)


@given(
    st.dictionaries(
        st.integers(0, 99),
        st.one_of(
            st.floats(-1e6, 1e6).map(lambda value: f"{value:.6f}"), st.sampled_from(["t/2", "(t+1)*2", "sin(t)"])
        ),
        max_size=6,
    ),
    st.integers(0, 99),
    st.floats(-1000, 1000).map(lambda value: f"{value:.4f}"),
)
def test_what_is_set_is_what_is_evaluated(keys: dict[int, str], frame: int, value: str) -> None:
    keys.setdefault(0, "1")
    text = ", ".join(f"{at}:({one})" for at, one in keys.items())
    made = with_key(text, frame, value, 100)
    assert evaluate(parse(made), 100).values[frame] == pytest.approx(float(value), abs=1e-9)
    before = {key.frame: key.text for key in keyframes(text, 100)}
    after = {key.frame: key.text for key in keyframes(made, 100)}
    assert {at: one for at, one in after.items() if at != frame} == {at: o for at, o in before.items() if at != frame}
    if frame:
        left = without_key(made, frame, 100)
        assert [key.frame for key in keyframes(left, 100)] == sorted(set(keys) - {frame})


def test_every_default_can_be_edited() -> None:
    for name, text in SCHEDULES.items():
        made = with_key(text, 10, "0.5", 30, seed=3)
        assert evaluate(parse(made), 30, seed=3).values[10] == 0.5, name


def test_prompts_by_frame() -> None:
    prompts = {"0": "a", "max_f-2": "c"}
    assert [(key.frame, key.value, key.text) for key in prompt_keys(prompts, 20)] == [
        (0, "a", "0"),
        (17, "c", "max_f-2"),
    ]
    added = with_prompt(prompts, 5, " b --neg blur ", 20)
    assert list(added.items()) == [("0", "a"), ("5", "b --neg blur"), ("max_f-2", "c")]
    assert prompts_of(read_prompts('{"0": "a", "5": "b --neg blur"}'), 20).values[5] == ("b", "blur")
    assert with_prompt(prompts, 17, "d", 20) == {"0": "a", "max_f-2": "d"}, "the key keeps its expression"
    assert without_prompt(added, 5, 20) == prompts
    for frame, said in ((0, "frame 0"), (3, "begins at frame 3")):
        with pytest.raises(BadSchedule, match=said):
            without_prompt(prompts, frame, 20)
    with pytest.raises(BadSchedule, match="empty"):
        with_prompt(prompts, 5, "  ", 20)


def test_nothing_heavy_comes_with_it() -> None:
    code = "import sys, generation.animation.keyframes; print(sorted({'numpy', 'torch', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"

"""Schedules: Deforum's own values, values worked out by hand, errors with their column, and text that means harm."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from generation.animation.evaluation import EXACT, evaluate, prompts
from generation.animation.schedules import parse, read_prompts
from generation.errors import BadSchedule, GenerationError


def values(text: str, frames: int, **options: Any) -> list[Any]:
    return list(evaluate(parse(text), frames, **options).values)


def warned(text: str, frames: int) -> str:
    return " / ".join(evaluate(parse(text), frames).warnings)


def failed(text: str, frames: int = 10) -> BadSchedule:
    with pytest.raises(BadSchedule) as caught:
        evaluate(parse(text), frames)
    assert caught.value.hint, "an error says what to do"
    return caught.value


def test_the_reference_s_vectors(vectors: Callable[[str], Any]) -> None:
    for vector in vectors("deforum_schedules.json")["vectors"]:
        text, frames = vector["schedule"], vector["max_frames"]
        # What the reference cannot read at all and Atelier can: commas in brackets, and ^ as newer numexpr has it.
        known = vector.get("numexpr_2_14_2", {}).get("values") or vector.get("values")
        if "where(" in text:
            known = {str(frame): 1 if frame < 10 else 2 for frame in range(frames)}
        if not known:
            failed(text, frames)
            continue
        found = evaluate(parse(text, words=vector["string_schedule"]), frames, seed=vector["seed"]).values
        for frame, value in known.items():
            wanted = value if isinstance(value, str) else pytest.approx(value, abs=1e-6)
            assert found[int(frame)] == wanted, (text, frame)


def test_numbers_glide_and_expressions_jump() -> None:
    assert values("0:(0), 4:(8)", 7) == [0, 2, 4, 6, 8, 8, 8]
    # Towards an expression a number glides to its value at that key.
    assert values("0:(0), 4:(t*2)", 6) == [0, 2, 4, 6, 8, 10]
    assert values("0:(t), 3:(10), 5:(20)", 6) == [0, 1, 2, 10, 15, 20]
    assert values("2:(4), 0:(0)", 3) == [0, 2, 4]
    assert values("0:('3')", 1) == [3]


def test_commas_and_conditions() -> None:
    assert values("0:(where((t>1)&(t<4), 1, where(t==5, 7, -1))), 6:(0)", 7) == [-1, -1, 1, 1, -1, 7, 0]
    assert values("0:(arctan2(0, t+1)), 2:(minimum(t, 2) + maximum(t, 5))", 3) == [0, 0, 7]
    assert values("0:(~(t<1)), 2:((t<1)|(t>1))", 3) == [0, 1, 1]


def test_arithmetic_is_numexpr_s() -> None:
    assert values("0:(5/2), 1:(-7%3), 2:(2**(t-3)), 3:(2.0**(-1)), 4:(1**(-3)), 5:(1<<t)", 6) == [
        2.5,
        -1,
        0,
        0.5,
        1,
        32,
    ]
    assert values("0:(t^2)", 3) == [2, 3, 0]
    assert values("0:(abs(-2)**(-1))", 1) == [0]
    assert values("0:(sqrt(4)**(-1))", 1) == [0.5]
    assert values("0:(where(t<1, 1, 1/t))", 3) == [1, 1, 0.5]


@pytest.mark.parametrize(
    ("easing", "wanted"),
    [
        ("linear", [0, 2, 4, 6, 8]),
        ("hold", [0, 0, 0, 0, 8]),
        ("ease-in", [0, 0.5, 2, 4.5, 8]),
        ("ease-out", [0, 3.5, 6, 7.5, 8]),
        ("ease-in-out", [0, 1.25, 4, 6.75, 8]),
    ],
)
def test_easings(easing: str, wanted: list[float]) -> None:
    assert values(f"0:(0), 4:(8):{easing}, 5:(8)", 6) == [*wanted, 8]


def test_easing_towards_and_after_an_expression() -> None:
    assert values("0:(0), 2:(t*4):ease-in", 4) == [0, 2, 8, 12]
    assert "changes nothing" in warned("0:(t), 3:(8):ease-in", 4)


def test_splines_pass_through_the_keys_and_bend() -> None:
    text = "0:(0), 2:(4), 4:(0), 6:(4), 8:(0)"
    for kind in ("quadratic", "cubic"):
        found = values(text, 9, interpolation=kind)
        assert found[::2] == pytest.approx([0, 4, 0, 4, 0])
        assert abs(found[1] - 2) > 0.2
    # A cubic of points on a parabola is that parabola.
    assert values("0:(0), 2:(4), 3:(9), 6:(36)", 7, interpolation="cubic") == pytest.approx([n * n for n in range(7)])
    # The last frame holds the last key's value, as the reference sets it before it draws the spline.
    assert values("0:(0), 2:(4), 4:(0), 6:(5)", 12, interpolation="cubic")[-1] == pytest.approx(5)
    few = evaluate(parse("0:(0), 2:(4), 4:(0)"), 5, interpolation="cubic")
    assert few.values == (0, 2, 4, 2, 0)
    assert "linear" in few.warnings[0]
    with pytest.raises(BadSchedule, match="cubik") as caught:
        evaluate(parse(text), 9, interpolation="cubik")
    assert "cubic" in caught.value.hint


def test_where_the_reference_is_silent_a_warning_is_made() -> None:
    assert warned("0:(0), 10:(5)", 10).startswith("column 8: frame 10 is ignored")
    assert "before the first frame" in warned("-1:(9), 0:(0)", 2)
    assert values("-1:(9), 0:(0)", 2) == [0, 0]
    assert "column 14: frame 1 is set again" in warned("0:(0),1:(1), 1:(2)", 2)
    assert values("0:(0),1:(1), 1:(2)", 2) == [0, 2]
    assert "write 2.0" in warned("0:(2**(-t))", 3)
    assert "exclusive or" in warned("0:(t^2)", 3)
    assert "plain number glides" in warned("0:(1e-2), 5:(0)", 9)
    assert not warned("0:(0), 3:(sin(t)), 9:(-.5)", 10)


@pytest.mark.parametrize(
    ("text", "column", "cause"),
    [
        ("10:(5), 20:(1)", 1, "frame 0"),
        ("0:(0),", 7, "a key is missing"),
        ("0:(0), , 5:(1)", 8, "a key is missing"),
        ("0:(0), 30", 8, "has no frame"),
        ("0:(0), 3:(sine(t))", 11, 'no function "sine"'),
        ("0:(0), 3:(1+q)", 13, '"q" is unknown'),
        ("0:(0), 3:( pi*t)", 12, '"pi" is unknown'),
        ("0:(0), 3:(sin(t, t))", 11, "sin with 2 values"),
        ("0:(0), 3:(1", 10, "not closed"),
        ("0:(0)), 3:(1)", 6, "closes"),
        ("0:(0), 3:(1+*2)", 13, "no expression"),
        ("0:(0), 3:()", 10, "a value is missing"),
        ("0:(0), 3:", 10, "a value is missing"),
        ("0:(0), :(3)", 8, "a frame is missing"),
        ("0:(0), t:(3)", 8, "t in a frame"),
        ("0:(0), 3:(4):bouncy", 14, "no easing"),
        ("0:(0), 3:(4):hold:1", 19, "too many colons"),
        ("0:(1/(t-3))", 3, "at frame 3"),
        ("0:(1 < t < 3)", 4, "two comparisons"),
        ("0:(t and 1)", 4, "and, or, not"),
        ("0:(1.5 & 2)", 4, "fraction"),
        ("0:(1 if t else 2)", 4, "if and else"),
        ("0:(t×2)", 5, "in an expression"),
        ("", 0, "empty"),
    ],
)
def test_errors_name_column_and_cause(text: str, column: int, cause: str) -> None:
    error = failed(text)
    assert cause in error.message
    assert error.column == column, error.message
    assert not column or error.message.startswith(f"column {column}: ")
    assert isinstance(error, GenerationError)


@pytest.mark.parametrize(
    "value",
    [
        "10**10**10",
        "10.0**400",
        "9" * 900,
        "9" * 5000,
        "1<<9007199254740992<<5000000000000000",
        "(" * 400 + "t" + ")" * 400,
        "-" * 900 + "1",
        "1" + "+1" * 400,
        "sin(" * 70 + "t" + ")" * 70,
        "__import__('os').system('true')",
        "().__class__.__bases__[0]",
        "t.real",
        "[1 for x in (1,2)]",
        "lambda: 1",
        "(x:=1)",
        "'a'*9",
        "f'{t}'",
        "1j",
        "True",
        "None",
        "...",
        "sin(x=1)",
        "sin(*t)",
        "await t",
        "t\x00",
        "t#",
        "where",
        "t @ t",
        "1/t",
    ],
    ids=lambda value: repr(value)[:30],
)
def test_hostile_values_are_errors(value: str) -> None:
    with pytest.raises(BadSchedule) as caught:
        evaluate(parse(f"0:({value})"), 1000)
    assert len(caught.value.message) < 200
    assert "\n" not in caught.value.message


def test_limits() -> None:
    with pytest.raises(BadSchedule, match="characters"):
        parse("0:(0)" + " " * 300_001)
    for frames in (0, -1, 1_000_001, 10**30):
        with pytest.raises(BadSchedule, match="frames"):
            evaluate(parse("0:(0)"), frames)
    for frame in ("10**9999", "9" * 400):
        with pytest.raises(BadSchedule):
            evaluate(parse(f"0:(0), {frame}:(1)"), 5)
    assert values("0:(s)", 1, seed=2**32 - 1) == [2**32 - 1]
    assert EXACT == 2**53


def test_any_text_is_read_or_refused() -> None:
    drawn = random.Random(7)
    parts = [
        "0",
        ":",
        "(",
        ")",
        ",",
        "t",
        "sin",
        "where",
        "max_f",
        "'",
        '"',
        " ",
        "-",
        "**",
        ".",
        "/",
        "9",
        "é",
        "\n",
        "hold",
    ]
    for _ in range(3000):
        text = "0:(1)," + "".join(drawn.choices(parts, k=drawn.randint(1, 14)))
        try:
            found = evaluate(parse(text), 12)
        except BadSchedule as error:
            assert 0 <= error.column <= len(text) + 1, text
        else:
            assert len(found.values) == 12
            assert all(math.isfinite(float(value)) for value in found.values), text


def test_lines_between_drawn_keys_stay_between_them() -> None:
    drawn = random.Random(3)
    for _ in range(100):
        frames = sorted({0, *(drawn.randrange(50) for _ in range(5))})
        numbers = [round(drawn.uniform(-9, 9), 3) for _ in frames]
        text = ", ".join(f"{frame}:({number})" for frame, number in zip(frames, numbers, strict=True))
        found = values(text, 50)
        assert [found[frame] for frame in frames] == pytest.approx(numbers)
        assert min(found) == pytest.approx(min(numbers))
        assert max(found) == pytest.approx(max(numbers))
        assert found[frames[-1] :] == [numbers[-1]] * (50 - frames[-1])


def test_names_change_at_their_frame() -> None:
    read = parse('0:("Euler a"), max_f-1:(DPM++ 2M (fast, new)), 9:("x")', words=True)
    found = evaluate(read, 5)
    assert found.values == ("Euler a", "Euler a", "Euler a", "DPM++ 2M (fast, new)", "DPM++ 2M (fast, new)")
    assert "frame 9 is ignored" in found.warnings[0]
    for text, cause in (('0:("")', "a name is missing"), ("0:(a):hold", "easing between names")):
        with pytest.raises(BadSchedule, match=cause):
            parse(text, words=True)


def test_prompts_by_frame() -> None:
    found = prompts(read_prompts('{"0": "a cat --neg rain", "max_f/2": "a dog", "9": "late"}', "blur"), 5)
    assert found.values[1] == ("a cat", "rain, blur")
    assert [one for one, _ in found.values] == ["a cat", "a cat", "a dog", "a dog", "a dog"]
    assert found.values[2][1] == "blur"
    assert "frame 9 is ignored" in found.warnings[0]


def test_prompts_as_published_without_braces_and_with_line_breaks() -> None:
    keys = read_prompts('\n"0": "sky,\nclouds",\n"2":"city",')
    assert [one for one, _ in prompts(keys, 3).values] == ["sky,\nclouds", "sky,\nclouds", "city"]
    assert (
        prompts(read_prompts("one prompt: of words, (a:1.2)"), 2).values == (("one prompt: of words, (a:1.2)", ""),) * 2
    )


def test_expressions_inside_prompts() -> None:
    found = prompts(read_prompts('{"0": "(cat:`t/4`), (dog:`1-t/4`) --neg (rain:`where(t<1, 0.5, 1)`)"}'), 2)
    assert found.values == (("(cat:0), (dog:1)", "(rain:0.5)"), ("(cat:0.25), (dog:0.75)", "(rain:1)"))
    with pytest.raises(BadSchedule, match="backtick"):
        prompts(read_prompts('{"0": "(cat:`t)"}'), 2)
    with pytest.raises(BadSchedule, match="frames of a prompt"):
        prompts(read_prompts('{"0": "`t`' + "x" * 90_000 + '"}'), 1000)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "no prompt"),
        ("{}", "no prompt"),
        ('{"0": 5}', "is no text"),
        ('{"0": {"a": "b"}}', "is no text"),
        ('{"0": "a", }', "no JSON"),
        ('{"3": "a"}', "frame 0"),
        ('{"x": "a"}', 'the prompt at "x": column 1: "x" is unknown'),
        ('{"0": "a `t+q`"}', "in the prompt's `t.q`: column 3"),
        ('{"0": ' + "[" * 100_000, "nested|JSON"),
    ],
)
def test_prompts_that_cannot_be_read(text: str, cause: str) -> None:
    with pytest.raises(BadSchedule, match=cause):
        prompts(read_prompts(text), 5)


def test_reading_a_schedule_loads_no_numpy() -> None:
    code = "import sys, generation.animation.schedules; sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

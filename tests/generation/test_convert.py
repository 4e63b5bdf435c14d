"""Prompts from A1111's syntax to Compel's and back."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.errors import BadSpec
from generation.prompts import compel_syntax, grammar
from generation.prompts.convert import convert


def tidy(flat: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Blanks collapsed and belonging to no weight, neighbours of one weight joined."""
    merged: list[tuple[str, float]] = []
    for text, weight in flat:
        weight = round(weight, 6)
        if merged and (merged[-1][1] == weight or not text.strip()):
            merged[-1] = (merged[-1][0] + text, merged[-1][1])
        elif text.strip():
            merged.append((text, weight))
    return [(" ".join(text.split()), weight) for text, weight in merged]


def squeezed(flat: list[Any]) -> list[tuple[str, float]]:
    return [("".join(text.split()), round(weight, 6)) for text, weight in flat if text.strip()]


def test_compel_is_given_what_the_references_chunks_hold(vectors: Callable[[str], Any]) -> None:
    seen = 0
    for vector in vectors("a1111_prompts.json")["vectors"]:
        if "schedule_steps20" in vector or " AND " in vector["input"]:
            continue
        seen += 1
        converted = convert(vector["input"], "a1111", "compel")
        wanted = squeezed([pair for part in vector["compel_chunks"] for pair in part])
        assert squeezed(compel_syntax.parse(converted.text).flat()) == wanted, vector["id"]
        if vector["compel_string"] is not None:
            same = compel_syntax.parse(vector["compel_string"]).flat()
            assert squeezed(same) == wanted, vector["id"]
    assert seen > 40


@pytest.mark.parametrize(
    ("a1111", "compel"),
    [
        ("a fox", "a fox"),
        ("a (red fox:1.3), b", "a (red fox)1.3, b"),
        ("(a:0.81)", "(a)0.81"),
        ("((a))", "(a)1.21"),
        ("[a] b", "(a)0.909091 b"),
        ("(a (b:1.2) c:1.5)", "(a)1.5 (b)1.8 (c)1.5"),
        ("a(b:1.2)c", "(a)(b)1.2c"),
        ("(a:1.2)5", "(a).attend(1.2)5"),
        (r"a \(b\) \[c\]", r"a \(b\) [c]"),
        ('say "hi"', r"say \"hi\""),
        ("a BREAK (b:1.2), c", '("a", "(b)1.2, c").and()'),
        ("a :0.3 AND b", '("a", "b").blend(0.3, 1.0)'),
        ("a :-0.5 AND b", '("a", "b").blend(-0.5, 1.0)'),
        (r"(a\\:1.2)", "(a\\ )1.2"),
    ],
)
def test_to_compel_by_hand(a1111: str, compel: str) -> None:
    assert convert(a1111, "a1111", "compel").text == compel


@pytest.mark.parametrize(
    ("compel", "a1111"),
    [
        ("a fox++", "a (fox:1.21)"),
        ("(a b)-- c", "(a b:0.81) c"),
        ("(a (b)1.2 c)1.5", "(a:1.5) (b:1.8) (c:1.5)"),
        ('"a b"1.3 [c]', r"(a b:1.3) \[c\]"),
        (r"a \(b\)", r"a \(b\)"),
        ("(a) b", "a b"),
        ("a\\b", r"a\\b"),
        ('("a", "b (c)1.2").and()', "a BREAK b (c:1.2)"),
        ('("a", "b").blend(0.3, 0.7)', "a :0.3 AND b :0.7"),
        ("a withLora(x, 0.5)", "a <lora:x:0.5>"),
        ("a BREAK b AND c", r"a BREA\K b AN\D c"),
        ("time: 5", r"time: \5"),
        ("<lora:x:1>", r"<\lora:x:1>"),
        ("a cat.swap(dog)", "a cat"),
    ],
)
def test_to_a1111_by_hand(compel: str, a1111: str) -> None:
    assert convert(compel, "compel", "a1111").text == a1111


@pytest.mark.parametrize(
    ("text", "source", "said", "where"),
    [
        ("a <lora:x:0.5> b", "a1111", "loads no networks", "<lora:x:0.5>"),
        ("a [b:c:0.5] d", "a1111", "no prompt editing", "[b:c:0.5]"),
        ("a <lora:x:1>[b|c] d", "a1111", "no alternation", "[b|c]"),
        ("a [x:[b|c]:5] d", "a1111", "no prompt editing", "[x:[b|c]:5]"),
        ("a AND b", "a1111", "mixes the texts", "AND"),
        ("a, time: 5", "a1111", "weight of the whole prompt", ": 5"),
        ("(a:-1) b", "a1111", "no weight of -1", "a"),
        ("(so C++:1.2)", "a1111", "loses its weight", "so C++"),
        ("write C++", "a1111", "a blank is put before", "write C++"),
        (r"a\\\(b", "a1111", "no backslash before", r"a\\\("),
        ("BREAK a", "a1111", "empty chunk", "BREAK"),
        ("a BREAK b AND c", "a1111", "BREAK in a part of an AND", "a BREAK b"),
        ("a cat.swap(dog) b", "compel", ".swap() is left out", "cat.swap(dog)"),
        ('("a", "b").blend(1, 1)', "compel", "mixes the pictures", '("a", "b").blend(1, 1)'),
        ('("a", "b").and(1, 2)', "compel", "weights of .and()", '("a", "b").and(1, 2)'),
        ('("a", "b").and() tail', "compel", "drops the text", "tail"),
    ],
)
def test_losses_are_reported_with_their_place(text: str, source: str, said: str, where: str) -> None:
    losses = convert(text, source, "compel" if source == "a1111" else "a1111").losses
    found = [text[loss.start : loss.end] for loss in losses if said in loss.message]
    assert any(where in place for place in found), losses


def test_what_changes_by_step_stands_as_at_the_end() -> None:
    done = convert("a [b:c:0.5] ([d|e] f:1.2) <lora:x:1>", "a1111", "compel")
    assert re.sub(r"\s+", " ", done.text) == "a c (e f)1.2 "
    assert len(done.losses) == 3


def test_a_plain_conversion_loses_nothing() -> None:
    assert convert(r"a (red:1.2) fox, \(soft\) [light] BREAK rim", "a1111", "compel").losses == []
    assert convert(r'("a red++ fox", "(rim)1.2").and()', "compel", "a1111").losses == []


def test_the_same_syntax_changes_nothing_and_an_unknown_one_is_named() -> None:
    assert convert("(a", "a1111", "a1111").text == "(a"
    with pytest.raises(BadSpec, match="comple") as caught:
        convert("a", "a1111", "comple")
    assert '"compel"' in caught.value.hint


WORDS = st.text(st.sampled_from("abz019,.:;'ё桜 \n|"), min_size=1, max_size=8)
ESCAPED = st.sampled_from([r"\(", r"\)", r"\[", r"\]", r"\(x\)", '"', "blue-eyed"])
WEIGHT = st.integers(0, 300).map(lambda n: f"{n / 100:g}")
PROMPT = st.recursive(
    WORDS | ESCAPED,
    lambda inner: (
        st.tuples(inner, WEIGHT).map(lambda p: f"({p[0]}:{p[1]})")
        | inner.map(lambda p: f"({p})")
        | inner.map(lambda p: f"[{p}]")
        | st.lists(inner, max_size=4).map("".join)
    ),
    max_leaves=12,
)


@given(PROMPT)
def test_there_and_back_keeps_every_word_and_weight(text: str) -> None:
    there = convert(text, "a1111", "compel")
    back = convert(there.text, "compel", "a1111")
    if any("becomes" in loss.message for loss in there.losses):  # "[ab:9]" is editing
        return
    assert tidy(grammar.parse(back.text).flat()) == tidy(grammar.parse(text).flat())
    assert squeezed(compel_syntax.parse(there.text).flat()) == squeezed(tidy(grammar.parse(text).flat()))


ANYTHING = [*'ab ,.:|\\()[]<>"+-=15\n', " AND ", " BREAK ", ".swap(", "<lora:x:1>", "[a|b]", '"a"', ").and(1)", "(a)++"]


@given(st.lists(st.sampled_from(ANYTHING), max_size=30).map("".join))
def test_any_text_converts_both_ways(text: str) -> None:
    for source, target in (("a1111", "compel"), ("compel", "a1111")):
        done = convert(text, source, target)
        assert all(0 <= loss.start < loss.end <= len(text) for loss in done.losses)
        compel_syntax.parse(done.text)


@pytest.mark.parametrize("text", ["(" * 5000, "(a" * 1500, "[" * 2500 + "a" + "]" * 2500, ": " * 2500, "a+ " * 1500])
def test_deep_and_long_prompts_convert_quickly(text: str) -> None:
    start = time.process_time()
    assert convert(convert(text, "a1111", "compel").text, "compel", "a1111").text is not None
    convert(text, "compel", "a1111")
    assert time.process_time() - start < 10

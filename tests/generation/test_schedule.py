"""Prompt editing, alternation and AND by step, against the reference and by rule."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from generation.prompts.grammar import parse
from generation.prompts.schedule import composition, schedule


def test_schedules_are_the_references(vectors: Callable[[str], Any]) -> None:
    seen = 0
    for vector in vectors("a1111_prompts.json")["vectors"]:
        wanted = vector.get("schedule_steps20")
        if wanted is None:
            continue
        seen += 1
        got = [list(entry) for entry in schedule(vector["input"], 20)]
        if isinstance(wanted[-1], str):  # "... 20 entries total"
            assert len(got) == int(wanted[-1].split()[1]), vector["id"]
            wanted = wanted[:-1]
            got = got[: len(wanted)]
        assert got == wanted, vector["id"]
    assert seen == 10


def test_the_last_text_is_what_the_reference_parsed(vectors: Callable[[str], Any]) -> None:
    for vector in vectors("a1111_prompts.json")["vectors"]:
        if "multicond" in vector or "parsed_from" not in vector:
            continue
        [part] = composition(vector["input"], 20)
        assert part.schedule[-1][1] == vector["parsed_from"], vector["id"]
        assert part.weight == 1.0


def test_prompts_without_editing_stay_as_they_are(vectors: Callable[[str], Any]) -> None:
    for vector in vectors("a1111_prompts.json")["vectors"]:
        if "parsed_from" not in vector:
            assert schedule(vector["input"], 20) == [(20, vector["input"])], vector["id"]


def test_and_parts_are_the_references(vectors: Callable[[str], Any]) -> None:
    for vector in vectors("a1111_prompts.json")["vectors"]:
        if "multicond" in vector:
            got = [[part.text, part.weight] for part in composition(vector["input"], 20)]
            assert got == vector["multicond"], vector["id"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("fox", [(10, "fox")]),
        ("", [(10, "")]),
        ("[day:night:4] sky", [(4, "day sky"), (10, "night sky")]),
        ("[ day : night : 4 ] sky", [(4, " day  sky"), (10, " night  sky")]),
        ("[snow:4]", [(4, ""), (10, "snow")]),
        ("[snow::4]", [(4, "snow"), (10, "")]),
        ("[:snow:4]", [(4, ""), (10, "snow")]),
        ("[::4]", [(4, ""), (10, "")]),
        ("[a:b:.25]", [(2, "a"), (10, "b")]),
        ("[a:b:1]", [(1, "a"), (10, "b")]),
        ("[a:b:1.]", [(10, "a")]),
        ("[a:b:1.5]", [(10, "a")]),
        ("[a:b:99]", [(10, "a")]),
        ("[a:b:0]", [(10, "b")]),
        ("[a:b:-3]", [(10, "b")]),
        ("[a:b:+3]", [(3, "a"), (10, "b")]),
        ("[a:b:1e1]", [(10, "a")]),
        ("[a:b:1e999]", [(10, "a")]),
        ("[a:[b:c:6]:3]", [(3, "a"), (6, "b"), (10, "c")]),
        ("[[a:b:2]:c:5]", [(2, "a"), (5, "b"), (10, "c")]),
        ("([a:b:5]:1.3)", [(5, "(a:1.3)"), (10, "(b:1.3)")]),
        ("[(a:1.3) x:[[b]]:5]", [(5, "(a:1.3) x"), (10, "[[b]]")]),
        (r"[a\:x:b\]:5]", [(5, r"a\:x"), (10, r"b\]")]),
        # No editing: no number, too many colons, never closed, crossed.
        ("[a:b:c]", [(10, "[a:b:c]")]),
        ("[a:b:c:5]", [(10, "[a:b:c:5]")]),
        ("[a:b:5", [(10, "[a:b:5")]),
        ("[a (b] c:5)", [(10, "[a (b] c:5)")]),
        ("[x [a:b] y:z:5]", [(10, "[x [a:b] y:z:5]")]),
        ("a: (b [c:d:5]", [(5, "a: (b c"), (10, "a: (b d")]),
        ("[x (y] [c:d:5]) :", [(5, "[x (y] c) :"), (10, "[x (y] d) :")]),
        # What no bracket explains makes all of it text.
        ("a|b [c:d:5]", [(10, "a|b [c:d:5]")]),
        ("(a|b) [c:d:5]", [(10, "(a|b) [c:d:5]")]),
        ("[a|b:0.5]", [(10, "[a|b:0.5]")]),
        ("[c:d:5]\\", [(10, "[c:d:5]\\")]),
    ],
)
def test_editing_by_hand(text: str, wanted: list[tuple[int, str]]) -> None:
    assert schedule(text, 10) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[cow|horse] in a field", ["cow in a field", "horse in a field"] * 3),
        ("[a||b]", ["a", "", "b"] * 2),
        ("[|]x", ["x"] * 6),
        ("[a|(b:1.2)|[c]]", ["a", "(b:1.2)", "[c]"] * 2),
        ("[a|[b|c|d]]", ["a", "c", "a", "b", "a", "d"]),
        ("[a|b] [c:d:3]", ["a c", "b c", "a c", "b d", "a d", "b d"]),
        ("[a|[b:c:3]]", ["a", "b", "a", "c", "a", "c"]),
        ("[[a|b]:c:3]", ["a", "b", "a", "c", "c", "c"]),
    ],
)
def test_alternation_by_hand(text: str, wanted: list[str]) -> None:
    assert schedule(text, 6) == list(enumerate(wanted, 1))


def test_parts_of_an_and() -> None:
    parts = composition("a cat :1.5 AND [a:b:0.5] <lora:x:1> AND ANDES: -2 AND", 10)
    assert [(part.text, part.weight) for part in parts] == [
        ("a cat", 1.5), (" [a:b:0.5]", 1.0), (" ANDES", -2.0), ("", 1.0),
    ]  # fmt: skip
    assert parts[1].schedule == [(5, " a"), (10, " b")]
    assert [(p.text, p.weight) for p in composition("ratio 16:9, time: 5", 10)] == [("ratio 16:9, time", 5.0)]


def test_a_network_in_an_edit_does_not_break_it() -> None:
    assert composition("[<lora:x:1>a:b:5]", 10)[0].schedule == [(5, "a"), (10, "b")]


def test_three_thousand_random_prompts_never_crash() -> None:
    source = random.Random(11)
    letters = [*"ab :|\\()[]<>.-+e01\n", "[a:b:0.5]", "[a|b]", "[c:3]", " AND ", "<lora:x:1>", "🌸", ":1.2)", "٣"]
    for _ in range(3000):
        text = "".join(source.choice(letters) for _ in range(source.randint(0, 40)))
        steps = source.randint(1, 30)
        entries = schedule(text, steps)
        ends = [end for end, _ in entries]
        assert ends == sorted(set(ends))
        assert ends[-1] == steps
        assert ends[0] >= 1
        parts = composition(text, steps)
        assert tuple((part.text, part.weight) for part in parts) == parse(text).ands


@pytest.mark.parametrize(
    "text",
    ["[" * 5000, "(" * 5000, "[" * 5000 + "a" + "]" * 5000, "(" * 2500 + "[a:b:5]" + ")" * 2500,
     "[" * 2500 + "x" + ":5]" * 2500, "[a|" * 1700 + "b" + "]" * 1700, "]" * 5000, ":" * 5000, "|" * 5000,
     "\\" * 4999, " " * 5000 + "a", "[a:b: " + " " * 5000 + "x]", "[a:b:" + "1" * 5000 + "]", "<a:" * 1700],
    ids=range(14),
)  # fmt: skip
def test_deep_and_long_prompts_are_quick(text: str) -> None:
    start = time.process_time()
    schedule(text, 20)
    composition(text, 20)
    assert time.process_time() - start < 5

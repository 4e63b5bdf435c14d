from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_checks import nothing

from ingest.parsed import Node, Parsed
from ingest.readers.markdown import (
    blocks,
    front_matter,
    links_in,
    read,
    searchable,
    tags_in,
    tags_of,
)


def parse(tmp_path: Path, text: str, name: str = "note.md") -> Parsed:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read(path, check=nothing)


def tree(text: str) -> list[object]:
    def plain(node: Node) -> object:
        own = (node.line_start, node.line_end, node.label)
        return (*own, [plain(child) for child in node.children]) if node.children else own

    return [plain(node) for node in blocks(text.split("\n"), 1, nothing)]


def test_headings_make_a_tree_with_lines() -> None:
    text = "intro\n\n# One\ntext\n## Two\n\nmore\n# Three ##\nend"
    assert tree(text) == [
        (1, 1, ""),
        (3, 3, "One", [(4, 4, ""), (5, 5, "Two", [(7, 7, "")])]),
        (8, 8, "Three", [(9, 9, "")]),
    ]


def test_underlined_headings() -> None:
    assert tree("Title\n=====\ntext\n\nPart\n---\nmore") == [
        (1, 2, "Title", [(3, 3, ""), (5, 6, "Part", [(7, 7, "")])])
    ]


def test_a_rule_is_no_heading_and_no_text() -> None:
    assert tree("one\n\n---\n\n* * *\ntwo") == [(1, 1, ""), (6, 6, "")]


def test_code_is_one_block_and_its_marks_are_no_headings() -> None:
    text = "```python\n# no heading\n\nx = 1\n```\n~~~\n```\n~~~\nafter"
    found = blocks(text.split("\n"), 1, nothing)
    assert [(n.line_start, n.line_end, n.whole) for n in found] == [
        (1, 5, True),
        (6, 8, True),
        (9, 9, False),
    ]


def test_code_that_is_never_closed_goes_to_the_end() -> None:
    assert tree("text\n```\ncode\n# more") == [(1, 1, ""), (2, 4, "")]


def test_a_list_is_one_block() -> None:
    assert tree("- a\n- b\n  - c\n\n- d") == [(1, 3, ""), (5, 5, "")]


@pytest.mark.parametrize(
    ("text", "properties", "lines"),
    [
        ("---\ntitle: A\nTags: [x, y]\n---\nbody", {"title": "A", "tags": ["x", "y"]}, 4),
        ("+++\ntitle = 'A'\ndate = 2024-05-01\n+++\n", {"title": "A", "date": "2024-05-01"}, 4),
        ("---\ndate: 2024-05-01\n...\n", {"date": "2024-05-01"}, 3),
        ("---\nnot: [closed\n---\n", {}, 0),
        ("---\njust a list\n---\n", {}, 0),
        ("---\nnever closed", {}, 0),
        ("text\n---\na: b\n---", {}, 0),
        ("---\na: &x [1]\nb: *x\n---\n", {}, 0),
    ],
)
def test_front_matter(text: str, properties: dict[str, object], lines: int) -> None:
    assert front_matter(text.split("\n")) == (properties, lines)


def test_titles(tmp_path: Path) -> None:
    assert parse(tmp_path, "---\ntitle: Own\n---\n# Head\ntext").title == "Own"
    assert parse(tmp_path, "# Only **one** head\ntext\n## part").title == "Only one head"
    assert parse(tmp_path, "# One\na\n# Two\nb", "name.md").title == "name"


def test_line_numbers_count_the_front_matter(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "---\na: b\n---\n\ntext")
    assert parsed.pages[0].nodes[0].line_start == 5
    assert parsed.pages[0].lines[4] == "text"


def test_links_of_obsidian_and_markdown() -> None:
    text = "[[Note]] [[Other|shown]] [[Page#Head]] ![[a.png]] [x](http://e.org/a_(b)) `[[code]]`"
    assert links_in(text) == ["Note", "Other", "Page#Head", "a.png", "http://e.org/a_(b)"]


def test_tags() -> None:
    assert tags_in("#one and #two/three, #[[two words]] no#tag #12 `#code` a#b") == [
        "one",
        "two/three",
        "two words",
    ]
    lines = ["#a", "```", "#b", "```", "# Heading", "#c"]
    assert tags_of(lines, {"tags": "x, y"}) == ("x", "y", "a", "c")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("See [[Note|this]] and [[Page#Head]].", "See this and Page."),
        ("[guide](https://e.org)", "guide"),
        ("![a cat on a sofa](../assets/x.png)", "a cat on a sofa"),
        ("![image.png](../assets/x.png){:height 288}", ""),
        ('<img width="720" src="x">text<br>', " text "),
        ("a < b and c > d", "a < b and c > d"),
        ("text ^block-1", "text "),
        ("<lora:name:0.8>", "<lora:name:0.8>"),
    ],
)
def test_what_is_indexed(text: str, plain: str) -> None:
    assert searchable(text) == plain


def test_block_ids_of_obsidian(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "A line with an id ^abc-1\n\nanother")
    assert [node.block_id for node in parsed.pages[0].nodes] == ["abc-1", None]


@given(st.text(alphabet="#-=`~ \n\tab1.|>*[]()", max_size=200))
def test_nodes_lie_in_order_within_the_file(text: str) -> None:
    lines = text.split("\n")
    end = 0
    for top in blocks(lines, 1, nothing):
        for node in top.walk():
            assert end < node.line_start <= node.line_end <= len(lines)
            end = node.line_end

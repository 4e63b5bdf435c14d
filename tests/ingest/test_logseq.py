from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_checks import nothing

from ingest.parsed import Node, Parsed
from ingest.readers import kind_of
from ingest.readers.logseq import belongs, links_of, outline, plain_text, read, title_of

PAGE = """\
title:: Samplers
alias:: sampling, 采样
tags:: [[Diffusion]], study
public:: true

- # Euler
  id:: 64a1b2c3-0000-0000-0000-000000000001
  collapsed:: true
\t- Fast and [[simple]].
\t  Its second line.
\t\t- See ((64a1b2c3-0000-0000-0000-000000000002)) #fast
\t- ```python
\t  # no:: property
\t  steps = 20
\t  ```
- Heun
  cost:: two calls a step
  id:: 64a1b2c3-0000-0000-0000-000000000002
-
"""


def parse(tmp_path: Path, text: str, name: str = "page.md") -> Parsed:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read(path, check=nothing)


def tree(nodes: tuple[Node, ...]) -> list[object]:
    return [(node.line_start, node.line_end, node.search, tree(node.children)) for node in nodes]


def test_a_page_is_a_tree_of_blocks_with_lines(tmp_path: Path) -> None:
    parsed = parse(tmp_path, PAGE)
    assert tree(parsed.pages[0].nodes)[1:] == [
        (
            6,
            8,
            "# Euler",
            [
                (9, 10, "Fast and simple.\nIts second line.", [(11, 11, "See  #fast", [])]),
                (12, 15, "```python\n\t  # no:: property\n\t  steps = 20\n\t  ```", []),
            ],
        ),
        (16, 18, "Heun\ncost: two calls a step", []),
        (19, 19, "", []),
    ]


def test_page_properties_title_alias_and_tags(tmp_path: Path) -> None:
    parsed = parse(tmp_path, PAGE)
    assert parsed.title == "Samplers"
    assert parsed.properties["alias"] == ["sampling", "采样"]
    assert parsed.properties["tags"] == ["Diffusion", "study"]
    assert parsed.properties["public"] == "true"
    assert set(parsed.tags) == {"Diffusion", "study", "fast"}


def test_blocks_keep_their_ids_and_links(tmp_path: Path) -> None:
    found = [node for top in parse(tmp_path, PAGE).pages[0].nodes for node in top.walk()]
    ids = [node.block_id for node in found if node.block_id]
    assert [one[-1] for one in ids] == ["1", "2"]
    assert "simple" in found[2].links
    assert "((64a1b2c3-0000-0000-0000-000000000002))" in found[3].links


def test_labels_are_what_children_stand_under(tmp_path: Path) -> None:
    assert parse(tmp_path, PAGE).pages[0].nodes[1].label == "Euler"


def test_properties_of_logseq_itself_are_no_text(tmp_path: Path) -> None:
    page = "- text\n  id:: a-b\n  collapsed:: true\n  created-at:: 1\n  hl-page:: 4\n  logseq.x:: 1"
    assert parse(tmp_path, page).pages[0].nodes[0].search == "text"


def test_keys_are_case_blind_and_underscores_are_dashes(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "Created_At:: 5\nMy_Key:: v\n\n- text")
    assert parsed.properties == {"created-at": "5", "my-key": "v"}


def test_an_empty_bullet_is_a_block_and_a_rule_is_none(tmp_path: Path) -> None:
    nodes = parse(tmp_path, "- a\n\t- b\n\t\t-\n\t-\n---\n\t- c").pages[0].nodes
    assert tree(nodes) == [(1, 1, "a", [(2, 2, "b", [(3, 3, "", [])]), (4, 4, "", []), (6, 6, "c", [])])]


def test_a_drawer_is_no_text(tmp_path: Path) -> None:
    page = "- DONE task\n  :LOGBOOK:\n  CLOCK: [2023]\n  :END:\n\t- child"
    nodes = parse(tmp_path, page).pages[0].nodes
    assert (nodes[0].line_end, nodes[0].search) == (4, "DONE task")
    assert nodes[0].children[0].search == "child"


def test_headings_outside_bullets_hold_the_bullets_after_them(tmp_path: Path) -> None:
    nodes = parse(tmp_path, "# A\n- one\n- two\n## B\n- three\n# C\n- four").pages[0].nodes
    assert [node.label for node in nodes] == ["A", "C"]
    assert [child.label for child in nodes[0].children] == ["one", "two", "B"]
    assert nodes[0].children[2].children[0].label == "three"


def test_front_matter_is_read_too(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "---\ntitle: Own name\n---\n- text\n\t- more")
    assert parsed.title == "Own name"
    assert parsed.pages[0].nodes[0].line_start == 4


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("Class.md", "Class"),
        ("a___b___c.md", "a/b/c"),
        ("What is this%3F.md", "What is this?"),
        ("2024_05_12.md", "2024-05-12"),
        ("research.logseq.md", "research"),
    ],
)
def test_titles_by_file(name: str, title: str) -> None:
    assert title_of(Path(name)) == title


def test_a_journal_has_its_date(tmp_path: Path) -> None:
    assert parse(tmp_path, "- text", "2024_05_12.md").properties["date"] == "2024-05-12"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("see ((64a1b2c3-aaaa)) there", "see  there"),
        ("[label](((64a1b2c3-aaaa)))", "label"),
        ("[[a [[b]] c]] and #[[two words]]", "a b c and #two words"),
        ("{{embed [[Page]]}}", "Page"),
        ("{{embed ((64a1b2c3-aaaa))}}", ""),
        ("{{video https://e.org/v}} text", "text"),
        ("[Talk]({{video https://e.org/v}})", "Talk"),
        ("{{query (and [[x]])}} {{renderer :todo}}", ""),
        ("Most apples are {{cloze red \\\\ color}}.", "Most apples are red."),
        ("TODO [#A] write", "TODO write"),
        ("![image.png](../assets/x.png){:height 288, :width 10}", ""),
    ],
)
def test_what_is_indexed_of_a_block(text: str, plain: str) -> None:
    assert plain_text(text) == plain


def test_links_of_a_block() -> None:
    text = "[[a [[b]] c]] ((64a1b2c3-aaaa)) [x](((64a1b2c3-bbbb))) [y](https://e.org) {{embed [[P]]}}"
    assert links_of(text) == [
        "((64a1b2c3-aaaa))",
        "((64a1b2c3-bbbb))",
        "a b c",
        "b",
        "P",
        "https://e.org",
    ]


def test_a_graph_is_known_by_its_folders(tmp_path: Path) -> None:
    plain = "# Head\n\nProse of one paragraph.\n"
    for name in ("pages", "journals", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.md").write_text(plain)
    assert kind_of(tmp_path / "pages" / "a.md") == "logseq"
    assert kind_of(tmp_path / "other" / "a.md") == "markdown"
    (tmp_path / "logseq").mkdir()
    (tmp_path / "logseq" / "config.edn").write_text("{}")
    assert kind_of(tmp_path / "other" / "a.md") == "logseq"


@pytest.mark.parametrize(
    ("text", "outlined"),
    [
        ("- a\n\t- b\n\t\t- c\n", True),
        ("- a\n  key:: value\n- b\n", True),
        ("public:: true\n\n- # A\n\t- b\n\t- c\n---\n- d", True),
        ("# Head\n\nprose\n\n- a\n- b\n", False),
        ("- a\n- b\n- c\n", False),
        ("prose only", False),
        ("", False),
    ],
)
def test_a_page_is_known_by_its_text(tmp_path: Path, text: str, outlined: bool) -> None:
    path = tmp_path / "a.md"
    path.write_text(text)
    assert belongs(path) is outlined


@given(st.text(alphabet="-\t \nab:`#([)]{}1", max_size=200))
def test_blocks_lie_in_order_within_the_file(text: str) -> None:
    lines = text.split("\n")
    seen: set[int] = set()

    def visit(blocks: list[object], above: int) -> None:
        for block in blocks:
            assert above < block.line <= block.end <= len(lines)  # type: ignore[attr-defined]
            own = set(range(block.line, block.end + 1))  # type: ignore[attr-defined]
            assert not own & seen
            seen.update(own)
            visit(block.children, block.line)  # type: ignore[attr-defined]
            above = block.end  # type: ignore[attr-defined]

    visit(outline(lines, 1, nothing), 0)  # type: ignore[arg-type]

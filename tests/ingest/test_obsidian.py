from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_checks import assert_verbatim, nothing

from ingest.chunking import chunk
from ingest.parsed import Node, Parsed, UnreadableError
from ingest.pipeline import ingest
from ingest.readers import kind_of
from ingest.readers.obsidian import belongs, plain_text, read
from knowledge.library import Library


def parse(tmp_path: Path, text: str, name: str = "note.md") -> Parsed:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    parsed = read(path, check=nothing)
    assert parsed.pages[0].lines == tuple(text.split("\n")[: len(parsed.pages[0].lines)])
    assert_verbatim(parsed, chunk(parsed, count=lambda words: len(words.split())))
    return parsed


def nodes_of(tmp_path: Path, text: str) -> list[Node]:
    return [node for top in parse(tmp_path, text).pages[0].nodes for node in top.walk()]


def tree(nodes: tuple[Node, ...]) -> list[object]:
    return [(node.line_start, node.line_end, node.search, tree(node.children)) for node in nodes]


def searched(tmp_path: Path, text: str) -> str:
    parsed = parse(tmp_path, text)
    lines = parsed.pages[0].lines
    found = [node for top in parsed.pages[0].nodes for node in top.walk()]
    return "\n".join(
        "\n".join(lines[node.line_start - 1 : node.line_end]) if node.search is None else node.search for node in found
    )


def test_a_vault_is_known_by_its_folder(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    note = deep / "n.md"
    note.write_text("# Head\n\nProse of one paragraph.\n")
    assert (belongs(note), kind_of(note)) == (False, "markdown")
    (tmp_path / ".obsidian").mkdir()
    assert (belongs(note), kind_of(note)) == (True, "obsidian")
    far = tmp_path / "1" / "2" / "3" / "4" / "5" / "6" / "n.md"
    assert not belongs(far)
    assert belongs(far.parents[1] / "n.md")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("See [[Note#Part]], [[Note#Part|this]].", "See Note > Part, this."),
        ("See [[Note#^abc]] and [[#Part#Deeper]]", "See Note and Part > Deeper"),
        ("before ![[pic.PNG]] after", "before  after"),
        ("![[pic.png|300x200]]![[talk.mp3]]![[a.pdf#page=3]]", ""),
        ("![[pic.png|a cat|300]]", "a cat"),
        ("![[Other note]] ![[v1.2]] ![[Note#^id]]", "Other note v1.2 Note"),
        ("[guide](https://e.org) <br>x", "guide  x"),
        ("a ==bright== word, a == b and c == d", "a bright word, a == b and c == d"),
        ("`==code==` ==x==", "`==code==` x"),
        ("math $a == b$ and $$x ==y== z$$", "math $a == b$ and $$x ==y== z$$"),
        ("it costs $5 and ==more==, $6", "it costs $5 and more, $6"),
        ("key:: value", "key: value"),
        ("text [due:: 2024-05-01] and (by:: [[Ann]])", "text due: 2024-05-01 and by: Ann"),
        ("std::string and `a:: b`", "std::string and `a:: b`"),
        ("> [!note] Title\n> text", "Title\ntext"),
        ("> [!tip]- Folded\n> > [!warning|wide]+ Inner", "Folded\nInner"),
        ("age `= this.age` and `$= dv.x()` of", "age  and  of"),
        ("Тег ==яркий== [[Заметка|слово]]", "Тег яркий слово"),
    ],
)
def test_what_is_indexed(text: str, plain: str) -> None:
    assert plain_text(text) == plain


def test_links_keep_what_they_point_at(tmp_path: Path) -> None:
    text = "[[A#Head]] [[B#^id]] [[C|alias]] ![[pic.png|30]] ![[D]] [[#Here]] [x](y.md) `[[code]]`\n\n| [[E\\|e]] |\n"
    assert parse(tmp_path, text).links == ("A#Head", "B#^id", "C", "pic.png", "D", "#Here", "y.md", "E")


def test_ids_belong_to_the_block_they_end(tmp_path: Path) -> None:
    text = "# Head ^h\n\nText of two\nlines ^p\n\n> quote\n\n^q\n\n| a |\n|---|\n| b |\n\n^t\n\n```\nx ^no\n```\n^c"
    found = nodes_of(tmp_path, text)
    assert [(node.line_start, node.line_end, node.block_id) for node in found] == [
        (1, 1, "h"),
        (3, 4, "p"),
        (6, 8, "q"),
        (10, 14, "t"),
        (16, 19, "c"),
    ]
    assert [found[0].label, found[1].search, found[2].search] == ["Head", "Text of two\nlines", "quote"]
    assert found[4].search == "```\nx ^no\n```"


def test_an_id_after_a_list_is_its_last_items(tmp_path: Path) -> None:
    found = nodes_of(tmp_path, "- a\n- b\n  - c\n\n^list\n\nend")
    assert [(node.line_start, node.block_id) for node in found] == [
        (1, None),
        (2, "list"),
        (3, None),
        (5, None),
        (7, None),
    ]
    assert "list" not in searched(tmp_path, "- a\n- b\n  - c\n\n^list\n\nend")


def test_an_id_on_a_line_of_an_item_is_the_items(tmp_path: Path) -> None:
    found = nodes_of(tmp_path, "- a\n  ^one\n  - b ^two\n- c\n^three")
    assert [(node.line_start, node.line_end, node.block_id) for node in found] == [
        (1, 2, "one"),
        (3, 3, "two"),
        (4, 5, "three"),
    ]


def test_an_id_that_nothing_is_before_is_kept(tmp_path: Path) -> None:
    assert [node.block_id for node in nodes_of(tmp_path, "^first\n\ntext ^a\n\n^b")] == ["first", "a", "b"]


def test_exponents_are_no_ids(tmp_path: Path) -> None:
    text = "$$\na ^2\n$$"
    assert [(node.block_id, node.search) for node in nodes_of(tmp_path, text)] == [(None, None)]


def test_lists_are_trees_of_items(tmp_path: Path) -> None:
    text = "Things:\n- one\n  more\n\t- deep [[x]]\n\n  own paragraph\n- [x] two\n\n1. first\n10) tenth\n\nend"
    parsed = parse(tmp_path, text)
    assert tree(parsed.pages[0].nodes) == [
        (1, 1, None, []),
        (2, 3, "one\nmore", [(4, 4, "deep x", []), (6, 6, "own paragraph", [])]),
        (7, 7, "two", []),
        (9, 9, "1. first", []),
        (10, 10, "10) tenth", []),
        (12, 12, None, []),
    ]
    assert parsed.pages[0].nodes[1].label == "one"


def test_a_number_that_begins_a_line_of_prose_is_no_item(tmp_path: Path) -> None:
    assert [node.line_end for node in nodes_of(tmp_path, "It was in\n1986. A year later")] == [2]


def test_code_in_items_is_code(tmp_path: Path) -> None:
    text = "- ```sh\n  # no heading\n\n  - no item %%no comment%%\n  ```\n- b\n  ```py\n  # code\n  ```\n- c"
    parsed = parse(tmp_path, text)
    assert [(n.line_start, n.last_line) for n in parsed.pages[0].nodes] == [(1, 5), (6, 9), (10, 10)]
    assert "%%no comment%%" in str(parsed.pages[0].nodes[0].search)
    assert parsed.pages[0].nodes[1].children[0].whole


def test_a_very_deep_list_is_read(tmp_path: Path) -> None:
    text = "\n".join("\t" * depth + f"- item {depth}" for depth in range(1500))
    assert len(nodes_of(tmp_path, text)) == 1500


def test_comments_are_no_text(tmp_path: Path) -> None:
    text = (
        "shown %%hidden #no%% too\n\n%%\ngone [[no]]\n\nkey:: gone\n%%\n\n`%%code%%` and 5%%\n\n```\n%%kept%%\n```\nend"
    )
    parsed = parse(tmp_path, text)
    assert (parsed.tags, parsed.links, parsed.properties) == ((), (), {})
    assert searched(tmp_path, text) == "shown  too\n`%%code%%` and 5%%\n```\n%%kept%%\n```\nend"


def test_a_comment_never_closed_is_text(tmp_path: Path) -> None:
    assert searched(tmp_path, "a %%b\n\nc\n\n%%\nd") == "a %%b\nc\n%%\nd"


def test_task_boxes_and_callouts_are_no_text(tmp_path: Path) -> None:
    text = "- [ ] open\n- [x] done\n- [/] half\n\n> [!note]- The title\n> - [ ] inside"
    assert searched(tmp_path, text) == "open\ndone\nhalf\nThe title\n- [ ] inside"


def test_queries_are_no_text(tmp_path: Path) -> None:
    text = "a\n```dataview\nTABLE x FROM #q\n```\n```query\ntag:#b\n```\n```dataviews\nkept\n```"
    assert searched(tmp_path, text) == "a\n\n\n```dataviews\nkept\n```"


def test_properties_of_front_matter_and_text(tmp_path: Path) -> None:
    front = "---\naliases: [One, Two words]\ncssclasses: [wide]\ntags: a b/c\nrating: 4\n---\n"
    text = f"{front}rating:: 5\n**Read By**:: [[Ann]]\n- [x] x [due:: 1 May] [due:: 2 May]\n\n`no:: field` #d/e/f"
    parsed = parse(tmp_path, text)
    assert parsed.properties == {
        "alias": ["One", "Two words"],
        "tags": ["a", "b/c"],
        "rating": 4,
        "read-by": "Ann",
        "due": ["1 May", "2 May"],
    }
    assert parsed.tags == ("a", "b/c", "d/e/f")


def test_a_link_to_a_heading_is_no_tag(tmp_path: Path) -> None:
    assert parse(tmp_path, "[[#Head]] and [[a #b]] and #c").tags == ("c",)


def test_the_title_is_the_file_unless_it_has_its_own(tmp_path: Path) -> None:
    assert parse(tmp_path, "# Head\n\ntext", "Мой файл.md").title == "Мой файл"
    assert parse(tmp_path, "---\ntitle: Own\n---\ntext").title == "Own"


def test_a_note_without_text_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError) as caught:
        parse(tmp_path, "\n\n%%only\na comment%%\n")
    assert (caught.value.status, caught.value.message) == ("skipped", "no text in it")


def test_a_note_is_found_by_its_words_and_not_by_its_comments(library: Library, notes: Path) -> None:
    (notes / ".obsidian").mkdir()
    (notes / "a.md").write_text("- about ==tungsten== ^w\n\n%%zirconium%%\n\n![[molybdenum.png]]\n")
    assert [outcome.status for outcome in ingest([notes], library)] == ["indexed"]
    assert library.search("tungsten")[0].heading == "a"
    assert library.chunks(str(notes / "a.md"))[0].block_id == "w"
    assert not any(passage.signals["bm25"] for passage in library.search("zirconium molybdenum"))


@given(st.text(alphabet="-\t \n#%^`:>[]|=1.a$!*", max_size=200))
def test_nodes_lie_in_order_within_the_file(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.md"
    path.write_text(f"{text}.", encoding="utf-8")
    try:
        parsed = read(path, check=nothing)
    except UnreadableError:
        return
    end = 0
    for top in parsed.pages[0].nodes:
        for node in top.walk():
            assert end < node.line_start <= node.line_end <= len(parsed.pages[0].lines)
            end = node.line_end

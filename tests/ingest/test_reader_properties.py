"""What holds for every page whatever is in it: spans, cover, verbatim chunks, ids on their lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest_checks import assert_verbatim, nothing

from ingest.chunking import MAXIMUM, chunk
from ingest.parsed import Node, Parsed, UnreadableError
from ingest.readers import reader

MANY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
ENDS = st.sampled_from(["\n", "\r\n"])

WORD = st.sampled_from(
    [
        *("latent", "noise", "prompt", "step", "сэмплер", "шум", "картина", "весь", "采样", "a", "I", "12", "word."),
        *("end!", "C++", "x^2", "5%", "it's", "*bold*", "_it_"),
    ]
)
MARK = st.sampled_from(
    [
        *("[[Page]]", "[[Page|alias]]", "[[Note#Head]]", "[[Note#^id]]", "![[pic.png]]", "![[Note]]", "[[a [[b]] c]]"),
        *("[link](https://e.org/a_(b))", "![alt](x.png){:height 20}", "((64a1b2c3-0000))", "[l](((64a1b2c3-0000)))"),
        *("{{embed [[Page]]}}", "{{embed ((64a1b2c3-0000))}}", "{{query (and [[x]])}}", "{{cloze red \\\\ color}}"),
        *("#tag", "#a/b", "#[[two words]]", "`code %% ==`", "`", "``", "$a == b$", "$", "==high==", "==", "[#A] x"),
        *(
            "<br>",
            "<!-- no -->",
            "<lora:x:0.8>",
            "[due:: 1 May]",
            "(by:: [[Ann]])",
            "std::vector",
            "](",
            "[[",
            "\x1b[31m",
        ),
        *("TODO x", "DONE", "\u202eback", "\x0b", "\x85", "\u2028", "\x1c", "http://e.org/#x", "https://e.org/%D0%B0"),
    ]
)
PHRASE = st.lists(st.one_of(WORD, WORD, MARK), min_size=1, max_size=12).map(" ".join)
LONG = st.lists(WORD, min_size=150, max_size=400).map(" ".join)
PROSE = st.one_of(*[PHRASE] * 12, LONG).map(str.strip).filter(bool)
CODE = st.lists(
    st.sampled_from(
        ["x = 1", "# comment", "- item", "", "key:: value", "    deep", "[[x]]", "%%", "---", "^no-id", "id:: no"]
    ),
    max_size=5,
)
FENCE = st.sampled_from(["```", "~~~", "````"])


class Writer:
    """The lines of a page as it is written, with the line that each id is on and those that are no
    content.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ids: dict[str, int] = {}
        self.exempt: set[int] = set()

    def add(self, line: str, *, exempt: bool = False) -> int:
        self.lines.append(line)
        if exempt:
            self.exempt.add(len(self.lines))
        return len(self.lines)

    def new_id(self, prefix: str = "") -> str:
        return f"{prefix}{len(self.ids):08d}-0000"


@st.composite
def logseq_pages(draw: st.DrawFn) -> Writer:
    page = Writer()
    if draw(st.booleans()):
        page.add("title:: Страница")
        page.add("tags:: [[x]], y")
        page.add("")
    depth = 0
    for _ in range(draw(st.integers(1, 12))):
        depth = draw(st.integers(0, depth + 1))
        inner = "\t" * depth + "  "
        first = draw(st.one_of(PROSE, st.just(""), PROSE.map(lambda text: f"# {text}")))
        fence = draw(FENCE) if draw(st.integers(0, 5)) == 0 else ""
        page.add("\t" * depth + f"- {fence + 'python' if fence else first}".rstrip(" "))
        if fence:
            for line in draw(CODE):
                page.add(inner + line)
            page.add(inner + fence)
        elif draw(st.booleans()):
            kinds = st.sampled_from(["id", "property", "text", "drawer", "blank", "fence"])
            had_id = False
            for kind in draw(st.lists(kinds, max_size=4)):
                if kind == "id" and not had_id:
                    had_id = True
                    one = page.new_id()
                    page.ids[one] = page.add(f"{inner}id:: {one}")
                elif kind == "property":
                    page.add(
                        inner + draw(st.sampled_from(["key:: value", "collapsed:: true", "Имя:: [[Анна]]", "k::"]))
                    )
                elif kind == "text":
                    page.add(inner + draw(PROSE))
                elif kind == "drawer":
                    for line in (":LOGBOOK:", "CLOCK: [2024]", ":END:"):
                        page.add(inner + line)
                elif kind == "blank":
                    page.add("")
                elif kind == "fence":
                    mark = draw(FENCE)
                    page.add(inner + mark)
                    for line in draw(CODE):
                        page.add(inner + line)
                    page.add(inner + mark)
                    break  # lines after code would be the code's block all the same
    return page


@st.composite
def obsidian_notes(draw: st.DrawFn) -> Writer:
    page = Writer()
    if draw(st.booleans()):
        for line in ("---", "aliases: [a, b]", "tags: x y", "cssclasses: wide", "---"):
            page.add(line, exempt=True)
    kinds = st.sampled_from(
        ["head", "text", "list", "fence", "table", "callout", "comment", "query", "math", "under", "field"]
    )

    def mark_id(*, alone: bool = False) -> str:
        """An id that ends the line to be written next (``alone``: after a blank line)."""
        if draw(st.integers(0, 2)):
            return ""
        one = page.new_id("b-")
        page.ids[one] = len(page.lines) + (2 if alone else 1)
        return f" ^{one}"

    def lone_id() -> None:
        if one := mark_id(alone=True):
            page.add("")
            page.add(one.strip())

    for kind in draw(st.lists(kinds, min_size=1, max_size=8)):
        if kind == "head":
            page.add(f"{'#' * draw(st.integers(1, 6))} {draw(PHRASE)}{mark_id()}")
        elif kind == "under":
            page.add(draw(PROSE))
            page.add(draw(st.sampled_from(["===", "---"])))
        elif kind == "text":
            for _ in range(draw(st.integers(0, 3))):
                page.add(draw(PROSE))
            page.add(f"{draw(PROSE)}{mark_id()}")
        elif kind == "list":
            depth = 0
            for _ in range(draw(st.integers(1, 8))):
                depth = draw(st.integers(0, depth + 1))
                inner = draw(st.sampled_from(["\t", "    "])) * depth
                mark = draw(st.sampled_from(["-", "*", "1.", "- [ ]", "- [x]"]))
                page.add(f"{inner}{mark} {draw(PROSE)}{mark_id()}")
                if draw(st.integers(0, 4)) == 0:
                    fence = draw(FENCE)
                    page.add(f"{inner}  {fence}")
                    for line in draw(CODE):
                        page.add(f"{inner}  {line}")
                    page.add(f"{inner}  {fence}")
            lone_id()
        elif kind in ("fence", "query"):
            fence = draw(FENCE)
            page.add(fence + ("dataview" if kind == "query" else ""))
            for line in draw(CODE):
                page.add(line)
            page.add(fence)
            lone_id()
        elif kind == "table":
            for line in ("| a | b |", "|---|---|", f"| {draw(PHRASE)} | [[x\\|y]] |"):
                page.add(line)
            lone_id()
        elif kind == "callout":
            page.add(f"> [!note]{draw(st.sampled_from(['', '-', '+']))} {draw(PHRASE)}")
            page.add(f"> {draw(PROSE)}")
            lone_id()
        elif kind == "comment":
            page.add("%%", exempt=True)
            for line in draw(st.lists(PROSE, max_size=2)):
                page.add(f"concealed {line.replace('%%', '')}", exempt=True)
                page.add("", exempt=True)
            page.add("%%", exempt=True)
        elif kind == "math":
            for line in ("$$", "a ^2 == b", "$$"):
                page.add(line)
        else:
            page.add(f"key:: {draw(PHRASE)}")
        page.add("")
    return page


SCRAPS = st.lists(
    st.one_of(
        PHRASE,
        st.text(max_size=30),
        st.text(alphabet="#-=`~ \t1.|>*[](){}:^%$!+\r", max_size=20),
        st.sampled_from(
            ["---", "+++", "```", "- ```", "%%", "> [!x]", "^id", "| a |", "***", "===", "key:: v", "", "-"]
        ),
    ),
    max_size=20,
).map("\n".join)


def parse(path: Path, kind: str, text: str) -> Parsed | None:
    """None where there is nothing to read; any other error is a failure."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        return reader(kind)(path, check=nothing)
    except UnreadableError:
        return None


def check_spans(nodes: tuple[Node, ...], after: int, last: int) -> int:
    """Every node lies in the file, after what is before it; returns the last line used."""
    for node in nodes:
        assert after < node.line_start <= node.line_end <= last
        after = check_spans(node.children, node.line_end, last)
        assert after == node.last_line
    return after


def check_parsed(parsed: Parsed) -> None:
    for page in parsed.pages:
        check_spans(page.nodes, 0, len(page.lines))
    chunks = chunk(parsed)
    assert_verbatim(parsed, chunks)
    assert [one.ordinal for one in chunks] == list(range(len(chunks)))
    for page in parsed.pages:
        held = {number for one in chunks for number in range(one.line_start, one.line_end + 1)}
        for node in (node for top in page.nodes for node in top.walk()):
            text = page.lines[node.line_start - 1] if node.search is None else node.search
            # A heading with nothing under its own name but other headings is in the paths of those.
            if any(character.isalnum() for character in text) and not (node.label and node.children):
                assert node.line_start in held


def check_cover(parsed: Parsed, exempt: set[int]) -> None:
    """The nodes' own lines in order give the file back, blank lines and ``exempt`` ones aside."""
    page = parsed.pages[0]
    found = [node for top in page.nodes for node in top.walk()]
    numbers = [number for node in found for number in range(node.line_start, node.line_end + 1)]
    assert numbers == sorted(set(numbers))
    wanted = [number for number, line in enumerate(page.lines, 1) if line.strip() and number not in exempt]
    assert [number for number in numbers if page.lines[number - 1].strip() and number not in exempt] == wanted


def check_ids(parsed: Parsed, ids: dict[str, int]) -> None:
    """Each id is one node's, on a line of that node or of what is under it."""
    found = [node for top in parsed.pages[0].nodes for node in top.walk() if node.block_id]
    assert sorted(str(node.block_id) for node in found) == sorted(ids)
    for node in found:
        line = ids[str(node.block_id)]
        assert node.line_start <= line <= node.last_line
        assert str(node.block_id) in parsed.pages[0].lines[line - 1]


@MANY
@given(page=logseq_pages(), end=ENDS)
def test_logseq_pages(tmp_path: Path, page: Writer, end: str) -> None:
    parsed = parse(tmp_path / "page.md", "logseq", end.join(page.lines))
    if parsed is None:
        assert not page.ids or not any(character.isalnum() for character in "".join(page.lines))
        return
    assert list(parsed.pages[0].lines) == page.lines[: len(parsed.pages[0].lines)]
    check_parsed(parsed)
    check_cover(parsed, set())
    check_ids(parsed, page.ids)


@MANY
@given(page=obsidian_notes(), end=ENDS)
def test_obsidian_notes(tmp_path: Path, page: Writer, end: str) -> None:
    parsed = parse(tmp_path / "note.md", "obsidian", end.join(page.lines))
    if parsed is None:
        assert not page.ids
        return
    assert list(parsed.pages[0].lines) == page.lines[: len(parsed.pages[0].lines)]
    check_parsed(parsed)
    check_cover(parsed, page.exempt)
    check_ids(parsed, page.ids)
    found = [node.search or "" for top in parsed.pages[0].nodes for node in top.walk()]
    found += [one.search_text for one in chunk(parsed)]
    assert not any("concealed" in text for text in found)


@pytest.mark.parametrize("kind", ["markdown", "obsidian", "logseq", "text"])
@MANY
@given(text=SCRAPS)
def test_any_lines(tmp_path: Path, kind: str, text: str) -> None:
    if (parsed := parse(tmp_path / "scraps.md", kind, text)) is None:
        return
    check_parsed(parsed)
    if kind == "text":
        check_cover(parsed, set())


@pytest.mark.parametrize("kind", ["markdown", "obsidian", "logseq", "text"])
@MANY
@given(data=st.binary(max_size=300))
def test_any_bytes(tmp_path: Path, kind: str, data: bytes) -> None:
    path = tmp_path / "bytes.md"
    path.write_bytes(data)
    try:
        parsed = reader(kind)(path, check=nothing)
    except UnreadableError as error:
        assert error.status in ("failed", "skipped")
        assert "\n" not in error.message
        return
    check_parsed(parsed)


def test_code_that_begins_with_a_rule_is_code(tmp_path: Path) -> None:
    parsed = parse(tmp_path / "a.md", "markdown", "```\n---\ntitle: x\n---\n```\nafter")
    assert parsed is not None
    assert [(node.line_start, node.line_end, node.whole) for node in parsed.pages[0].nodes] == [
        (1, 5, True),
        (6, 6, False),
    ]


def test_rules_after_rules_are_no_headings(tmp_path: Path) -> None:
    parsed = parse(tmp_path / "a.md", "markdown", "one\n\n---\n---\ntwo")
    assert parsed is not None
    assert [(node.line_start, node.label) for node in parsed.pages[0].nodes] == [(1, ""), (5, "")]


@pytest.mark.parametrize("kind", ["logseq", "obsidian"])
def test_a_page_nested_without_end_is_read(tmp_path: Path, kind: str) -> None:
    parsed = parse(tmp_path / "a.md", kind, "\n".join("\t" * depth + f"- item {depth}" for depth in range(800)))
    assert parsed is not None
    check_parsed(parsed)
    check_cover(parsed, set())


@pytest.mark.parametrize("value", ['"\\ud800"', "0x" + "f" * 9000, "[" * 5000])
def test_front_matter_that_nothing_can_keep(tmp_path: Path, value: str) -> None:
    for kind in ("markdown", "obsidian", "logseq"):
        parsed = parse(tmp_path / "a.md", kind, f"---\ntitle: {value}\n---\ntext")
        assert parsed is not None
        json.dumps([parsed.title, parsed.properties, parsed.tags], ensure_ascii=False).encode("utf-8")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ["<!--", "![", "``", "` ``", "{{cloze ", "{{embed [[", "%%", "$", "==a"])
def test_marks_that_are_never_closed_take_no_age(tmp_path: Path, unit: str) -> None:
    for kind in ("markdown", "obsidian", "logseq"):
        parse(tmp_path / "a.md", kind, "word " + unit * 6000)


def test_a_block_longer_than_its_label_is_in_a_chunk_and_none_is_too_long(tmp_path: Path) -> None:
    def words(text: str) -> int:
        return len(text.split())

    parsed = parse(tmp_path / "a.md", "logseq", f"- {'A b. ' * 85}tungsten\n\t- c\n\t  {'w ' * 90}")
    assert parsed is not None
    chunks = chunk(parsed, count=words)
    assert "tungsten" in "\n".join(one.search_text or one.text for one in chunks)
    assert max(words(one.search_text or one.text) for one in chunks) <= MAXIMUM

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_checks import assert_verbatim, nothing

from ingest.chunking import MAXIMUM, TARGET, chunk, counter, estimate
from ingest.parsed import Page, Parsed, split_lines
from ingest.readers import logseq, markdown, text
from knowledge.records import Chunk


def words(text: str) -> int:
    return len(text.split())


def parsed(source: str, kind: str = "markdown", title: str = "Page") -> Parsed:
    lines = split_lines(source)
    if kind == "markdown":
        nodes = markdown.blocks(lines, 1, nothing)
    elif kind == "logseq":
        nodes = [logseq._node(block) for block in logseq.outline(lines, 1, nothing)]
    else:
        nodes = text.paragraphs(lines)
    return Parsed(kind, title, (Page(None, lines, tuple(nodes)),))


def chunked(source: str, kind: str = "markdown") -> list[Chunk]:
    document = parsed(source, kind)
    chunks = chunk(document, count=words)
    assert_verbatim(document, chunks)
    assert [one.ordinal for one in chunks] == list(range(len(chunks)))
    return chunks


def paragraph(word: str, count: int) -> str:
    return " ".join([word] * count) + "."


def test_a_small_page_is_one_chunk() -> None:
    (only,) = chunked("# Head\n\nSome text.\n\n- a list\n- of two\n")
    assert (only.line_start, only.line_end) == (1, 6)
    assert only.heading == "Page > Head"
    assert only.text.startswith("# Head") and only.text.endswith("of two")


def test_long_sections_are_chunks_under_their_headings() -> None:
    source = f"# A\n\n{paragraph('one', 150)}\n\n## B\n\n{paragraph('two', 150)}\n"
    first, second = chunked(source)
    assert (first.heading, first.line_start, first.line_end) == ("Page > A", 1, 3)
    assert (second.heading, second.line_start) == ("Page > A > B", 5)
    assert second.text.startswith("## B")


def test_paragraphs_of_a_section_are_packed_up_to_the_target() -> None:
    source = "# A\n\n" + "\n\n".join(paragraph(word, 80) for word in "abcde")
    chunks = chunked(source)
    assert [words(one.search_text or one.text) <= TARGET for one in chunks] == [True] * 3
    assert {one.heading for one in chunks} == {"Page > A"}


def test_small_sections_share_a_chunk_under_what_they_have_in_common() -> None:
    source = "# A\n\n" + "\n\n".join(f"## {w}\n\n{paragraph(w, 50)}" for w in ("b", "c", "d", "e"))
    chunks = chunked(source)
    assert [one.heading for one in chunks] == ["Page > A", "Page > A"]
    assert "## b" in chunks[0].text and "## c" in chunks[0].text


def test_code_stays_whole_where_it_fits() -> None:
    code = "```\n" + "\n".join(f"line {n}" for n in range(90)) + "\n```"
    chunks = chunked(f"# A\n\n{paragraph('text', 120)}\n\n{code}\n")
    assert any(one.text == code for one in chunks)


def test_code_that_is_too_long_is_cut_between_lines() -> None:
    code = "```\n" + "\n".join(f"line {n}" for n in range(300)) + "\n```"
    chunks = chunked(code)
    assert len(chunks) > 2
    assert all(words(one.text) <= TARGET for one in chunks)


def test_a_long_line_is_cut_between_sentences_and_keeps_its_number() -> None:
    line = " ".join(paragraph(f"w{n}", 40).capitalize() for n in range(20))
    chunks = chunked(f"first\n\n{line}\n", kind="text")
    assert {(one.line_start, one.line_end) for one in chunks[1:]} == {(3, 3)}
    assert all(one.text.rstrip().endswith(".") for one in chunks[1:])
    assert all(words(one.text) <= TARGET for one in chunks)
    assert "".join(one.text for one in chunks).endswith(line)


def test_a_line_without_sentences_is_cut_between_words() -> None:
    chunks = chunked("word " * 1000, kind="text")
    assert all(words(one.text) <= MAXIMUM for one in chunks)
    assert sum(words(one.text) for one in chunks) == 1000


def test_a_wrapped_paragraph_is_cut_after_a_line_that_ends_a_sentence() -> None:
    lines = [("word " * 9 + ("end." if n % 4 == 3 else "word")) for n in range(60)]
    chunks = chunked("\n".join(lines), kind="text")
    assert len(chunks) > 2
    assert all(one.text.endswith("end.") for one in chunks)


def test_blocks_of_logseq_go_by_subtree_with_their_parents_in_the_heading() -> None:
    source = "- Topic\n" + "".join(f"\t- Sub {n}\n\t\t- {paragraph(f'w{n}', 120)}\n" for n in range(3))
    chunks = chunked(source, kind="logseq")
    assert [one.heading for one in chunks][-2:] == ["Page > Topic > Sub 1", "Page > Topic > Sub 2"]
    assert chunks[-1].text.lstrip().startswith("- Sub 2")
    assert chunks[-1].line_start == 6


def test_empty_bullets_neither_begin_nor_end_a_chunk() -> None:
    (only,) = chunked("-\n---\n- one\n-\n- two\n-\n", kind="logseq")
    assert (only.text, only.line_start, only.line_end) == ("- one\n-\n- two", 3, 5)


def test_what_logseq_hides_is_in_the_text_and_not_in_the_index() -> None:
    (only,) = chunked("- shown\n  id:: 64a1-b\n\t- child ((64a1-bb))\n", kind="logseq")
    assert "id:: 64a1-b" in only.text
    assert only.search_text == "shown\nchild"
    assert only.block_id == "64a1-b"
    assert only.links == ("((64a1-bb))",)


def test_words_broken_at_the_ends_of_pdf_lines_are_joined_in_the_index() -> None:
    lines = ("The diffu-", "sion model")
    page = Page(3, lines, tuple(text.paragraphs(lines)))
    (only,) = chunk(Parsed("pdf", "Paper", (page,)), count=words)
    assert (only.text, only.search_text) == ("The diffu-\nsion model", "The diffusion model")
    assert only.page == 3


def test_long_paths_of_headings_lose_their_middle() -> None:
    heads = "".join(f"{'#' * n} {paragraph(f'h{n}', 15)}\n" for n in range(1, 6))
    last = chunked(heads + paragraph("text", 199))[-1]
    assert last.heading == f"Page > … > {paragraph('h4', 15)} > {paragraph('h5', 15)}"


def test_pages_without_words_give_no_chunks() -> None:
    assert chunked("---\n\n***\n\n|---|---|\n") == []


def test_the_estimate_is_on_the_high_side() -> None:
    count = counter()
    if count is estimate:
        pytest.skip("the bundled embedder is not installed")
    for sample in (
        "The guidance scale says how closely the picture follows the prompt.",
        "https://huggingface.co/stabilityai/sd-vae-ft-mse-original",
        "Сэмплер простой и быстрый, хорош для начала",
    ):
        assert estimate(sample) >= 0.8 * count(sample)


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(
            [
                "# H",
                "## S",
                "",
                "- a b",
                "\t- c",
                "  id:: x1",
                "```",
                "|t|",
                "w " * 90,
                "A b. " * 90,
            ]
        ),
        max_size=40,
    ),
    st.sampled_from(["markdown", "logseq", "text"]),
)
def test_every_chunk_is_verbatim_and_within_bounds(lines: list[str], kind: str) -> None:
    for one in chunked("\n".join(lines), kind):
        assert words(one.search_text or one.text) <= MAXIMUM
        assert words(one.heading) <= 50


@settings(max_examples=40)
@given(st.text(alphabet="ab.!? \n\t-#`|:é漢", max_size=600), st.sampled_from(["markdown", "logseq"]))
def test_any_text_is_chunked_verbatim(source: str, kind: str) -> None:
    document = parsed(source, kind)
    assert_verbatim(document, chunk(document, count=len))


def test_chunks_of_a_file_are_those_of_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_bytes("# Голова\r\n\r\nТекст строки.\r\n".encode("cp1251"))
    document = markdown.read(path, check=nothing)
    (only,) = chunk(document)
    assert only.text == "# Голова\n\nТекст строки."

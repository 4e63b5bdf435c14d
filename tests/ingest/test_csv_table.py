from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_checks import assert_verbatim, nothing

from ingest.chunking import chunk
from ingest.parsed import Node, Parsed, UnreadableError
from ingest.readers import csv_table
from ingest.readers.csv_table import delimiter_of, read


def table(tmp_path: Path, content: str | bytes, name: str = "a.csv") -> Parsed:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    parsed = read(path, check=nothing)
    assert_verbatim(parsed, chunk(parsed, check=nothing))
    return parsed


def rows(parsed: Parsed) -> tuple[Node, ...]:
    return parsed.pages[0].nodes[0].children


def said(parsed: Parsed) -> list[str | None]:
    return [row.search for row in rows(parsed)]


def test_a_row_names_its_columns(tmp_path: Path) -> None:
    parsed = table(tmp_path, "Имя,Шаги,Заметка\neuler,20,\ndpm,30,точнее\n")
    assert said(parsed) == ["Имя: euler; Шаги: 20", "Имя: dpm; Шаги: 30; Заметка: точнее"]
    assert [(row.line_start, row.line_end) for row in rows(parsed)] == [(2, 2), (3, 3)]
    assert (parsed.kind, parsed.title) == ("csv", "a")
    assert parsed.properties == {"columns": ["Имя", "Шаги", "Заметка"], "rows": 2}
    (only,) = chunk(parsed, check=nothing)
    assert only.text == "Имя,Шаги,Заметка\neuler,20,\ndpm,30,точнее"
    assert "Имя: euler" in only.search_text


def test_lines_inside__quotes_belong_to_the_row(tmp_path: Path) -> None:
    parsed = table(tmp_path, 'id,text\n1,"first\nsecond ""quoted"""\n\n2,"third, with a comma"\n')
    assert [(row.line_start, row.line_end) for row in rows(parsed)] == [(2, 3), (5, 5)]
    assert said(parsed) == ['id: 1; text: first second "quoted"', "id: 2; text: third, with a comma"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_found(tmp_path: Path, delimiter: str) -> None:
    text = "\n".join(delimiter.join(row) for row in (["name", "steps"], ["euler", "20"], ["dpm", "30"]))
    assert said(table(tmp_path, text)) == ["name: euler; steps: 20", "name: dpm; steps: 30"]


def test_the_file_ending_decides_where_the_text_does_not() -> None:
    assert delimiter_of(["one"], ".csv") == ","
    assert delimiter_of(["one"], ".tsv") == "\t"
    assert delimiter_of(["a, b\tc, d", "e, f\tg, h"], ".tsv") == "\t"


def test_a_table_without_a_header_has_values_alone(tmp_path: Path) -> None:
    parsed = table(tmp_path, "euler;20\ndpm;30\n")
    assert said(parsed) == ["euler; 20", "dpm; 30"]
    assert parsed.properties == {"columns": 2, "rows": 2}
    assert said(table(tmp_path, "only,one,row")) == ["only; one; row"]


def test_a_quote_never_closed_costs_one_line(tmp_path: Path) -> None:
    text = 'name,note\na,"open\n' + "".join(f"b{number},fine\n" for number in range(300))
    parsed = table(tmp_path, text)
    assert len(rows(parsed)) == 301
    assert said(parsed)[0] == 'name: a; note: "open'
    assert said(parsed)[-1] == "name: b299; note: fine"


def test_cells_longer_than_the_csv_module_takes(tmp_path: Path) -> None:
    parsed = table(tmp_path, f"name,text\na,{'word ' * 30_000}\nb,short\n")
    assert len(rows(parsed)) == 2
    assert said(parsed)[1] == "name: b; text: short"


def test_zero_bytes_and_escapes_stay__out_of_the_index(tmp_path: Path) -> None:
    filler = "some words,more words\n" * 40
    parsed = table(tmp_path, f"name,text\na\x00b,\x1b[31mred\n{filler}")
    assert said(parsed)[0] == "name: ab; text: red"
    assert parsed.pages[0].lines[1] == "a\x00b,\x1b[31mred"


def test_long_tables_are_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_table, "ROWS", 10)
    text = "name,n\n" + "".join(f"row{number},{number}\n" for number in range(11))
    parsed = table(tmp_path, text)
    assert (len(rows(parsed)), parsed.note) == (10, "the first 10 rows read"), parsed.note
    parsed = table(tmp_path, "name,n\n" + "".join(f"row{number},{number}\n" for number in range(10)))
    assert (len(rows(parsed)), parsed.note) == (10, "")


def test_encodings(tmp_path: Path) -> None:
    text = "Название;Описание\nсэмплер;простой и быстрый способ\n"
    for encoding in ("utf-8-sig", "cp1251", "utf-16"):
        assert said(table(tmp_path, text.encode(encoding))) == ["Название: сэмплер; Описание: простой и быстрый способ"]


@pytest.mark.parametrize("content", [b"", b"\n\n", b",,,\n,,\n", b'"'])
def test_nothing_to_read_is_skipped_or_harmless(tmp_path: Path, content: bytes) -> None:
    if content == b'"':
        assert said(table(tmp_path, content)) == ['"']
        return
    with pytest.raises(UnreadableError) as caught:
        table(tmp_path, content)
    assert caught.value.status == "skipped"


def test_binary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="not text"):
        table(tmp_path, bytes(range(256)) * 9)


@given(st.text(st.sampled_from('ab,;"\n\t |1\r'), min_size=1, max_size=80))
def test_rows_cover_the_lines_in_order(text: str) -> None:
    lines = text.split("\n")
    number = 0
    for first, last, _ in csv_table._rows(lines, ",", nothing):
        assert number < first <= last <= len(lines)
        number = last

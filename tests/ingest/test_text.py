from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_checks import nothing

from ingest.parsed import UnreadableError, split_lines
from ingest.readers.text import decode, paragraphs, read

RUSSIAN = "Сэмплер euler простой и быстрый, хорош для начала работы с моделью."


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", RUSSIAN),
        ("utf-8-sig", RUSSIAN),
        ("utf-16", RUSSIAN),
        ("utf-16-le", "Plain English in two bytes a letter, without a mark."),
        ("utf-16-be", "Plain English in two bytes a letter, without a mark."),
        ("utf-32", RUSSIAN),
        ("cp1251", RUSSIAN),
        ("cp1251", "Привет, мир"),
        ("koi8-r", RUSSIAN * 4),
        ("latin-1", "Über die Größe der Bilder: naïve café, señor."),
        ("cp1252", "He said “the picture” costs 5 € – à peu près."),
    ],
)
def test_encodings_are_found(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding))[0] == text


def test_one_broken_byte_does_not_spoil_a_utf8_file() -> None:
    text, encoding = decode(RUSSIAN.encode() + b"\xff" + RUSSIAN.encode())
    assert text == f"{RUSSIAN}\ufffd{RUSSIAN}"
    assert encoding.startswith("utf-8")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
        (b"PK\x03\x04" + bytes(100), "zip"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"\x7fELF\x02\x01", "program"),
        (b"text" + bytes(200) + b"more", "zero bytes"),
        (bytes(range(256)) * 20, "zero bytes|binary"),
    ],
)
def test_binary_posing_as_text_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        decode(data)


def test_a_stray_zero_byte_is_no_reason_to_refuse() -> None:
    text = "A long note. " * 100
    assert decode(text.encode() + b"\x00" + text.encode())[0] == f"{text}\x00{text}"


@given(st.binary(max_size=300))
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    try:
        text, encoding = decode(data)
    except UnreadableError as error:
        assert error.message
    else:
        assert isinstance(text, str)
        assert encoding


@given(st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=200))
def test_utf8_comes_back_as_it_was(text: str) -> None:
    try:
        assert decode(text.encode())[0] == text.removeprefix("\ufeff")
    except UnreadableError:
        assert any(ord(c) < 32 for c in text) or text.startswith("%PDF")


def test_lines_end_where_editors_end_them() -> None:
    assert split_lines("a\r\nb\rc\nd") == ("a", "b", "c", "d")
    assert split_lines("a\n\n") == ("a", "")
    assert split_lines("a\u2028b\x0cc\x85d") == ("a\u2028b\x0cc\x85d",)
    assert split_lines("") == ()


def test_paragraphs_stand_between_blank_lines() -> None:
    lines = ["", "one", "two", " ", "three", ""]
    assert [(n.line_start, n.line_end) for n in paragraphs(lines)] == [(2, 3), (5, 5)]
    assert [(n.line_start, n.line_end) for n in paragraphs(lines, 3, 5)] == [(3, 3), (5, 5)]


def test_escapes_stay_in_the_lines_and_leave_the_index(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("\x1b[31mred\x1b[0m alert")
    parsed = read(path, check=nothing)
    assert parsed.pages[0].lines == ("\x1b[31mred\x1b[0m alert",)
    assert parsed.pages[0].nodes[0].search == "red alert"


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_a_file_without_text_is_skipped(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.txt"
    path.write_bytes(content)
    with pytest.raises(UnreadableError) as caught:
        read(path, check=nothing)
    assert caught.value.status == "skipped"

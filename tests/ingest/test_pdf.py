from __future__ import annotations

import time
from pathlib import Path

import pytest
from ingest_checks import assert_verbatim, nothing
from ingest_pdfs import pdf
from pypdf import PdfReader, PdfWriter

from ingest.chunking import chunk
from ingest.parsed import UnreadableError, split_lines
from ingest.readers import pdf as reader


def written(folder: Path, data: bytes, name: str = "paper.pdf") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def refusal(path: Path) -> UnreadableError:
    with pytest.raises(UnreadableError) as caught:
        reader.read(path, check=nothing)
    assert "\n" not in caught.value.message
    return caught.value


PAGES = [["Diffusion models", "remove noise step by step."], ["The second page", "has two lines."]]


def test_pages_and_lines_are_kept(tmp_path: Path) -> None:
    path = written(tmp_path, pdf(PAGES, title="On diffusion"))
    parsed = reader.read(path, check=nothing)
    assert parsed.title == "On diffusion"
    assert [page.number for page in parsed.pages] == [1, 2]
    assert parsed.pages[1].lines == tuple(PAGES[1])
    extracted = [split_lines(page.extract_text()) for page in PdfReader(path).pages]
    assert [page.lines for page in parsed.pages] == extracted
    chunks = chunk(parsed)
    assert_verbatim(parsed, chunks)
    assert [one.page for one in chunks] == [1, 2]


def test_a_title_that_says_nothing_is_not_taken(tmp_path: Path) -> None:
    for title in ("", "untitled", "Microsoft Word - draft.docx", "scan.pdf"):
        path = written(tmp_path, pdf(PAGES, title=title), "my paper.pdf")
        assert reader.read(path, check=nothing).title == "my paper"


def test_an_encrypted_file_needs_a_password(tmp_path: Path) -> None:
    writer = PdfWriter(clone_from=written(tmp_path, pdf(PAGES)))
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(tmp_path / "locked.pdf")
    error = refusal(tmp_path / "locked.pdf")
    assert (error.message, error.status) == ("encrypted: needs a password", "failed")


def test_a_file_encrypted_without_a_password_is_read(tmp_path: Path) -> None:
    writer = PdfWriter(clone_from=written(tmp_path, pdf(PAGES)))
    writer.encrypt("", owner_password="secret", algorithm="RC4-128")
    writer.write(tmp_path / "open.pdf")
    assert len(reader.read(tmp_path / "open.pdf", check=nothing).pages) == 2


def test_pages_without_text_have_no_text_layer(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, pdf([[], []])))
    assert error.status == "skipped"
    assert error.message.startswith("no text layer (scanned)")


def test_scanned_pages_are_recognised_where_the_engine_is_installed(shared: Path) -> None:
    pytest.importorskip("rapidocr_onnxruntime", reason="the optional package rapidocr-onnxruntime is not installed")
    parsed = reader.read(shared / "data" / "pdfs" / "ocr_test.pdf", check=nothing)
    assert "PDF document conversion" in " ".join(parsed.pages[0].lines)
    assert parsed.note == "1 pages read by OCR"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"no pdf at all", "corrupt"),
        (b"%PDF-1.4\nnothing else", "corrupt"),
        (pdf(PAGES)[:120], "corrupt"),
    ],
)
def test_damaged_files_have_a_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    assert refusal(written(tmp_path, data)).message.startswith(reason)


def test_a_damaged_table_of_places_is_repaired(tmp_path: Path) -> None:
    data = pdf(PAGES).replace(b"startxref\n", b"startxref\n9")
    assert len(reader.read(written(tmp_path, data), check=nothing).pages) == 2


def test_pages_over_the_limit_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "PAGES", 1)
    parsed = reader.read(written(tmp_path, pdf(PAGES)), check=nothing)
    assert len(parsed.pages) == 1
    assert parsed.note.startswith("1 of 2 pages read")


def test_a_parser_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "SECONDS", 0)
    assert "longer than 0 s" in refusal(written(tmp_path, pdf(PAGES))).message


def test_cancelling_ends_the_parser(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def check() -> None:
        raise StopError

    started = time.monotonic()
    with pytest.raises(StopError):
        reader.read(written(tmp_path, pdf(PAGES)), check=check)
    assert time.monotonic() - started < 60

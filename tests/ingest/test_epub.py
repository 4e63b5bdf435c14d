from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from ingest_checks import assert_verbatim, nothing

from ingest.chunking import chunk
from ingest.parsed import UnreadableError
from ingest.readers import epub
from ingest.readers.epub import read

CONTAINER = """<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
OPF = """<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">
<metadata><dc:title>Мёртвые души</dc:title><dc:creator>Н. В. Гоголь</dc:creator><dc:language>ru</dc:language>
<dc:date>1842</dc:date></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"""
CHAPTER = """<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head>
<body><h1>{title}</h1><p>{text}</p><p><a id="x"/>Ещё абзац, <i>курсивом</i> и&nbsp;без.</p></body></html>"""
ENCRYPTED = """<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"
 xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData><enc:EncryptionMethod Algorithm="{method}"/>
<enc:CipherData><enc:CipherReference URI="{name}"/></enc:CipherData></enc:EncryptedData></encryption>"""


def book(tmp_path: Path, chapters: Mapping[str, str | bytes | None], more: Mapping[str, str] | None = None) -> Path:
    """A book whose spine is ``chapters`` in their order; None leaves the file out."""
    path = tmp_path / "book.epub"
    items = "".join(
        f'<item id="i{number}" href="{name}" media-type="application/xhtml+xml"/>'
        for number, name in enumerate(chapters)
    )
    spine = "".join(f'<itemref idref="i{number}"/>' for number in range(len(chapters)))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("OEBPS/book.opf", OPF.format(items=items, spine=spine))
        for name, content in chapters.items():
            if content is not None:
                archive.writestr(f"OEBPS/{name.replace('%20', ' ')}", content)
        for name, content in (more or {}).items():
            archive.writestr(name, content)
    return path


def chapter(number: int) -> str:
    return CHAPTER.format(title=f"Глава {number}", text=f"В ворота гостиницы въехала бричка номер {number}.")


def refused(path: Path) -> tuple[str, str]:
    with pytest.raises(UnreadableError) as caught:
        read(path, check=nothing)
    assert "\n" not in caught.value.message
    return caught.value.status, caught.value.message


def test_chapters_come_in_the_order_of_the_spine(tmp_path: Path) -> None:
    parsed = read(
        book(tmp_path, {"b%20two.xhtml": chapter(1), "cover.xhtml": "<body/>", "a.xhtml": chapter(2)}), check=nothing
    )
    assert [page.number for page in parsed.pages] == [1, 3]
    assert parsed.pages[0].lines == (
        "# Глава 1",
        "",
        "В ворота гостиницы въехала бричка номер 1.",
        "",
        "Ещё абзац, курсивом и\u00a0без.",
    )
    assert (parsed.kind, parsed.title, parsed.note) == ("epub", "Мёртвые души", "")
    assert parsed.properties == {"title": "Мёртвые души", "author": "Н. В. Гоголь", "language": "ru", "date": "1842"}
    chunks = chunk(parsed, check=nothing)
    assert_verbatim(parsed, chunks)
    assert [one.page for one in chunks] == [1, 3]
    assert chunks[0].heading == "Мёртвые души > Глава 1"


def test_a_damaged_chapter_is_left_out_with_a_note(tmp_path: Path) -> None:
    chapters = {"a": chapter(1), "b": None, "c": bytes(range(256)) * 9, "d": "<div>" * 100_000, "e": chapter(5)}
    parsed = read(book(tmp_path, chapters), check=nothing)
    assert [page.number for page in parsed.pages] == [1, 5]
    assert parsed.note.startswith("3 of 5 chapters left out (2: corrupt: a part of it is missing; 3: not text")
    assert "\n" not in parsed.note
    assert refused(book(tmp_path, {"a": None})) == (
        "failed",
        "no chapter can be read: corrupt: a part of it is missing",
    )


def test_a_protected_book_is_named_so_and_scrambled_fonts_do_no_harm(tmp_path: Path) -> None:
    locked = ENCRYPTED.format(method="http://www.w3.org/2001/04/xmlenc#aes128-cbc", name="OEBPS/a.xhtml")
    path = book(tmp_path, {"a.xhtml": bytes(range(256))}, {"META-INF/encryption.xml": locked})
    assert refused(path) == ("failed", "protected by DRM")
    fonts = ENCRYPTED.format(method="http://www.idpf.org/2008/embedding", name="OEBPS/f.otf")
    path = book(tmp_path, {"a.xhtml": chapter(1)}, {"META-INF/encryption.xml": fonts})
    assert len(read(path, check=nothing).pages) == 1


def test_books_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(book(tmp_path, {})) == ("failed", "corrupt: it lists no chapters")
    assert refused(book(tmp_path, {"a": "<html><body> </body></html>"})) == ("skipped", "no text in it")
    path = tmp_path / "a.epub"
    path.touch()
    assert refused(path) == ("skipped", "empty file")
    path.write_bytes(b"\x89PNG" + bytes(500))
    assert "corrupt" in refused(path)[1]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")
    assert "not an EPUB" in refused(path)[1]
    monkeypatch.setattr(epub, "CHAPTERS", 2)
    assert "more than 2 chapters" in refused(book(tmp_path, {"a": "", "b": "", "c": ""}))[1]


def test_truncated_books(tmp_path: Path) -> None:
    path = book(tmp_path, {"a": chapter(1), "b": chapter(2)})
    whole = path.read_bytes()
    for length in range(1, len(whole), 97):
        path.write_bytes(whole[:length])
        assert refused(path)[0] == "failed"


@pytest.mark.parametrize("name", ["META-INF/container.xml", "OEBPS/book.opf"])
def test_descriptions_that_are_bombs_or_garbage(tmp_path: Path, name: str) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><a>&b;</a>'
    for content in (bomb, "<a>" * 100_000, "", "no xml at all", "\x00\x01"):
        path = tmp_path / "a.epub"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("META-INF/container.xml", content if name.startswith("META") else CONTAINER)
            archive.writestr("OEBPS/book.opf", content)
        assert refused(path)[0] == "failed"


def test_a_chapter_that_unpacks_without_end(tmp_path: Path) -> None:
    assert refused(book(tmp_path, {"a": "x" * (20 << 20)})) == ("failed", "too large when unpacked")
    parsed = read(book(tmp_path, {"a": chapter(1), "b": "<p>ab " * 200_000}), check=nothing)
    assert parsed.note.startswith("1 of 2 chapters left out (2: more than")

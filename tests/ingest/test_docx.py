from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from docx import Document
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from ingest_checks import assert_verbatim, nothing

from ingest.chunking import chunk
from ingest.parsed import UnreadableError
from ingest.readers.docx import read


def linked(paragraph: Any, text: str, target: str) -> None:
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink"
    link = OxmlElement("w:hyperlink")
    link.set(qn("r:id"), paragraph.part.relate_to(target, kind, is_external=True))
    run = paragraph.add_run(text)
    link.append(run._r)
    paragraph._p.append(link)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    document = Document()
    document.core_properties.title = "Руководство по сэмплерам"
    document.core_properties.author = "Анна"
    document.add_heading("Сэмплеры", 1)
    paragraph = document.add_paragraph("Сэмплер euler простой и быстрый, подробнее в ")
    linked(paragraph, "справочнике", "https://example.org/a b")
    paragraph.add_run(".").bold = True
    document.add_heading("Шаги", 2)
    document.add_paragraph("открыть файл", style="List Bullet")
    document.add_paragraph("выбрать модель", style="List Bullet 2")
    document.add_paragraph("нажать кнопку", style="List Number")
    document.add_paragraph("# not a heading")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip([*table.rows[0].cells, *table.rows[1].cells], ["Имя", "Шаги", "euler | a", "20"]):
        cell.text = text
    path = tmp_path / "guide.docx"
    document.save(str(path))
    return path


def edited(path: Path, name: str, old: bytes, new: bytes) -> Path:
    """The archive with ``old`` replaced in one of its members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(buffer, "w") as after:
        for member in before.namelist():
            data = before.read(member)
            after.writestr(member, data.replace(old, new, 1) if member == name else data)
    path.write_bytes(buffer.getvalue())
    return path


def refused(path: Path) -> tuple[str, str]:
    with pytest.raises(UnreadableError) as caught:
        read(path, check=nothing)
    assert "\n" not in caught.value.message
    return caught.value.status, caught.value.message


def test_styles_become_markdown(made: Path) -> None:
    parsed = read(made, check=nothing)
    assert parsed.pages[0].lines == (
        "# Сэмплеры",
        "",
        "Сэмплер euler простой и быстрый, подробнее в [справочнике](https://example.org/a%20b).",
        "",
        "## Шаги",
        "",
        "- открыть файл",
        "  - выбрать модель",
        "- нажать кнопку",
        "",
        "\\# not a heading",
        "",
        "| Имя | Шаги |",
        "| --- | --- |",
        "| euler \\| a | 20 |",
    )
    assert (parsed.kind, parsed.title, parsed.properties["author"]) == ("docx", "Руководство по сэмплерам", "Анна")
    assert parsed.properties["date"].startswith("20")
    assert parsed.links == ("https://example.org/a%20b",)
    chunks = chunk(parsed, check=nothing)
    assert_verbatim(parsed, chunks)
    assert any("euler простой" in one.text for one in chunks)


def test_headings_in_styles_of_ones_own_and_tracked_changes(tmp_path: Path) -> None:
    document = Document()
    style = document.styles.add_style("Глава", 1)
    style.base_style = document.styles["Heading 2"]
    document.add_paragraph("Первая", style="Глава")
    document.add_paragraph("Название", style="Title")
    paragraph = document.add_paragraph("kept ")
    for name, text in (("w:ins", "added"), ("w:del", "removed")):
        change = OxmlElement(name)
        change.append(paragraph.add_run(text)._r)
        paragraph._p.append(change)
    path = tmp_path / "a.docx"
    document.save(str(path))
    parsed = read(path, check=nothing)
    assert parsed.pages[0].lines == ("## Первая", "", "# Название", "", "kept added")
    assert parsed.title == "Название"


def test_footnotes_stand_at_the_end(made: Path) -> None:
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
    relation = f'<Relationship Id="rId99" Type="{kind}" Target="footnotes.xml"/></Relationships>'
    edited(made, "word/_rels/document.xml.rels", b"</Relationships>", relation.encode())
    override = f'<Override PartName="/word/footnotes.xml" ContentType="{main}"/></Types>'
    edited(made, "[Content_Types].xml", b"</Types>", override.encode())
    edited(made, "word/document.xml", b"</w:p>", b'<w:r><w:footnoteReference w:id="2"/></w:r></w:p>')
    with zipfile.ZipFile(made, "a") as archive:
        note = '<w:footnote w:id="2"><w:p><w:r><w:t>Смотри главу 3.</w:t></w:r></w:p></w:footnote>'
        archive.writestr("word/footnotes.xml", f"<w:footnotes {space}>{note}</w:footnotes>")
    parsed = read(made, check=nothing)
    assert parsed.pages[0].lines[0] == "# Сэмплеры[^2]"
    assert parsed.pages[0].lines[-1] == "[^2]: Смотри главу 3."
    assert_verbatim(parsed, chunk(parsed, check=nothing))


def test_a_page_of_pictures_only_is_skipped(tmp_path: Path) -> None:
    Document().save(str(tmp_path / "a.docx"))
    assert refused(tmp_path / "a.docx") == ("skipped", "no text in it")
    (tmp_path / "a.docx").write_bytes(b"")
    assert refused(tmp_path / "a.docx") == ("skipped", "empty file")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_that_declares_entities_is_refused(made: Path, encoding: str) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><a>&b;</a>'
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr("docProps/extra.xml", bomb.encode(encoding))
    assert refused(made) == ("failed", "refused: its XML declares entities")


def test_old_and_locked_documents_are_named_so(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "WordDocument".encode("utf-16-le"))
    assert refused(path)[1] == "an old Word document (.doc): save it as .docx"
    path.write_bytes(path.read_bytes() + "EncryptedPackage".encode("utf-16-le"))
    assert refused(path)[1] == "protected by a password"


def test_damage_is_a_reason_and_no_crash(made: Path) -> None:
    whole = made.read_bytes()
    for length in (2, 100, len(whole) // 2, len(whole) - 30):
        made.write_bytes(whole[:length])
        assert "corrupt" in refused(made)[1]
    made.write_bytes(whole)
    assert "corrupt" in refused(edited(made, "word/document.xml", b"<w:body>", b"<w:body"))[1]
    made.write_bytes(whole)
    assert "corrupt" in refused(edited(made, "_rels/.rels", b"relationships/officeDocument", b"nothing"))[1]
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.txt", "text")
    assert "not a Word document" in refused(made)[1]
    made.write_bytes(bytes(range(256)) * 9)
    assert "corrupt" in refused(made)[1]


def test_a_document_that_unpacks_without_end_is_refused(made: Path) -> None:
    with zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/bomb.xml", bytes(30 << 20))
    assert refused(made) == ("failed", "too large when unpacked")
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("[Content_Types].xml", "<a>" * 100_000)
    assert refused(made)[0] == "failed"

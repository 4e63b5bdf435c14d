"""Real notes and papers: every file gets a status, every chunk is verbatim."""

from __future__ import annotations

from pathlib import Path

import pytest
from ingest_checks import assert_verbatim, nothing

from ingest.chunking import MAXIMUM, chunk, counter
from ingest.parsed import UnreadableError
from ingest.pipeline import ingest
from ingest.readers import kind_of, reader
from ingest.walk import walk
from knowledge.library import Library


@pytest.mark.parametrize("folder", ["data/notes", "notes-of-the-user"])
def test_chunks_of_real_notes_are_verbatim_and_fit_the_model(shared: Path, folder: str) -> None:
    count = counter()
    read = 0
    for path in walk([shared / folder]).files:
        kind = kind_of(path)
        assert kind is not None
        try:
            parsed = reader(kind)(path, check=nothing)
        except UnreadableError as error:
            assert error.status == "skipped"
            continue
        chunks = chunk(parsed)
        assert_verbatim(parsed, chunks)
        for one in chunks:
            assert count(one.search_text or one.text) <= MAXIMUM + 15
            assert count(one.embedded) <= 254
        read += bool(chunks)
    assert read >= 5


def test_pages_of_logseq_are_told_from_markdown(shared: Path) -> None:
    graph = shared / "data" / "notes" / "logseq_docs" / "pages"
    assert kind_of(graph / "Block Reference.md") == "logseq"
    assert kind_of(shared / "notes-of-the-user" / "research-notes.logseq.md") == "logseq"
    for name in ("webui-guide.md", "thesis-appendix.md", "video-pipeline-references.ru.md"):
        assert kind_of(shared / "notes-of-the-user" / name) == "markdown"


def test_every_pdf_has_a_status(shared: Path, library: Library) -> None:
    folder = shared / "data" / "pdfs"
    names = [
        "libreoffice-writer-password.pdf",
        "ocr_test.pdf",
        "minimal-document.pdf",
        "pdflatex-outline.pdf",
        "habibi.pdf",
        "multicolumn.pdf",
    ]
    found = {Path(o.path).name: o for o in ingest([folder / name for name in names], library)}
    assert found["libreoffice-writer-password.pdf"].reason == "encrypted: needs a password"
    assert found["ocr_test.pdf"].reason.startswith("no text layer (scanned)")
    for name in ("minimal-document.pdf", "pdflatex-outline.pdf", "multicolumn.pdf"):
        assert found[name].status == "indexed"
    outlined = library.chunks(str(folder / "pdflatex-outline.pdf"))
    assert any(" > " in one.heading for one in outlined)

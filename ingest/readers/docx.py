"""Word documents as Markdown: headings, lists, tables, links and footnotes, by python-docx.

Lines are those of the Markdown made (``docx_text``). python-docx is given the XML parts alone, unpacked
under ``zipped``'s limits and without any declaration of entities.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docx import Document
from lxml import etree

from ingest.parsed import Page, Parsed, UnreadableError, split_lines
from ingest.readers.docx_text import Markdown
from ingest.readers.markdown import blocks
from ingest.readers.markup import links_of
from ingest.readers.text import read_bytes
from ingest.readers.zipped import open_zip, read_member

_OLE = b"\xd0\xcf\x11\xe0"
_LOCKED = "EncryptedPackage".encode("utf-16-le")
_NO_TITLE = re.compile(r"(?:untitled|без имени|word document|document\d*|документ\d*)?$", re.IGNORECASE)


def _unpacked(path: Path, check: Callable[[], None]) -> io.BytesIO:
    """The document with nothing but its XML in it, safe to hand to a parser."""
    buffer = io.BytesIO()
    with open_zip(path) as archive, zipfile.ZipFile(buffer, "w") as copy:
        names = set(archive.namelist())
        if "[Content_Types].xml" not in names:
            raise UnreadableError("not a Word document: another kind of zip archive")
        for name in sorted(names):
            check()
            data = b""
            if name.lower().endswith((".xml", ".rels")):
                data = read_member(archive, name)
                plain = data.replace(b"\x00", b"")  # as it looks in UTF-16 too
                if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
                    raise UnreadableError("refused: its XML declares entities")
            copy.writestr(name, data)
    buffer.seek(0)
    return buffer


def _properties(document: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, source in (("title", "title"), ("author", "author"), ("date", "created")):
        try:
            value = getattr(document.core_properties, source)
        except (ValueError, KeyError, AttributeError):
            continue
        text = " ".join(str(value.isoformat() if hasattr(value, "isoformat") else value or "").split())
        if text and text != "python-docx":
            found[name] = text
    return found


def _opened(path: Path, check: Callable[[], None]) -> Any:
    with path.open("rb") as stream:
        ole = stream.read(4) == _OLE
    if ole and _LOCKED in read_bytes(path):
        raise UnreadableError("protected by a password")
    if ole:
        raise UnreadableError("an old Word document (.doc): save it as .docx")
    source = _unpacked(path, check)
    try:
        return Document(source)
    except Exception as error:  # python-docx has no error of its own for a damaged document
        if "content type" in str(error):
            raise UnreadableError("not a Word document") from error
        raise UnreadableError("corrupt: not a complete Word document") from error


def read(path: Path, *, check: Callable[[], None]) -> Parsed:
    check()
    try:
        document = _opened(path, check)
    except OSError as error:
        raise UnreadableError(
            "permission denied" if isinstance(error, PermissionError) else "cannot be read"
        ) from error
    try:
        made = Markdown(document, check)
        lines = split_lines(made.text())
    except (etree.LxmlError, KeyError, AttributeError, ValueError, TypeError, RecursionError) as error:
        raise UnreadableError("corrupt: its text cannot be read") from error
    nodes = blocks(lines, 1, check)
    if not nodes:
        raise UnreadableError("no text in it", status="skipped")
    properties = _properties(document)
    stated = properties.get("title", "")
    tops = [node.label for node in nodes if node.label]
    title = "" if _NO_TITLE.match(stated) else stated
    return Parsed(
        kind="docx",
        title=title or made.title or (tops[0] if len(tops) == 1 else path.stem),
        pages=(Page(None, lines, tuple(nodes)),),
        properties=properties,
        links=links_of(nodes),
    )

"""Books as EPUB: the chapters of the spine in their order, each a page of Markdown.

A page's number is its place in the spine. A chapter that cannot be read is left out and named in the
note. What a chapter's markup means is ``markup``'s; limits on unpacking are ``zipped``'s.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lxml import etree

from ingest.parsed import Page, Parsed, UnreadableError, split_lines
from ingest.readers.markdown import blocks
from ingest.readers.markup import decode_markup, links_of, to_markdown, tree_of
from ingest.readers.zipped import open_zip, read_member

CHAPTERS = 2000
_SMALL = 4 << 20  # bytes of the files that describe the book
_CHAPTER = 16 << 20
_NAMED = 5  # chapters named in the note
# Fonts alone may be scrambled in a book that anybody can read.
_FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_MARKUP = ("application/xhtml+xml", "text/html", "application/xml", "text/x-oeb1-document")


def _xml(data: bytes) -> Any:
    """The root of an XML file; no entity is resolved and nothing is fetched."""
    if b"<!ENTITY" in data.replace(b"\x00", b""):
        raise UnreadableError("refused: its XML declares entities")
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, recover=True)
    try:
        root = etree.fromstring(data, parser)
    except (etree.LxmlError, ValueError) as error:
        raise UnreadableError("corrupt: its description cannot be read") from error
    if root is None:
        raise UnreadableError("corrupt: its description cannot be read")
    return root


def _named(root: Any, name: str) -> list[Any]:
    """All elements of that name, of whatever namespace."""
    return list(root.iter("{*}" + name))


def _opf(archive: zipfile.ZipFile) -> tuple[str, Any]:
    """(folder, root) of the file that lists the chapters."""
    if "META-INF/container.xml" not in archive.namelist():
        raise UnreadableError("not an EPUB: it does not say where its contents are")
    container = _xml(read_member(archive, "META-INF/container.xml", _SMALL))
    place = next((str(one.get("full-path")) for one in _named(container, "rootfile") if one.get("full-path")), "")
    if not place:
        raise UnreadableError("not an EPUB: it does not say where its contents are")
    return posixpath.dirname(place), _xml(read_member(archive, place, _SMALL))


def _chapters(folder: str, opf: Any) -> list[str]:
    """The names of the spine's files in order."""
    items = {str(item.get("id")): item for item in _named(opf, "item")}
    names: list[str] = []
    for reference in _named(opf, "itemref"):
        item = items.get(str(reference.get("idref")))
        kind = str(item.get("media-type") or _MARKUP[0]).lower() if item is not None else ""
        name = unquote(str(item.get("href") or "")).partition("#")[0] if item is not None else ""
        # A picture in the spine keeps its number and has no text.
        names.append(posixpath.normpath(posixpath.join(folder, name)) if name and kind in _MARKUP else "")
    return names


def _protected(archive: zipfile.ZipFile) -> set[str]:
    """The names of the files that are encrypted, fonts left out."""
    if "META-INF/encryption.xml" not in archive.namelist():
        return set()
    names: set[str] = set()
    for data in _named(_xml(read_member(archive, "META-INF/encryption.xml", _SMALL)), "EncryptedData"):
        methods = {str(method.get("Algorithm")) for method in _named(data, "EncryptionMethod")}
        if not methods or not methods <= set(_FONTS):
            names.update(unquote(str(one.get("URI"))).lstrip("/") for one in _named(data, "CipherReference"))
    return names


def _properties(opf: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, element in (("title", "title"), ("author", "creator"), ("language", "language"), ("date", "date")):
        values = [" ".join("".join(one.itertext()).split()) for one in _named(opf, element)]
        values = list(dict.fromkeys(value for value in values if value))
        if values:
            found[name] = ", ".join(values[:8]) if name == "author" else values[0]
    return found


def _page(archive: zipfile.ZipFile, number: int, name: str, check: Callable[[], None]) -> Page:
    text = decode_markup(read_member(archive, name, _CHAPTER))
    lines = split_lines(to_markdown(tree_of(text, xhtml=True), check))
    return Page(number, lines, tuple(blocks(lines, 1, check)))


def _note(left_out: list[tuple[int, str]], total: int) -> str:
    if not left_out:
        return ""
    named = "; ".join(f"{number}: {reason}" for number, reason in left_out[:_NAMED])
    return f"{len(left_out)} of {total} chapters left out ({named}{'; …' if len(left_out) > _NAMED else ''})"


def read(path: Path, *, check: Callable[[], None]) -> Parsed:
    check()
    pages: list[Page] = []
    left_out: list[tuple[int, str]] = []
    with open_zip(path) as archive:
        folder, opf = _opf(archive)
        names = _chapters(folder, opf)
        if not any(names):
            raise UnreadableError("corrupt: it lists no chapters")
        if len(names) > CHAPTERS:
            raise UnreadableError(f"more than {CHAPTERS} chapters")
        if _protected(archive) & set(names):
            raise UnreadableError("protected by DRM")
        for number, name in enumerate(names, 1):
            check()
            if not name:
                continue
            try:
                page = _page(archive, number, name, check)
            except UnreadableError as error:
                if error.status != "skipped":
                    left_out.append((number, error.message))
                continue
            if page.nodes:
                pages.append(page)
    if not pages and left_out:
        raise UnreadableError(f"no chapter can be read: {left_out[0][1]}")
    if not pages:
        raise UnreadableError("no text in it", status="skipped")
    properties = _properties(opf)
    return Parsed(
        kind="epub",
        title=properties.get("title") or path.stem,
        pages=tuple(pages),
        properties=properties,
        links=tuple(dict.fromkeys(link for page in pages for link in links_of(page.nodes))),
        note=_note(left_out, len(names)),
    )

"""Web pages: the main text as Markdown, by trafilatura; the whole body where that finds little.

Nothing is fetched: a page is what its file holds. Lines are those of the Markdown made. Limits, encodings
and the making of Markdown are in ``markup``; what Markdown means is left to the Markdown reader.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from lxml import etree
from lxml.html import HtmlElement

from ingest.parsed import Page, Parsed, UnreadableError, split_lines
from ingest.readers.markdown import blocks
from ingest.readers.markup import NO_TEXT, decode_markup, links_of, markdown_of, stated, to_markdown, tree_of
from ingest.readers.text import read_bytes

_ELEMENTS, _CHARACTERS = 25_000, 3 << 20  # above that trafilatura takes too long
_LITTLE = 250  # letters
_SAVED_FROM = re.compile(r"<!--\s*saved from url=\(\d+\)(\S{1,500})\s*-->")

logging.getLogger("trafilatura").addHandler(logging.NullHandler())  # else its remarks reach the screen


def _main_text(tree: HtmlElement, check: Callable[[], None]) -> str:
    import trafilatura  # slow to import

    try:
        found = trafilatura.extract(
            tree, output_format="html", include_links=True, include_tables=True, include_formatting=True,
            include_comments=False,
        )  # fmt: skip
    except Exception:  # whatever it stumbles over, the body can still be read
        return ""
    check()
    return markdown_of(found, check) if found else ""


def _letters(parts: Iterable[str]) -> int:
    return sum(len(part) - part.count(" ") for text in parts for part in text.split("\n"))


def _properties(tree: HtmlElement, text: str) -> dict[str, str]:
    saved = _SAVED_FROM.search(text[:4096])
    found = {
        "author": stated(
            tree,
            "//meta[@name='author' or @name='dc.creator' or @name='DC.creator']/@content",
            "//meta[@property='article:author' and not(contains(@content, '://'))]/@content",
        ),
        "date": stated(
            tree,
            "//meta[@property='article:published_time' or @itemprop='datePublished']/@content",
            "//meta[@name='date' or @name='dc.date' or @name='DC.date']/@content",
            "//time/@datetime",
        ),
        "url": stated(tree, "//link[@rel='canonical']/@href", "//meta[@property='og:url']/@content")
        or (saved.group(1) if saved else ""),
        "language": stated(tree, "/html/@lang"),
    }
    return {name: value for name, value in found.items() if value}


def read(path: Path, *, check: Callable[[], None]) -> Parsed:
    check()
    text = decode_markup(read_bytes(path))
    tree = tree_of(text, xhtml=path.suffix.lower() == ".xhtml")
    check()
    title, properties = (
        stated(tree, "//head/title", "//meta[@property='og:title']/@content", "//h1"),
        _properties(tree, text),
    )
    short = len(text) < _CHARACTERS and sum(1 for _ in tree.iter()) < _ELEMENTS
    found = _main_text(tree, check) if short else ""
    etree.strip_elements(tree, *NO_TEXT, with_tail=False)
    main, body = _letters([found]), _letters(tree.itertext())
    flat = found.count("\n") < 2 and main > 0.9 * body  # its last resort: all words in one line
    if flat or (main < _LITTLE and body > 1.5 * main) or main < 0.1 * body:
        found = to_markdown(tree, check)
    lines = split_lines(found)
    nodes = blocks(lines, 1, check)
    if not any(character.isalnum() for character in found):
        raise UnreadableError("no text in it", status="skipped")
    return Parsed(
        kind="html",
        title=title or path.stem,
        pages=(Page(None, lines, tuple(nodes)),),
        properties=properties,
        links=links_of(nodes),
    )

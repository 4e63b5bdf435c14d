"""HTML and XHTML as text: encodings, a tree within limits, Markdown made of it.

What web pages and EPUB chapters share. Nothing is fetched. Pictures leave their caption and emphasis
is dropped; which part of a page matters is left to the readers.
"""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from bs4 import BeautifulSoup
from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring, tostring
from markdownify import MarkdownConverter

from ingest.parsed import Node, UnreadableError, split_lines
from ingest.readers.text import decode

CHARACTERS = 6 << 20  # of markup, embedded pictures left out
ELEMENTS = 80_000
ATTRIBUTES = 500  # of one element; the parser compares each with every other
DEPTH = 150  # the parser drops what is nested 256 deep; pages people write stay below 60

_CHARSET = re.compile(rb"<meta[^<>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.IGNORECASE)
_DECLARED = re.compile(rb"\s*<\?xml[^<>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{2,40})[\"']", re.IGNORECASE)
_PROLOG = re.compile(r"\s*<\?xml[^<>]*>")
_DATA = re.compile(r"data:[\w/+.-]{1,60}(?:;[\w=-]{1,40}){0,4},[\w+/=%.~-]{64,}")
_VOID = "area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr"
_SELF_CLOSED = re.compile(rf"<(?!(?:{_VOID})\b)([a-zA-Z][\w:.-]*)((?:\s[^<>]*)?)/>", re.IGNORECASE)
_TAG = re.compile(r"<[a-zA-Z](?:[^>\"']++|\"[^\"]*+\"|'[^']*+'){0,4000}+")
_QUOTED = re.compile(r"\"[^\"]*+\"|'[^']*+'")
_SPACES = re.compile(r"[ \t]{200,}")
_NEWLINES = re.compile(r"(?:[ \t\r]*+\n){50,}+")
_BLANKS = re.compile(r"\n{3,}")
NO_TEXT = (
    *("script", "style", "noscript", "template", "svg", "math", "iframe", "object", "head"),
    *("nav", "button", "select", "textarea", "input", "audio", "video", "canvas", "dialog"),
)
_ENCODINGS = ("utf", "windows-", "cp", "koi8", "iso-8859", "latin", "mac", "gb", "big5", "euc", "shift_jis", "us-ascii")


def decode_markup(data: bytes) -> str:
    """The text of a page: a byte order mark decides, then UTF-8 if the bytes are that, then what the
    page states, then what plain text would be taken for.
    """
    stated = _DECLARED.match(data[:400]) or _CHARSET.search(data[:4096])
    name = stated.group(1).decode("ascii").lower() if stated else ""
    marked = data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if name.startswith(_ENCODINGS) and not name.startswith("utf-16") and not marked:
        for encoding in ("utf-8", "cp1252" if name in ("iso-8859-1", "us-ascii") else name):
            try:
                return data.decode(encoding)
            except (UnicodeError, LookupError):
                continue
    return decode(data)[0]


def tree_of(text: str, *, xhtml: bool = False) -> HtmlElement:
    """The tree of a page, refused where it is too large or nested beyond what can be walked.

    ``xhtml`` is what XML closes in one mark (``<title/>``), which HTML would leave open.
    """
    text = _DATA.sub("", text.replace("\x00", ""))
    if prolog := _PROLOG.match(text):
        text = text[prolog.end() :]
    if len(text) > CHARACTERS:
        raise UnreadableError(f"more than {CHARACTERS >> 20} MB of markup")
    # Runs of white space are what regular expressions further on take quadratic time over.
    text = _NEWLINES.sub("\n\n", _SPACES.sub(" ", text))
    long = (tag.group() for tag in _TAG.finditer(text) if tag.end() - tag.start() > 2 * ATTRIBUTES)
    if any(len(_QUOTED.sub("", tag).split()) > ATTRIBUTES for tag in long):
        raise UnreadableError(f"an element with more than {ATTRIBUTES} attributes")
    if xhtml:
        text = _SELF_CLOSED.sub(r"<\1\2></\1>", text)
    try:
        tree = document_fromstring(text, parser=HTMLParser(remove_comments=True, remove_pis=True, no_network=True))
    except (etree.LxmlError, ValueError, AssertionError) as error:
        raise UnreadableError("no text in it", status="skipped") from error
    depth = deepest = count = 0
    for event, element in etree.iterwalk(tree, events=("start", "end")):
        depth += 1 if event == "start" else -1
        deepest = max(deepest, depth)
        count += event == "start"
        if count > ELEMENTS:
            raise UnreadableError(f"more than {ELEMENTS} elements")
        if element.get("colspan"):
            del element.attrib["colspan"]  # one number could make a row without end
    if deepest > DEPTH:
        raise UnreadableError(f"nested more than {DEPTH} elements deep")
    return tree


_Base: Any = MarkdownConverter


class _Converter(_Base):  # type: ignore[misc]
    """HTML to Markdown, stopping when asked to."""

    def __init__(self, check: Callable[[], None]) -> None:
        plain = ["b", "strong", "i", "em", "u", "s", "del", "q", "sub", "sup"]
        super().__init__(
            heading_style="ATX", bullets="-", wrap=True, wrap_width=None, strip=plain, table_infer_header=True
        )
        self.check = check
        self.places: dict[int, int] = {}  # the number each ordered list has reached

    def process_tag(self, node: Any, parent_tags: Any = None) -> str:
        self.check()
        return str(super().process_tag(node, parent_tags))

    def escape(self, text: str, parent_tags: Any) -> str:
        return text.replace("|", "\\|") if parent_tags & {"td", "th"} else text

    def convert_pre(self, el: Any, text: str, parent_tags: Any) -> str:
        return text if "pre" in parent_tags else str(super().convert_pre(el, text, parent_tags))

    def convert_img(self, el: Any, text: str, parent_tags: Any) -> str:
        return " ".join(str(el.get("alt") or "").split())

    def convert_a(self, el: Any, text: str, parent_tags: Any) -> str:
        if str(el.get("href") or "").strip().lower().startswith(("javascript:", "data:")):
            return text
        return str(super().convert_a(el, text, parent_tags))

    def convert_li(self, el: Any, text: str, parent_tags: Any) -> str:
        text = text.strip()
        if not text:
            return "\n"
        bullet = "- "
        if el.parent is not None and el.parent.name == "ol":
            start = str(el.parent.get("start") or "")
            before = int(start) - 1 if re.fullmatch(r"[0-9]{1,6}", start) else 0
            place = self.places[id(el.parent)] = self.places.get(id(el.parent), before) + 1
            bullet = f"{place}. "
        return bullet + text.replace("\n", "\n" + " " * len(bullet)) + "\n"


def to_markdown(tree: HtmlElement, check: Callable[[], None]) -> str:
    """All text of a tree as Markdown, menus and scripts left out. The tree is changed."""
    etree.strip_elements(tree, *NO_TEXT, with_tail=False)
    return markdown_of(tostring(tree, encoding="unicode"), check)


def markdown_of(markup: str, check: Callable[[], None]) -> str:
    """HTML that was refused nothing by ``tree_of`` as Markdown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bs4 takes XHTML for a mistake
        soup = BeautifulSoup(markup, "lxml")
    try:
        text = _Converter(check).convert_soup(soup)
    except RecursionError as error:
        raise UnreadableError("nested too deeply") from error
    return _BLANKS.sub("\n\n", "\n".join(line.rstrip() for line in split_lines(text))).strip("\n")


def stated(tree: HtmlElement, *ways: str) -> str:
    """The first of the XPath expressions that gives a text."""
    for way in ways:
        for value in tree.xpath(f"({way})[position() <= 3]"):
            text = " ".join((value if isinstance(value, str) else value.text_content()).split())
            if text:
                return text[:500]
    return ""


def title_of(tree: HtmlElement) -> str:
    """The title a page states, else its first top heading."""
    return stated(tree, "//head/title", "//meta[@property='og:title']/@content", "//h1")


def links_of(nodes: Iterable[Node]) -> tuple[str, ...]:
    """The targets that the nodes and all under them point to."""
    return tuple(dict.fromkeys(link for node in nodes for one in node.walk() for link in one.links))

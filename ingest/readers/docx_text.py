"""The body of a Word document as Markdown: which style is which mark. Opening the file is ``docx``'s.

Styles are followed to the ones they are based on, so a heading in a style of one's own is a heading.
Headers, comments, text boxes, pictures and what tracked changes deleted are left out; emphasis is
dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from docx.oxml import parse_xml
from docx.oxml.ns import qn
from lxml import etree

_LEVEL = re.compile(r"heading (\d)$", re.IGNORECASE)
_LISTED = re.compile(r"list (?:bullet|number|paragraph|continue)?\s*(\d)?$", re.IGNORECASE)
_MARKS = re.compile(r"(?=#{1,6}\s|```|~~~)")
_INSIDE = {qn(f"w:{name}") for name in ("ins", "smartTag", "fldSimple", "sdt", "sdtContent", "moveTo", "dir", "bdo")}
_NOTES = {"footnotes": "", "endnotes": "e"}


class Markdown:
    """The body of a document as Markdown."""

    def __init__(self, document: Any, check: Callable[[], None]) -> None:
        self.document = document
        self.check = check
        self.styles = {style.style_id: style for style in document.styles}
        self.notes: list[str] = []
        self.title = ""
        parts = {rel.reltype.rsplit("/", 1)[-1]: rel.target_part for rel in self.relations() if not rel.is_external}
        self.stores = {name: self.store(parts[name].blob) for name in _NOTES if name in parts}

    def relations(self) -> list[Any]:
        return list(self.document.part.rels.values())

    def store(self, blob: bytes) -> dict[str, Any]:
        return {str(note.get(qn("w:id"))): note for note in parse_xml(blob)}

    def text(self) -> str:
        """The whole body, then its notes; a blank line between blocks, none inside a list."""
        found: list[str] = []
        listed = False
        for kind, text in self.blocks(self.document.element.body):
            if found and not (listed and kind == "item"):
                found.append("")
            found.append(text)
            listed = kind == "item"
        return "\n".join([*found, *(f"\n{note}" for note in self.notes)])

    def blocks(self, parent: Any) -> Iterator[tuple[str, str]]:
        for child in parent:
            self.check()
            if child.tag == qn("w:p"):
                yield from self.paragraph(child)
            elif child.tag == qn("w:tbl"):
                yield from self.table(child)
            elif child.tag in _INSIDE:
                yield from self.blocks(child)

    def paragraph(self, element: Any) -> Iterator[tuple[str, str]]:
        text = "\n".join(line.strip() for line in "".join(self.inline(element)).split("\n")).strip()
        chain = self.chain(element)
        names = [str(style.name or "") for style in chain]
        if not text or (names and names[0].lower().startswith("toc ")):
            return
        single = " ".join(text.split())
        if level := self.level(element, chain, names):
            yield "heading", f"{'#' * level} {single}"
        elif "title" in (name.lower() for name in names):
            self.title = self.title or single
            yield "heading", f"# {single}"
        elif (depth := self.depth(element, chain, names)) is not None:
            pad = "  " * depth
            yield "item", f"{pad}- " + text.replace("\n", f"\n{pad}  ")
        else:
            yield "text", "\n".join(_MARKS.sub(r"\\", line, count=1) if _MARKS.match(line) else line
                                    for line in text.split("\n"))  # fmt: skip

    def chain(self, element: Any) -> list[Any]:
        """The style of a paragraph and those it is based on."""
        name = element.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
        style = self.styles.get(name.get(qn("w:val"))) if name is not None else None
        found: list[Any] = []
        while style is not None and len(found) < 12:
            found.append(style)
            base = style.element.find(qn("w:basedOn"))
            style = self.styles.get(base.get(qn("w:val"))) if base is not None else None
        return found

    def level(self, element: Any, chain: list[Any], names: list[str]) -> int:
        """The level of a heading, 0 for what is none."""
        for name in names:
            if found := _LEVEL.match(name):
                return max(1, min(6, int(found.group(1))))
        for owner in (element, *(style.element for style in chain)):
            outline = owner.find(f"{qn('w:pPr')}/{qn('w:outlineLvl')}")
            if outline is not None:
                value = _number(outline)
                return min(6, value + 1) if value < 9 else 0
        return 0

    def depth(self, element: Any, chain: list[Any], names: list[str]) -> int | None:
        """How deep in lists a paragraph stands; None for one in no list."""
        for owner in (element, *(style.element for style in chain)):
            numbered = owner.find(f"{qn('w:pPr')}/{qn('w:numPr')}")
            if numbered is None:
                continue
            if _number(numbered.find(qn("w:numId")), 1) == 0:
                return None  # taken out of the list of its style
            level = _number(numbered.find(qn("w:ilvl")))
            return min(8, level or self.named_depth(names) or 0)
        return self.named_depth([name for name in names if name.lower() != "list paragraph"])

    def named_depth(self, names: list[str]) -> int | None:
        found = next((match for name in names if (match := _LISTED.match(name))), None)
        return None if found is None else max(0, int(found.group(1) or 1) - 1)

    def inline(self, parent: Any) -> Iterator[str]:
        """The text of a paragraph or of anything inside one."""
        for child in parent:
            name = etree.QName(child).localname if isinstance(child.tag, str) else ""
            if name == "t":
                yield child.text or ""
            elif name == "noBreakHyphen":
                yield "-"
            elif name == "tab":
                yield " "
            elif name in ("br", "cr"):
                yield "\n" if child.get(qn("w:type"), "textWrapping") == "textWrapping" else " "
            elif name == "hyperlink":
                yield self.link(child)
            elif name in ("footnoteReference", "endnoteReference"):
                yield self.note(f"{name.removesuffix('Reference')}s", str(child.get(qn("w:id"))))
            elif name == "r" or child.tag in _INSIDE:
                yield from self.inline(child)

    def link(self, element: Any) -> str:
        text = "".join(self.inline(element))
        relation = self.document.part.rels.get(element.get(qn("r:id")))
        target = str(relation.target_ref) if relation is not None and relation.is_external else ""
        words = " ".join(text.split())
        return f"[{words}]({target.replace(' ', '%20')})" if target and words and target != words else text

    def note(self, store: str, key: str) -> str:
        element = self.stores.get(store, {}).pop(key, None)
        if element is None:
            return ""
        mark = f"[^{_NOTES[store]}{key}]"
        self.notes.append(f"{mark}: {self.words(element)}")
        return mark

    def words(self, element: Any) -> str:
        """All paragraphs of a cell or a note in one line."""
        return " ".join(" ".join("".join(self.inline(one)).split()) for one in element.iter(qn("w:p"))).strip()

    def table(self, element: Any) -> Iterator[tuple[str, str]]:
        rows: list[list[str]] = []
        for row in element.iter(qn("w:tr")):
            self.check()
            if next(row.iterancestors(qn("w:tbl"))) is element:
                cells = [cell for cell in row.iter(qn("w:tc")) if next(cell.iterancestors(qn("w:tr"))) is row]
                rows.append([self.words(cell).replace("|", "\\|") for cell in cells])
        if len(rows) == 1 and len(rows[0]) == 1:  # a frame around text
            yield from self.blocks(next(element.iter(qn("w:tc"))))
        elif any(cell for row in rows for cell in row):
            width = max(map(len, rows))
            full = [f"| {' | '.join(row + [''] * (width - len(row)))} |" for row in rows]
            yield "table", "\n".join([full[0], f"|{' --- |' * width}", *full[1:]])


def _number(element: Any, otherwise: int = 0) -> int:
    """The ``w:val`` of an element as a number."""
    value = str(element.get(qn("w:val"))) if element is not None else ""
    return int(value) if re.fullmatch(r"[0-9]{1,4}", value) else otherwise

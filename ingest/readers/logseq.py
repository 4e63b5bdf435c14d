"""Logseq pages and journals: an outline of blocks with properties, references and macros.

A block is a bullet nested by tabs with its continuation lines; a heading outside bullets is a block
over the bullets after it. Blocks keep their lines, their ``id``, and what they refer to:
``((uuid))`` for blocks, names for pages. What Logseq keeps for itself (ids, time stamps, collapsed
states, drawers) stays in the lines and is left out of what is indexed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ingest.parsed import Node, Page, Parsed, UnreadableError, split_lines
from ingest.readers.markdown import (
    as_list,
    front_matter,
    label_of,
    links_in,
    searchable,
    tags_of,
)
from ingest.readers.text import decode, read_bytes

# Properties that are not text; names ending in "-" are prefixes.
_HIDDEN = (
    "id",
    "collapsed",
    "created-at",
    "updated-at",
    "heading",
    "ls-type",
    "hl-",
    "query-",
    "logseq.",
    "background-color",
    "card-",
    "file",
    "file-path",
    "icon",
    "public",
)
_DEEPEST = 100  # blocks nested deeper stand beside each other; no hand writes such a page
_BULLET = re.compile(r"([ \t]*)[-*+](?:[ \t]+(.*))?$")
_PROPERTY = re.compile(r"[ \t]*([^\s:`\[\](){}\"']+)::(?:[ \t]+(.*?))?[ \t]*$")
_HEADING = re.compile(r"(#{1,6})[ \t]+(.*)$")
_FENCE = re.compile(r"[ \t]*(?:[-*+][ \t]+)?(`{3,}|~{3,})")
_DRAWER = re.compile(r"[ \t]*:([A-Z]+):[ \t]*$")
_REFERENCE = re.compile(r"\(\(([0-9A-Za-z-]{6,})\)\)")
_LABELLED = re.compile(r"\[([^\[\]\n]*)\]\(\(\([0-9A-Za-z-]{6,}\)\)\)")
_EMBED = re.compile(r"\{\{embed\s+(\[\[.{1,500}?\]\]|\(\(.{1,500}?\)\))\s*\}\}")
_CLOZE = re.compile(r"\{\{cloze\s+(.{0,500}?)(?:\s*\\\\\s*.{0,500}?)?\}\}", re.DOTALL)
_LINKED_MACRO = re.compile(r"\[([^\[\]\n]*)\]\(\{\{[^{}]*\}\}\)")
_MACRO = re.compile(r"\{\{[^{}]*\}\}")
_PRIORITY = re.compile(r"\[#[A-C]\]\s*")
_NESTED = re.compile(r"\[\[((?:[^\[\]]|\[\[[^\[\]]*\]\])*)\]\]")
_JOURNAL = re.compile(r"(\d{4})[_-](\d{2})[_-](\d{2})$")
_RULE = re.compile(r"\s*(?:-{3,}|\*{3,}|_{3,})\s*")
_ATTRIBUTES = re.compile(r"\{:[^{}\n]*\}")


@dataclass
class _Block:
    line: int
    width: int
    end: int
    content: list[str] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)
    children: list[_Block] = field(default_factory=list)


def belongs(path: Path) -> bool:
    """Whether a Markdown file is a Logseq page: by its folders, else by its text."""
    folder = path.parent
    for above in [folder, *folder.parents][:6]:
        if (above / "logseq" / "config.edn").is_file():
            return True
    if folder.name in ("pages", "journals"):
        other = "journals" if folder.name == "pages" else "pages"
        if (folder.parent / other).is_dir():
            return True
    try:
        with path.open("rb") as stream:
            head = stream.read(65536)
        return is_outline(decode(head[: head.rfind(b"\n") + 1] or head)[0].splitlines())
    except (OSError, UnreadableError):
        return False


def is_outline(lines: Sequence[str]) -> bool:
    """Bullets nested by tabs, or bullets with ``key::`` properties, and little else."""
    bullets = nested = properties = others = 0
    fenced = False
    for line in lines:
        if _FENCE.match(line):
            fenced = not fenced
        elif fenced or not line.strip() or not line.strip("-_* \t"):
            continue
        elif bullet := _BULLET.match(line):
            bullets += 1
            nested += "\t" in bullet.group(1)
            properties += bool(_PROPERTY.match(bullet.group(2) or ""))
        elif _PROPERTY.match(line):
            properties += 1
        elif not line.startswith(("\t", "  ")):
            others += 1
    return bullets >= 2 and (nested >= 2 or properties >= 1) and others <= 0.2 * bullets


def title_of(path: Path) -> str:
    """The page's name by its file: ``___`` is ``/``, ``%3F`` is ``?``; journals by their date."""
    stem = path.stem.removesuffix(".logseq")
    if journal := _JOURNAL.fullmatch(stem):
        return "-".join(journal.groups())
    return unquote(stem.replace("___", "/"))


def outline(lines: Sequence[str], first: int, check: Callable[[], None]) -> list[_Block]:
    """The blocks of ``lines`` from line ``first`` on, as a tree."""
    root = _Block(0, -1000, 0)
    path = [root]
    current: _Block | None = None
    fence = drawer = ""
    for number in range(first, len(lines) + 1):
        check()
        line = lines[number - 1]
        if fence:
            if (mark := _FENCE.match(line)) and mark.group(1).startswith(fence):
                fence = ""
            _continue(current, number, line)
            continue
        bullet = _BULLET.match(line)
        heading = None if bullet else _HEADING.match(line)
        if bullet:
            current = _Block(number, len(bullet.group(1).expandtabs(8)), number)
            _take(current, bullet.group(2) or "")
        elif heading:
            current = _Block(number, len(heading.group(1)) - 100, number)
            _take(current, line)
        elif not line.strip():
            continue
        elif _RULE.fullmatch(line):
            current = None
            continue
        elif current is None:
            # Text before the first bullet or after a rule: a block of its own on the top level.
            current = _Block(number, 0, number)
            _take(current, line)
        else:
            if drawer or (opening := _DRAWER.match(line)):
                drawer = "" if line.strip() == ":END:" else drawer or opening.group(1)  # type: ignore[union-attr]
                current.end = number
                continue
            _continue(current, number, line)
            if mark := _FENCE.match(line):
                fence = mark.group(1)
            continue
        while path[-1].width >= current.width or len(path) > _DEEPEST:
            path.pop()
        path[-1].children.append(current)
        path.append(current)
        if mark := _FENCE.match(line):
            fence = mark.group(1)
    return root.children


def _take(block: _Block, text: str) -> None:
    if prop := _PROPERTY.match(text):
        block.properties[property_key(prop.group(1))] = prop.group(2) or ""
    else:
        block.content.append(text)


def _continue(block: _Block | None, number: int, line: str) -> None:
    if block is None:
        return
    block.end = number
    in_code = any(_FENCE.match(text) for text in block.content)
    if not in_code and (prop := _PROPERTY.match(line)):
        block.properties[property_key(prop.group(1))] = prop.group(2) or ""
    else:
        block.content.append(line.strip() if not in_code else line)


def property_key(key: str) -> str:
    """Keys are case-blind and ``_`` is ``-``, as Logseq reads them."""
    return key.lower().replace("_", "-")


def is_hidden(key: str) -> bool:
    return any(key == name or (name[-1] in "-." and key.startswith(name)) for name in _HIDDEN)


def plain_text(text: str) -> str:
    """The words of a block: references, macros, pictures and marks left out."""
    text = _LABELLED.sub(r"\1", text)
    text = _EMBED.sub(lambda match: match.group(1) if match.group(1)[0] == "[" else "", text)
    text = _CLOZE.sub(r"\1", text)
    text = _LINKED_MACRO.sub(r"\1", text)
    text = _MACRO.sub("", text)
    text = _REFERENCE.sub("", text)
    for _ in range(3):  # [[a [[b]] c]] nests
        text = _NESTED.sub(r"\1", text)
    text = _PRIORITY.sub("", text)
    text = searchable(text)
    return _ATTRIBUTES.sub("", text).strip()


def links_of(text: str) -> list[str]:
    """Names of pages, ``((uuid))`` of blocks, addresses; the outer and the inner page of a nested
    one.
    """
    found = [f"(({uuid}))" for uuid in _REFERENCE.findall(text)]
    rest = _REFERENCE.sub("", _LABELLED.sub("", text))
    for name in _NESTED.findall(rest):
        found.append(name.replace("[[", "").replace("]]", ""))
        found += re.findall(r"\[\[([^\[\]]*)\]\]", name)
    found += [link for link in links_in(_NESTED.sub("", rest)) if not link.startswith("{{")]
    return [link for link in dict.fromkeys(found) if link.strip()]


def _node(block: _Block) -> Node:
    text = "\n".join(block.content).strip()
    shown_properties = [
        f"{key}: {plain_text(value)}" for key, value in block.properties.items() if value and not is_hidden(key)
    ]
    raw = "\n".join([text, *block.properties.values()])
    first = next((line for line in block.content if line.strip()), "")
    return Node(
        block.line,
        block.end,
        label=label_of(re.sub(r"^#{1,6}\s+", "", plain_text(first))),
        children=tuple(_node(child) for child in block.children),
        search="\n".join(filter(None, [plain_text(text), *shown_properties])),
        block_id=block.properties.get("id") or None,
        links=tuple(links_of(raw)),
    )


def _properties(blocks: list[_Block]) -> dict[str, Any]:
    """Those of the page: the first block, where it holds nothing else."""
    if not blocks or "\n".join(blocks[0].content).strip() or not blocks[0].properties:
        return {}
    found: dict[str, Any] = {}
    for key, value in blocks[0].properties.items():
        names = [plain_text(item) for item in as_list(value)]
        found[key] = names if key in ("alias", "tags") else value
    return found


def read(path: Path, *, check: Callable[[], None]) -> Parsed:
    check()
    text, _ = decode(read_bytes(path))
    lines = split_lines(text)
    properties, taken = front_matter(lines)
    blocks = outline(lines, taken + 1, check)
    own = _properties(blocks)
    properties = {**properties, **own}
    journal = _JOURNAL.fullmatch(path.stem)
    if journal:
        properties.setdefault("date", "-".join(journal.groups()))
    nodes = tuple(_node(block) for block in blocks)
    if not any(node.search for top in nodes for node in top.walk()):
        raise UnreadableError("no text in it", status="skipped")
    links = (link for top in nodes for node in top.walk() for link in node.links)
    return Parsed(
        kind="logseq",
        title=plain_text(str(properties.get("title") or "")) or title_of(path),
        pages=(Page(None, lines, nodes),),
        properties=properties,
        tags=tags_of(lines[taken:], properties),
        links=tuple(dict.fromkeys(links)),
    )

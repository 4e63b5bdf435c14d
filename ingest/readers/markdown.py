"""Markdown as people write notes: CommonMark blocks, Obsidian's links, YAML or TOML front matter.

Only what retrieval needs is understood: headings (``#`` and underlined), fenced code, paragraphs
and lists with their line spans, wiki links, tags. Raw HTML and picture links stay in the text but
are left out of what is indexed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ingest.parsed import Node, Page, Parsed, UnreadableError, split_lines
from ingest.readers.text import decode, read_bytes
from knowledge.screen import shown

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})(.*)$")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+")
_RULE = re.compile(r" {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$")
_TABLE = re.compile(r"[ \t]*\|")

_WIKI = re.compile(r"(!?)\[\[([^\[\]|#^\n]*)((?:#\^?|\^)[^\[\]|\n]*)?(?:\|([^\[\]\n]*))?\]\]")
# Lengths are bounded where a mark that is never closed would be looked for from each of its kind on.
_IMAGE = re.compile(r"!\[([^\]\n]{0,1000})\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)(?:\{[^{}\n]*\})?")
_LINK = re.compile(r"\[([^\[\]\n]*)\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:[ \t]+\"[^\"\n]*\")?\)")
# Only elements that occur in notes: <lora:name:0.8> and <placeholder> are words, not marks.
_ELEMENTS = (
    "a|abbr|b|blockquote|br|center|code|dd|del|details|div|dl|dt|em|figcaption|figure|font|h[1-6]|hr"
    "|i|iframe|img|ins|kbd|li|mark|ol|p|picture|pre|q|s|samp|small|source|span|strike|strong|sub"
    "|summary|sup|svg|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var|video"
)
_HTML = re.compile(rf"</?(?:{_ELEMENTS})(?:\s[^<>\n]*)?/?>", re.IGNORECASE)
_BLOCK_ID = re.compile(r"(?<=\s)\^([A-Za-z0-9-]+)[ \t]*$", re.MULTILINE)
_TAG = re.compile(r"(?<![\w/#&])#(?:\[\[([^\[\]\n]+)\]\]|([^\s#\[\](){}<>,.;:!?\"'`|\\]+))")
_EMPHASIS = re.compile(r"[*`~]+|(?<!\w)_+|_+(?!\w)")  # snake_case is one word
_CODE_SPAN = re.compile(r"(?<!`)(`{1,20})(?!`).{0,2000}?(?<!`)\1(?!`)")


@dataclass
class _Section:
    line: int
    end: int
    level: int
    label: str
    children: list[Any] = field(default_factory=list)


def front_matter(lines: Sequence[str]) -> tuple[dict[str, Any], int]:
    """(properties, number of its lines) of YAML between ``---`` or TOML between ``+++`` at the top.

    What cannot be parsed is no front matter: ({}, 0), and stays text.
    """
    if not lines or lines[0].rstrip() not in ("---", "+++"):
        return {}, 0
    fence = lines[0].rstrip()
    for number, line in enumerate(lines[1:], 2):
        if line.rstrip() == fence or (fence == "---" and line.rstrip() == "..."):
            source = "\n".join(lines[1 : number - 1])
            # YAML anchors can unfold without bound, and each open bracket is looked at again for every next one.
            if ("&" in source and "*" in source) or source.count("[") + source.count("{") > 1000:
                return {}, 0
            try:
                loaded = yaml.safe_load(source) if fence == "---" else tomllib.loads(source)
            except (yaml.YAMLError, tomllib.TOMLDecodeError, ValueError, RecursionError):
                return {}, 0
            return (plain_properties(loaded), number) if isinstance(loaded, dict) else ({}, 0)
    return {}, 0


def plain_properties(mapping: dict[Any, Any]) -> dict[str, Any]:
    """Keys in lower case, dates as text, lists and mappings as they are."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {text(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set):
            return [plain(item) for item in value]
        if isinstance(value, int) and value.bit_length() > 1024:
            return hex(value)  # Python writes no decimal number of thousands of digits
        return value if isinstance(value, int | float | bool | None) else text(value)

    def text(value: Any) -> str:
        value = hex(value) if isinstance(value, int) and value.bit_length() > 1024 else str(value)
        return str(value.encode("utf-8", "replace").decode("utf-8"))  # "\ud800" in YAML is half a character

    return {text(key).strip().lower(): plain(value) for key, value in mapping.items()}


def as_list(value: Any) -> list[str]:
    """A property that may be a list or a comma-separated text, as a list of texts."""
    if value is None:
        return []
    parts = value if isinstance(value, list) else re.split(r"[,，]", str(value))
    return [text for part in parts if (text := str(part).strip().lstrip("#").strip())]


def links_in(text: str) -> list[str]:
    """Targets of wiki links (with their ``#heading`` or ``#^block``) and of Markdown links."""
    text = _CODE_SPAN.sub(" ", text)
    found = [(name + (anchor or "")).strip() for _, name, anchor, _ in _WIKI.findall(text)]
    found += [target for _, target in _LINK.findall(text)]
    return [target for target in dict.fromkeys(found) if target]


def tags_in(text: str) -> list[str]:
    """``#tag`` and ``#[[two words]]``, not in code; a number alone (``#12``) is no tag."""
    found = [two or one for two, one in _TAG.findall(_CODE_SPAN.sub(" ", _LINK.sub(" ", text)))]
    return [tag for tag in dict.fromkeys(found) if not tag.isdigit()]


def searchable(text: str) -> str:
    """Markdown without the marks that are no words: what is indexed and embedded."""
    text = _IMAGE.sub(lambda match: _caption(match.group(1)), text)
    text = _WIKI.sub(lambda match: match.group(4) or match.group(2) or match.group(3), text)
    text = _LINK.sub(lambda match: match.group(1) or match.group(2), text)
    text = _HTML.sub(" ", _uncommented(text))
    text = _BLOCK_ID.sub("", text)
    return shown(text)


def _uncommented(text: str) -> str:
    """``text`` without ``<!-- comments -->``; one that is never closed is text."""
    parts = []
    done = 0
    while (start := text.find("<!--", done)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        parts.append(text[done:start])
        done = end + 3
    return " ".join([*parts, text[done:]])


def _caption(text: str) -> str:
    """The alternative text of a picture, unless it is its file name."""
    return "" if re.fullmatch(r"[\w .-]*\.\w{3,4}|image|img|screenshot.*", text, re.I) else text


def label_of(text: str) -> str:
    """A heading as it is shown in a path of headings: one line, no marks, at most 80 characters."""
    plain = " ".join(_EMPHASIS.sub("", searchable(text)).split())
    return plain if len(plain) <= 80 else plain[:79].rstrip() + "…"


def blocks(lines: Sequence[str], first: int, check: Callable[[], None]) -> list[Node]:
    """The section tree of ``lines`` from line ``first`` on."""
    root = _Section(first, first - 1, 0, "")
    path = [root]
    number = first
    while number <= len(lines):
        check()
        line = lines[number - 1]
        heading = _HEADING.match(line)
        under = (
            not heading
            and line.strip()
            and number < len(lines)
            and _UNDERLINE.match(lines[number])
            and not _ITEM.match(line)
            and not _TABLE.match(line)
            and not _FENCE.match(line)
            and not _RULE.match(line)
        )
        if heading or under:
            level = len(heading.group(1)) if heading else 1 if "=" in lines[number] else 2
            label = label_of((heading.group(2) or "") if heading else line)
            end = number + (1 if under else 0)
            while path[-1].level >= level:
                path.pop()
            section = _Section(number, end, level, label)
            path[-1].children.append(section)
            path.append(section)
            number = end + 1
            continue
        node, number = _leaf(lines, number)
        if node is not None:
            path[-1].children.append(node)
    return [_frozen(child, lines) for child in root.children]


def _leaf(lines: Sequence[str], number: int) -> tuple[Node | None, int]:
    """The block that begins at line ``number`` (None for a blank line or a rule), and the next
    line.
    """
    line = lines[number - 1]
    if not line.strip() or _RULE.match(line):
        return None, number + 1
    if fence := _FENCE.match(line):
        end = number + 1
        while end <= len(lines):
            closing = _FENCE.match(lines[end - 1])
            if closing and closing.group(1).startswith(fence.group(1)) and not closing.group(2).strip():
                break
            end += 1
        end = min(end, len(lines))
        return Node(number, end, whole=True), end + 1
    end = number
    while end < len(lines) and not _starts_block(lines, end + 1):
        end += 1
    text = "\n".join(lines[number - 1 : end])
    plain = searchable(text)
    block_id = _BLOCK_ID.search(text)
    node = Node(
        number,
        end,
        search=None if plain == text else plain,
        block_id=block_id.group(1) if block_id else None,
        links=tuple(links_in(text)),
        whole=bool(_TABLE.match(line)),
    )
    return node, end + 1


def _starts_block(lines: Sequence[str], number: int) -> bool:
    """Whether line ``number`` ends the paragraph before it. A list is one block up to a blank
    line.
    """
    line = lines[number - 1]
    if not line.strip() or _HEADING.match(line) or _FENCE.match(line) or _RULE.match(line):
        return True
    following = lines[number] if number < len(lines) else ""
    return bool(_UNDERLINE.match(following) and not _ITEM.match(line))


def _frozen(block: Node | _Section, lines: Sequence[str]) -> Node:
    if isinstance(block, Node):
        return block
    text = "\n".join(lines[block.line - 1 : block.end])
    return Node(
        block.line,
        block.end,
        label=block.label,
        children=tuple(_frozen(child, lines) for child in block.children),
        search=block.label,
        links=tuple(links_in(text)),
    )


def tags_of(lines: Iterable[str], properties: dict[str, Any]) -> tuple[str, ...]:
    """Tags of the front matter and of the text, code left out."""
    found = as_list(properties.get("tags")) + as_list(properties.get("tag"))
    fence = ""
    for line in lines:
        mark = _FENCE.match(line.replace("\t", "").lstrip().removeprefix("- "))
        if mark and not fence:
            fence = mark.group(1)
        elif mark and mark.group(1).startswith(fence):
            fence = ""
        elif not fence:
            found += tags_in(line)
    return tuple(dict.fromkeys(found))


def read(path: Path, *, check: Callable[[], None]) -> Parsed:
    check()
    text, _ = decode(read_bytes(path))
    lines = split_lines(text)
    properties, taken = front_matter(lines)
    nodes = blocks(lines, taken + 1, check)
    if not nodes and not properties:
        raise UnreadableError("no text in it", status="skipped")
    title = str(properties.get("title") or "").strip()
    first = next((node for node in nodes if node.label), None)
    if not title and first is not None and sum(1 for node in nodes if node.label) == 1:
        title = first.label  # one top heading over everything: it is the title
    return Parsed(
        kind="markdown",
        title=title or path.stem,
        pages=(Page(None, lines, tuple(nodes)),),
        properties=properties,
        tags=tags_of(lines[taken:], properties),
        links=tuple(dict.fromkeys(link for node in nodes for one in node.walk() for link in one.links)),
    )

"""Obsidian notes: Markdown and what a vault adds to it.

Lists are trees of items, as an item can be linked to; ``^ids`` belong to the block they end. What
Obsidian does not show (comments, queries, ids, marks, names of embedded pictures) stays in the
lines and is left out of what is indexed. Dataview's ``key:: value`` is a property of the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ingest.parsed import Node, Page, Parsed, UnreadableError, split_lines
from ingest.readers.markdown import as_list, blocks, front_matter, label_of, links_in, searchable, tags_of
from ingest.readers.text import decode, read_bytes
from knowledge.screen import shown

_DEEPEST = 50  # items nested deeper stand beside each other; no hand writes such a list

_FENCE = re.compile(r"([ \t]*)((?:[-*+]|\d{1,9}[.)])[ \t]+(?:\[.\][ \t]+)?)?(`{3,}|~{3,})(.*)$")
_QUERY = re.compile(r"[ \t]*(?:`{3,}|~{3,})[ \t]*(?:dataview|dataviewjs|query|tasks|base)\b")
_ITEM = re.compile(r"([ \t]*)(?:[-*+]|(\d{1,9})[.)])(?:[ \t]+|$)")
_BULLET = re.compile(r"[ \t]*(?:[-*+](?:[ \t]+|$))?(?:(\d{1,9}[.)][ \t]+))?(?:\[[^\]\n]\](?:[ \t]+|$))?")
_LONE_ID = re.compile(r"[ \t]*\^([A-Za-z0-9-]+)[ \t]*$")
_LONE_IDS = re.compile(rf"^{_LONE_ID.pattern}", re.MULTILINE)
_ID = re.compile(r"(?<=\s)\^([A-Za-z0-9-]+)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"(?<!`)(`{1,20})(?!`).{0,2000}?(?<!`)\1(?!`)|%%")
# Code and formulas, whose signs are no marks.
_KEPT = re.compile(
    r"(?<!`)(`{1,20})(?!`).{0,2000}?(?<!`)\1(?!`)"
    r"|\$\$(?:(?!\$\$)[\s\S])+\$\$|(?<![\\$\w])\$(?=[^\s$])[^$\n]*(?<=[^\s\\])\$(?!\d)"
)
_IN_ITEM = "+ \ue000"  # stands for a line of code where blocks are found; an item is never underlined
_HELD = re.compile("\ue000(\\d+)\ue001")
_WIKI = re.compile(r"(!?)\[\[([^\[\]|#\n]*)(#[^\[\]|\n]*)?(?:\|([^\[\]\n]*))?\]\]")
_ESCAPED_BAR = re.compile(r"(\[\[[^\[\]|\n]*)\\\|")
_ATTACHED = re.compile(
    r".*\.(?:png|jpe?g|gif|bmp|svg|webp|avif|heic|pdf|mp[34]|m4a|webm|wav|flac|ogg|og[gv]|3gp|mov|mkv|canvas|base"
    r"|excalidraw(?:\.md)?|csv|zip|docx?|xlsx?|pptx?)\s*$",
    re.IGNORECASE,
)
_SIZE = re.compile(r"\s*(?:\d+(?:x\d+)?|left|right|center)\s*")
_CALLOUT = re.compile(r"^([ \t>]*>[ \t]*)\[![^\]\n]*\][+-]?", re.MULTILINE)
_QUOTE = re.compile(r"^[ \t]*>[ \t>]*", re.MULTILINE)
_HIGHLIGHT = re.compile(r"==(?=[^\s=])([^=\n]*)(?<=\S)==")
_KEY = r"[*_]{0,3}([^\W_][\w /-]{0,40}?)[*_]{0,3}::[ \t]+"
_FIELD = re.compile(rf"[\[(]{_KEY}((?:[^\[\]()\n]|\[\[[^\[\]\n]*\]\]|\[[^\[\]\n]*\]\([^()\s]*\)|\([^()\n]*\))+)[\])]")
_FIELD_LINE = re.compile(rf"^([ \t>]*(?:(?:[-*+]|\d{{1,9}}[.)])[ \t]+(?:\[.\][ \t]+)?)?){_KEY}(\S.*)$", re.MULTILINE)


@dataclass
class _Item:
    line: int
    end: int
    width: int
    children: list[Node | _Item] = field(default_factory=list)
    block_id: str | None = None


def belongs(path: Path) -> bool:
    """Whether a Markdown file lies in a vault."""
    return any((above / ".obsidian").is_dir() for above in [path.parent, *path.parent.parents][:6])


def uncommented(lines: Sequence[str], first: int) -> tuple[list[str], list[str], set[int]]:
    """(lines without comments, the same for finding blocks, numbers of the lines of code).

    A comment that begins a line goes on over blank lines, another one ends with its paragraph;
    what is never closed is text.
    """
    words = list(lines)
    shape = list(lines)
    code: set[int] = set()
    last = max((number for number, line in enumerate(lines, 1) if "%%" in line), default=0)
    fence, inside, item = "", False, -1
    for number in range(first, len(lines) + 1):
        line = lines[number - 1]
        mark = None if inside else _FENCE.match(line)
        if fence and item >= 0 and line.strip() and _width(line) < item + 2:
            fence = ""  # the item that held the code is over
        if fence:
            code.add(number)
            if item >= 0:  # the block finder knows no code in items: it gets a line of the item
                shape[number - 1] = " " * (item + 2) + _IN_ITEM
            if mark and not mark.group(2) and mark.group(3).startswith(fence) and not mark.group(4).strip():
                fence = ""
            continue
        if mark and not (mark.group(2) and mark.group(3)[0] == "`" and "`" in mark.group(4)):
            fence, item = mark.group(3), _width(line) if mark.group(2) else -1
            code.add(number)
            shape[number - 1] = f"{mark.group(1)}- code" if mark.group(2) else line
            continue
        kept, start = "", 0
        while start < len(line):
            if inside:
                end = line.find("%%", start)
                inside, start = end < 0, len(line) if end < 0 else end + 2
                continue
            found = next((one for one in _COMMENT.finditer(line, start) if one.group() == "%%"), None)
            if found is None or not _closes(lines, number, found.end(), last):
                kept += line[start:]
                break
            kept, start, inside = kept + line[start : found.start()], found.end(), True
        changed = kept != line
        words[number - 1] = shape[number - 1] = _ESCAPED_BAR.sub(r"\1|", kept if kept.strip() or not changed else "")
    return words, shape, code


def _closes(lines: Sequence[str], number: int, after: int, last: int) -> bool:
    line = lines[number - 1]
    if "%%" in line[after:]:
        return True
    if not line[: after - 2].strip():
        return number < last
    for following in lines[number:last]:
        if not following.strip():
            return False
        if "%%" in following:
            return True
    return False


def plain_text(text: str) -> str:
    """What is shown of a text: links by their name or alias, no marks, no names of pictures."""
    held, kept = _hold(text)
    held = _WIKI.sub(_shown_link, held)
    held = _QUOTE.sub("", _CALLOUT.sub(r"\1", held))
    held = _FIELD_LINE.sub(r"\1\2: \3", _FIELD.sub(r"\1: \2", held))
    held = _HIGHLIGHT.sub(r"\1", held)
    return shown(_restore(searchable(_LONE_IDS.sub("", held)), kept)).strip()


def _hold(text: str) -> tuple[str, list[str]]:
    """``text`` with signs of their own for code and formulas, and these."""
    kept: list[str] = []

    def hold(match: re.Match[str]) -> str:
        if re.match(r"`\$?=(?!=)", match.group()):
            return ""  # a query of Dataview within a line
        kept.append(match.group())
        return f"\ue000{len(kept) - 1}\ue001"

    return (text if "\ue000" in text else _KEPT.sub(hold, text)), kept


def _restore(text: str, kept: Sequence[str]) -> str:
    return _HELD.sub(lambda match: kept[int(match.group(1))], text) if kept else text


def _shown_link(match: re.Match[str]) -> str:
    embedded, name, anchor, alias = match.groups()
    if embedded and _ATTACHED.match(name):
        return " ".join(part.strip() for part in (alias or "").split("|") if part and not _SIZE.fullmatch(part))
    if alias and alias.strip() and not (embedded and _SIZE.fullmatch(alias)):
        return str(alias)
    parts = [name, *(part for part in (anchor or "").split("#") if not part.startswith("^"))]
    return " > ".join(part.strip() for part in parts if part.strip())


def _width(line: str) -> int:
    start = line[: len(line) - len(line.lstrip(" \t"))]
    return len(start.expandtabs(4))


class _Note:
    """The blocks of one note, made from those that Markdown knows."""

    def __init__(self, lines: Sequence[str], first: int, check: Callable[[], None]) -> None:
        self.lines = lines
        self.check = check
        self.words, self.shape, self.code = uncommented(lines, first)
        self.nodes = self.siblings(blocks(self.shape, first, check))

    def siblings(self, nodes: Iterable[Node]) -> tuple[Node, ...]:
        """Blocks beside each other: lists become items, lines with nothing but an id go to the block
        before.
        """
        done: list[Node | _Item] = []
        path: list[_Item] = []
        for node in nodes:
            self.check()
            if node.label or node.children:
                done.append(self.section(node))
                path = []
            elif self.fenced(node):
                code = replace(node, search="" if _QUERY.match(self.lines[node.line_start - 1]) else None)
                self.place(code, _width(self.lines[node.line_start - 1]), done, path)
            elif node.whole:
                table = self.leaf(node.line_start, node.line_end, whole=True)
                self.place(table, _width(self.lines[node.line_start - 1]), done, path)
            else:
                for start, end in self.split(node):
                    self.piece(start, end, done, path)
        return tuple(self.frozen(one) for one in done)

    def fenced(self, node: Node) -> bool:
        """Whether the block finder saw code (which in an item it does not)."""
        return node.whole and node.line_start in self.code

    def split(self, node: Node) -> list[tuple[int, int]]:
        """The lines of a paragraph or a list, cut where an item or a lone id begins."""
        starts = [node.line_start]
        listed = bool(_ITEM.match(self.shape[node.line_start - 1]))
        for number in range(node.line_start + 1, node.line_end + 1):
            line = self.shape[number - 1]
            item = None if line.endswith(_IN_ITEM) else _ITEM.match(line)
            # A number alone at the start of a line of prose is no list, unless it is 1.
            if item and (listed or item.group(2) in (None, "1")):
                starts.append(number)
                listed = True
            elif listed and _LONE_ID.match(line):
                starts.append(number)
        return [(start, end - 1) for start, end in zip(starts, [*starts[1:], node.line_end + 1])]

    def piece(self, start: int, end: int, done: list[Node | _Item], path: list[_Item]) -> None:
        line = self.shape[start - 1]
        width = _width(line)
        if start == end and (lone := _LONE_ID.match(line)):
            self.place_id(start, lone.group(1), width, done, path)
        elif _ITEM.match(line):
            _leave(path, width)
            item = _Item(start, end, width, block_id=self.id_of(start, end))
            (path[-1].children if path else done).append(item)
            path.append(item)
            del path[_DEEPEST:]
        else:
            self.place(self.leaf(start, end), width, done, path)

    def place(self, node: Node, width: int, done: list[Node | _Item], path: list[_Item]) -> None:
        """A block that is no item: into the item that it is indented under."""
        _leave(path, width)
        (path[-1].children if path else done).append(node)

    def place_id(self, number: int, block_id: str, width: int, done: list[Node | _Item], path: list[_Item]) -> None:
        _leave(path, width)
        beside = path[-1].children if path else done
        before: Node | _Item | None = beside[-1] if beside else path[-1] if path else None
        if before is None or before.block_id:
            beside.append(Node(number, number, search="", block_id=block_id))
        elif isinstance(before, _Item):
            before.block_id = block_id
            if before.children:
                before.children.append(Node(number, number, search=""))
            else:
                before.end = number
        else:
            search = "\n".join(self.lines[before.line_start - 1 : before.line_end])
            search = search if before.search is None else before.search
            beside[-1] = replace(before, line_end=number, block_id=block_id, search=search)

    def id_of(self, start: int, end: int) -> str | None:
        """The id at the end of the lines; a formula's exponent is none."""
        text, _ = _hold(
            "\n".join(self.words[number - 1] for number in range(start, end + 1) if number not in self.code)
        )
        found = _ID.findall(text)
        return found[-1] if found else None

    def leaf(self, start: int, end: int, *, whole: bool = False) -> Node:
        text = "\n".join(self.words[start - 1 : end])
        plain = plain_text(text)
        return Node(
            start,
            end,
            search=None if plain == "\n".join(self.lines[start - 1 : end]) else plain,
            block_id=self.id_of(start, end),
            links=tuple(links_in(text)),
            whole=whole,
        )

    def section(self, node: Node) -> Node:
        """A heading with its id, its marks taken off."""
        text = self.words[node.line_start - 1]
        title = re.sub(r"^ {0,3}#{1,6}(?=\s|$)|[ \t]+#+[ \t]*$", "", text) if node.line_start == node.line_end else text
        search = plain_text(title)
        label = label_of(search)
        return replace(
            node,
            label=label,
            search=search,
            children=self.siblings(node.children),
            block_id=self.id_of(node.line_start, node.line_start),
            links=tuple(links_in(text)),
        )

    def frozen(self, item: Node | _Item) -> Node:
        if isinstance(item, Node):
            return item
        inner = range(item.line + 1, item.end + 1)
        first = self.words[item.line - 1]
        bullet = _BULLET.match(first)
        head = (bullet.group(1) or "") + first[bullet.end() :] if bullet else first
        rest = [self.words[number - 1] for number in inner]
        if self.code.isdisjoint(range(item.line, item.end + 1)):
            search = plain_text("\n".join([head, *(line.strip() for line in rest)]))
        else:  # nothing in code is a mark
            search = shown("\n".join([head, *(line for line in rest if not _LONE_ID.match(line))])).strip()
        prose = [self.words[number - 1] for number in (item.line, *inner) if number not in self.code]
        children = tuple(self.frozen(child) for child in item.children)
        return Node(
            item.line,
            item.end,
            label=label_of(plain_text(head)) if children else "",
            children=children,
            search=search,
            block_id=item.block_id,
            links=tuple(links_in("\n".join(prose))),
        )


def _leave(path: list[_Item], width: int) -> None:
    """Out of the items that something indented by ``width`` does not belong to."""
    while path and width < path[-1].width + 2:
        path.pop()


def fields(words: Sequence[str], first: int, code: set[int]) -> dict[str, Any]:
    """Dataview's inline fields; one that is there more than once has a list of values."""
    found: dict[str, list[str]] = {}
    for number in range(first, len(words) + 1):
        line = words[number - 1]
        if number in code or "::" not in line:
            continue
        held, kept = _hold(line)
        pairs = _FIELD.findall(held)
        if not pairs and (alone := _FIELD_LINE.match(held)):
            pairs = [alone.groups()[1:]]
        for key, value in pairs:
            name = re.sub(r"\s+", "-", key.strip().lower())
            found.setdefault(name, []).append(plain_text(_restore(value, kept)))
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def page_properties(front: dict[str, Any], inline: dict[str, Any]) -> dict[str, Any]:
    """Those of the front matter and inline ones; names for styles are no facts about the note."""
    found = {key: value for key, value in {**inline, **front}.items() if key not in ("cssclass", "cssclasses")}
    names = [*as_list(found.pop("aliases", None)), *as_list(found.pop("alias", None))]
    if names:
        found["alias"] = list(dict.fromkeys(names))
    for key in ("tags", "tag"):
        if isinstance(found.get(key), str):  # a tag has no spaces, so they part tags
            found[key] = [tag.lstrip("#") for tag in re.split(r"[,\s]+", found[key]) if tag.strip("#")]
    return found


def read(path: Path, *, check: Callable[[], None]) -> Parsed:
    check()
    text, _ = decode(read_bytes(path))
    lines = split_lines(text)
    front, taken = front_matter(lines)
    note = _Note(lines, taken + 1, check)
    properties = page_properties(front, fields(note.words, taken + 1, note.code))
    if not note.nodes and not properties:
        raise UnreadableError("no text in it", status="skipped")
    links = (link for top in note.nodes for node in top.walk() for link in node.links)
    return Parsed(
        kind="obsidian",
        title=str(properties.get("title") or "").strip() or path.stem,
        pages=(Page(None, lines, note.nodes),),
        properties=properties,
        # A link to a heading is no tag; a line of its own keeps fences where they were.
        tags=tags_of([_WIKI.sub(" ", line) for line in note.words[taken:]], properties),
        links=tuple(dict.fromkeys(links)),
    )

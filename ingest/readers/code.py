"""Source code and settings: blocks at the definitions that begin in the first column.

Lines are the file's own. No language is parsed: a definition is known by its first word, together
with the comments and decorators right above it, and a file without any is read in paragraphs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ingest.parsed import Node, Page, Parsed, UnreadableError, split_lines
from ingest.readers.markdown import label_of
from ingest.readers.text import clean, decode, paragraphs, read_bytes

WHOLE = 60  # lines of a definition that is kept in one piece where a chunk can hold it
_NAME = r"([A-Za-z_$][\w$.:]*)"
_WORDS = r"(?:export|default|declare|public|private|protected|static|abstract|async|local|pub|final)\s+"
_DEFINITION = re.compile(
    rf"(?:{_WORDS})*(?:def|class|function\*?|interface|enum|struct|namespace|module|func|fn|impl|trait|type)\s+{_NAME}"
    rf"|(?:{_WORDS})*(?:const|let|var)\s+{_NAME}.*(?:=>|\bfunction\b|\bclass\b)"
    rf"|{_NAME}\s*\(\)\s*\{{?\s*$"  # shell
    rf"|(?:[a-z]\w*\s+)+{_NAME}\s*\([^;=]*$"  # C and GLSL
)
_EXPORT = re.compile(r"export\b")
_SECTION = re.compile(r"\[{1,2}([^\[\]]+)\]{1,2}\s*(?:[#;].*)?$")
_KEY = re.compile(r"([\w.-]+|\"[^\"]+\"|'[^']+')\s*:(?:\s|$)")  # YAML
_ABOVE = re.compile(r"@|#(?!!)|//|--|/\*| ?\*|;")
_STATEMENT = re.compile(r"(?:return|else|if|for|while|switch|import|from|new|throw|await|print)\b")
_CLOSING = re.compile(r"[)}\]{]|end\b|fi\b|done\b|esac\b|else\b|except\b|finally\b|catch\b")


def _defined(line: str, ending: str) -> str | None:
    """The name of what ``line`` begins (may be empty); None where it begins nothing."""
    if not line or line[0].isspace():
        return None
    if section := _SECTION.match(line):
        return section.group(1).strip()
    if ending in (".yaml", ".yml"):
        key = _KEY.match(line)
        return key.group(1).strip("\"'") if key else None
    if found := None if _STATEMENT.match(line) else _DEFINITION.match(line[:400]):
        return next(name for name in found.groups() if name).rstrip(":")
    return "" if _EXPORT.match(line) else None


def _starts(lines: Sequence[str], ending: str, check: Callable[[], None]) -> list[tuple[int, int, str]]:
    """(first line with its comments, line of the definition, name) of every definition."""
    found: list[tuple[int, int, str]] = []
    taken = 0
    for number, line in enumerate(lines, 1):
        check()
        name = _defined(line, ending)
        if name is None:
            continue
        first = number
        while first - 1 > taken and _ABOVE.match(lines[first - 2]):
            first -= 1
        found.append((first, number, name))
        taken = number
    return found


def _end(lines: Sequence[str], start: int, limit: int) -> int:
    """The last line of the definition on line ``start``: loose code after it does not belong to it."""
    section = bool(_SECTION.match(lines[start - 1]) or _KEY.match(lines[start - 1]))
    end = start
    for number in range(start + 1, limit + 1):
        line = lines[number - 1]
        if not line.strip():
            continue
        if not section and not lines[number - 2].strip() and not line[0].isspace() and not _CLOSING.match(line):
            break
        end = number
    return end


def _block(lines: Sequence[str], first: int, last: int, name: str) -> Node:
    if last - first < WHOLE:
        parts = [Node(first, last, search=clean(lines[first - 1 : last]), whole=True)]
    else:
        parts = paragraphs(lines, first, last)
    label = label_of(name)
    if not label and len(parts) == 1:
        return parts[0]
    return Node(first, first - 1, label, tuple(parts), search="")


def read(path: Path, *, check: Callable[[], None]) -> Parsed:
    check()
    text, _ = decode(read_bytes(path))
    lines = split_lines(text)
    starts = _starts(lines, path.suffix.lower(), check)
    nodes: list[Node] = []
    done = 0
    for place, (first, start, name) in enumerate(starts):
        check()
        nodes += paragraphs(lines, done + 1, first - 1)
        limit = starts[place + 1][0] - 1 if place + 1 < len(starts) else len(lines)
        done = _end(lines, start, limit)
        nodes.append(_block(lines, first, done, name))
    nodes += paragraphs(lines, done + 1)
    if not nodes:
        raise UnreadableError("no text in it", status="skipped")
    return Parsed(kind="code", title=path.name, pages=(Page(None, lines, tuple(nodes)),))

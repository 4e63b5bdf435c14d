"""Subtitles and transcripts (SRT, VTT): what was said, found by the time it was said at.

Lines are the file's own. Cues come in groups of about WORDS words whose label is the time of the
first, so that the path of headings names it; numbers, time codes and marks are in no index. The
lines that rolling captions show twice are indexed once.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.parsed import Node, Page, Parsed, UnreadableError, split_lines
from ingest.readers.text import decode, read_bytes
from knowledge.screen import shown

WORDS = 60
_CLOCK = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,]\d{1,3}"
_TIMES = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s|$)")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^<>]*)>")
_MARK = re.compile(r"</?[a-zA-Z][^<>]*>|<[\d:.]+>|\{\\[^{}]*\}|\{[a-zA-Z]:[^{}]*\}")
_ASIDE = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")


@dataclass(frozen=True)
class _Cue:
    """Lines ``first..last`` of the file, said from second ``start`` to second ``end``."""

    first: int
    last: int
    start: int
    end: int
    said: tuple[str, ...]


def clock(seconds: int) -> str:
    """Seconds as HH:MM:SS."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def spoken(line: str) -> str:
    """A line of a cue without its marks; a voice becomes the speaker's name and a colon."""
    named = _VOICE.sub(lambda match: f"{match.group(1).strip()}: ", line)
    return " ".join(shown(html.unescape(_MARK.sub("", named))).split())


def _seconds(hours: str | None, minutes: str, seconds: str) -> int:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)


def _cues(lines: Sequence[str], strict: bool, check: Callable[[], None]) -> list[_Cue]:
    """The cues in the order of the file. ``strict`` (VTT): what stands in no cue is an aside."""
    cues: list[_Cue] = []
    number = 1
    while number <= len(lines):
        check()
        end = _run_end(lines, number)
        cue = _cue(lines, number, end - 1) if end > number else None
        if cue is not None:
            cues.append(cue)
        elif cues and end > number and not strict and not lines[number - 1].strip().isdigit():
            said = (*cues[-1].said, *map(spoken, lines[number - 1 : end - 1]))  # a blank line inside a cue
            cues[-1] = replace(cues[-1], last=end - 1, said=said)
        number = max(end, number + 1)
    return cues


def _run_end(lines: Sequence[str], first: int) -> int:
    """The line after a run of lines: a blank one, or where the next cue follows without one."""
    end = first
    while end <= len(lines) and lines[end - 1].strip():
        if end > first + 1 and _TIMES.match(lines[end - 1]):
            return end - 1 if end > first + 2 and lines[end - 2].strip().isdigit() else end
        end += 1
    return end


def _cue(lines: Sequence[str], first: int, last: int) -> _Cue | None:
    """The cue in a run of lines: a number or a name may stand above its times."""
    for number in (first, first + 1):
        times = _TIMES.match(lines[number - 1]) if number <= last else None
        if times:
            said = tuple(spoken(line) for line in lines[number:last])
            parts = times.groups()
            return _Cue(first, last, _seconds(*parts[:3]), _seconds(*parts[3:]), said)
        if _ASIDE.match(lines[first - 1]):
            return None
    return None


def _nodes(cues: Sequence[_Cue]) -> list[Node]:
    groups: list[list[tuple[_Cue, str]]] = [[]]
    words = 0
    before: tuple[str, ...] = ()
    for cue in cues:
        text = " ".join(line for line in cue.said if line and line not in before)
        before = cue.said or before
        if words >= WORDS:
            groups.append([])
            words = 0
        groups[-1].append((cue, text))
        words += len(text.split())
    if len(groups) > 1 and words < WORDS:  # a short end joins the group before it
        groups[-2:] = [groups[-2] + groups[-1]]
    nodes = []
    for group in groups:
        children = tuple(Node(cue.first, cue.last, search=text) for cue, text in group)
        first = group[0][0]
        nodes.append(Node(first.first, first.first - 1, clock(first.start), children, search=""))
    return nodes


def _header(lines: Sequence[str]) -> dict[str, str]:
    """What the head of a VTT file states: ``language: ru`` and the like."""
    found: dict[str, str] = {}
    for line in lines[1:]:
        if not line.strip():
            break
        name, colon, value = line.partition(":")
        if colon and "-->" not in line:
            found[name.strip().lower()] = value.strip()
    return found


def read(path: Path, *, check: Callable[[], None]) -> Parsed:
    check()
    text, _ = decode(read_bytes(path))
    lines = split_lines(text)
    first = lines[0].strip() if lines else ""
    is_vtt = first.startswith("WEBVTT")
    cues = _cues(lines, is_vtt, check)
    if not any(line for cue in cues for line in cue.said):
        raise UnreadableError("no subtitles in it", status="skipped")
    properties = {"duration": clock(max(cue.end for cue in cues))}
    if is_vtt and (language := _header(lines).get("language")):
        properties["language"] = language
    title = first.removeprefix("WEBVTT").strip(" -\t") if is_vtt else ""
    return Parsed(
        kind="transcript",
        title=title or path.stem,
        pages=(Page(None, lines, tuple(_nodes(cues))),),
        properties=properties,
    )

"""Where the sentences of a passage begin and end, so that a quote can be cut out verbatim.

Notes are not prose: a list item, a table row, a heading and a line of code each stand for
themselves, while a hard-wrapped paragraph is joined over its lines. Offsets are into the text as
given; nothing is rewritten.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Longer "sentences" (tables, lists without stops, extracted PDF text) are cut at the last comma or
# space before it.
MAX_CHARACTERS = 420

_END = re.compile(r"[.!?…。！？]+[\"'»”’)\]*_]*(?=\s+[\"'«“‘(\[*_]*[^\W_]|\s*$)|[。！？]")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(«\"'])(?:[A-ZА-ЯЁ]|e\.g|i\.e|etc|cf|vs|fig|eq|no|vol|pp?|dr|mr|mrs|ms|st|prof|approx|ca|al|inc|ltd|u\.s"
    r"|т\.е|т\.д|т\.п|т\.к|т|др|пр|см|рис|стр|им|г|гг|в|вв|руб|тыс|млн|млрд)\.$",
    re.IGNORECASE,
)
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])(?:\s+|$)")
_HEADING = re.compile(r"\s*(?:[-*+]\s+)?#{1,6}\s")
_ALONE = re.compile(r"\s*(?:#{1,6}\s|\||>|```|~~~|[-=*_]{3,}\s*$|<[^>]+>\s*$|[^\s:]+::(?:\s|$))")
_MARK = re.compile(
    r"\s*(?:[-*+•]\s+|\d{1,3}[.)]\s+|>\s?|#{1,6}\s+|\|\s*|\[[ xX]\]\s+"
    r"|(?:TODO|DOING|DONE|LATER|NOW|WAITING)\s+)"
)
_PROPERTY = re.compile(r"\s*[^\s:]+::(?:\s|$)")
_FENCE = re.compile(r"\s*(?:[-*+]\s+)?(?:```|~~~)")
_ADDRESS = re.compile(r"\]\([^()\s]*\)|<?\b(?:https?://|www\.)[^\s<>()\[\]]*>?|!\[[^\]]*\]\([^)]*\)")
# "A model for video. (https://example.org)": the address belongs to the sentence before it.
_LINK_BEHIND = re.compile(r"[ \t]*(?:\(\s*<?(?:https?://|www\.)[^\s<>()]*>?\s*\)|<(?:https?://|www\.)[^\s<>]*>)")
_EMPHASIS = re.compile(r"(?<!\w)[*_`~]{1,3}(?=\w)|(?<=[\w.,:;!?)])[*_`~]{1,3}(?!\w)|\[\[|\]\]|(?<!\w)\[")


@dataclass(frozen=True)
class Sentence:
    """``text[start:end]``. ``kind``: prose, item, heading, code, or property (of Logseq).
    ``indent``: of its line.
    """

    start: int
    end: int
    kind: str
    indent: int


def split(text: str) -> list[Sentence]:
    """The sentences of ``text`` in order, without list marks and surrounding space; empty ones
    left out.
    """
    sentences: list[Sentence] = []
    for start, end, kind in _units(text):
        line_start = text.rfind("\n", 0, start) + 1
        indent = len(text[line_start:end]) - len(text[line_start:end].lstrip())
        for left, right in _cut(text, start, end, prose=kind in ("prose", "item")):
            if any(character.isalnum() for character in text[left:right]):
                sentences.append(Sentence(left, right, kind, indent))
    return sentences


def has_address(text: str) -> bool:
    return bool(_ADDRESS.search(text))


def plain(text: str) -> str:
    """The words of a sentence: addresses, the marks of links and of emphasis left out."""
    return " ".join(_EMPHASIS.sub("", _ADDRESS.sub(" ", text)).split())


def _units(text: str) -> list[tuple[int, int, str]]:
    """Runs of lines that belong together: (start, end, kind)."""
    units: list[tuple[int, int, str]] = []
    offset = 0
    in_code = joins = False
    for line in text.split("\n"):
        end = offset + len(line)
        if _FENCE.match(line):
            in_code, joins = not in_code, False
        elif in_code:
            units.append((offset, end, "code"))
        elif not line.strip():
            joins = False
        elif _HEADING.match(line):
            units.append((offset, end, "heading"))
            joins = False
        elif _PROPERTY.match(line):
            units.append((offset, end, "property"))
            joins = False
        elif _ALONE.match(line):
            units.append((offset, end, "prose"))
            joins = False
        elif _ITEM.match(line) or not joins:
            units.append((offset, end, "item" if _ITEM.match(line) else "prose"))
            joins = True
        else:
            start, _, kind = units[-1]
            units[-1] = (start, end, kind)
        offset = end + 1
    return units


def _cut(text: str, start: int, end: int, *, prose: bool) -> list[tuple[int, int]]:
    """Sentence spans of one unit."""
    while mark := _MARK.match(text, start, end):
        start = mark.end()
    spans: list[tuple[int, int]] = []
    if prose:
        begin = start
        for stop in _END.finditer(text, start, end):
            if stop.end() <= begin or _ABBREVIATION.search(text, max(start, stop.end() - 12), stop.end()):
                continue
            after = _LINK_BEHIND.match(text, stop.end(), end)
            spans.append((begin, after.end() if after else stop.end()))
            begin = spans[-1][1]
        spans.append((begin, end))
    else:
        spans.append((start, end))
    trimmed = (_trim(text, *piece) for span in spans for piece in _shorten(text, *span))
    return [(left, right) for left, right in trimmed if left < right]


def _shorten(text: str, start: int, end: int) -> list[tuple[int, int]]:
    pieces = []
    while end - start > MAX_CHARACTERS:
        limit = start + MAX_CHARACTERS
        cut = -1
        for mark in ("\n", "; ", ", ", " "):
            cut = text.rfind(mark, start + MAX_CHARACTERS // 3, limit)
            if cut >= 0:
                cut += len(mark)
                break
        cut = cut if cut > start else limit
        pieces.append((start, cut))
        start = cut
    return [*pieces, (start, end)]


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())

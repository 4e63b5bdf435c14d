"""Tables as CSV or TSV: every row is a piece that names its columns.

Lines are the file's own, so a row whose quoted cells hold line breaks covers several of them. A quote
that is never closed costs its own line, not the rest of the file. What the values mean (numbers,
dates) is left to others.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ingest.parsed import Node, Page, Parsed, UnreadableError, split_lines
from ingest.readers.text import decode, read_bytes
from knowledge.screen import shown

ROWS = 50_000
_DELIMITERS = ",;\t|"
_SPAN = 100  # lines a row may cover
_SAMPLE = 4096  # characters to guess the delimiter from
_HEADER = 80  # characters in the name of a column
_VALUE = re.compile(r"[-+]?[\d\s.,:/%$€₽-]*\d[\d\s.,:/%$€₽-]*|https?://.*|true|false|null", re.IGNORECASE)


def delimiter_of(lines: Sequence[str], ending: str) -> str:
    """What separates the cells; the usual one for the file ending where the text leaves it open."""
    usual = "\t" if ending.lower() == ".tsv" else ","
    sample: list[str] = []
    for line in lines[:50]:
        if sample and sum(map(len, sample)) + len(line) > _SAMPLE:
            break
        sample.append(line[:_SAMPLE])
    first = next((line for line in sample if line.strip()), "")
    if usual == "\t" and "\t" in first:
        return usual
    try:
        found = csv.Sniffer().sniff("\n".join(sample), delimiters=_DELIMITERS).delimiter
    except csv.Error:
        found = usual
    if found in first:
        return found
    return max((usual, *_DELIMITERS), key=first.count)


def _rows(lines: Sequence[str], delimiter: str, check: Callable[[], None]) -> Iterator[tuple[int, int, list[str]]]:
    """(first line, last line, cells) of each row that is not blank."""
    number = 0
    while number < len(lines):
        check()
        if not lines[number].strip():
            number += 1
            continue
        window = lines[number : number + _SPAN] if '"' in lines[number] else lines[number : number + 1]
        reader = csv.reader((line.replace("\x00", "") + "\n" for line in window), delimiter=delimiter)
        used = 1
        try:
            cells = next(reader, [])
            used = reader.line_num
            unclosed = used == len(window) and "".join(window).count('"') % 2 == 1
        except csv.Error:  # a cell longer than the csv module takes
            unclosed = True
        if unclosed:
            used, cells = 1, lines[number].replace("\x00", "").split(delimiter)
        yield number + 1, number + used, [" ".join(shown(cell).split()) for cell in cells]
        number += used


def is_header(cells: Sequence[str], following: Sequence[str]) -> bool:
    """Whether the first row names the columns: short, distinct names where values would be none."""
    named = [cell for cell in cells if cell]
    if not following or not named or len(cells) < len(following) - 1:
        return False
    if len(set(named)) < len(named) or any(len(cell) > _HEADER for cell in named):
        return False
    return not any(_VALUE.fullmatch(cell) for cell in named)


def _said(cells: Sequence[str], columns: Sequence[str]) -> str:
    names = [*columns, *[""] * (len(cells) - len(columns))]
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, cells) if cell)


def read(path: Path, *, check: Callable[[], None]) -> Parsed:
    check()
    text, _ = decode(read_bytes(path))
    lines = split_lines(text)
    found: list[tuple[int, int, list[str]]] = []
    note = ""
    for row in _rows(lines, delimiter_of(lines, path.suffix), check):
        if len(found) > ROWS:
            note = f"the first {ROWS} rows read"
            break
        found.append(row)
    if not any(cell for _, _, cells in found for cell in cells):
        raise UnreadableError("no text in it", status="skipped")
    columns: list[str] = []
    start, end = found[0][0], found[0][0] - 1
    if is_header(found[0][2], found[1][2] if len(found) > 1 else ()):
        (start, end, columns), *found = found
    rows = tuple(Node(first, last, search=_said(cells, columns)) for first, last, cells in found[:ROWS])
    return Parsed(
        kind="csv",
        title=path.stem,
        pages=(Page(None, lines, (Node(start, end, children=rows, search=""),)),),
        properties={"columns": columns or len(found[0][2]), "rows": len(rows)},
        note=note,
    )

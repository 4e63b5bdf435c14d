"""Styles: named pieces of prompt that are laid over one and taken off again, in the files other programs keep them in.

Knows A1111's styles.csv (byte for byte as that program writes it) and the JSON lists of Fooocus. A style with
`{prompt}` wraps the prompt; one without is joined behind it by a comma. Leaves to others which styles a person uses.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import BadArgument, nearest
from assistant.export import write as write_file

PLACE = "{prompt}"
FIELDS = ("name", "prompt", "negative_prompt")
UNFINISHED = "unexpected end of data"  # what csv says of a quote that is never closed
MEND = "Mend that line, or choose another file."


@dataclass(frozen=True)
class Style:
    """A named prompt and negative; either may hold `{prompt}`, the place of what it is applied to."""

    name: str
    prompt: str = ""
    negative: str = ""

    def to_json(self) -> dict[str, Any]:
        return dict(zip(FIELDS, (self.name, self.prompt, self.negative), strict=True))


# Files


def read(path: Path) -> list[Style]:
    """The styles of a .json or .csv file; of two with one name the later counts. Raises `BadArgument` with the line."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise BadArgument(f"there is no file {path}", "Check the path.") from error
    except OSError as error:
        raise BadArgument(f"{path} cannot be read: {error.strerror or error}", "Check its rights.") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadArgument(f"{path}, line {line}: this is not UTF-8", "Save the file as UTF-8.") from error
    found = _json(text, path) if path.suffix.lower() == ".json" else _csv(text, path)
    return list({style.name: style for style in found}.values())


def _csv(text: str, path: Path) -> list[Style]:
    """Rows as A1111 takes them: blanks behind a comma do not count, rows that begin with # are remarks."""
    try:
        rows = _rows(text, True)
    except _Broken as error:
        if error.reason == UNFINISHED:
            raise BadArgument(f"{path}, line {error.line}: a quote is opened and never closed", MEND) from error
        try:
            rows = _rows(text, False)  # sloppy quoting, which A1111 forgives
        except _Broken as worse:
            raise BadArgument(f"{path}, line {worse.line}: {worse.reason}", MEND) from worse
    if not rows:
        return []
    header = rows[0][1]
    # The first versions of A1111 called the prompt "text" and had no negative.
    body = "prompt" if "prompt" in header else "text"
    if "name" not in header or body not in header:
        raise BadArgument(f"{path}, line {rows[0][0]}: the columns {','.join(FIELDS)} are missing", MEND)
    found = []
    for line, cells in rows[1:]:
        row = dict(zip(header, cells, strict=False))
        if row["name"].startswith("#"):
            continue
        if len(cells) > len(header):
            raise BadArgument(
                f"{path}, line {line}: {len(cells)} cells for {len(header)} columns",
                "Put quotes around the texts that hold commas.",
            )
        if not row["name"].strip():
            raise BadArgument(f"{path}, line {line}: a style without a name", MEND)
        found.append(Style(row["name"], row.get(body, ""), row.get("negative_prompt", "")))
    return found


class _Broken(Exception):
    """Where a row of a broken file begins, and what csv says of it."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line, self.reason = line, reason


def _rows(text: str, strict: bool) -> list[tuple[int, list[str]]]:
    """(line, cells) of the rows that hold anything."""
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=strict)
    rows = []
    line = 1
    try:
        for cells in reader:
            if cells:
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise _Broken(line, str(error)) from error
    return rows


def _json(text: str, path: Path) -> list[Style]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        line, reason = getattr(error, "lineno", 1), getattr(error, "msg", "nested too deep")
        raise BadArgument(f"{path}, line {line}: {reason}", MEND) from error
    if not isinstance(entries, list):
        raise BadArgument(f"{path}, line 1: this is no list of styles", "Write [{name, prompt, negative_prompt}].")
    found = []
    for number, entry in enumerate(entries):
        values = [entry.get(key) or "" for key in FIELDS] if isinstance(entry, dict) else []
        if not values or not all(isinstance(value, str) for value in values) or not values[0].strip():
            raise BadArgument(
                f"{path}, line {_line_of(text, number)}: style {number + 1} lacks a name or holds no texts", MEND
            )
        found.append(Style(*values))
    return found


def _line_of(text: str, number: int) -> int:
    """The line on which an entry of a JSON list begins."""
    decoder, at = json.JSONDecoder(), text.index("[") + 1
    for left in range(number, -1, -1):
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))
        if left:
            _, at = decoder.raw_decode(text, at)
    return text.count("\n", 0, at) + 1


def write(path: Path, styles: Iterable[Style]) -> Path:
    """Write a .json or .csv file, whole or not at all. Raises `BadArgument`."""
    styles = list(styles)
    if path.suffix.lower() == ".json":
        text = json.dumps([style.to_json() for style in styles], ensure_ascii=False, indent=2) + "\n"
        encoding = "utf-8"
    else:
        for style in styles:
            if not style.name.strip() or style.name.startswith("#"):
                raise BadArgument(f'"{style.name}" cannot name a style', "Begin with a letter; # begins a remark.")
        rows = [FIELDS, *((style.name, style.prompt, style.negative) for style in styles)]
        text = "".join(",".join(_cell(value) for value in row) + "\r\n" for row in rows)
        encoding = "utf-8-sig"  # as A1111 writes it, so that spreadsheets know the encoding
    try:
        return write_file(path, text.encode(encoding))
    except UnicodeEncodeError as error:
        raise BadArgument(f"{path}: a style holds half of a character", "Type that text again.") from error


def _cell(value: str) -> str:
    quoted = any(letter in value for letter in '",\r\n') or value.startswith(" ")
    return '"' + value.replace('"', '""') + '"' if quoted else value


# Use


def named(styles: Sequence[Style], names: Iterable[str]) -> list[Style]:
    """The styles of these names, in the order of the names. Raises `BadArgument` with the nearest name."""
    known = {style.name: style for style in styles}
    for name in (names := list(names)):
        if name not in known:
            raise BadArgument(f'there is no style "{name}"', nearest(name, known))
    return [known[name] for name in names]


def apply(prompt: str, negative: str, styles: Iterable[Style]) -> tuple[str, str]:
    """(prompt, negative) under these styles, one over the other."""
    for style in styles:
        prompt, negative = _over(style.prompt, prompt), _over(style.negative, negative)
    return prompt, negative


def _over(style: str, prompt: str) -> str:
    if PLACE in style:
        return style.replace(PLACE, prompt)
    return ", ".join(part for part in (prompt.strip(), style.strip()) if part)


def remove(prompt: str, negative: str, styles: Iterable[Style]) -> tuple[str, str, list[Style]]:
    """(prompt, negative, the styles found in them) without these styles, the last taken off first.

    A style comes off where both its texts stand as `apply` puts them; else it stays. Runs of blanks may differ.
    """
    gone = []
    for style in reversed(list(styles)):
        one, other = _off(style.prompt, prompt), _off(style.negative, negative)
        if one is not None and other is not None and (style.prompt.strip() or style.negative.strip()):
            prompt, negative = one, other
            gone.append(style)
    return prompt, negative, gone[::-1]


def _off(style: str, text: str) -> str | None:
    """What the style was laid over, None if this is not its work."""
    for s, t in ((style, text), (_even(style), _even(text))):
        pieces = s.split(PLACE)
        if len(pieces) > 2 and s is not style:
            continue  # laid over twice, a text with other blanks cannot be told apart
        if len(pieces) > 1:
            length, rest = divmod(len(t) - sum(map(len, pieces)), len(pieces) - 1)
            if length < 0 or rest:
                continue
            inside = t[len(pieces[0]) : len(pieces[0]) + length]
        else:
            end = s.strip()
            inside = t if not end else "" if t == end else t.removesuffix(f", {end}")
        if _over(s, inside) == (t if len(pieces) > 1 else t.strip()):
            return inside
    return None


def _even(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()

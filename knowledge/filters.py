"""What a search is confined to: collection, path, tag, date, property; and how it is typed.

    tag:lens collection:guides path:video/*  since:2024-05  until:2024  prop:author=Ivanov  kind:pdf

These words may stand anywhere in a question; a value with spaces stands in double quotes. ``parse``
takes them out, ``Filter.where`` is the SQL over the table ``documents``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from knowledge.errors import QueryError, nearest

_WORD = re.compile(r'(?<!\S)(\w+):(?:([^\s"=]+=)?"([^"]*)"|(\S+?)(?=[,;.?!]*(?:\s|$)))')
_DATE = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2})?)?")


@dataclass(frozen=True)
class Filter:
    """All that is given must hold. ``path`` is a shell pattern, matched anywhere in the path;
    ``since`` and ``until`` are inclusive dates of any precision; ``properties`` are (key, value),
    an empty value asks only that the key is there. Text is compared without regard to case.
    """

    collection: str = ""
    path: str = ""
    tag: str = ""
    kind: str = ""
    since: str = ""
    until: str = ""
    properties: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return self != Filter()

    def where(self) -> tuple[str, list[Any]]:
        """(SQL condition over ``documents d``, its values); ``1`` where nothing is asked."""
        parts: list[str] = []
        values: list[Any] = []
        for column in ("collection", "kind"):
            if wanted := getattr(self, column):
                parts.append(f"fold(d.{column}) = fold(?)")
                values.append(wanted)
        if self.path:
            parts.append("fold(d.path) GLOB fold(?)")
            values.append(f"*{self.path.strip('*')}*")
        if self.tag:
            # A tag stands for those below it: a finds a/b.
            parts.append("EXISTS (SELECT 1 FROM json_each(d.tags) t WHERE fold(t.value) = fold(?)"
                         " OR fold(t.value) GLOB fold(?) || '/*')")  # fmt: skip
            values += [self.tag.lstrip("#")] * 2
        if self.since:
            parts.append("d.date >= ?")
            values.append(self.since)
        if self.until:
            parts.append("d.date <> '' AND substr(d.date, 1, ?) <= ?")
            values += [len(self.until), self.until]
        for key, value in self.properties:
            # A list property holds when one of its items does. Not a number (.nan in YAML) is no JSON.
            found = (
                "SELECT 1 FROM json_each(iif(json_valid(d.properties), d.properties, '{}')) p"
                " WHERE fold(p.key) = fold(?)"
            )
            if value:
                found += (
                    " AND (fold(iif(p.type IN ('true', 'false'), p.type, p.value)) = fold(?) OR p.type = 'array'"
                    " AND EXISTS (SELECT 1 FROM json_each(p.value) i WHERE fold(i.value) = fold(?)))"
                )
            parts.append(f"EXISTS ({found})")
            values += [key] + ([value, value] if value else [])
        return " AND ".join(parts) or "1", values


EVERYTHING = Filter()


def _date(value: str) -> str:
    if not value:
        return ""
    if not _DATE.fullmatch(value):
        raise QueryError(f"{value} is no date", "Write 2024, 2024-05 or 2024-05-31.")
    return value


_SETTERS: dict[str, Callable[[Filter, str], Filter]] = {
    "collection": lambda f, v: replace(f, collection=v),
    "path": lambda f, v: replace(f, path=v),
    "tag": lambda f, v: replace(f, tag=v),
    "kind": lambda f, v: replace(f, kind=v),
    "since": lambda f, v: replace(f, since=_date(v)),
    "until": lambda f, v: replace(f, until=_date(v)),
    "prop": lambda f, v: replace(f, properties=(*f.properties, _pair(v))),
}


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key.strip(), value.strip()


def parse(text: str) -> tuple[str, Filter]:
    """(the question without filter words, the filter). Raises QueryError for a broken date.

    Only the names above are filters; ``note: this`` and ``https://...`` stay words.
    """
    chosen = Filter()

    def take(match: re.Match[str]) -> str:
        nonlocal chosen
        setter = _SETTERS.get(match.group(1).lower())
        if setter is None:
            return match.group()
        key, quoted, bare = match.groups()[1:]
        chosen = setter(chosen, bare if quoted is None else (key or "") + quoted)
        return ""

    rest = _WORD.sub(take, text)
    return " ".join(rest.split()) if chosen else text, chosen


def build(**given: Any) -> Filter:
    """A filter of named values, as commands and jobs carry them; empty ones are left out.

    ``prop`` is a list of ``key=value``. Raises QueryError for a name or a date that is none.
    """
    chosen = Filter()
    for name, value in given.items():
        if name not in _SETTERS:
            raise QueryError(f"There is no filter {name}", nearest(name, _SETTERS))
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one:
                chosen = _SETTERS[name](chosen, str(one))
    return chosen

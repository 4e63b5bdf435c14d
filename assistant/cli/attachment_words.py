"""`--region`, `--reference` and `--modifier` in words: what stands in them becomes entries of a spec."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from assistant.errors import BadArgument, nearest
from generation.attachments import MODIFIERS, REFERENCE, REGION
from generation.parameters import Parameter
from generation.regions import places

NAMED = re.compile(r",\s*([A-Za-z_]+)\s*=")
REGION_USAGE = "Write left:a red apple,weight=0.8, or mask.png:a red apple."
REFERENCE_USAGE = "Write photo.png,weight=0.7,kind=style,adapter=NAME."


def region(text: str) -> dict[str, Any]:
    """An entry of `regions`, of `PLACE:PROMPT[,weight=N,soft=N]`; a picture instead of the place is the mask.

    The place ends at the first colon, a picture's path at the first before which there is such a file. Raises
    `BadArgument`, or `BadSpec` for a place or value that cannot be.
    """
    table = {parameter.name: parameter for parameter in REGION if parameter.name in {"weight", "soft"}}
    colons = [n for n, letter in enumerate(text) if letter == ":"]
    if not colons:
        raise BadArgument(f'"{text}" names no place and prompt', REGION_USAGE)
    mask = next((n for n in colons if Path(text[:n]).expanduser().is_file()), None)
    end = colons[0] if mask is None else mask
    prompt, settings = _split(text[end + 1 :], table)
    if not prompt:
        raise BadArgument(f'the region "{text}" has no prompt', REGION_USAGE)
    entry: dict[str, Any] = {"prompt": prompt}
    if mask is None:
        places.box(text[:end])
        entry["place"] = text[:end].strip()
    else:
        entry["mask"] = str(Path(text[:end]).expanduser().absolute())
    return _settled(entry, settings, table, REGION_USAGE)


def reference(text: str) -> dict[str, Any]:
    """An entry of `references`, of `FILE[,name=value...]`. Raises as `region` does."""
    table = {parameter.name: parameter for parameter in REFERENCE if parameter.name != "image"}
    path, settings = _split(text, table)
    if not path:
        raise BadArgument(f'"{text}" names no picture', REFERENCE_USAGE)
    if not Path(path).expanduser().exists() and (wrong := NAMED.search(path)):
        hint = nearest(wrong[1], list(table)) or f"There are: {', '.join(sorted(table))}."
        raise BadArgument(f'a reference has no setting "{wrong[1]}"', hint)
    entry = {"image": str(Path(path).expanduser().absolute())}
    entry = _settled(entry, settings, table, REFERENCE_USAGE)
    for name in ("adapter", "encoder"):
        if name in entry and Path(entry[name]).expanduser().exists():
            entry[name] = str(Path(entry[name]).expanduser().absolute())
    return entry


def modifiers(texts: Sequence[str]) -> dict[str, Any]:
    """The table `modifiers`, of `NAME=VALUE` each."""
    table = {parameter.name: parameter for parameter in MODIFIERS}
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().lower().replace("-", "_")
        if name not in table:
            hint = nearest(name, list(table)) or f"There are: {', '.join(table)}."
            raise BadArgument(f'there is no modifier "{name}"', hint)
        if not equals:
            raise BadArgument(f"the modifier {name} has no value", f"Write {name}={_example(table[name])}.")
        found[name] = _value(table[name], value)
    return found


def _split(text: str, names: Iterable[str]) -> tuple[str, list[tuple[str, str]]]:
    """What stands first, and the settings behind it; a comma before anything but a known name belongs to the text."""
    marks = [mark for mark in NAMED.finditer(text) if mark[1] in names]
    ends = [mark.start() for mark in marks] + [len(text)]
    settings = [(mark[1], text[mark.end() : end].strip()) for mark, end in zip(marks, ends[1:], strict=True)]
    return text[: ends[0]].strip(), settings


def _value(parameter: Parameter, text: str) -> Any:
    """The value of a setting; a path is made absolute, so that the job can run again elsewhere."""
    value = parameter.parsed(text)
    return str(Path(value).expanduser().absolute()) if parameter.kind == "file" and value else value


def _settled(
    entry: dict[str, Any], settings: Sequence[tuple[str, str]], table: dict[str, Parameter], usage: str
) -> dict[str, Any]:
    for name, value in settings:
        if name in entry:
            raise BadArgument(f"{name} is said already", usage)
        entry[name] = _value(table[name], value)
    return entry


def _example(parameter: Parameter) -> str:
    return parameter.choices[-1] if parameter.choices else {"integer": "3", "number": "0.5"}.get(parameter.kind, "NAME")

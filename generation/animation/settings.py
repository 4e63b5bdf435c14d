"""Deforum's settings files read, checked, changed and written: JSON, the extension's .txt, and guides' plain text.

Knows the forms a file comes in and what a value may be; each error names the key, and the column of a schedule. Leaves
what the keys mean to `deforum`. Values that are not acted upon are kept and told. Imports nothing heavy.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from generation import samplers
from generation.animation import deforum_keys as keys
from generation.animation.guides import read_guide
from generation.animation.schedules import parse, read_prompts
from generation.errors import BadSchedule, BadSpec, GenerationError, nearest

LARGEST = 4_000_000  # bytes of a file
TABLE = {parameter.name: parameter for parameter in keys.VALUES}
NAMES = ("prompts", *TABLE, *keys.SCHEDULES, *keys.WORDS)
KNOWN = frozenset({*NAMES, *keys.KEPT, *keys.SILENT, *keys.FORMERLY})
_CONTROL_NET = re.compile(r"cn_\d+_\w+")
_BARE = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
_MATCH = re.compile(r"match frame 0\s+(\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """One animation. `values` hold every key of `NAMES`, checked; `kept` the file's others as they stood there.

    `notes` are sentences for the person: what the file names and nothing acts upon, unknown keys with the nearest.
    """

    values: dict[str, Any]
    kept: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """The same with some values others: plain data, or text as typed behind `--set`. Raises `BadSpec`."""
        values, kept = dict(self.values), dict(self.kept)
        for name, value in changes.items():
            known = keys.FORMERLY.get(name, name)
            if known not in NAMES:
                if name not in KNOWN:
                    raise BadSpec(f'an animation has no "{name}"', nearest(name, NAMES))
                kept[name] = value
                continue
            typed = isinstance(value, str) and known in TABLE
            values[known] = _checked(known, TABLE[known].parsed(_folded(known, value)) if typed else value)
        return Settings(values, kept, self.notes)

    def to_json(self) -> dict[str, Any]:
        """Plain data with every key, as a settings file has it."""
        prompts = self.values["prompts"]
        return {**self.kept, **self.values, "prompts": dict(prompts)}

    def write(self, path: Path) -> Path:
        """The settings as a file that Deforum and `read` take; there whole or not at all."""
        path = path.expanduser().absolute()
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            temporary.write_text(json.dumps(self.to_json(), ensure_ascii=False, indent=4) + "\n", "utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return path


def read(path: Path) -> Settings:
    """The settings of a file. Raises `BadSpec` or `BadSchedule`: `file: key: what`, with the remedy."""
    path = path.expanduser()
    try:
        if path.stat().st_size > LARGEST:
            raise BadSpec(f"{path} is larger than settings can be", "Choose a Deforum settings file.")
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it holds no text"
        raise BadSpec(f"{path} cannot be read: {why}", "Choose a Deforum settings file.") from error
    try:
        return parsed(text)
    except GenerationError as error:
        raise BadSpec(f"{path.name}: {error.message}", error.hint) from error


def parsed(text: str) -> Settings:
    """The settings of a text: a JSON object, or a guide's lines."""
    if not text.strip():
        raise BadSpec("it is empty", "Write at least prompts.")
    if text.lstrip()[0] not in "{[":
        return of(read_guide(text))
    try:
        # Line breaks inside prompts are no JSON, but common.
        data = json.loads(text, strict=False)
    except json.JSONDecodeError as error:
        raise BadSpec(
            f"line {error.lineno}, column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}", "Mend the JSON there."
        ) from None
    except (RecursionError, ValueError):
        raise BadSpec("its JSON is nested too deeply, or holds a number too long", "Choose another file.") from None
    if not isinstance(data, dict):
        raise BadSpec("it is a list, not a table of keys", 'Write {"prompts": {"0": "first prompt"}}.')
    return of(data)


def of(data: Mapping[str, Any]) -> Settings:
    """The settings of plain data, its keys as in a file. Raises `BadSpec`, `BadSchedule`."""
    given: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    notes: list[str] = []
    for name, value in data.items():
        known = keys.FORMERLY.get(name, name)
        if known in NAMES:
            if value is not None and (known not in given or name == known):
                given[known] = value
            continue
        kept[name] = value
        if name in keys.KEPT and value not in (keys.KEPT[name], None, str(keys.KEPT[name])):
            notes.append(f"{name} is kept, but nothing acts upon it")
        elif name not in KNOWN and not _CONTROL_NET.fullmatch(name):
            near = nearest(name, NAMES)
            notes.append(f'"{name[:40]}" is unknown and kept as it is.{" " + near if near else ""}')
    if str(given.get("parseq_manifest", "")).strip():
        given.setdefault("prompts", {"0": ""})  # the manifest has them
    if "prompts" not in given:
        raise BadSpec("there are no prompts", 'Write "prompts": {"0": "first prompt", "30": "second"}.')
    values = {name: _checked(name, given.get(name, _default(name))) for name in NAMES}
    return Settings(values, kept, (*notes, *_replaced(values)))


def _replaced(values: Mapping[str, Any]) -> tuple[str, ...]:
    """What is done in another way than the settings say, in one sentence."""
    flows = [
        name
        for name, (beside, off) in keys.FLOWING.items()
        if values[name] in keys.OTHER_FLOWS and (not beside or values[beside] != off)
    ]
    return (f"DIS finds the flow instead of RAFT or Farneback: {', '.join(flows)}",) if flows else ()


def local(path: str, name: str) -> Path:
    """A path on this machine; settings of other people often name addresses. Raises `BadSpec`."""
    if not path.strip():
        raise BadSpec(f"{name} is empty", "Name a file, or switch off what needs it.")
    if "://" in path:
        raise BadSpec(f"{name} is an address: {path[:60]}", "Nothing is fetched here. Name a file on this machine.")
    return Path(path).expanduser()


def _default(name: str) -> Any:
    return TABLE[name].default if name in TABLE else {**keys.SCHEDULES, **keys.WORDS}.get(name)


def _checked(name: str, value: Any) -> Any:
    """The value as the rest of the program uses it."""
    if name == "prompts":
        return _prompts(value)
    if name in TABLE:
        return _plain(name, value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadSpec(f"{name} must be a schedule, not {_short(value)}", 'Write it as in "0:(0), 30:(15)".')
    if not value.strip():
        return ""
    if name in keys.SCHEDULES and _BARE.fullmatch(value):
        value = f"0:({value.strip()})"
    try:
        parse(value, words=name in keys.WORDS)
    except BadSchedule as error:
        raise BadSpec(f"{name}: {error.message}", error.hint) from None
    return value


def _plain(name: str, value: Any) -> Any:
    parameter = TABLE[name]
    if isinstance(value, str):
        value = _folded(name, value)
        if parameter.kind in {"integer", "number"}:
            # Deforum's own forms write some of their numbers as text.
            return parameter.parsed(value)
    if parameter.kind == "choice" and isinstance(value, bool):
        # Older files switch hybrid_composite on and off.
        value = "Normal" if value and "Normal" in parameter.choices else "None"
    if parameter.kind == "flag" and value in (0, 1):
        value = bool(value)
    if parameter.kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    value = parameter.checked(value)
    if name in {"W", "H"} and value:
        if value < 32:
            raise BadSpec(f"{name} {value} is too small", "Give 32 to 4096, or 0 for the model's own.")
        value -= value % 8
    if name == "sampler" and value:
        value = samplers.find(keys.SAMPLERS.get(value.lower(), value)).name
    return value


def _folded(name: str, text: str) -> str:
    """A choice in the case the table has it in, and without the words older versions put before it."""
    choices = TABLE[name].choices
    if name == "color_coherence" and (found := _MATCH.match(text.strip())):
        text = found[1]
    if name == "frame_interpolation_engine" and text.strip().lower().startswith("rife"):
        return "RIFE v4.6"
    if name == "r_upscale_factor":
        return f"x{text.strip().lower().strip('x')}"
    if name.startswith("frame_interpolation_") and name.endswith("_amount"):
        # Older files: "x2", and "Disabled" beside an engine that is.
        return "2" if text.strip().lower() == "disabled" else text.strip().lower().strip("x")
    return next((choice for choice in choices if choice.lower() == text.strip().lower()), text)


def _prompts(value: Any) -> dict[str, str]:
    """Frame, a number or an expression -> prompt."""
    if isinstance(value, list):
        # The first notebooks had prompts without frames; the first of them is the animation's.
        value = {"0": value[0]} if value else {}
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (str, Mapping)):
        raise BadSpec(f"prompts must be a table of frames, not {_short(value)}", 'Write {"0": "first prompt"}.')
    try:
        read = read_prompts(text)
    except BadSchedule as error:
        raise BadSpec(f"prompts: {error.message}", error.hint) from None
    return {one.frame.text: f"{one.positive} --neg {one.negative}" if one.negative else one.positive for one in read}


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:39] + "…"

"""Which parts of a picture a draft adds, and in which order: the templates, built in and the person's own.

Knows the form of a templates file and which template an idea calls for. Leaves the phrases to `vocabulary`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from assistant.drafting.vocabulary import FOLDER, SUBJECTS, Profile, folded, slots
from assistant.errors import BadArgument, nearest

SUBJECT = "subject"
AUTO = "auto"
OTHERWISE = "scene"
_KEYS = ("words", "subjects", "slots", "phrases", "negative")


@dataclass(frozen=True)
class Template:
    """`slots` in order, the idea's "subject" left out; `words` and `subjects` call for it; `phrases` go first."""

    name: str
    slots: tuple[str, ...]
    words: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    phrases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    negative: tuple[str, ...] = ()


@cache
def built_in() -> dict[str, Template]:
    return read(FOLDER / "templates.toml")


def load(path: Path | None = None) -> dict[str, Template]:
    """The built-in templates and those of `path`, if it exists. Raises `BadArgument` with the line."""
    return {**built_in(), **(read(path) if path is not None and path.exists() else {})}


def read(path: Path) -> dict[str, Template]:
    """The templates of one TOML file. Raises `BadArgument` naming the file, the line and what to write."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadArgument(f"{path}, line {line}: this is not UTF-8", "Save the file as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        reason = str(error).replace("(at line", "(line").replace(" (at end of document)", f" (line {_lines(text)})")
        raise BadArgument(f"{path}: {reason}", "Mend that line, or move the file away.") from error
    except RecursionError as error:
        raise BadArgument(f"{path}: it is nested too deep", "Move the file away.") from error
    except OSError as error:
        raise BadArgument(f"{path} cannot be read: {error.strerror or error}", "Check its rights.") from error
    return {name: _template(name, entry, path, text) for name, entry in table.items()}


def _lines(text: str) -> int:
    return len(text.rstrip().splitlines()) or 1


def _template(name: str, entry: Any, path: Path, text: str) -> Template:
    def wrong(what: str, hint: str, key: str = "") -> BadArgument:
        return BadArgument(f'{path}, line {_line_of(text, name, key)}: template "{name}" {what}', hint)

    if not isinstance(entry, dict):
        raise wrong("is no table", f'Write ["{name}"] and its slots below.', name)
    for key in entry:
        if key not in _KEYS:
            raise wrong(f'has an unknown key "{key}"', nearest(key, _KEYS), key)
    for key in ("words", "subjects", "slots", "negative"):
        if not _texts(entry.get(key, [])):
            raise wrong(f"needs a list of texts as {key}", f'Write {key} = ["..."].', key)
    phrases = entry.get("phrases", {})
    if not isinstance(phrases, dict) or not all(_texts(value) for value in phrases.values()):
        raise wrong(
            "needs lists of texts below its phrases", f'Write ["{name}".phrases] and slot = ["..."].', "phrases"
        )
    order = tuple(slot for slot in entry.get("slots", []) if slot != SUBJECT)
    if not order:
        raise wrong("has no slots", 'Write slots = ["subject", "medium", "lighting"].', "slots")
    for slot in order:
        if slot not in slots() and slot not in phrases:
            raise wrong(f'has a slot "{slot}" without phrases', nearest(slot, slots()), "slots")
    for sort in entry.get("subjects", []):
        if sort not in SUBJECTS:
            raise wrong(f'names no subjects with "{sort}"', nearest(sort, SUBJECTS), "subjects")
    return Template(
        name,
        tuple(dict.fromkeys(order)),
        tuple(entry.get("words", [])),
        tuple(entry.get("subjects", [])),
        {slot: tuple(texts) for slot, texts in phrases.items()},
        tuple(entry.get("negative", [])),
    )


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) and text.strip() for text in value)


def _line_of(text: str, name: str, key: str) -> int:
    """The line of a key below the head of a template, of the head where the key is not found."""
    head = 0
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare.startswith("[") and bare.strip("[] ").replace('"', "").replace("'", "").split(".")[0].strip() == name:
            head = head or number
        if (head or key == name) and key and bare.split("=")[0].strip(" \"'") == key:
            return number
        if head and key == "phrases" and bare.startswith("[") and "phrases" in bare:
            return number
    return head or 1


def choose(name: str, idea: Profile, there: Mapping[str, Template]) -> Template:
    """The template of this name; with "auto" the one whose words or subjects the idea names, else the scene.

    Raises `BadArgument` with the nearest name.
    """
    if name != AUTO:
        if name not in there:
            raise BadArgument(f'there is no template "{name}"', nearest(name, [AUTO, *there]))
        return there[name]
    inside = folded(idea.text)
    # The longest word named decides: "character sheet" before "portrait"; of equals the person's, which come last.
    best, longest = None, 0
    for template in there.values():
        length = max((len(word) for word in template.words if folded(word) in inside), default=0)
        if length and length >= longest:
            best, longest = template, length
    if best is None:
        best = next((one for one in reversed(list(there.values())) if idea.subject in one.subjects), None)
    return best or there[OTHERWISE]

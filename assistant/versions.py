"""The draft's former versions: every text that was rendered, expanded or kept, with when and why.

One JSON object a line, appended; a line that a kill cut short is passed over. Leaves showing them to the screens.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from assistant.writing import write_whole

MOST = 2000  # versions kept; the oldest go, in one sweep, when a quarter more have gathered
WORDS = re.compile(r"\s+|[^\s,]+|,")


@dataclass(frozen=True)
class Version:
    """`why` is what happened to the text: rendered, expanded, kept, restored. `at` is ISO 8601."""

    at: str
    why: str
    prompt: str
    negative: str

    def to_json(self) -> dict[str, str]:
        return dict(vars(self))


class Versions:
    """The versions in the file `path`, made with the first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, prompt: str, negative: str, why: str) -> Version | None:
        """Remember a text; None where it is empty or the latest says the same."""
        if not prompt.strip() and not negative.strip():
            return None
        before = self.list()
        if before and (before[0].prompt, before[0].negative) == (prompt, negative):
            return None
        version = Version(datetime.now().astimezone().isoformat(timespec="seconds"), why, prompt, negative)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if len(before) >= MOST * 5 // 4:
            kept = [version, *before[: MOST - 1]]
            write_whole(self.path, "".join(_line(one) for one in reversed(kept)))
            return version
        with self.path.open("a", encoding="utf-8", errors="replace") as file:
            # A kill may have cut the last line short: what follows must not be glued to it.
            cut = file.tell() > 0 and not self._ended()
            file.write(("\n" if cut else "") + _line(version))
            file.flush()
            os.fsync(file.fileno())
        return version

    def _ended(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def list(self, query: str = "") -> list[Version]:
        """The newest first; those that hold all words of `query`."""
        if not self.path.exists():
            return []
        words = query.casefold().split()
        found = []
        for line in self.path.read_text("utf-8", errors="replace").splitlines():
            version = _read(line)
            if version and all(word in f"{version.prompt}\n{version.negative}".casefold() for word in words):
                found.append(version)
        return found[::-1]


def _line(version: Version) -> str:
    return json.dumps(version.to_json(), ensure_ascii=False) + "\n"


def _read(line: str) -> Version | None:
    try:
        found: Any = json.loads(line)
        return Version(*(str(found[name]) for name in ("at", "why", "prompt", "negative")))
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Change:
    """A stretch of one or both texts; kinds: equal, insert, delete, replace."""

    kind: str
    old: str
    new: str


def changes(old: str, new: str) -> list[Change]:
    """What was done to `old` to make `new`, in whole words; both sides put together give back the texts."""
    a, b = WORDS.findall(old), WORDS.findall(new)
    matcher = difflib.SequenceMatcher(a=a, b=b, autojunk=False)
    return [Change(kind, "".join(a[i:j]), "".join(b[k:m])) for kind, i, j, k, m in matcher.get_opcodes()]


def side_by_side(old: str, new: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """Both texts as (stretch, changed) lists, for two columns."""
    both: Sequence[Change] = changes(old, new)
    left = [(one.old, one.kind != "equal") for one in both if one.old]
    right = [(one.new, one.kind != "equal") for one in both if one.new]
    return left, right

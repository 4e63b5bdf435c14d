"""Templates of prompts: `{a|b}`, `{2$$a|b|c}`, `{0.5::a|b}`, `__name__`, and the wildcard folders they draw from.

Knows folders (.txt, .yaml, .json, as dynamicprompts reads them) and seeds. A line of a template that begins with # or
// is a remark. Jinja is never run. How a template is read and kept within bounds is `wildcard_drawing`'s matter;
showing the warnings is left to others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyparsing
from dynamicprompts.enums import SamplingMethod
from dynamicprompts.sampling_result import SamplingResult
from dynamicprompts.wildcards import WildcardManager
from dynamicprompts.wildcards.collection.list import ListWildcardCollection
from dynamicprompts.wildcards.collection.structured import parse_structured_file
from dynamicprompts.wildcards.item import WildcardItem

from assistant.errors import BadArgument
from assistant.wildcard_drawing import (
    SHIELDED,
    STEPS,
    Context,
    TooMuch,
    Warn,
    Watch,
    parsed,
    samplers,
    shielded,
    silent,
)

LARGEST = 20_000_000  # bytes of a wildcard file


def names(folders: Iterable[Path], *, warn: Warn = silent) -> list[str]:
    """The wildcards of the folders: files below them, and the lists inside .yaml and .json, as `a/b`."""
    return sorted(_values(folders, warn))


def expand(template: str, folders: Iterable[Path], *, seed: int, count: int = 1, warn: Warn = silent) -> list[str]:
    """`count` prompts drawn from the template, number n with seed + n.

    What cannot be filled in (an unknown wildcard, one that comes back to itself) stays as text; `warn` hears of it.
    Raises `BadArgument` for a template that cannot be read, or that grows without an end.
    """
    values = _values(folders, warn)
    text = shielded(template, values)
    # Cycles (@) go on from prompt to prompt; all else starts afresh, so that a prompt is known by its seed alone.
    cyclic = re.search(r"(?:__|\{)\s*@", text) is not None
    rest: Iterator[str] | None = None
    found = []
    watch = Watch(warn, values)
    with _Mended(template):
        for number in range(count):
            watch.left = STEPS
            if rest is None or not cyclic:
                context = Context(SamplingMethod.RANDOM, _manager(values), samplers(), watch=watch)
                rest = _drawn(text, context)
            context.rand.seed(seed + number)
            found.append(next(rest, ""))
    return found


def combinations(template: str, folders: Iterable[Path], limit: int = 100, *, warn: Warn = silent) -> list[str]:
    """Every different prompt of the template in order, at most `limit`; weights do not count."""
    values = {name: [str(one) for one in items] for name, items in _values(folders, warn).items()}
    text = shielded(template, values)
    watch = Watch(warn, values)
    watch.left = STEPS + 20 * limit
    context = Context(SamplingMethod.COMBINATORIAL, _manager(values), samplers(), watch=watch)
    found: dict[str, None] = {}
    with _Mended(template):
        try:
            for prompt in _drawn(text, context):
                if prompt not in found and len(found) == limit:
                    watch.say(f"there are more than {limit} combinations; the first are kept")
                    break
                found[prompt] = None
        except TooMuch:
            watch.say(f"the combinations have no end in sight; the first {len(found)} are kept")
    return list(found)


def _drawn(text: str, context: Context) -> Iterator[str]:
    results = context.generator_from_command(parsed(text)) if text else iter([SamplingResult("")])
    return (str(result).translate(SHIELDED) for result in results)


class _Mended:
    """Turns what the package raises into an error a person can use."""

    def __init__(self, template: str) -> None:
        self.template = " ".join(template.split())[:60]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, pyparsing.ParseBaseException):
            near = str(error.line).translate(SHIELDED)[max(0, error.col - 1) :][:20]
            raise BadArgument(
                f'the template "{self.template}" cannot be read near "{near}"', "Check its braces and $$."
            ) from error
        if isinstance(error, RecursionError):
            raise BadArgument(f'the template "{self.template}" nests too deep', "Take a level out.") from error
        if isinstance(error, (RuntimeError, ValueError, KeyError, AssertionError)):
            raise BadArgument(f'the template "{self.template}" cannot be filled in: {error}') from error


# Folders


def _values(folders: Iterable[Path], warn: Warn) -> dict[str, list[Any]]:
    """Name -> entries; the later of two folders counts."""
    found: dict[str, list[Any]] = {}
    for folder in folders:
        if not folder.is_dir():
            warn(f"there is no wildcard folder {folder}")
        for place, below, files in os.walk(folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for path in sorted(Path(place) / name for name in files):
                if path.suffix in {".txt", ".json", ".yaml"}:
                    start = path.parent.relative_to(folder).as_posix()
                    try:
                        stat = path.stat()
                        if stat.st_size > LARGEST:
                            raise ValueError(f"it is larger than {LARGEST // 10**6} MB")
                        read = _file(path, stat.st_mtime_ns, stat.st_size)
                    except Exception as error:  # the readers of two formats; one bad file spoils no other
                        warn(f"{path} cannot be read: {' '.join(str(error).split())[:120]}")
                        continue
                    found |= {name if start == "." else f"{start}/{name}": list(items) for name, items in read}
    return found


@lru_cache(maxsize=4096)
def _file(path: Path, changed: int, size: int) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    if path.suffix == ".txt":
        lines = path.read_bytes().decode("utf-8-sig", "ignore").splitlines()
        return ((path.stem, tuple(line.strip() for line in lines if line.strip() and line.strip()[0] != "#")),)
    return tuple((name, tuple(collection.get_values())) for name, collection in parse_structured_file(path))


def _manager(values: dict[str, list[Any]]) -> WildcardManager:
    entries: dict[str, Any] = {name: _Entries(items, values) for name, items in values.items()}
    return WildcardManager(root_map={"": [entries]})


class _Entries(ListWildcardCollection):
    """Entries of a wildcard, shielded when they are first drawn from."""

    def __init__(self, items: Sequence[Any], known: Iterable[str]) -> None:
        super().__init__(items)
        object.__setattr__(self, "known", known)

    def get_values(self) -> list[Any]:
        texts = [shielded(str(item), getattr(self, "known"), strict=False) for item in self.entries]  # noqa: B009
        return [
            WildcardItem(text, item.weight) if isinstance(item, WildcardItem) else text
            for text, item in zip(texts, self.entries, strict=True)
            if text
        ]

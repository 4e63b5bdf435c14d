"""YAML files as tables with the line of every entry, read without what could harm: recipes, stages, characters.

Knows bytes, aliases and marks. Leaves what a table may hold to its readers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from generation.errors import BadSpec

LARGEST = 1_000_000  # bytes of a file
Lines = dict[tuple[Any, ...], int]
Wrong = Callable[[int, str, str], BadSpec]


def text_of(path: Path, what: str) -> str:
    """The text of a file that should be `what` ("a recipe"). Raises `BadSpec`."""
    try:
        if path.stat().st_size > LARGEST:
            raise BadSpec(f"{path} is larger than {what} can be", f"Choose {what}.")
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSpec(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or 'no text'}", "Check the path."
        ) from error


def loaded(text: str, wrong: Wrong, *, instead: str, begin: str, what: str) -> tuple[dict[str, Any], Lines]:
    """(data, line of each key and list entry by its path) of a text that should be `what`.

    `wrong(line, what, hint)` makes the error. `instead` says what to do where an anchor is used: an alias would let a
    small file stand for a huge one. `begin` says how such a file begins.
    """
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise wrong(event.start_mark.line + 1 if event.start_mark else 1, "anchors are not used here", instead)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise wrong(line, f"no YAML: {error.problem or error.context}", "Mend the line.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise wrong(1, f"no YAML: {' '.join(str(error).split())[:120]}", "Mend the file.") from error
    if not isinstance(data, dict):
        raise wrong(1, f"{what} is a table", begin)
    lines: Lines = {}
    _number(node, (), lines)
    return data, lines


def _number(node: Any, at: tuple[Any, ...], lines: Lines) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            # A key may be a list, which is no place to look for.
            if isinstance(key, yaml.ScalarNode):
                lines[(*at, key.value)] = key.start_mark.line + 1
                _number(value, (*at, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for n, one in enumerate(node.value):
            lines[(*at, n)] = one.start_mark.line + 1
            _number(one, (*at, n), lines)

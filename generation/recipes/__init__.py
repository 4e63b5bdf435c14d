"""A recipe: operations as a graph, in a YAML file that a person reads and edits.

    name: poster
    variables: {subject: a red fox}
    inputs: photos/                  # a folder, files, patterns, or {prompts: [...]}
    stages:
      - id: drawn
        do: img2img                  # any operation, preprocess, or grid
        from: input                  # or the id of an earlier stage
        prompt: "${subject} in snow"
        seed: 5
        with: {strength: 0.5}
      - id: large
        do: upscale
        from: drawn
        on: true                     # false passes `from` through
        with: {scale: 2}

Wherever a file is wanted, `@id` is a stage's picture and `@input` the input. `${name}` is a variable; `${prompt}` and
`${stem}` are the input's own. Nothing heavy is imported until `running` is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INPUT = "input"
# What a stage can do beside an operation.
PREPROCESS, GRID = "preprocess", "grid"


@dataclass(frozen=True)
class Step:
    """One stage as written: `sources` are what it takes its picture from (several for a grid), `line` from 1.

    `settings` are those under `with`, `fields` those of a render's spec; variables still stand in both.
    """

    id: str
    do: str
    sources: tuple[str, ...]
    settings: Mapping[str, Any]
    fields: Mapping[str, Any]
    on: bool
    line: int


@dataclass(frozen=True)
class Recipe:
    """A recipe that was checked; `steps` in an order in which each has what it takes. `path` is its file or None."""

    name: str
    steps: tuple[Step, ...]
    variables: Mapping[str, Any] = field(default_factory=dict)
    inputs: Any = None
    path: Path | None = None

    @property
    def folder(self) -> Path:
        """What relative paths in the recipe start from."""
        return self.path.parent if self.path is not None else Path()

    @property
    def takes_input(self) -> bool:
        """Whether a stage needs an input's picture."""
        return any(INPUT in references(step) for step in self.steps)

    @property
    def takes_prompt(self) -> bool:
        return any("${prompt}" in text for step in self.steps for text in strings([step.fields, step.settings]))


def references(step: Step) -> set[str]:
    """Ids (and `input`) that a stage takes pictures from, through `from` or `@id`."""
    named = {text[1:] for text in strings([step.fields, step.settings]) if text.startswith("@")}
    return {*step.sources, *named}


def strings(value: Any) -> list[str]:
    """Every text inside lists and tables."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in strings(inner)]
    if isinstance(value, (list, tuple)):
        return [text for inner in value for text in strings(inner)]
    return []

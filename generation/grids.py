"""Grids of renders: one spec, up to three axes of values, and the specs of every cell.

Reads values as A1111's X/Y/Z plot writes them. Leaves rendering to the engine and the sheet to `sheets`.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from generation import samplers
from generation.errors import BadSpec, nearest
from generation.operations import OPERATIONS
from generation.specs import RenderSpec

MOST = 500  # cells of a grid
REPLACE = "replace"
# 1-5, 1-10 (+2), 1-10 [5]; the same with decimals.
_RANGE = re.compile(
    r"\s*(?P<low>[-+]?\d*\.?\d+)\s*-\s*(?P<high>[-+]?\d*\.?\d+)"
    r"\s*(?:\(\s*(?P<step>[-+]?\d*\.?\d+)\s*\)|\[\s*(?P<count>\d+)\s*\])?\s*"
)
_NUMBERS = {
    "seed": int,
    "steps": int,
    "width": int,
    "height": int,
    "clip_skip": int,
    "cfg": float,
    "cfg_rescale": float,
}
_TEXTS = ("prompt", "negative", "model", "sampler", "weighting", "vae")
_OTHER_NAMES = {
    "cfg_scale": "cfg",
    "s/r": REPLACE,
    "prompt_s/r": REPLACE,
    "checkpoint": "model",
    "checkpoint_name": "model",
}


@dataclass(frozen=True)
class Axis:
    """`name` is a field of the spec, a parameter of its operation, or `replace`; `values` in their types."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Cell:
    """One render: its place (x, y, z) and its spec."""

    place: tuple[int, int, int]
    spec: RenderSpec


@dataclass(frozen=True)
class Grid:
    """The axes, one to three, and every cell, z outermost and x innermost."""

    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]

    def labels(self, number: int) -> list[str]:
        """What stands beside the rows or columns of an axis, "" where there is none."""
        if number >= len(self.axes):
            return [""]
        axis = self.axes[number]
        if axis.name == REPLACE:
            return [str(value) for value in axis.values]
        name = axis.name.replace("_", " ")
        return [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for value in axis.values]


def axis(text: str, operation: str = "txt2img") -> Axis:
    """An axis of `name=values`, such as `cfg=3,5,7`, `steps=10-30 (+10)`, `replace=red,green,blue`.

    Values with commas stand in quotes. Of `replace` the first value is looked for in the prompts, and each takes its
    place. Raises `BadSpec` with the nearest name, or for values that cannot be.
    """
    name, equals, behind = text.partition("=")
    name = name.strip().lower().replace(" ", "_").replace("-", "_")
    name = _OTHER_NAMES.get(name, name)
    parameters = {p.name: p for p in OPERATIONS[operation].parameters}
    known = [*_NUMBERS, *_TEXTS, REPLACE, *parameters]
    if name not in known:
        raise BadSpec(f'there is no axis "{name}"', nearest(name, known) or f"Choose: {', '.join(known)}.")
    parts = [part.strip() for part in next(csv.reader([behind], skipinitialspace=True), [])]
    parts = [part for part in parts if part or name in {"negative", REPLACE}]
    if not equals or not parts:
        raise BadSpec(f"the axis {name} has no values", f"Write {name}=one,two,three.")
    kind: type | None
    if name in _NUMBERS:
        kind = _NUMBERS[name]
        values = [value for part in parts for value in _numbers(name, part, kind)]
    elif name in parameters:
        kind = {"integer": int, "number": float}.get(parameters[name].kind)
        if kind is not None:
            values = [parameters[name].checked(v) for part in parts for v in _numbers(name, part, kind)]
        else:
            values = [parameters[name].parsed(part) for part in parts]
    elif name == "sampler":
        values = [samplers.find(part).name for part in parts]
    else:
        values = parts
    if len(values) > MOST:
        raise BadSpec(f"the axis {name} has {len(values)} values", f"Give at most {MOST}.")
    return Axis(name, tuple(values))


def _numbers(name: str, part: str, kind: type) -> list[Any]:
    match = _RANGE.fullmatch(part)
    try:
        if match is None:
            return [kind(part)]
        low, high = kind(match["low"]), kind(match["high"])
        if match["count"]:
            count = int(match["count"])
            if not 1 <= count <= MOST:
                raise BadSpec(f"{name} cannot have {count} values", f"Give 1 to {MOST}.")
            ends = [low + (high - low) * n / max(count - 1, 1) for n in range(count)]
            return [round(end) if kind is int else round(end, 6) for end in ends]
        step = kind(match["step"]) if match["step"] else kind(1)
    except (ValueError, OverflowError) as error:
        raise BadSpec(f"{name} cannot be {part}", "Give a number, or a range: 1-5, 1-10 (+2), 1-10 [5].") from error
    if step == 0 or (high - low) / step < 0:
        step = -step
    if step == 0 or abs((high - low) / step) >= MOST:
        raise BadSpec(f"{name}={part} gives too many values", f"Give at most {MOST}.")
    return [kind(round(low + n * step, 6)) for n in range(int(abs((high - low) / step) + 1e-9) + 1)]


def plan(spec: RenderSpec, axes: Sequence[Axis]) -> Grid:
    """The cells of a grid over `spec`, whose seed must stand fixed: all cells share it, unless an axis sets it.

    Raises `BadSpec` for no axis or more than three, for too many cells, and for a cell that cannot be.
    """
    if not 1 <= len(axes) <= 3:
        raise BadSpec("a grid has one to three axes", "Give --x, --y and --z.")
    count = 1
    for one in axes:
        count *= len(one.values)
    if count > MOST:
        raise BadSpec(f"the grid has {count} cells", f"Give at most {MOST}.")
    names = [one.name for one in axes if one.name != REPLACE]
    if len(set(names)) != len(names):
        raise BadSpec("two axes set the same thing", "Let each axis name another.")
    cells = []
    spread = [list(enumerate(one.values)) for one in axes] + [[(0, None)]] * (3 - len(axes))
    for (z, value_z), (y, value_y), (x, value_x) in itertools.product(*reversed(spread)):
        made = spec
        for one, value in zip(axes, (value_x, value_y, value_z), strict=False):
            made = _with(made, one, value)
        cells.append(Cell((x, y, z), made))
    return Grid(tuple(axes), tuple(cells))


def _with(spec: RenderSpec, one: Axis, value: Any) -> RenderSpec:
    if one.name == REPLACE:
        wanted = str(one.values[0])
        if not wanted or (wanted not in spec.prompt and wanted not in spec.negative):
            raise BadSpec(f"“{wanted}” does not stand in the prompt", "The first value is what gets replaced.")
        return dataclasses.replace(
            spec, prompt=spec.prompt.replace(wanted, value), negative=spec.negative.replace(wanted, value)
        )
    if one.name in spec.options:
        return dataclasses.replace(spec, options={**spec.options, one.name: value})
    return dataclasses.replace(spec, **{one.name: value})


def matrix(spec: RenderSpec) -> Grid:
    """A prompt matrix: of `a | b | c` the first part always, the others in every combination.

    Half of the choices make the columns, the other half the rows. Raises `BadSpec` where there is nothing to combine.
    """
    first, *choices = [part.strip() for part in _split(spec.prompt)]
    choices = [choice for choice in choices if choice]
    if not choices:
        raise BadSpec("the prompt has no choices", "Write them behind bars: a fox | in snow | at night.")
    if len(choices) > 8:
        raise BadSpec(f"{len(choices)} choices make {2 ** len(choices)} pictures", "Give at most 8.")
    across = choices[: (len(choices) + 1) // 2]
    down = choices[len(across) :]
    columns, rows = _subsets(across), _subsets(down)
    cells = []
    for (y, row), (x, column) in itertools.product(enumerate(rows), enumerate(columns)):
        prompt = ", ".join([first, *column, *row])
        cells.append(Cell((x, y, 0), dataclasses.replace(spec, prompt=prompt)))
    axes = [Axis(REPLACE, tuple(", ".join(one) or "-" for one in many)) for many in (columns, rows)]
    return Grid(tuple(axes), tuple(cells))


def _subsets(choices: Sequence[str]) -> list[tuple[str, ...]]:
    """Every subset, in the order in which the choices are counted through."""
    return [
        tuple(choice for bit, choice in enumerate(choices) if number >> bit & 1) for number in range(2 ** len(choices))
    ]


def _split(prompt: str) -> list[str]:
    """The parts between bars that stand in no bracket: `[a|b]` is an alternation."""
    parts, depth = [""], 0
    for letter in prompt:
        depth += (letter in "([{<") - (letter in ")]}>")
        if letter == "|" and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts

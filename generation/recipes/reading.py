"""A recipe's file read and checked before anything runs; each error names the file and the line.

Knows the file's shape, variables and the graph. What a setting may be is asked of the operation's own table, through
the spec that the stage would render.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from generation.attachments import PARTS, further
from generation.errors import BadSpec, GenerationError, nearest
from generation.operations import OPERATIONS
from generation.parameters import Parameter
from generation.preprocessors import parameters as preprocessing
from generation.recipes import GRID, INPUT, PREPROCESS, Recipe, Step, references
from generation.specs import RenderSpec
from generation.tables import loaded, text_of

MOST = 200  # stages
KEYS = ("name", "variables", "inputs", "stages")
# What a stage can say of its spec; a batch would be several pictures where the next stage takes one.
FIELDS = tuple(
    f.name
    for f in dataclasses.fields(RenderSpec)
    if f.name not in {"operation", "options", "batch", "idea", "expansion"}
)
OWN = ("id", "do", "from", "with", "on")
BUILT_IN = ("prompt", "stem")
_ID = re.compile(r"[\w][\w\-]*")
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")


def read(path: Path, changes: Mapping[str, str] | None = None, off: tuple[str, ...] = ()) -> Recipe:
    """The recipe of a file. `changes` are `stage.setting` or `variable` -> value as typed; `off` ids of stages.

    Raises `BadSpec`: `file:line: what`, with the nearest name.
    """
    path = path.expanduser().absolute()
    text = text_of(path, "a recipe")
    return parse(text, path, changes, off)


def parse(text: str, path: Path | None = None, changes: Mapping[str, str] | None = None,
          off: tuple[str, ...] = ()) -> Recipe:  # fmt: skip
    """The recipe of a text, as `read`."""
    return _Reader(path).recipe(text, dict(changes or {}), off)


class _Reader:
    """One file: its name for messages, and the line of each stage."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._name = path.name if path is not None else "recipe"

    def _wrong(self, line: int, what: str, hint: str) -> BadSpec:
        return BadSpec(f"{self._name}:{line}: {what}", hint)

    def recipe(self, text: str, changes: dict[str, str], off: tuple[str, ...]) -> Recipe:
        data, lines = loaded(
            text, self._wrong, instead="Use a variable.", begin="Begin with name: and stages:.", what="a recipe"
        )
        for key in data:
            if key not in KEYS:
                raise self._wrong(
                    lines.get((key,), 1), f'a recipe has no "{key}"', nearest(str(key), KEYS) or _one(KEYS)
                )
        name = data.get("name") or (self._path.stem if self._path is not None else "recipe")
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise self._wrong(lines.get(("name",), 1), f'the name cannot be "{name}"', "Use letters, digits, - and _.")
        variables = data.get("variables") or {}
        if not isinstance(variables, Mapping):
            raise self._wrong(lines.get(("variables",), 1), "variables are a table", "Write name: value.")
        stages = data.get("stages")
        if not isinstance(stages, list) or not 1 <= len(stages) <= MOST:
            raise self._wrong(
                lines.get(("stages",), 1), f"a recipe has a list of 1 to {MOST} stages", "Add one under stages."
            )
        steps = [self._step(n, one, lines.get(("stages", n), 1)) for n, one in enumerate(stages)]
        ids = [step.id for step in steps]
        for step in steps:
            if ids.count(step.id) > 1 or step.id == INPUT:
                raise self._wrong(step.line, f'the id "{step.id}" is taken', "Give each stage an id of its own.")
        variables = dict(variables)
        steps = self._changed(steps, variables, changes, off)
        steps = self._ordered(steps)
        recipe = Recipe(name, tuple(steps), variables, data.get("inputs"), self._path)
        self._check(recipe)
        return recipe

    def _step(self, number: int, one: Any, line: int) -> Step:
        if not isinstance(one, Mapping):
            raise self._wrong(line, "a stage is a table", "Write id: and do:.")
        for key in one:
            if key is True:
                continue  # YAML 1.1 reads `on` as true
            if key not in (*OWN, *FIELDS):
                raise self._wrong(line, f'a stage has no "{key}"', nearest(str(key), (*OWN, *FIELDS)))
        do = one.get("do")
        kinds = (*OPERATIONS, PREPROCESS, GRID)
        if do not in kinds:
            raise self._wrong(line, f'there is no operation "{do}"', nearest(str(do), kinds) or _one(kinds))
        identity = str(one.get("id", f"{number + 1}-{do}"))
        if not _ID.fullmatch(identity):
            raise self._wrong(line, f'the id cannot be "{identity}"', "Use letters, digits, - and _.")
        on = one.get("on", one.get(True, True))
        if not isinstance(on, bool):
            raise self._wrong(line, f"on is true or false, not {on!r}", "Write on: true.")
        settings = one.get("with") or {}
        if not isinstance(settings, Mapping):
            raise self._wrong(line, "the settings under with are a table", "Write name: value.")
        given = one.get("from", [])
        sources = tuple(given if isinstance(given, list) else [given])
        if not all(isinstance(source, str) for source in sources):
            raise self._wrong(line, "from names stages", "Write the id of a stage, or input.")
        if do != GRID and len(sources) > 1:
            raise self._wrong(line, f"{do} takes one picture", "Name others as @id under with.")
        fields = {name: one[name] for name in FIELDS if name in one}
        return Step(identity, str(do), sources, dict(settings), fields, on, line)

    def _changed(
        self, steps: list[Step], variables: dict[str, Any], changes: dict[str, str], off: tuple[str, ...]
    ) -> list[Step]:
        """With what was given beside the file."""
        ids = [step.id for step in steps]
        for name in off:
            if name not in ids:
                raise BadSpec(f'there is no stage "{name}"', nearest(name, ids) or _one(ids))
        steps = [dataclasses.replace(step, on=step.on and step.id not in off) for step in steps]
        for place, text in changes.items():
            stage, dot, name = place.partition(".")
            value = _typed(text)
            if not dot:
                if place not in variables:
                    raise BadSpec(
                        f'there is no variable "{place}"', nearest(place, variables) or "Write stage.setting."
                    )
                variables[place] = value
                continue
            if stage not in ids:
                raise BadSpec(f'there is no stage "{stage}"', nearest(stage, ids) or _one(ids))
            step = steps[ids.index(stage)]
            where: dict[str, Any]
            if name == "on":
                if not isinstance(value, bool):
                    raise BadSpec(f"{place} must be true or false, not {text}", "Give true or false.")
                where = {"on": value}
            elif name in FIELDS:
                where = {"fields": {**step.fields, name: value}}
            else:
                where = {"settings": {**step.settings, name: value}}
            steps[ids.index(stage)] = dataclasses.replace(step, **where)
        return steps

    def _ordered(self, steps: list[Step]) -> list[Step]:
        """Each behind what it takes; the file's order where that leaves a choice."""
        ids = {step.id for step in steps}
        for step in steps:
            for name in sorted(references(step)):
                if name != INPUT and name not in ids:
                    raise self._wrong(step.line, f'{step.id} takes from "{name}", which is no stage',
                                      nearest(name, [*ids, INPUT]) or _one([*sorted(ids), INPUT]))  # fmt: skip
        done: list[Step] = []
        left = list(steps)
        while left:
            there = {step.id for step in done} | {INPUT}
            ready = next((step for step in left if references(step) <= there), None)
            if ready is None:
                circle = " and ".join(step.id for step in left)
                raise self._wrong(left[0].line, f"the stages {circle} wait for each other", "Let one take from input.")
            left.remove(ready)
            done.append(ready)
        return done

    def _check(self, recipe: Recipe) -> None:
        """Every stage that is on, as it would run on an input that is there."""
        empty: set[str] = set()
        known = {**recipe.variables, **dict.fromkeys(BUILT_IN, "x")}
        for step in recipe.steps:
            if not step.on:
                if not step.sources or step.sources[0] in empty:
                    empty.add(step.id)
                continue
            for name in references(step) & empty:
                raise self._wrong(
                    step.line, f"{step.id} takes from {name}, which is off and has nothing to pass on", "Switch it on."
                )
            try:
                prepared(step, known, dict.fromkeys(references(step), "input.png"), recipe.folder)
            except GenerationError as error:
                raise self._wrong(step.line, f"{step.id}: {error.message}", error.hint) from error


def prepared(
    step: Step, variables: Mapping[str, Any], pictures: Mapping[str, str], folder: Path
) -> RenderSpec | dict[str, Any]:
    """What a stage does to pictures (paths by id): the spec to render, or the settings of preprocess and grid.

    Relative paths start from `folder`. Raises `BadSpec`.
    """
    settings = filled(step.settings, variables, pictures)
    fields = filled(step.fields, variables, pictures)
    if step.do in {PREPROCESS, GRID}:
        if fields:
            raise BadSpec(f"{step.do} renders nothing and takes no {next(iter(fields))}", "Leave it out.")
        if not step.sources:
            raise BadSpec(f"{step.do} has no picture", "Write from: input, or the id of a stage.")
        if step.do == GRID:
            unknown = next((name for name in settings if name not in {"columns", "labels"}), None)
            if unknown is not None:
                raise BadSpec(f'grid has no setting "{unknown}"', nearest(unknown, ("columns", "labels")))
            columns, labels = settings.get("columns", len(step.sources)), settings.get("labels", list(step.sources))
            if isinstance(columns, bool) or not isinstance(columns, int) or not 1 <= columns <= 100:
                raise BadSpec(f"columns cannot be {columns!r}", "Give 1 to 100.")
            if not isinstance(labels, list) or len(labels) != len(step.sources):
                raise BadSpec("labels are as many as the pictures", "Give one for each of from.")
            return {"columns": columns, "labels": [str(label) for label in labels]}
        kind = settings.pop("kind", None)
        if not isinstance(kind, str):
            raise BadSpec("preprocess has no kind", "Write with: {kind: canny}.")
        return {"kind": kind, "values": preprocessing(kind, settings)}
    operation = OPERATIONS[step.do]
    files = [p.name for p in operation.parameters if p.kind == "file"]
    _place(settings, operation.parameters, pictures, folder)
    for name, (table, _) in PARTS.items():
        for entry in fields.get(name) or ():
            if isinstance(entry, dict):
                _place(entry, (*table, *further(name, entry)), pictures, folder)
    if step.sources:
        if "image" not in files:
            raise BadSpec(f"{step.do} starts from no picture", "Leave from out.")
        settings["image"] = pictures[step.sources[0]]
    elif "image" in files and "image" not in settings:
        raise BadSpec(f"{step.do} has no picture", "Write from: input, or the id of a stage.")
    if not fields.get("prompt") and (operation.prompt == "must" or (not files and operation.prompted)):
        raise BadSpec(f"{step.do} has no prompt", "Write prompt: ...")
    return RenderSpec.from_json({"prompt": "", **fields, "operation": step.do, "options": settings})


def _place(values: dict[str, Any], table: Iterable[Parameter], pictures: Mapping[str, str], folder: Path) -> None:
    """Make the files that `values` name absolute, from the recipe's folder; a stage's picture is so already."""
    for parameter in table:
        value = values.get(parameter.name)
        if parameter.kind == "file" and isinstance(value, str) and value and value not in pictures.values():
            values[parameter.name] = str((folder / Path(value).expanduser()).absolute())


def filled(value: Any, variables: Mapping[str, Any], pictures: Mapping[str, str]) -> Any:
    """`value` with variables and `@id` put in; a text that is one variable alone takes its type."""
    if isinstance(value, Mapping):
        return {key: filled(inner, variables, pictures) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, variables, pictures) for inner in value]
    if not isinstance(value, str):
        return value
    if value.startswith("@") and value[1:] in pictures:
        return pictures[value[1:]]

    def known(name: str) -> Any:
        if name not in variables:
            raise BadSpec(f'there is no variable "{name}"', nearest(name, variables) or _one([*variables]))
        return variables[name]

    if whole := _VARIABLE.fullmatch(value):
        return known(whole[1])
    return _VARIABLE.sub(lambda match: str(known(match[1])), value)


def _typed(text: str) -> Any:
    """What was typed behind an equals sign: a number, true or false, else the text itself."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, (bool, int, float)) else text


def _one(names: Any) -> str:
    return f"Choose: {', '.join(str(name) for name in names)}."

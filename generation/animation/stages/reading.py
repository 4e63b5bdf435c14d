"""A file of stages read and checked before anything runs; each error names the file and the line.

Knows the file's shape and which stages can follow which. What a setting may be is asked of the stage's own table, and
of the spec that a stage would render.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from generation.animation.stages import FRAME, STAGES, VIDEO, Pipeline, Step, find
from generation.attachments import CONTROL, REFERENCE, further
from generation.errors import BadSpec, GenerationError, nearest
from generation.operations import OPERATIONS
from generation.parameters import Parameter, checked
from generation.recipes.reading import FIELDS
from generation.specs import RenderSpec
from generation.tables import Lines, loaded, text_of

MOST = 50  # stages
OWN = ("id", "do", "with", "on")
KEYS = ("name", "input", "stages", *(one.name for one in VIDEO))
TABLES = {"controls": CONTROL, "references": REFERENCE}
_ID = re.compile(r"\w[\w\-]*")


def read(path: Path, changes: Mapping[str, str] | None = None, off: tuple[str, ...] = ()) -> Pipeline:
    """The stages of a file. `changes` are `stage.setting` or a key of the file -> value as typed; `off` ids of stages.

    Raises `BadSpec`: `file:line: what`, with the nearest name.
    """
    path = path.expanduser().absolute()
    text = text_of(path, "a file of stages")
    return parse(text, path, changes, off)


def parse(
    text: str, path: Path | None = None, changes: Mapping[str, str] | None = None, off: tuple[str, ...] = ()
) -> Pipeline:
    """The stages of a text, as `read`."""
    return _Reader(path, dict(changes or {}), off).pipeline(text)


class _Reader:
    """One file: its name for messages, its folder for paths, what was given beside it."""

    def __init__(self, path: Path | None, changes: dict[str, str], off: tuple[str, ...]) -> None:
        self._path, self._changes, self._off = path, changes, off
        self._name = path.name if path is not None else "stages"
        self._folder = path.parent if path is not None else Path()

    def _wrong(self, line: int, what: str, hint: str) -> BadSpec:
        return BadSpec(f"{self._name}:{line}: {what}", hint)

    def pipeline(self, text: str) -> Pipeline:
        data, lines = loaded(
            text,
            self._wrong,
            instead="Write the values out.",
            begin="Begin with input: and stages:.",
            what="a file of stages",
        )
        for key in data:
            if key not in KEYS:
                raise self._wrong(lines.get((key,), 1), f'a file of stages has no "{key}"',
                                  nearest(str(key), KEYS) or f"Choose: {', '.join(KEYS)}.")  # fmt: skip
        name = data.get("name") or (self._path.stem if self._path is not None else "video")
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise self._wrong(lines.get(("name",), 1), f'the name cannot be "{name}"', "Use letters, digits, - and _.")
        source = data.get("input") or ""
        if not isinstance(source, str):
            raise self._wrong(lines.get(("input",), 1), "input is a path", "Name a video, or a folder of frames.")
        stages = data.get("stages")
        if not isinstance(stages, list) or not 1 <= len(stages) <= MOST:
            raise self._wrong(lines.get(("stages",), 1), f"there is no list of 1 to {MOST} stages",
                              "Add one under stages.")  # fmt: skip
        stages = [self._table(n, one, lines.get(("stages", n), 1)) for n, one in enumerate(stages)]
        ids = [one["id"] for one in stages]
        for n, one in enumerate(stages):
            if ids.count(one["id"]) > 1 or one["id"] == "input":
                raise self._wrong(lines.get(("stages", n), 1), f'the id "{one["id"]}" is taken',
                                  "Give each stage an id of its own.")  # fmt: skip
        data, stages = self._changed(data, stages)
        video: dict[str, Any] = {}
        for one in VIDEO:
            try:
                video |= checked({one.name: data.get(one.name)}, (one,), "the video")
            except GenerationError as error:
                raise self._wrong(lines.get((one.name,), 1), error.message, error.hint) from error
        steps = tuple(self._step(n, one, lines) for n, one in enumerate(stages))
        self._check(steps)
        if source:
            source = str((self._folder / Path(source).expanduser()).absolute())
        return Pipeline(name, source, video, steps, self._path)

    def _table(self, number: int, one: Any, line: int) -> dict[str, Any]:
        """A stage's entry in its shape; its settings are not looked at yet."""
        if not isinstance(one, Mapping):
            raise self._wrong(line, "a stage is a table", "Write do: and the name of a stage.")
        do = one.get("do")
        if not isinstance(do, str):
            raise self._wrong(line, "a stage has no do", f"Choose: {', '.join(STAGES)}.")
        try:
            stage = find(do)
        except GenerationError as error:
            raise self._wrong(line, error.message, error.hint) from error
        identity = str(one.get("id", do))
        if not _ID.fullmatch(identity):
            raise self._wrong(line, f'the id cannot be "{identity}"', "Use letters, digits, - and _.")
        on = one.get("on", one.get(True, True))  # YAML 1.1 reads the key `on` as true
        if not isinstance(on, bool):
            raise self._wrong(line, f"on is true or false, not {on!r}", "Write on: true.")
        settings = one.get("with") or {}
        if not isinstance(settings, Mapping):
            raise self._wrong(line, "the settings under with are a table", "Write name: value.")
        fields = {key: value for key, value in one.items() if key not in (*OWN, True)}
        known = (*OWN, *FIELDS) if stage.painted else OWN
        for key in fields:
            if key not in known:
                raise self._wrong(line, f'{do} has no "{key}"', nearest(str(key), known) or _under(key, do))
        return {"id": identity, "do": do, "on": on, "with": dict(settings), "fields": fields}

    def _changed(
        self, data: dict[str, Any], stages: list[dict[str, Any]]
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """With what was given beside the file."""
        by_id = {one["id"]: one for one in stages}
        for name in self._off:
            if name not in by_id:
                raise BadSpec(f'there is no stage "{name}"', nearest(name, by_id) or f"Choose: {', '.join(by_id)}.")
            by_id[name]["on"] = False
        own = [one.name for one in VIDEO]
        for place, text in self._changes.items():
            name, dot, setting = place.partition(".")
            value = _typed(text)
            if not dot:
                if name not in own:
                    raise BadSpec(f'there is no setting "{name}"', nearest(name, own) or "Write stage.setting=value.")
                data = {**data, name: value}
                continue
            if name not in by_id:
                raise BadSpec(f'there is no stage "{name}"', nearest(name, by_id) or f"Choose: {', '.join(by_id)}.")
            stage = by_id[name]
            if setting == "on":
                if not isinstance(value, bool):
                    raise BadSpec(f"{place} must be true or false, not {text}", "Give true or false.")
                stage["on"] = value
            elif setting in FIELDS and find(stage["do"]).painted:
                stage["fields"] = {**stage["fields"], setting: value}
            else:
                stage["with"] = {**stage["with"], setting: value}
        return data, stages

    def _step(self, number: int, one: dict[str, Any], lines: Lines) -> Step:
        stage, at = find(one["do"]), ("stages", number)
        line = lines.get(at, 1)
        settings, fields = one["with"], dict(one["fields"])
        for name in settings:
            try:
                checked({name: settings[name]}, [p for p in stage.parameters if p.name == name] or stage.parameters,
                        one["do"])  # fmt: skip
            except GenerationError as error:
                where = lines.get((*at, "with", name), line)
                raise self._wrong(where, f"{one['id']}: {error.message}", error.hint) from error
        try:
            whole = checked(settings, stage.parameters, one["do"])
            self._place(whole, stage.parameters)
            if stage.painted:
                for name, table in TABLES.items():
                    fields |= {name: self._of_frames(fields[name], table)} if fields.get(name) else {}
                step = Step(one["id"], one["do"], whole, fields, one["on"], line)
                if not fields.get("prompt") and OPERATIONS[step.do].prompted and OPERATIONS[step.do].prompt != "none":
                    raise BadSpec(f"{step.do} has no prompt", "Write prompt: ...")
                spec_of(step, "frame.png", "frame.png")
                return step
        except GenerationError as error:
            raise self._wrong(line, f"{one['id']}: {error.message}", error.hint) from error
        return Step(one["id"], one["do"], whole, {}, one["on"], line)

    def _place(self, values: dict[str, Any], table: Iterable[Parameter]) -> None:
        """Make the files that `values` name absolute, from the file's folder."""
        for one in table:
            value = values.get(one.name)
            if one.kind == "file" and isinstance(value, str) and value and value != FRAME:
                values[one.name] = str((self._folder / Path(value).expanduser()).absolute())

    def _of_frames(self, entries: Any, table: tuple[Parameter, ...]) -> Any:
        """Controls and references; those without a picture of their own take the frame's."""
        if not isinstance(entries, list) or not all(isinstance(one, Mapping) for one in entries):
            return entries  # the spec says what is wrong with it
        made = [{"image": FRAME, **one} for one in entries]
        for one in made:
            self._place(one, (*table, *further("controls", one)))
        return made

    def _check(self, steps: tuple[Step, ...]) -> None:
        """That a stage that looks back or ahead finds what it looks for."""
        running = [step for step in steps if step.on]
        for n, step in enumerate(running):
            try:
                partner(running, n)
            except GenerationError as error:
                raise self._wrong(step.line, f"{step.id}: {error.message}", error.hint) from error


def partner(steps: list[Step] | tuple[Step, ...], number: int) -> int | None:
    """The place of the stage that the one at `number` belongs to; None where it needs none. Raises `BadSpec`."""
    step = steps[number]
    if step.do == "carry":
        there, able = range(number + 1, len(steps)), [n for n, one in enumerate(steps) if STAGES[one.do].painted]
        what = "a stage behind it that renders"
    elif step.do in {"unstabilise", "composite"}:
        kind = "stabilise" if step.do == "unstabilise" else "key"
        there, able = range(number - 1, -1, -1), [n for n, one in enumerate(steps) if one.do == kind]
        what = f"a {kind} stage before it"
    else:
        return None
    wanted = step.settings["of"]
    found = next((n for n in there if n in able and wanted in {"", steps[n].id}), None)
    if found is None:
        named = f', and "{wanted}" is none that is on' if wanted else ""
        raise BadSpec(f"{step.do} needs {what}{named}", "Add it, switch it on, or leave this one off.")
    between = [steps[n].do for n in range(min(number, found) + 1, max(number, found))]
    if step.do == "carry" and ("carry" in between or any(STAGES[do].whole for do in between)):
        raise BadSpec("between carry and what it carries another stage looks at several frames",
                      "Put carry right before the stage that renders.")  # fmt: skip
    misplaced = next((do for do in between if step.do != "carry" and STAGES[do].moved), None)
    if misplaced is not None:
        raise BadSpec(f"{misplaced} stands between {steps[found].id} and {step.id}, whose frames then differ in place",
                      f"Put {misplaced} before or behind both.")  # fmt: skip
    return found


def spec_of(step: Step, taken: str, filmed: str, seed: int | None = None) -> RenderSpec:
    """The render of a painted stage that starts from the file `taken`; `filmed` is the frame its controls look at."""
    fields = {"prompt": "", **step.fields}
    for name in TABLES:
        if fields.get(name):
            fields[name] = [
                {**one, "image": filmed} if isinstance(one, Mapping) and one.get("image") == FRAME else one
                for one in fields[name]
            ]
    options = {key: value for key, value in step.settings.items() if key != "seed_step"}
    if seed is not None:
        fields["seed"] = seed
    return RenderSpec.from_json({**fields, "operation": step.do, "options": {**options, "image": taken}})


def with_model(pipeline: Pipeline, model: str) -> Pipeline:
    """With a checkpoint for the stages that name none."""
    steps = tuple(
        dataclasses.replace(one, fields={"model": model, **one.fields}) if STAGES[one.do].painted else one
        for one in pipeline.steps
    )
    return dataclasses.replace(pipeline, steps=steps)


def _under(key: Any, do: str) -> str:
    names = [one.name for one in find(do).parameters]
    return f"Write it under with: {{{key}: ...}}." if key in names else f"Its settings: {', '.join(names)}, under with."


def _typed(text: str) -> Any:
    """What was typed behind an equals sign: a number, true or false, else the text itself."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, (bool, int, float)) else text

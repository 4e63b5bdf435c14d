"""A recipe run over its inputs: each stage's picture under <output>/<recipe>/<input>/<stage>.png, once.

A stage that is there under the same key is not run again, so that a run that was stopped goes on where it stood. The
picture is moved into place whole, then the file that vouches for it: killed at any moment, no stage is taken for done
that is not. What one input cannot be does not keep the others from theirs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from generation import metadata, pictures, sheets
from generation.engine import Engine
from generation.errors import BadSpec, GenerationError
from generation.operations import OPERATIONS
from generation.preprocessors.prepared import prepare
from generation.recipes import INPUT, PREPROCESS, Recipe, Step, references
from generation.recipes.inputs import Input
from generation.recipes.keys import beside, file_hash, holds, key
from generation.recipes.reading import prepared
from generation.specs import RenderSpec

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]


@dataclass(frozen=True)
class Made:
    """A stage of an input: `cached` was there already; `error` and `hint` say why there is no picture at `path`."""

    input: str
    stage: str
    path: str
    cached: bool
    seconds: float
    error: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def run(
    recipe: Recipe,
    inputs: Sequence[Input],
    output: Path,
    engine: Engine,
    *,
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> list[Made]:
    """Every stage that is on, for every input. Raises only what `check` raises."""
    total = sum(step.on for step in recipe.steps) * len(inputs)
    made: list[Made] = []
    for number, one in enumerate(inputs):
        before = number * total // max(len(inputs), 1)

        def stage(done: int, identity: str, one: Input = one, before: int = before) -> None:
            about = f"{one.stem}: {identity}"
            report({"kind": "progress", "stage": "stages", "done": before + done, "total": total, "message": about})

        made += run_one(recipe, one, output, engine, report=report, check=check, stage=stage)
    report({"kind": "progress", "stage": "stages", "done": total, "total": total})
    return made


def run_one(
    recipe: Recipe,
    one: Input,
    output: Path,
    engine: Engine,
    *,
    report: Report = lambda event: None,
    check: Check = lambda: None,
    stage: Callable[[int, str], None] = lambda done, identity: None,
) -> list[Made]:
    """The stages of one input, in order; behind the first that cannot be, those that need it are left out."""
    folder = output / recipe.name / one.stem
    there: dict[str, str] = {INPUT: one.path} if one.path else {}
    variables = {**recipe.variables, "prompt": one.prompt, "stem": one.stem}
    made: list[Made] = []
    for step in recipe.steps:
        check()
        if not step.on:
            if step.sources and step.sources[0] in there:
                there[step.id] = there[step.sources[0]]
            continue
        stage(len(made), step.id)
        path = folder / f"{step.id}.png"
        began = time.perf_counter()
        lacking = sorted(references(step) - set(there))
        if lacking:
            made.append(Made(one.stem, step.id, "", False, 0.0, f"{step.id} needs {lacking[0]}, which was not made"))
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            cached = _step(step, variables, there, recipe, path, engine, report, check)
        except (GenerationError, OSError) as error:
            message = error.message if isinstance(error, GenerationError) else f"{path}: {error.strerror}"
            made.append(Made(one.stem, step.id, "", False, 0.0, message, getattr(error, "hint", "")))
            report({"kind": "note", "message": f"{one.stem}: {step.id}: {message}"})
            continue
        there[step.id] = str(path)
        seconds = round(time.perf_counter() - began, 3)
        made.append(Made(one.stem, step.id, str(path), cached, seconds))
        report({"kind": "preview", "path": str(path)})
    return made


def _step(
    step: Step,
    variables: Mapping[str, Any],
    there: Mapping[str, str],
    recipe: Recipe,
    path: Path,
    engine: Engine,
    report: Report,
    check: Check,
) -> bool:
    """Bring a stage's picture to `path`; whether it was there."""
    taken = {name: there[name] for name in references(step)}
    what = prepared(step, variables, taken, recipe.folder)
    if isinstance(what, RenderSpec):
        what = _prompted(what)
    for file in taken.values():
        pictures.read(file)  # a damaged one says so, before its bytes are hashed
    wanted = key(step.do, what, taken.values(), engine.catalogue)
    if holds(path, wanted):
        return True
    # From here until the last line the picture counts as not made.
    beside(path).unlink(missing_ok=True)
    began = time.perf_counter()

    def inner(event: dict[str, Any]) -> None:
        report({**event, "stage": f"{step.id}: {event['stage']}"} if event["kind"] == "progress" else event)

    if isinstance(what, RenderSpec):
        shown = engine.render(what, path, report=inner, check=check).spec.to_json()
    else:
        if step.do == PREPROCESS:
            made = prepare(what["kind"], taken[step.sources[0]], None, values=what["values"])
        else:
            made = _sheet([taken[name] for name in step.sources], what["columns"], what["labels"])
        check()
        pictures.write_png(made, path)
        shown = what
    about: dict[str, Any] = {"key": wanted, "sha256": file_hash(path), "do": step.do, "settings": shown}
    about |= {"from": dict(taken), "seconds": round(time.perf_counter() - began, 3)}
    _write(beside(path), about)
    return False


def _prompted(spec: RenderSpec) -> RenderSpec:
    """With the prompt of the picture it starts from where it has none, as the shell does."""
    operation = OPERATIONS[spec.operation]
    if spec.prompt.strip() or not operation.prompted or operation.prompt != "own":
        return spec
    known = metadata.read(Path(spec.options["image"])).spec() or {}
    if not str(known.get("prompt", "")).strip():
        raise BadSpec(f"{spec.operation} has no prompt, nor has the picture it starts from", "Write prompt: ...")
    return replace(spec, prompt=str(known["prompt"]), negative=spec.negative or str(known.get("negative", "")))


def _sheet(files: Sequence[str], columns: int, labels: Sequence[str]) -> Any:
    """Pictures in rows of `columns`, each row's labels in front of it where there are several rows."""
    read: list[Any] = [pictures.read(file) for file in files]
    rows = [read[n : n + columns] + [None] * (n + columns - len(read)) for n in range(0, len(read), columns)]
    if len(rows) == 1:
        return sheets.grid(rows, labels, [""])
    beside_rows = [", ".join(labels[n : n + columns]) for n in range(0, len(read), columns)]
    return sheets.grid(rows, [""] * columns, beside_rows)


def _write(path: Path, about: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text(json.dumps(about, ensure_ascii=False, indent=1), "utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

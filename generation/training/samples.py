"""Pictures made while a model learns, by the same engine that renders: prompts from lines in kohya's form.

`prompt --n negative --w 512 --h 768 --d seed --l cfg --s steps`. Each picture carries its spec and goes where the
gallery looks. Knows the lines and how a learned word gets into a prompt. Leaves when to make them to `running`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from generation.catalogue import ModelEntry
from generation.engine import Engine
from generation.errors import BadSpec, GenerationError
from generation.specs import ModelDefaults, RenderSpec
from generation.stage import Check, Report
from generation.training.inversion import Word

OPTION = re.compile(r"\s--([nwhdls])\s+")
FIELDS = {"n": "negative", "w": "width", "h": "height", "d": "seed", "l": "cfg", "s": "steps"}
SEED = 1_234  # where a line names none: the same picture is compared over the steps


def parsed(line: str, model: str) -> RenderSpec:
    """The spec of a line. Raises `BadSpec` for a value that cannot be."""
    prompt, *rest = OPTION.split(line.strip())
    fields: dict[str, Any] = {"seed": SEED}
    for letter, value in zip(rest[::2], rest[1::2], strict=True):
        name = FIELDS[letter]
        try:
            fields[name] = value.strip() if name == "negative" else (float if name == "cfg" else int)(value)
        except ValueError as error:
            raise BadSpec(f'--{letter} "{value.strip()}" of a sample is no number', "Give such as --s 20.") from error
    for side in ("width", "height"):
        if side in fields:
            fields[side] = max(fields[side] // 8 * 8, 32)
    return RenderSpec(prompt=prompt.strip(), model=model, **fields)


def lines(text: str) -> list[str]:
    """The prompts of a text: its lines but for empty ones and those behind #."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


class Samples:
    """Renders the prompts of a training with the model as it is now."""

    def __init__(
        self, engine: Engine, entry: ModelEntry, learner: Any, specs: list[RenderSpec], folder: Path, name: str
    ) -> None:
        self._engine, self._entry, self._learner = engine, entry, learner
        self._specs, self._folder, self._name = specs, folder, name
        self.made: list[Path] = []

    def make(self, step: int, report: Report, check: Check) -> None:
        """The pictures of a step, `<name>-step000100-1.png`. One that fails is told, and the training goes on."""
        loaded = self._engine.prepare(self._entry.path)
        # What was encoded before was encoded by other weights.
        loaded.conditioner.clear()
        for number, spec in enumerate(self._specs, 1):
            output = self._folder / f"{self._name}-step{step:06d}-{number}.png"
            try:
                # The training's own progress is what the person watches.
                made = self._engine.render(replace(spec, model=self._entry.path), output, check=check)
            except GenerationError as error:
                report({"kind": "note", "message": f"the sample of step {step} failed: {error.message}"})
                continue
            self.made.append(made.path)
            report({"kind": "preview", "path": str(made.path)})


def word_entry(learner: Word, folder: Path, family: str) -> ModelEntry:
    """A catalogue's entry of a word that is still being learned: its vectors of now, in a file of the training's."""
    path = folder / f"{learner.word}.safetensors"
    learner.write(path, {})
    return ModelEntry(
        name=learner.word,
        path=str(path),
        kind="embedding",
        family=family,
        size=path.stat().st_size,
        defaults=ModelDefaults(),
    )

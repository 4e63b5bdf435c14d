"""A file of stages being edited: its text, what it says, what is wrong with it, and a new one for a film.

Knows no screen. How a text is changed and its comments kept is `generation.animation.stages.editing`'s matter; what a
form may hold is asked of the stages' own tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from assistant.writing import write_whole
from generation.animation.stages import FRAME, STAGES, VIDEO, Pipeline, Stage, editing
from generation.animation.stages.reading import parse
from generation.attachments import PARTS, further
from generation.errors import BadSpec, GenerationError
from generation.parameters import Parameter
from generation.specs import LARGEST_SEED, WEIGHTINGS
from generation.tables import text_of

UNTITLED = "painted"
# What the form of a stage that renders has beside the operation's own.
FIELDS = (
    Parameter("prompt", "text", "", "What each frame shows; <lora:name:0.8> brings a network in"),
    Parameter("negative", "text", "", "What it does not show"),
    Parameter("model", "text", "", "The checkpoint; none: that of the settings"),
    Parameter("seed", "integer", -1, "Of the noise; -1 draws one for all frames", -1, LARGEST_SEED),
    Parameter("steps", "integer", None, "Steps; none: the model's", 1, 1000),
    Parameter("cfg", "number", None, "How strongly the prompt pulls; none: the model's", 0.0, 50.0),
    Parameter("sampler", "text", "", "None: the model's"),
    Parameter("vae", "text", "", "Another VAE, a name or path"),
    Parameter("clip_skip", "integer", 1, "Layers of the text encoder from its end; 1: all", 1, 12),
    Parameter("weighting", "choice", "compel", "How (word:1.2) acts", choices=WEIGHTINGS),
)
ABOUT = (
    Parameter("name", "text", "", "What the video is called, behind the film's name"),
    Parameter("input", "file", "", "The film: a video, or a folder of frames"),
    *VIDEO,
)


@dataclass(frozen=True)
class Row:
    """One stage as written; `entry` is its table."""

    id: str
    do: str
    on: bool
    entry: Mapping[str, Any]

    @property
    def stage(self) -> Stage:
        return STAGES[self.do]


@dataclass(frozen=True)
class Stages:
    """`path` is the file, None for what was never saved. Every change gives another one."""

    text: str
    path: Path | None = None

    @cached_property
    def data(self) -> editing.Data:
        return editing.data_of(self.text)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        return tuple(
            Row(str(one.get("id", one["do"])), one["do"], one.get("on") is not False, one)
            for one in self.data["stages"]
        )

    @cached_property
    def _read(self) -> tuple[Pipeline | None, str]:
        try:
            return parse(self.text, self.path), ""
        except GenerationError as error:
            return None, f"{error.message}. {error.hint}".strip()

    @property
    def pipeline(self) -> Pipeline | None:
        """What it says, checked; None where something is wrong."""
        return self._read[0]

    @property
    def problem(self) -> str:
        """What is wrong, with its line; "" for nothing."""
        return self._read[1]

    @property
    def name(self) -> str:
        return str(self.data.get("name") or (self.path.stem if self.path else UNTITLED))

    @property
    def input(self) -> str:
        """The film's absolute path, "" where none is named."""
        return self._placed(ABOUT[1], self.data.get("input") or "")

    @property
    def content(self) -> str:
        return self.text

    def write(self, path: Path) -> None:
        """Raises OSError."""
        write_whole(path, self.text)

    def at(self, path: Path) -> Stages:
        """The same in another file."""
        return replace(self, path=path)

    # What forms show

    def about(self) -> dict[str, Any]:
        """The values of `ABOUT`."""
        return self._values(self.data, ABOUT) | {"name": self.name}

    def table(self, number: int) -> tuple[Parameter, ...]:
        """What the form of a stage has."""
        stage = self.rows[number].stage
        return (*(FIELDS if stage.painted else ()), *stage.parameters)

    def values(self, number: int) -> dict[str, Any]:
        """Its values; for what cannot be, the usual one."""
        row = self.rows[number]
        given = {**row.entry, **(row.entry.get("with") or {})}
        return self._values(given, self.table(number))

    def _values(self, given: Mapping[str, Any], table: tuple[Parameter, ...]) -> dict[str, Any]:
        found = {}
        for one in table:
            try:
                value = self._placed(one, one.checked(given[one.name]))
                # A field gives back what it holds without what stands around it: the end of a folded text, say.
                found[one.name] = value.strip() if isinstance(value, str) else value
            except (KeyError, GenerationError):
                found[one.name] = one.default
        return found

    def _placed(self, one: Parameter, value: Any) -> Any:
        """A file's name counts from the folder of the stages' file; forms show where it is."""
        if one.kind != "file" or not value or value == FRAME:
            return value
        return str(((self.path.parent if self.path else Path()) / Path(str(value)).expanduser()).absolute())

    # Changes

    def switched(self, number: int) -> Stages:
        on = not self.rows[number].on
        return self._with(editing.with_stage(self.text, number, {"on": None if on else False}))

    def moved(self, number: int, by: int) -> Stages:
        """Raises `BadSpec` at an end of the list."""
        if not 0 <= number + by < len(self.rows):
            raise BadSpec("it is the first" if by < 0 else "it is the last", "")
        return self._with(editing.moved(self.text, number, number + by))

    def removed(self, number: int) -> Stages:
        """Raises `BadSpec` where it is the only one."""
        return self._with(editing.removed(self.text, number))

    def added(self, number: int, do: str) -> Stages:
        """With a stage of its usual settings at a place, under an id of its own."""
        ids, name, count = {row.id for row in self.rows}, do, 2
        while name in ids:
            name, count = f"{do}-{count}", count + 1
        entry = {"do": do} if name == do else {"id": name, "do": do}
        return self._with(editing.added(self.text, number, entry))

    def with_form(self, number: int, found: Mapping[str, Any]) -> Stages:
        """With what the form of a stage holds."""
        now, usual = self.values(number), {one.name: one.default for one in FIELDS}
        changes = {name: value for name, value in found.items() if value != now[name]}
        fields = {
            name: None if value == usual[name] else value
            for name, value in changes.items()
            if name in usual and self.rows[number].stage.painted
        }
        settings = {name: value for name, value in changes.items() if name not in fields}
        return self._with(editing.with_stage(self.text, number, fields, settings))

    def with_about(self, found: Mapping[str, Any]) -> Stages:
        now = self.about()
        changes = {name: value for name, value in found.items() if value != now[name]}
        return self._with(editing.with_values(self.text, changes))

    def hung(self, number: int) -> dict[str, Any]:
        """The controls, references, regions and modifiers of a stage that renders; each frame is `@frame`."""
        entry = self.rows[number].entry
        parts = {name: [{**({"image": FRAME} if name != "regions" else {}), **one} for one in entry.get(name) or ()]
                 for name in PARTS}  # fmt: skip
        return {**parts, "modifiers": dict(entry.get("modifiers") or {})}

    def with_hung(self, number: int, found: Mapping[str, Any]) -> Stages:
        """With what `Attachments` gave back, no more said than what is not usual."""
        now = self.hung(number)
        changes = {name: _short(name, value) or None for name, value in found.items() if value != now[name]}
        return self._with(editing.with_stage(self.text, number, changes))

    def wrong(self, number: int, before: Stages) -> str:
        """What is wrong with a stage that was not before; "" for nothing."""
        here = f": {self.rows[number].id}: " in self.problem
        return self.problem if here and self.problem != before.problem else ""

    def _with(self, text: str) -> Stages:
        return replace(self, text=text)


def _short(name: str, value: Any) -> Any:
    """Entries without what they would be anyway."""
    if name not in PARTS:
        return value
    made = []
    for entry in value:
        usual = {one.name: one.default for one in (*PARTS[name][0], *further(name, entry))} | {"image": FRAME}
        made.append({key: one for key, one in entry.items() if key not in usual or one != usual[key]})
    return made


def opened(path: Path) -> Stages:
    """The stages of a file, also of one in which a setting is wrong. Raises `BadSpec` with the line."""
    found = Stages(text_of(path, "a file of stages"), path)
    try:
        if all(one.get("do") in STAGES for one in found.data["stages"]) and found.rows:
            return found
    except (BadSpec, TypeError):
        pass
    parse(found.text, path)
    raise BadSpec(f"{path.name} holds no stages", "Choose a file of stages.")


# The whole chain, from what was filmed to the video; what is slow, or asks for weights or a screen, is off.
CHAIN = """\
stages:
  - {{do: stabilise, on: false, with: {{smooth: 0, hold: face}}}}   # grain then stays where it is on the face
  - {{do: key, on: false}}   # filmed before a coloured screen
  - {{do: invert, on: false, prompt: {prompt}, with: {{strength: 0.5}}}}   # noise taken from the frame itself
  - {{do: carry}}   # the picture before, along the flow
  - id: painted   # a character and a style: <lora:name:0.8> in the prompt
    do: img2img
    prompt: {prompt}
    seed: 1
    with: {{strength: 0.4}}
  - {{do: face_restore, on: false}}
  - {{do: propagate, on: false}}   # only every eighth frame is painted
  - {{do: composite, on: false}}   # before another background; needs key
  - {{do: unstabilise, on: false}}   # the camera's motion given back; needs stabilise
  - {{do: deflicker}}
  - {{do: interpolate, on: false}}
  # lipsync, face_swap, instruct and the others ask for a file or a prompt of their own: A adds them
"""


def begun(film: Path, prompt: str) -> Stages:
    """A new file of stages for a film."""
    text = editing.with_values(
        CHAIN.format(prompt=editing.written(prompt or "an oil painting")), {"name": UNTITLED, "input": str(film)}
    )
    return Stages(text)

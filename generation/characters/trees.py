"""A character's YAML file as a checked tree: parts within parts, each with a weight, leaves with a network.

    character: hero
    parts:
      body:
        weight: 0.9
        parts:
          torso: {lora: torso}
          arm: {lora: arm, weight: 0.7, range: [0, 1.2], words: strong arms}
    presets: {slim: {body.arm: 0.3}}
    constraints: ["body.torso + body.arm <= 1.5"]

What acts at a leaf is its own weight times those of every part above it, nothing where one of them is not active.
`range` and `text` are inherited from the part above; `extends` names another file, over which this one is laid. Names
may hold letters, digits and _. Knows nothing of weights' files; leaves them to `making`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from generation.characters.constraints import Constraint
from generation.characters.constraints import parse as constraint
from generation.errors import BadSpec, nearest
from generation.tables import loaded, text_of

DEEPEST, MOST = 16, 200  # levels, parts
EXTENDED = 8  # files that build on each other
KEYS = ("character", "model", "prompt", "negative", "extends", "parts", "presets", "constraints")
PART = ("weight", "range", "text", "words", "lora", "merge", "active", "parts")  # "on" is how YAML 1.1 writes true
NAME = re.compile(r"^[^\W\d]\w*$")
FURTHEST = 4.0  # of a weight, either way


@dataclass(frozen=True)
class Part:
    """`path` is dotted. `weight` lies in `low`..`high`. A leaf has a `lora` (a name of the catalogue, or a file beside
    the tree) or a `merge` (a recipe that gives one); `text` is the strength for text encoders, times the weight;
    `words` stand in the prompt while the leaf acts.
    """

    path: str
    weight: float
    low: float
    high: float
    text: float
    lora: str = ""
    merge: str = ""
    words: str = ""
    active: bool = True
    parts: tuple[Part, ...] = ()

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def leaf(self) -> bool:
        return not self.parts


@dataclass(frozen=True)
class Acting:
    """A leaf with what acts of it."""

    part: Part
    weight: float


@dataclass(frozen=True)
class Tree:
    """`presets` are weights by path; `file` None for a text."""

    name: str
    parts: tuple[Part, ...]
    model: str = ""
    prompt: str = ""
    negative: str = ""
    presets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    constraints: tuple[Constraint, ...] = ()
    file: Path | None = None

    def walk(self) -> Iterator[Part]:
        """Every part, those above first."""
        waiting = list(reversed(self.parts))
        while waiting:
            part = waiting.pop()
            yield part
            waiting.extend(reversed(part.parts))

    @property
    def weights(self) -> dict[str, float]:
        """Each part's own weight by path."""
        return {part.path: part.weight for part in self.walk()}

    def acting(self) -> dict[str, float]:
        """What acts at each part: the product of the weights down to it, 0 below what is not active."""
        found: dict[str, float] = {}
        for part in self.walk():
            above = part.path.rpartition(".")[0]
            found[part.path] = found.get(above, 1.0) * part.weight * part.active
        return found

    def leaves(self) -> list[Acting]:
        """The leaves that act, in the file's order."""
        acting = self.acting()
        return [Acting(part, acting[part.path]) for part in self.walk() if part.leaf and acting[part.path]]

    def broken(self) -> list[str]:
        """The constraints that do not hold."""
        acting = self.acting()
        return [one.text for one in self.constraints if not one.holds(acting)]

    def set(self, values: Mapping[str, float]) -> Tree:
        """The tree with other weights. Raises `BadSpec` for a path it has not, or a weight out of the part's range."""
        there = {part.path: part for part in self.walk()}
        for path, value in values.items():
            if path not in there:
                raise BadSpec(f'the character has no part "{path}"', nearest(path, there) or _listed(there))
            part = there[path]
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not part.low <= value <= part.high:
                raise BadSpec(f"{path} cannot weigh {value}", f"Give {part.low:g} to {part.high:g}.")
        return replace(self, parts=tuple(_changed(part, values) for part in self.parts))

    def preset(self, name: str) -> Tree:
        """The tree with a preset's weights. Raises `BadSpec` with the nearest name."""
        if name not in self.presets:
            hint = nearest(name, self.presets) or (_listed(self.presets) if self.presets else "It has none.")
            raise BadSpec(f'the character has no preset "{name}"', hint)
        return self.set(self.presets[name])

    def checked(self) -> Tree:
        """The tree itself. Raises `BadSpec` naming the constraint that does not hold."""
        if broken := self.broken():
            acting = {path: weight for path, weight in self.acting().items() if path in broken[0]}
            now = ", ".join(f"{path} is {weight:g}" for path, weight in acting.items())
            raise BadSpec(f"{broken[0]} does not hold: {now}", "Change the weights that it names.")
        return self


def _listed(names: Mapping[str, Any]) -> str:
    return f"There are: {', '.join(list(names)[:12])}."


def _changed(part: Part, values: Mapping[str, float]) -> Part:
    inner = tuple(_changed(one, values) for one in part.parts)
    return replace(part, weight=float(values.get(part.path, part.weight)), parts=inner)


def read(path: Path) -> Tree:
    """The tree of a file with what it extends. Raises `BadSpec` naming the file and the part."""
    path = path.expanduser().absolute()
    data = _loaded(path, ())
    try:
        return _tree(data, path)
    except BadSpec as error:
        raise BadSpec(f"{path.name}: {error.message}", error.hint) from error


def _loaded(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """A file's table, laid over that of the file it extends."""
    if path in seen or len(seen) >= EXTENDED:
        raise BadSpec(f"{path.name} extends itself in the end", "Take one `extends` out.")

    def wrong(line: int, what: str, hint: str) -> BadSpec:
        return BadSpec(f"{path.name}:{line}: {what}", hint)

    text = text_of(path, "a character")
    begin = "Begin with character: NAME and parts:."
    data, _ = loaded(text, wrong, instead="Use extends.", begin=begin, what="a character")
    for key in data:
        if key not in KEYS:
            raise BadSpec(
                f'{path.name}: a character has no "{key}"', nearest(str(key), KEYS) or f"It has: {', '.join(KEYS)}."
            )
    below = data.pop("extends", None)
    if below is None:
        return data
    if not isinstance(below, str):
        raise BadSpec(f"{path.name}: extends must be a file's name", "Write extends: base.yaml.")
    return _laid(_loaded((path.parent / Path(below).expanduser()).absolute(), (*seen, path)), data)


def _laid(below: Any, above: Any) -> Any:
    """Tables laid over each other, key by key; anything else takes the place of what was there."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    found = dict(below)
    for key, value in above.items():
        found[key] = _laid(found[key], value) if key in found else value
    return found


def _tree(data: Mapping[str, Any], file: Path) -> Tree:
    for key in ("character", "model", "prompt", "negative"):
        if not isinstance(data.get(key, ""), str):
            raise BadSpec(f"{key} must be text", "Put it in quotes.")
    parts = data.get("parts")
    if not isinstance(parts, dict) or not parts:
        raise BadSpec("the character has no parts", "Write parts: with a name and a lora under it.")
    counted = [0]
    top = Part("", 1.0, 0.0, 1.5, 1.0)
    made = tuple(_part(name, value, top, 1, counted) for name, value in parts.items())
    tree = Tree(
        data.get("character") or file.stem, made, data.get("model", ""), data.get("prompt", ""),
        data.get("negative", ""), file=file,
    )  # fmt: skip
    names = tree.weights
    listed = data.get("constraints") or []
    if not isinstance(listed, list):
        raise BadSpec("constraints must be a list", "Write each in a line of its own behind a -.")
    presets = data.get("presets") or {}
    if not isinstance(presets, dict):
        raise BadSpec("presets must be a table", "Write slim: {body.arm: 0.3}.")
    tree = replace(tree, constraints=tuple(constraint(one, names) for one in listed))
    for name, values in presets.items():
        if not isinstance(name, str) or not isinstance(values, dict):
            raise BadSpec(f'the preset "{name}" is no table of weights', "Write slim: {body.arm: 0.3}.")
        try:
            tree.set({str(path): value for path, value in values.items()})
        except BadSpec as error:
            raise BadSpec(f'in the preset "{name}" {error.message}', error.hint) from error
    return replace(tree, presets={name: dict(values) for name, values in presets.items()})


def _part(name: Any, value: Any, above: Part, depth: int, counted: list[int]) -> Part:
    counted[0] += 1
    if depth > DEEPEST or counted[0] > MOST:
        raise BadSpec(f"the character has more than {MOST} parts or {DEEPEST} levels", "Make it smaller.")
    if not isinstance(name, str) or not NAME.match(name):
        raise BadSpec(f'a part cannot be called "{name}"', "Use letters, digits and _, a letter first.")
    path = f"{above.path}.{name}" if above.path else name
    if isinstance(value, str):
        value = {"lora": value}
    if not isinstance(value, dict):
        raise BadSpec(f"{path} is no table", "Write lora: NAME under it, or parts:.")
    for key in value:
        if key not in PART:
            raise BadSpec(f'{path} has no "{key}"', nearest(str(key), PART) or f"A part has: {', '.join(PART)}.")
    low, high = _range(path, value.get("range"), above)
    active = value.get("active", True)
    if not isinstance(active, bool):
        raise BadSpec(f"{path}: active must be true or false", "Write active: false.")
    texts = {key: value.get(key, "") for key in ("lora", "merge", "words")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise BadSpec(f"{path}: lora, merge and words must be text", "Put them in quotes.")
    made = Part(
        path, _number(path, "weight", value.get("weight", min(max(1.0, low), high)), low, high), low, high,
        _number(path, "text", value.get("text", above.text), -FURTHEST, FURTHEST), active=active,
        lora=texts["lora"].strip(), merge=texts["merge"].strip(), words=texts["words"].strip(),
    )  # fmt: skip
    inner = value.get("parts")
    if inner is None:
        if bool(made.lora) == bool(made.merge):
            told = "names both a lora and a merge" if made.lora else "is a leaf without a lora"
            raise BadSpec(f"{path} {told}", "Write lora: NAME, or merge: a recipe that gives one.")
        return made
    if made.lora or made.merge or made.words:
        raise BadSpec(f"{path} has parts and a network of its own", "Put the network into a part below it.")
    if not isinstance(inner, dict) or not inner:
        raise BadSpec(f"{path} has no parts under parts:", "Name one, or take parts: out.")
    return replace(made, parts=tuple(_part(key, one, made, depth + 1, counted) for key, one in inner.items()))


def _range(path: str, value: Any, above: Part) -> tuple[float, float]:
    if value is None:
        return above.low, above.high
    if not isinstance(value, list) or len(value) != 2:
        raise BadSpec(f"{path}: a range is two numbers", "Write range: [0, 1.2].")
    low, high = (_number(path, "range", one, -FURTHEST, FURTHEST) for one in value)
    if low >= high:
        raise BadSpec(f"{path}: the range {low:g} to {high:g} is empty", "Put the smaller number first.")
    return low, high


def _number(path: str, what: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadSpec(f"{path}: {what} must be a number, not {value!r}", f"Give {low:g} to {high:g}.")
    if not low <= value <= high:
        raise BadSpec(f"{path}: {what} {value:g} is out of range", f"Give {low:g} to {high:g}.")
    return float(value)

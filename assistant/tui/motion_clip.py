"""A clip of a motion model being edited: what is said of it, as fields and forms show it, and as a YAML file.

Knows no screen and no weights beyond a catalogue's entry. What a clip may be told is
`generation.animation.motion_models.settings`' matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from assistant.tui import video_stages
from assistant.writing import stem_of, write_whole
from generation.animation.motion_models.settings import MOTION, MotionSettings, of, read
from generation.animation.stages import editing
from generation.attachments import PARTS
from generation.catalogue import ModelEntry
from generation.errors import BadSpec
from generation.parameters import Parameter
from generation.tables import text_of
from generation.video_models import VIDEO_MODELS

UNTITLED = "clip"
WORDS = 6  # of a prompt, that a clip without a file is called by
SIDE = "Pixels, a multiple of 8; none: the model's, or the video's shape"
_RENDER = {one.name: one for one in video_stages.FIELDS} | {
    name: Parameter(name, "integer", None, SIDE, 32, 4096) for name in ("width", "height")
}
_ALL = _RENDER | {one.name: one for one in MOTION}
# What the form has, the most used first; prompts, model, module and motion LoRAs have fields of their own.
ORDER = (
    "frames", "seed", "steps", "cfg", "fps", "width", "height", "sampler", "scale", "image", "video", "strength",
    "motion_bucket", "noise_augmentation", "context", "stride", "free_noise", "free_init", "free_init_filter",
    "free_init_space", "free_init_time", "adapter", "vae", "clip_skip", "weighting",
)  # fmt: skip
TABLE = tuple(_ALL[name] for name in ORDER)
# What acts on a motion module and a checkpoint alone, on every video model, on Stable Video Diffusion.
OF_MODULES = {"scale", "adapter", "context", "stride", "sampler", "vae", "clip_skip", "weighting"}
OF_VIDEO = {"image"}
OF_SVD = {"motion_bucket", "noise_augmentation"}
SVD = VIDEO_MODELS["StableVideoDiffusionPipeline"].name
FIELDS = ("prompt", "negative", "loras")
EMPTY: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True)
class MovingClip:
    """`data` is what a file would say, no more than what is not usual, files absolute; every change gives another one.

    `path` and `text` are of the file it was read from, `origin` what that says.
    """

    data: Mapping[str, Any]
    path: Path | None = None
    text: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def settings(self) -> MotionSettings:
        return of(self.data)

    @property
    def content(self) -> dict[str, Any]:
        return dict(self.data)

    @property
    def name(self) -> str:
        """What it is called by where no file says it: the first words of its prompt."""
        return stem_of(" ".join(self.settings.spec().prompt.split()[:WORDS]), UNTITLED)

    @property
    def drawn(self) -> bool:
        """Whether every making draws another seed."""
        return self.data.get("seed", -1) == -1

    def told(self, name: str) -> dict[str, Any]:
        """The settings of a job; `name` where the file says none, as the shell puts it."""
        return of({"name": name, **self.data}).to_json()

    # Fields

    def field(self, name: str) -> str:
        """What the field of `FIELDS`, `model` or `motion` holds, in one line."""
        if name == "loras":
            return ", ".join(f"{one}:{weight:g}" for one, weight in self.settings.loras)
        if name == "prompt" and self.settings.prompts:
            return editing.written(_by_frame(self.settings.prompts))
        return " ".join(str(self.data.get(name, "")).split())

    def with_field(self, name: str, typed: str) -> MovingClip:
        """With what was typed into a field. Raises `BadSpec`."""
        typed = typed.strip()
        if typed == self.field(name):
            return self
        if name == "loras":
            return self._with({"motion_loras": _loras(typed)})
        if name == "prompt":
            prompts = _prompts(typed)
            return self._with({"prompts": prompts, "prompt": None if prompts else typed})
        return self._with({name: typed})

    # The form

    def values(self, table: tuple[Parameter, ...]) -> dict[str, Any]:
        return {one.name: self.data.get(one.name, one.default) for one in table}

    def with_form(self, found: Mapping[str, Any]) -> MovingClip:
        """With what the form holds. Raises `BadSpec`."""
        now = self.values(tuple(_ALL[name] for name in found))
        changes = {name: value for name, value in found.items() if value != now[name]}
        return self._with({name: None if value == _ALL[name].default else value for name, value in changes.items()})

    def hung(self) -> dict[str, Any]:
        """The controls, references, regions and modifiers of every frame."""
        parts = {name: [dict(one) for one in self.data.get(name) or ()] for name in PARTS}
        return {**parts, "modifiers": dict(self.data.get("modifiers") or {})}

    def with_hung(self, found: Mapping[str, Any]) -> MovingClip:
        """With what `Attachments` gave back. Raises `BadSpec`."""
        return self._with(dict(found))

    def _with(self, changes: Mapping[str, Any]) -> MovingClip:
        """With other entries; what is empty is taken out."""
        data = {key: value for key, value in {**self.data, **changes}.items() if value not in EMPTY}
        return replace(self, data=_short(of(data), str(data.get("name", ""))))

    # The file

    def at(self, path: Path) -> MovingClip:
        """The same, as it is written in a file."""
        return replace(self, path=path, text=self.written(path), origin=self.data)

    def written(self, path: Path) -> str:
        """The file's text: as it was where nothing changed, else anew, what it said behind # above it."""
        if path == self.path and self.data == self.origin:
            return self.text
        data = dict(self.data)
        if "prompts" in data:
            data["prompts"] = _by_frame(data["prompts"])
        told = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100) if data else ""
        return "".join(f"{line}\n" for line in editing.comments(self.text)) + told

    def write(self, path: Path) -> None:
        """Raises OSError."""
        write_whole(path, self.written(path))


def begun(prompt: str, negative: str, model: str, seed: str) -> MovingClip:
    """A new clip of a draft; a seed that is no number is drawn. Raises `BadSpec`."""
    data: dict[str, Any] = {"prompt": prompt, "negative": negative, "model": model}
    if seed.isdecimal():
        data["seed"] = int(seed)
    return MovingClip(_short(of(data), ""))


def opened(path: Path) -> MovingClip:
    """The clip of a file. Raises `BadSpec` with the line."""
    settings = read(path)
    text = text_of(path, "a file of a clip")
    data = _short(settings, "" if settings.name == path.stem else settings.name)
    return MovingClip(data, path, text, data)


def table(model: ModelEntry | None) -> tuple[Parameter, ...]:
    """What the form has for a model; everything while that is not known."""
    if model is None:
        return TABLE
    others = OF_VIDEO | OF_SVD
    if model.kind == "video":
        others = OF_MODULES if model.family == SVD else OF_MODULES | OF_SVD
        others = others | {name for name in ORDER if name.startswith("free_")}
    return tuple(one for one in TABLE if one.name not in others)


def _short(settings: MotionSettings, name: str) -> dict[str, Any]:
    """What a file has to say: the prompt first, then the fields and the values that are not usual."""
    found: dict[str, Any] = {"name": name} if name else {}
    if settings.prompts:
        found["prompts"] = dict(settings.prompts)
    found |= {key: value for key, value in settings.fields.items() if value not in EMPTY}
    found |= {one.name: settings[one.name] for one in MOTION if settings[one.name] != one.default}
    if settings.loras:
        found["motion_loras"] = dict(settings.loras)
    if found.get("seed") == -1:
        del found["seed"]
    return found


def _by_frame(prompts: Mapping[str, str]) -> dict[Any, str]:
    """With frames as numbers, as a person writes them."""
    return {int(frame) if frame.isdecimal() else frame: text for frame, text in prompts.items()}


def _prompts(typed: str) -> dict[str, str] | None:
    """Prompts by frame, where `{0: first, 8: second}` was typed; None for a prompt, which may begin with { as well."""
    if not typed.startswith("{"):
        return None
    try:
        found = yaml.safe_load(typed)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    by_frame = isinstance(found, dict) and any(isinstance(frame, int) for frame in found)
    return {str(frame): text for frame, text in found.items()} if by_frame else None


def _loras(typed: str) -> dict[str, float]:
    """`name:strength, name` -> strengths; 1 where none is given. Raises `BadSpec`."""
    found: dict[str, float] = {}
    for part in (part.strip() for part in typed.split(",")):
        name, colon, strength = part.rpartition(":")
        if part and not colon:
            name, strength = part, "1"
        if not part:
            continue
        try:
            found[name.strip()] = float(strength)
        except ValueError:
            raise BadSpec(f'the strength of "{name}" cannot be "{strength}"', "Write name:0.8, other:0.5.") from None
    return found

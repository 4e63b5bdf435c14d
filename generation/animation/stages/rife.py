"""RIFE's network that puts frames in between (Huang et al. 2022, arXiv:2011.06294), version 4.6, from a local file.

Knows the layout of `flownet.pkl` and what its tensors are called; the width of each block is read from them. The file
is read without running anything of it. Pictures are float32 [height, width, 3] in 0..1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from generation import pickles
from generation.errors import BadWeights

Array = NDArray[Any]
BLOCKS = 4
SCALES = (8, 4, 2, 1)  # how much smaller each block looks at the pictures
GRID = 32  # both sides must be whole at the smallest scale after two halvings
HINT = "Give flownet.pkl of RIFE 4.6, or leave network out for optical flow."


def load(path: Path) -> Network:
    """The network of a file (.pkl, .pth or .safetensors). Raises `BadWeights`."""
    path = path.expanduser()
    if not path.is_file():
        raise BadWeights(f"there is no file {path}", HINT)
    if path.suffix.lower() == ".pt":
        raise BadWeights(f"{path.name} is a program (TorchScript, as FILM's), which is not run", HINT)
    tensors = {name.removeprefix("module."): tensor.float() for name, tensor in _tensors(path).items()}
    tensors = {name: tensor for name, tensor in tensors.items() if name.startswith("block")}
    try:
        widths = [int(tensors[f"block{n}.conv0.1.0.weight"].shape[0]) for n in range(BLOCKS)]
        with torch.device("meta"):
            net = Flow(widths)
        known = net.state_dict()
        # A teacher that only training used may be in the file as well.
        net.load_state_dict({name: tensors[name] for name in known}, assign=True)
    except (KeyError, IndexError, RuntimeError) as error:
        raise BadWeights(f"{path.name} is no network of RIFE 4.6", HINT) from error
    return Network(net.eval())


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        pickles.read(path)  # looks through it before anything of it is loaded
        found = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor for name, tensor in found.items() if isinstance(tensor, torch.Tensor)}
    # What a file can be wrong in, both readers answer with errors of many kinds.
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise BadWeights(f"{path.name} cannot be read: {reason}", HINT) from error


class Network:
    """Frames in between by a flow network."""

    def __init__(self, net: Flow) -> None:
        self._net = net

    @torch.no_grad()
    def between(self, one: Array, other: Array, share: float) -> Array:
        """The picture at `share` of the way, as large as the two."""
        height, width = one.shape[:2]
        pad = (0, -width % GRID, 0, -height % GRID)
        first, last = (
            functional.pad(torch.from_numpy(picture).permute(2, 0, 1)[None], pad, mode="replicate")
            for picture in (one, other)
        )
        made = self._net(first, last, share)[0, :, :height, :width]
        return np.asarray(made.permute(1, 2, 0).clamp(0, 1).numpy())


class Flow(nn.Module):
    """Four blocks from coarse to fine: each mends the flow to both pictures and the mask between them."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        for n, width in enumerate(widths):
            # Two pictures and the time; later ones also the mask and the flow so far.
            setattr(self, f"block{n}", Block(7 if n == 0 else 12, width))

    def forward(self, one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
        time = torch.full_like(one[:, :1], share)
        flow, mask = None, None
        near, far = one, other
        for n, scale in enumerate(SCALES):
            block = getattr(self, f"block{n}")
            if flow is None or mask is None:
                flow, mask = block(torch.cat([one, other, time], 1), None, scale)
            else:
                more, change = block(torch.cat([near, far, time, mask], 1), flow, scale)
                flow, mask = flow + more, mask + change
            near, far = moved(one, flow[:, :2]), moved(other, flow[:, 2:])
        assert mask is not None
        share_of_one = torch.sigmoid(mask)
        return near * share_of_one + far * (1 - share_of_one)


class Block(nn.Module):
    """Looks at its input `scale` times smaller; gives (flow [1, 4, h, w] in pixels, mask [1, 1, h, w])."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(_halving(channels, width // 2), _halving(width // 2, width))
        self.convblock = nn.Sequential(*(Residual(width) for _ in range(8)))
        self.lastconv = nn.Sequential(nn.ConvTranspose2d(width, 4 * 6, 4, 2, 1), nn.PixelShuffle(2))

    def forward(self, given: torch.Tensor, flow: torch.Tensor | None, scale: int) -> tuple[torch.Tensor, torch.Tensor]:
        size = given.shape[-2:]
        if flow is not None:
            given = torch.cat([given, flow / scale], 1)
        given = functional.interpolate(given, scale_factor=1 / scale, mode="bilinear", align_corners=False)
        found = self.lastconv(self.convblock(self.conv0(given)))
        found = functional.interpolate(found, size=size, mode="bilinear", align_corners=False)
        return found[:, :4] * scale, found[:, 4:5]


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, 1, 1)
        self.beta = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return functional.leaky_relu(self.conv(given) * self.beta + given, 0.2)


def _halving(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, 2, 1), nn.LeakyReLU(0.2))


def moved(picture: torch.Tensor, way: torch.Tensor) -> torch.Tensor:
    """What `picture` [1, c, h, w] has at the end of each pixel's way [1, 2, h, w], borders repeated."""
    height, width = picture.shape[-2:]
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x = (across + way[:, 0]) / max(width - 1, 1) * 2 - 1
    y = (down + way[:, 1]) / max(height - 1, 1) * 2 - 1
    grid = torch.stack([x, y], -1).to(picture.dtype)
    return functional.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=True)

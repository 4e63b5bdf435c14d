"""RIFE's network that puts frames in between (Huang et al. 2022, arXiv:2011.06294), versions 4.5 to 4.26.

Knows the layouts of `flownet.pkl` and what its tensors are called; how many blocks there are, their widths and what
they hand on is read from them. Pictures are float32 [height, width, 3] in 0..1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from generation.animation.stages.tensors import DEVICE, Tensors, filled
from generation.errors import BadWeights

Array = NDArray[Any]
# How much smaller each block looks at the pictures, by the number of blocks; 4.25 lite's last one has 24 channels.
SCALES = {4: (8, 4, 2, 1), 5: (16, 8, 4, 2, 1)}
LITE, LITE_SCALES = 24, (32, 16, 8, 4, 1)
GRID = 4  # pixels that sides are multiples of at the smallest scale: a block halves twice
FLOW, MASK = 4, 1  # channels of what a block answers; further ones are handed on to the next
VERSIONS = "4.5 to 4.26"


def known(tensors: Tensors) -> bool:
    """Whether the file is RIFE's, of any version 4."""
    return any(re.match(r"blocks?\.?0\.conv0\.", name) for name in tensors)


def of(tensors: Tensors, name: str) -> Network:
    """The network of a file's tensors. Raises `BadWeights` for a version that is not read."""
    # ComfyUI's files number the blocks in a list.
    tensors = {re.sub(r"^blocks\.(\d)\.", r"block\1.", key): one for key, one in tensors.items()}
    if "block0.lastconv.weight" in tensors or "block0.conv0.0.1.weight" in tensors:
        raise BadWeights(f"{name} is RIFE's network of a version before 4.5", f"Give flownet.pkl of RIFE {VERSIONS}.")
    try:
        with torch.device("meta"):
            net = Flow(tensors)
        return Network(filled(net, tensors), GRID * net.scales[0])
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise BadWeights(f"{name} is no network of RIFE {VERSIONS}", f"Give flownet.pkl of RIFE {VERSIONS}.") from error


class Network:
    """Frames in between by a flow network; both sides are padded to multiples of `grid`."""

    reach = 1

    def __init__(self, net: nn.Module, grid: int) -> None:
        self._net, self._grid = net, grid

    def refusal(self, factor: int) -> str:
        """Why it cannot give so many times more frames: "", it gives a picture at any time."""
        return ""

    def gap(self, frames: list[Array]) -> Callable[[float], Array]:
        """What gives the picture at a share of the way between two frames, as large as they are."""
        height, width = frames[0].shape[:2]
        one, other = (padded(frame, self._grid) for frame in frames)

        @torch.no_grad()
        def at(share: float) -> Array:
            return unpadded(self._net(one, other, share), height, width)

        return at


class Flow(nn.Module):
    """Blocks from coarse to fine: each mends the flow to both pictures, and the mask between them.

    From 4.7 on blocks look at features of the pictures too, and each one's mask takes the place of the one before; from
    4.21 on, but for 4.24, they hand features of their own on.
    """

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        blocks = len({name.split(".")[0] for name in tensors if re.match(r"block\d\.", name)})
        last = tensors[f"block{blocks - 1}.conv0.1.0.weight"].shape[0]
        self.scales = LITE_SCALES if (blocks, last) == (5, LITE) else SCALES[blocks]
        self.encode = _encoder(tensors)
        for n in range(blocks):
            setattr(self, f"block{n}", Block(tensors, f"block{n}."))

    def forward(self, one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
        time = torch.full_like(one[:, :1], share)
        flow, mask, handed = None, None, None
        features = [] if self.encode is None else [self.encode(one), self.encode(other)]
        near, far, seen = one, other, features
        for n, scale in enumerate(self.scales):
            block = getattr(self, f"block{n}")
            if flow is None or mask is None or handed is None:
                flow, mask, handed = block(torch.cat([one, other, *features, time], 1), None, scale)
            else:
                more, change, handed = block(torch.cat([near, far, *seen, time, mask, handed], 1), flow, scale)
                flow, mask = flow + more, mask + change if self.encode is None else change
            ways = flow[:, :2], flow[:, 2:]
            near, far = (moved(picture, way) for picture, way in zip((one, other), ways))
            seen = [moved(picture, way) for picture, way in zip(features, ways)]
        assert mask is not None
        share_of_one = torch.sigmoid(mask)
        return near * share_of_one + far * (1 - share_of_one)


class Block(nn.Module):
    """Looks at its input `scale` times smaller.

    Gives (flow [1, 4, h, w] in pixels, mask [1, 1, h, w], what it hands on [1, 0 or 8, h, w]).
    """

    def __init__(self, tensors: Tensors, name: str) -> None:
        super().__init__()
        half, channels = tensors[f"{name}conv0.0.0.weight"].shape[:2]
        width, part = tensors[f"{name}convblock.0.conv.weight"].shape[:2]
        self.conv0 = nn.Sequential(_halving(channels, half), _halving(half, width))
        self.convblock = nn.Sequential(*(Residual(width, width // part) for _ in range(8)))
        answers = tensors[f"{name}lastconv.0.weight"].shape[1]
        self.lastconv = nn.Sequential(nn.ConvTranspose2d(width, answers, 4, 2, 1), nn.PixelShuffle(2))

    def forward(self, given: torch.Tensor, flow: torch.Tensor | None, scale: int) -> tuple[torch.Tensor, ...]:
        size = given.shape[-2:]
        if flow is not None:
            given = torch.cat([given, flow / scale], 1)
        given = functional.interpolate(given, scale_factor=1 / scale, mode="bilinear", align_corners=False)
        found = self.lastconv(self.convblock(self.conv0(given)))
        found = functional.interpolate(found, size=size, mode="bilinear", align_corners=False)
        # 4.6's sixth channel is trained and never looked at.
        handed = found[:, FLOW + MASK :] if found.shape[1] > FLOW + MASK + 1 else found[:, :0]
        return found[:, :FLOW] * scale, found[:, FLOW : FLOW + MASK], handed


class Residual(nn.Module):
    """`groups` is 2 in 4.14 lite."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, 1, 1, groups=groups)
        self.beta = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return functional.leaky_relu(self.conv(given) * self.beta + given, 0.2)


class Head(nn.Module):
    """A picture's features at its own size, as 4.13 and later name their layers."""

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.cnn0 = nn.Conv2d(3, width, 3, 2, 1)
        self.cnn1 = nn.Conv2d(width, width, 3, 1, 1)
        self.cnn2 = nn.Conv2d(width, width, 3, 1, 1)
        self.cnn3 = nn.ConvTranspose2d(width, features, 4, 2, 1)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        found = picture
        for layer in (self.cnn0, self.cnn1, self.cnn2):
            found = functional.leaky_relu(layer(found), 0.2)
        features: torch.Tensor = self.cnn3(found)
        return features


def _encoder(tensors: Tensors) -> nn.Module | None:
    """What finds a picture's features: none to 4.6, two layers to 4.9, then four, in a list or by name."""
    if "encode.cnn0.weight" in tensors:
        return Head(tensors["encode.cnn0.weight"].shape[0], tensors["encode.cnn3.weight"].shape[1])
    if "encode.0.weight" not in tensors:
        return None
    width = tensors["encode.0.weight"].shape[0]
    if "encode.6.weight" not in tensors:
        last = tensors["encode.1.weight"].shape[1]
        return nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.ConvTranspose2d(width, last, 4, 2, 1))
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, width, 3, 1, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(width, width, 3, 1, 1), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(width, tensors["encode.6.weight"].shape[1], 4, 2, 1),
    )  # fmt: skip


def _halving(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, 2, 1), nn.LeakyReLU(0.2))


def moved(picture: torch.Tensor, way: torch.Tensor) -> torch.Tensor:
    """What `picture` [1, c, h, w] has at the end of each pixel's way [1, 2, h, w], borders repeated."""
    height, width = picture.shape[-2:]
    sides = (torch.arange(side, device=way.device) for side in (height, width))
    down, across = torch.meshgrid(*sides, indexing="ij")
    x = (across + way[:, 0]) / max(width - 1, 1) * 2 - 1
    y = (down + way[:, 1]) / max(height - 1, 1) * 2 - 1
    grid = torch.stack([x, y], -1).to(picture.dtype)
    return functional.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=True)


def padded(picture: Array, grid: int) -> torch.Tensor:
    """[1, 3, h, w] with sides that are multiples of `grid`, the last pixels repeated."""
    height, width = picture.shape[:2]
    given = torch.from_numpy(np.ascontiguousarray(picture, dtype=np.float32)).permute(2, 0, 1)[None].to(DEVICE)
    return functional.pad(given, (0, -width % grid, 0, -height % grid), mode="replicate")


def unpadded(made: torch.Tensor, height: int, width: int) -> Array:
    """The picture [height, width, 3] in 0..1 of what a network made."""
    return np.asarray(made[0, :, :height, :width].permute(1, 2, 0).clamp(0, 1).cpu().numpy())

"""FLAVR's network that puts frames in between without flow (Kalluri et al. 2021, arXiv:2012.08512).

Knows the layout of FLAVR_2x.pth, _4x and _8x: a U-net of 18 layers over four frames in space and time, whose outputs
are all the frames between the two in the middle at once. Its widths are read from the file. Pictures are float32
[height, width, 3] in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from generation.animation.stages.rife import padded, unpadded
from generation.animation.stages.tensors import Tensors, filled
from generation.errors import BadWeights

Array = NDArray[Any]
LAYERS = 4
FRAMES = 4
GRID = 8  # pixels that sides are multiples of: the stem and two of the four layers halve
HINT = "Give FLAVR_2x.pth, FLAVR_4x.pth or FLAVR_8x.pth."


def known(tensors: Tensors) -> bool:
    """Whether the file is FLAVR's."""
    return "encoder.stem.0.weight" in tensors and "feature_fuse.conv.0.weight" in tensors


def of(tensors: Tensors, name: str) -> Network:
    """The network of a file's tensors. Raises `BadWeights`."""
    try:
        count = int(tensors["outconv.1.weight"].shape[0]) // 3
        with torch.device("meta"):
            net = Unet(count, _widths(tensors), biased="encoder.stem.0.bias" in tensors)
        return Network(filled(net, tensors), count + 1)
    except (KeyError, IndexError, RuntimeError) as error:
        raise BadWeights(f"{name} is no network of FLAVR that is read", HINT) from error


class Network:
    """Frames in between by one pass over the two before and the two behind; `factor` times as many frames."""

    reach = 2

    def __init__(self, net: nn.Module, factor: int) -> None:
        self._net, self._factor = net, factor

    def refusal(self, factor: int) -> str:
        """Why it cannot give so many times more frames, "" where it can: it gives its own times alone."""
        if self._factor % factor == 0:
            return ""
        return f"the network makes {self._factor} times as many frames, and {factor} is no divisor of that"

    @torch.no_grad()
    def gap(self, frames: list[Array]) -> Callable[[float], Array]:
        """What gives the picture at a share of the way between the second and third of four frames."""
        height, width = frames[0].shape[:2]
        made = self._net(torch.stack([padded(frame, GRID) for frame in frames], 2))
        return lambda share: unpadded(made[:, round(share * self._factor) - 1], height, width)


class Unet(nn.Module):
    """[1, 3, 4, h, w] -> [1, count, 3, h, w]. Files of more than one output have a bias in each layer."""

    def __init__(self, count: int, widths: tuple[int, ...], biased: bool) -> None:
        super().__init__()
        self.encoder = Encoder(widths, biased)
        narrow, middle, wide, widest = widths
        self.decoder = nn.Sequential(
            Mixed(widest, wide),
            Enlarged(2 * wide, middle),
            Enlarged(2 * middle, narrow),
            Mixed(2 * narrow, narrow),
            Enlarged(2 * narrow, narrow),
        )
        self.feature_fuse = Fused(FRAMES * narrow, narrow)
        self.outconv = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(narrow, 3 * count, 7))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        mean = frames.mean((2, 3, 4), keepdim=True)
        *passed, found = self.encoder(frames - mean)
        for layer, beside in zip(self.decoder, [*reversed(passed), None]):
            found = functional.leaky_relu(layer(found), 0.2)
            found = found if beside is None else torch.cat([found, beside], 1)
        found = functional.leaky_relu(self.feature_fuse(torch.cat(found.unbind(2), 1)), 0.2)
        made: torch.Tensor = self.outconv(found)
        return made.unflatten(1, (-1, 3)) + mean[:, None, :, 0]


class Encoder(nn.Module):
    """Five tensors from fine to coarse; time is never shortened."""

    def __init__(self, widths: tuple[int, ...], biased: bool) -> None:
        super().__init__()
        before = widths[0]
        self.stem = nn.Sequential(
            nn.Conv3d(3, before, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=biased), nn.Identity(), nn.ReLU()
        )
        for n, (width, stride) in enumerate(zip(widths, (1, 2, 2, 1)), 1):
            blocks = Residual(before, width, stride, biased), Residual(width, width, 1, biased)
            setattr(self, f"layer{n}", nn.Sequential(*blocks))
            before = width

    def forward(self, frames: torch.Tensor) -> list[torch.Tensor]:
        found = [self.stem(frames)]
        for n in range(1, LAYERS + 1):
            found.append(getattr(self, f"layer{n}")(found[-1]))
        return found


class Residual(nn.Module):
    def __init__(self, before: int, width: int, stride: int, biased: bool) -> None:
        super().__init__()
        steps = (1, stride, stride)
        self.conv1 = nn.Sequential(nn.Conv3d(before, width, 3, steps, 1, bias=biased), nn.Identity(), nn.ReLU())
        self.conv2 = nn.Sequential(nn.Conv3d(width, width, 3, 1, 1, bias=biased), nn.Identity())
        self.fg = Gate(width)
        self.downsample = None
        if before != width:
            self.downsample = nn.Sequential(nn.Conv3d(before, width, 1, steps, bias=False), nn.Identity())

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        beside = given if self.downsample is None else self.downsample(given)
        return functional.relu(self.fg(self.conv2(self.conv1(given))) + beside)


class Gate(nn.Module):
    """Each channel times a share that follows from the means of all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn_layer = nn.Sequential(nn.Conv3d(width, width, 1), nn.Sigmoid())

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        gated: torch.Tensor = given * self.attn_layer(given.mean((2, 3, 4), keepdim=True))
        return gated


class Mixed(nn.Module):
    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv3d(before, width, 3, 1, 1), Gate(width))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.conv(given)
        return found


class Enlarged(nn.Module):
    """Twice as wide and high."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.upconv = nn.Sequential(nn.ConvTranspose3d(before, width, (3, 4, 4), (1, 2, 2), 1), Gate(width))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.upconv(given)
        return found


class Fused(nn.Module):
    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(before, width, 1, bias=False))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.conv(given)
        return found


def _widths(tensors: Tensors) -> tuple[int, ...]:
    return tuple(int(tensors[f"encoder.layer{n}.0.conv1.0.weight"].shape[0]) for n in range(1, LAYERS + 1))

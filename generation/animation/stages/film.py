"""FILM's network that puts frames in between across large motion (Reda et al. 2022, arXiv:2202.04901).

Knows the layout of the PyTorch port's weights (film_net_fp32.pt and its state dicts, in ComfyUI's names too); the
number of filters is read from them. It was taught the middle alone: other times are middles of middles. Pictures are
float32 [height, width, 3] in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from generation.animation.stages.rife import moved, padded, unpadded
from generation.animation.stages.tensors import Tensors, filled
from generation.errors import BadWeights

Array = NDArray[Any]
LEVELS = 7  # of the pyramid of pictures, each half as large as the one before
FUSED = 5  # levels that the result is put together from
CASCADE = 4  # levels of features that are laid together at one size
OWN = 3  # finest levels with a flow predictor of their own; the others share one
GRID = 2 ** (LEVELS - 1)  # pixels that sides are multiples of
FINEST = 16  # middles of middles are taken for times of up to this denominator
HINT = "Give film_net_fp32.pt, or its weights as safetensors."


def known(tensors: Tensors) -> bool:
    """Whether the file is FILM's."""
    return any(name.startswith("extract.extract_sublevels.") for name in tensors)


def of(tensors: Tensors, name: str) -> Network:
    """The network of a file's tensors. Raises `BadWeights`."""
    # ComfyUI's files call a layer's convolution by its name, the port's by its place.
    tensors = {key.replace(".conv.", ".0."): one for key, one in tensors.items()}
    try:
        filters = int(tensors["extract.extract_sublevels.convs.0.0.0.weight"].shape[0])
        flows = [int(tensors[f"{one}._convs.0.0.weight"].shape[0]) for one in _predictors()]
        with torch.device("meta"):
            net = Interpolator(filters, flows)
        return Network(filled(net, tensors))
    except (KeyError, IndexError, RuntimeError) as error:
        raise BadWeights(f"{name} is no network of FILM that is read", HINT) from error


class Network:
    """Frames in between by features that are brought to the time and put together."""

    reach = 1

    def __init__(self, net: nn.Module) -> None:
        self._net = net

    def refusal(self, factor: int) -> str:
        """Why it cannot give so many times more frames: "", it gives a picture at any time."""
        return ""

    def gap(self, frames: list[Array]) -> Callable[[float], Array]:
        """What gives the picture at a share of the way between two frames, as large as they are."""
        height, width = frames[0].shape[:2]
        made = {Fraction(n): padded(frame, GRID) for n, frame in enumerate(frames)}

        @torch.no_grad()
        def at(time: Fraction) -> torch.Tensor:
            if time not in made:
                # A half, a quarter, ... lies in the middle of two coarser ones; a third is asked for as it is.
                even = time.denominator & (time.denominator - 1) == 0
                step = Fraction(1, time.denominator) if even else Fraction(0)
                ends = (at(time - step), at(time + step)) if even else (at(Fraction(0)), at(Fraction(1)))
                made[time] = self._net(*ends, 0.5 if even else float(time)).clamp(0, 1)
            return made[time]

        return lambda share: unpadded(at(Fraction(share).limit_denominator(FINEST)), height, width)


class Interpolator(nn.Module):
    """`filters` of the finest level, `flows` of each flow predictor: the shared one's first, then coarse to fine."""

    def __init__(self, filters: int, flows: list[int]) -> None:
        super().__init__()
        self.extract = Extractor(filters)
        self.predict_flow = FlowPyramid(filters, flows)
        self.fuse = Fusion(filters)

    def forward(self, one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
        pictures = [_halves(picture, LEVELS) for picture in (one, other)]
        features = [self.extract(pyramid) for pyramid in pictures]
        there = self.predict_flow(features[0], features[1])
        back = self.predict_flow(features[1], features[0])
        aligned = []
        for n in range(FUSED):
            to_one, to_other = back[n] * share, there[n] * (1 - share)
            near, far = (
                moved(torch.cat([pictures[k][n], features[k][n]], 1), way) for k, way in enumerate((to_one, to_other))
            )
            aligned.append(torch.cat([near, far, to_one, to_other], 1))
        made: torch.Tensor = self.fuse(aligned)
        return made


class Layer(nn.Sequential):
    """A convolution that keeps the size: one of two pixels looks right and down."""

    def __init__(self, channels: int, width: int, side: int, active: bool = True) -> None:
        super().__init__(nn.Conv2d(channels, width, side, padding=side // 2 if side % 2 else 0))
        self._even, self._active = side % 2 == 0, active

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        found = self[0](functional.pad(given, (0, 1, 0, 1)) if self._even else given)
        return functional.leaky_relu(found, 0.2) if self._active else found


class Extractor(nn.Module):
    """Features of every level; from the fourth on they mean the same at each, so that one predictor serves them all."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.extract_sublevels = Subtree(filters)

    def forward(self, pyramid: list[torch.Tensor]) -> list[torch.Tensor]:
        below = [self.extract_sublevels(picture, min(len(pyramid) - n, CASCADE)) for n, picture in enumerate(pyramid)]
        return [
            torch.cat([below[n - depth][depth] for depth in range(min(n + 1, CASCADE))], 1) for n in range(len(pyramid))
        ]


class Subtree(nn.Module):
    def __init__(self, filters: int) -> None:
        super().__init__()
        widths = [filters << n for n in range(CASCADE)]
        self.convs = nn.ModuleList(
            nn.Sequential(Layer(before, width, 3), Layer(width, width, 3))
            for before, width in zip([3, *widths], widths)
        )

    def forward(self, picture: torch.Tensor, levels: int) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        for layer in list(self.convs)[:levels]:
            found.append(layer(functional.avg_pool2d(found[-1], 2) if found else picture))
        return found


class FlowPyramid(nn.Module):
    """Flow from one picture's features to another's, [1, 2, h, w] in pixels of each level, coarse to fine."""

    def __init__(self, filters: int, flows: list[int]) -> None:
        super().__init__()
        # Two pictures' features: of one level at the finest, of one more at each coarser one.
        given = [2 * sum(filters << n for n in range(depth + 1)) for depth in range(CASCADE)]
        self._predictor = FlowLayers(given[-1], flows[0])
        self._predictors = nn.ModuleList(FlowLayers(*one) for one in zip(given[-2::-1], flows[1:]))

    def forward(self, one: list[torch.Tensor], other: list[torch.Tensor]) -> list[torch.Tensor]:
        flow = self._predictor(one[-1], other[-1])
        flows = [flow]
        for n in range(len(one) - 2, -1, -1):
            predictor = self._predictor if n >= OWN else self._predictors[OWN - 1 - n]
            flow = functional.interpolate(2 * flow, size=one[n].shape[-2:], mode="bilinear", align_corners=False)
            flow = flow + predictor(one[n], moved(other[n], flow))
            flows.insert(0, flow)
        return flows


class FlowLayers(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self._convs = nn.ModuleList(
            [
                *(Layer(channels if not n else width, width, 3) for n in range(3)),
                Layer(width, width // 2, 1),
                Layer(width // 2, 2, 1, active=False),
            ]
        )

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        found = torch.cat([one, other], 1)
        for layer in self._convs:
            found = layer(found)
        return found


class Fusion(nn.Module):
    """The picture out of what was brought to its time, coarse to fine."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.output_conv = nn.Conv2d(filters, 3, 1)
        self.convs = nn.ModuleList()
        below = _aligned(CASCADE - 1, filters)  # the coarsest level's, which passes as it is
        for level in range(CASCADE - 1, -1, -1):
            width = filters << min(level, OWN)
            layers = Layer(below, width, 2, active=False), Layer(_aligned(level, filters) + width, width, 3)
            self.convs.append(nn.ModuleList([*layers, Layer(width, width, 3)]))
            below = width

    def forward(self, pyramid: list[torch.Tensor]) -> torch.Tensor:
        found = pyramid[-1]
        for level, layers in zip(range(CASCADE - 1, -1, -1), self.convs):
            enlarge, mix, refine = layers  # type: ignore[misc]
            found = enlarge(functional.interpolate(found, size=pyramid[level].shape[-2:], mode="nearest"))
            found = refine(mix(torch.cat([pyramid[level], found], 1)))
        made: torch.Tensor = self.output_conv(found)
        return made


def _aligned(level: int, filters: int) -> int:
    """Channels of a level as it is fused: of both pictures colours, features and flow."""
    return 2 * (sum(filters << n for n in range(level + 1)) + 3 + 2)


def _halves(picture: torch.Tensor, levels: int) -> list[torch.Tensor]:
    found = [picture]
    for _ in range(levels - 1):
        found.append(functional.avg_pool2d(found[-1], 2))
    return found


def _predictors() -> list[str]:
    return ["predict_flow._predictor", *(f"predict_flow._predictors.{n}" for n in range(OWN))]

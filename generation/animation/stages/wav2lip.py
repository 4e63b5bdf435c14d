"""Wav2Lip's network (Prajwal et al. 2020, arXiv:2008.10010): a face and what sounds -> the face speaking it.

Knows the layout of wav2lip.pth and wav2lip_gan.pth, which takes faces of 96 pixels, blue first, twice: once with the
lower half black, once whole. Leaves finding faces and sound to `lipsync`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from generation.animation.speech import BANDS
from generation.animation.stages import tensors
from generation.animation.stages.tensors import DEVICE, filled
from generation.errors import BadWeights

Array = NDArray[Any]
SIDE = 96
STEPS = 16  # of the spectrogram that one face is made for: 0.2 seconds
HINT = "Give wav2lip.pth or wav2lip_gan.pth."


def load(path: Path) -> Network:
    """The network of a file (.pth, .pt or .safetensors). Raises `BadWeights` in one line."""
    found = tensors.read(path, HINT)
    try:
        with torch.device("meta"):
            net = Speaking()
        return Network(filled(net, found))
    except (KeyError, RuntimeError) as error:
        ours = "face_encoder_blocks.0.0.conv_block.0.weight" in found
        what = f"is Wav2Lip's for other faces than {SIDE} pixels" if ours else "is no network of Wav2Lip"
        raise BadWeights(f"{path.name} {what}", HINT) from error


class Network:
    """A face made to speak."""

    def __init__(self, net: nn.Module) -> None:
        self._net = net

    @torch.no_grad()
    def spoken(self, face: Array, sound: Array) -> Array:
        """The face [96, 96, 3] float32 in 0..1, red first, as it says what `sound` [80, 16] holds."""
        assert face.shape == (SIDE, SIDE, 3) and sound.shape == (BANDS, STEPS)
        whole = torch.from_numpy(np.ascontiguousarray(face[..., ::-1], dtype=np.float32)).permute(2, 0, 1)[None]
        masked = whole.clone()
        masked[:, :, SIDE // 2 :] = 0
        heard = torch.from_numpy(np.ascontiguousarray(sound, dtype=np.float32))[None, None]
        made = self._net(heard.to(DEVICE), torch.cat([masked, whole], 1).to(DEVICE))[0]
        return np.ascontiguousarray(made.permute(1, 2, 0).cpu().numpy()[..., ::-1])


class Speaking(nn.Module):
    """(sound [n, 1, 80, 16], faces [n, 6, 96, 96]) -> faces [n, 3, 96, 96] in 0..1: a U-net, sound in its middle."""

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder_blocks = nn.ModuleList(
            [
                nn.Sequential(Layer(6, 16, 7, 1, 3)),
                _halved(16, 32, 2),
                _halved(32, 64, 3),
                _halved(64, 128, 2),
                _halved(128, 256, 2),
                _halved(256, 512, 1),
                nn.Sequential(Layer(512, 512, 3, 1, 0), Layer(512, 512, 1, 1, 0)),
            ]
        )
        self.audio_encoder = nn.Sequential(
            Layer(1, 32), *_beside(32, 2),
            Layer(32, 64, 3, (3, 1)), *_beside(64, 2),
            Layer(64, 128, 3, 3), *_beside(128, 2),
            Layer(128, 256, 3, (3, 2)), *_beside(256, 1),
            Layer(256, 512, 3, 1, 0), Layer(512, 512, 1, 1, 0),
        )  # fmt: skip
        self.face_decoder_blocks = nn.ModuleList(
            [
                nn.Sequential(Layer(512, 512, 1, 1, 0)),
                nn.Sequential(Doubled(1024, 512, 1, 0), *_beside(512, 1)),
                nn.Sequential(Doubled(1024, 512), *_beside(512, 2)),
                nn.Sequential(Doubled(768, 384), *_beside(384, 2)),
                nn.Sequential(Doubled(512, 256), *_beside(256, 2)),
                nn.Sequential(Doubled(320, 128), *_beside(128, 2)),
                nn.Sequential(Doubled(160, 64), *_beside(64, 2)),
            ]
        )
        self.output_block = nn.Sequential(Layer(80, 32), nn.Conv2d(32, 3, 1), nn.Sigmoid())

    def forward(self, sound: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        seen = [faces]
        for block in self.face_encoder_blocks:
            seen.append(block(seen[-1]))
        found = self.audio_encoder(sound)
        for block, beside in zip(self.face_decoder_blocks, reversed(seen)):
            found = torch.cat([block(found), beside], 1)
        made: torch.Tensor = self.output_block(found)
        return made


class Layer(nn.Module):
    """A convolution, normalised; where it is `added` to what it looks at, it learns the change."""

    def __init__(
        self,
        channels: int,
        width: int,
        side: int = 3,
        stride: int | tuple[int, int] = 1,
        pad: int = 1,
        added: bool = False,
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(channels, width, side, stride, pad), nn.BatchNorm2d(width))
        self._added = added

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        found = self.conv_block(given)
        return torch.relu(found + given if self._added else found)


class Doubled(nn.Module):
    """Twice as wide and high; the first one makes 3 pixels of one."""

    def __init__(self, channels: int, width: int, stride: int = 2, pad: int = 1) -> None:
        super().__init__()
        enlarged = nn.ConvTranspose2d(channels, width, 3, stride, pad, output_padding=stride - 1)
        self.conv_block = nn.Sequential(enlarged, nn.BatchNorm2d(width))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv_block(given))


def _halved(channels: int, width: int, further: int) -> nn.Sequential:
    return nn.Sequential(Layer(channels, width, 3, 2), *_beside(width, further))


def _beside(width: int, count: int) -> list[Layer]:
    return [Layer(width, width, added=True) for _ in range(count)]

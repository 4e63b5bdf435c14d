"""VQGAN: an autoencoder with a codebook (Esser et al. 2021, arXiv:2012.09841), built from a checkpoint's own tensors.

Names of modules are those of the published checkpoints, and widths, levels and attention are read off the tensors'
shapes, so that no configuration beside the file is needed. Codebooks of the Gumbel kind are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from generation import single_files
from generation.errors import BadWeights

GROUPS = 32
PARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "quantize.embedding.")
Tensors = dict[str, torch.Tensor]


class Block(nn.Module):
    """Two convolutions behind their norms, with a way around them."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, inside, eps=1e-6)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, outside, eps=1e-6)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        if inside != outside:
            self.nin_shortcut = nn.Conv2d(inside, outside, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.conv1(functional.silu(self.norm1(x)))
        hidden = self.conv2(functional.silu(self.norm2(hidden)))
        around: torch.Tensor = self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x
        return around + hidden


class Attention(nn.Module):
    """Attention with one head over all places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width, eps=1e-6)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(x)
        q, k, v = (one(hidden).flatten(2).transpose(1, 2) for one in (self.q, self.k, self.v))
        found = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        projected: torch.Tensor = self.proj_out(found)
        return x + projected


class Resample(nn.Module):
    """Half or twice the size, with a convolution."""

    def __init__(self, width: int, up: bool) -> None:
        super().__init__()
        self._up = up
        self.conv = nn.Conv2d(width, width, 3, stride=1 if up else 2, padding=1 if up else 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # The published networks pad below and at the right alone before they halve.
        x = functional.interpolate(x, scale_factor=2.0) if self._up else functional.pad(x, (0, 1, 0, 1))
        found: torch.Tensor = self.conv(x)
        return found


class Side(nn.Module):
    """The encoder or the decoder, as the tensors under its name say."""

    def __init__(self, tensors: Tensors, *, decoder: bool) -> None:
        super().__init__()
        self._decoder, self._name = decoder, "up" if decoder else "down"
        self.conv_in = _conv(tensors, "conv_in")
        self.mid = nn.ModuleDict(
            {"block_1": _block(tensors, "mid.block_1"), "attn_1": _attention(tensors, "mid.attn_1"),
             "block_2": _block(tensors, "mid.block_2")}
        )  # fmt: skip
        levels = nn.ModuleList()
        while any(key.startswith(f"{self._name}.{len(levels)}.") for key in tensors):
            place = f"{self._name}.{len(levels)}"
            level = nn.ModuleDict({"block": nn.ModuleList(), "attn": nn.ModuleList()})
            while f"{place}.block.{len(level['block'])}.conv1.weight" in tensors:
                level["block"].append(_block(tensors, f"{place}.block.{len(level['block'])}"))
            while f"{place}.attn.{len(level['attn'])}.q.weight" in tensors:
                level["attn"].append(_attention(tensors, f"{place}.attn.{len(level['attn'])}"))
            sampler = "upsample" if decoder else "downsample"
            if f"{place}.{sampler}.conv.weight" in tensors:
                level[sampler] = Resample(tensors[f"{place}.{sampler}.conv.weight"].shape[0], decoder)
            levels.append(level)
        self.add_module(self._name, levels)
        self.norm_out = nn.GroupNorm(GROUPS, tensors["norm_out.weight"].shape[0], eps=1e-6)
        self.conv_out = _conv(tensors, "conv_out")
        self.load_state_dict(tensors)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_in(x)
        middle = (self.mid["block_1"], self.mid["attn_1"], self.mid["block_2"])
        levels: Any = getattr(self, self._name)
        if self._decoder:
            for one in middle:
                x = one(x)
        for level in reversed(levels) if self._decoder else levels:
            for number, block in enumerate(level["block"]):
                x = block(x)
                if number < len(level["attn"]):
                    x = level["attn"][number](x)
            for name in ("upsample", "downsample"):
                if name in level:
                    x = level[name](x)
        if not self._decoder:
            for one in middle:
                x = one(x)
        found: torch.Tensor = self.conv_out(functional.silu(self.norm_out(x)))
        return found


class Vqgan(nn.Module):
    """Pictures [n, 3, h, w] in -1..1 to codes and back; `factor` pixels a side to one code."""

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        self.encoder = Side(_under(tensors, "encoder."), decoder=False)
        self.decoder = Side(_under(tensors, "decoder."), decoder=True)
        self.quant_conv, self.post_quant_conv = (_conv(tensors, name) for name in ("quant_conv", "post_quant_conv"))
        for name in ("quant_conv", "post_quant_conv"):
            getattr(self, name).load_state_dict(_under(tensors, f"{name}."))
        self.codebook = nn.Parameter(tensors["quantize.embedding.weight"].float(), requires_grad=False)
        levels: Any = self.decoder.up
        self.factor = 2 ** (len(levels) - 1)

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, width, h / factor, w / factor], before the codebook."""
        found: torch.Tensor = self.quant_conv(self.encoder(pixels))
        return found

    def quantised(self, z: torch.Tensor) -> torch.Tensor:
        """The nearest code at each place; gradients go through as if nothing had been done."""
        flat = z.permute(0, 2, 3, 1)
        distances = flat.pow(2).sum(-1, keepdim=True) + self.codebook.pow(2).sum(1) - 2 * flat @ self.codebook.T
        codes = self.codebook[distances.argmin(-1)].permute(0, 3, 1, 2)
        return z + (codes - z).detach()

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.decoder(self.post_quant_conv(z))
        return found


def load(path: Path) -> Vqgan:
    """The network of a checkpoint file. Raises `BadWeights` naming it."""
    if not path.is_file():
        raise BadWeights(f"there is no VQGAN at {path}", "Give its .ckpt or .safetensors file.")
    tensors = {key: value.float() for key, value in single_files.read(path).items() if key.startswith(PARTS)}
    try:
        return Vqgan(tensors).eval().requires_grad_(False)
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise BadWeights(
            f"{path} holds no VQGAN that is known here", "Give one with a plain codebook, as vqgan_imagenet_f16_16384."
        ) from error


def _under(tensors: Tensors, prefix: str) -> Tensors:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _conv(tensors: Tensors, name: str) -> nn.Conv2d:
    outside, inside, side, _ = tensors[f"{name}.weight"].shape
    return nn.Conv2d(inside, outside, side, padding=side // 2)


def _block(tensors: Tensors, name: str) -> Block:
    outside, inside = tensors[f"{name}.conv1.weight"].shape[:2]
    return Block(inside, outside)


def _attention(tensors: Tensors, name: str) -> Attention:
    return Attention(tensors[f"{name}.q.weight"].shape[0])

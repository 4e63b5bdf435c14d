"""Noise for clips: long ones that hold together (FreeNoise), and noise that has the clip's own slow motion (FreeInit).

Pure functions of tensors. Leaves when they are used to `animatediff`.
"""

from __future__ import annotations

import torch
from torch import Tensor, fft


def shuffled(noise: Tensor, context: int, stride: int, generator: torch.Generator) -> Tensor:
    """FreeNoise (Qiu et al. 2023, arXiv:2310.15169): noise [frames, c, h, w] that repeats itself.

    Frames behind the first `context` have the noise of those so many before, `stride` at a time in a drawn order.
    """
    made = noise.clone()
    for begin in range(context, len(noise), stride):
        count = min(stride, len(noise) - begin)
        order = begin - context + torch.randperm(stride, generator=generator)
        made[begin : begin + count] = made[order[:count]]
    return made


def low_pass(shape: tuple[int, int, int], kind: str, space: float, time: float, order: int = 4) -> Tensor:
    """[frames, h, w] in 0..1: how much of each frequency is kept, the lowest in the middle.

    `space` and `time` are the shares, 0..1, of the frequencies of a picture and over time up to which they are; `kind`
    is "butterworth", "gaussian" or "ideal" (Wu et al. 2023, arXiv:2312.07537, section 4).
    """
    if not space or not time:
        return torch.zeros(shape)
    # Distances from the middle, -1 to 1 on each side.
    sides = [torch.arange(n, dtype=torch.float64) * 2 / n - 1 for n in shape]
    frames, rows, columns = torch.meshgrid(*sides, indexing="ij")
    square = (space / time * frames) ** 2 + rows**2 + columns**2
    if kind == "gaussian":
        kept = torch.exp(-square / (2 * space**2))
    elif kind == "ideal":
        kept = (square <= 2 * space).double()  # the authors' own bound, of squares
    else:
        kept = 1 / (1 + (square / space**2) ** order)
    return kept.float()


def renewed(clip: Tensor, noise: Tensor, fresh: Tensor, signal: float, kept: Tensor) -> Tensor:
    """FreeInit: noise [frames, c, h, w] to make `clip` again with.

    The clip is brought back to the first step, whose share of signal is `signal` (the scheduler's last cumulative
    alpha), with the noise it was made of; of that the low frequencies stay, `kept` of each, and the others are `fresh`.
    """
    back = signal**0.5 * clip.float() + (1 - signal) ** 0.5 * noise.float()
    dims = (0, -2, -1)
    share = kept[:, None].to(back.device)
    slow, fast = (fft.fftshift(fft.fftn(one, dim=dims), dim=dims) for one in (back, fresh.float()))
    mixed = fft.ifftn(fft.ifftshift(slow * share + fast * (1 - share), dim=dims), dim=dims)
    return mixed.real.to(noise.dtype)

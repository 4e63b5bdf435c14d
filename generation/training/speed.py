"""How fast this machine trains, in a moment: a convolution and a linear layer of a UNet's shapes, timed.

Leaves what is to be computed to `footprint`.
"""

from __future__ import annotations

import time
from functools import lru_cache

import torch
from torch.nn import functional

from generation.errors import BadSpec

# A whole step reaches less than its layers alone: 0.46 of it on one CPU core (LoRA of SD 1.5, 256 pixels, single
# precision); on a GPU about half as well (SDXL on an A100 with SDPA, as published: 108 of 312 TFLOP/s).
SHARE = 0.45
# What a step takes however small it is: 0.064 s on one CPU core (LoRA of the demo checkpoint, batches of 1 and 4).
START = 0.06
TIMES = 5


@lru_cache(maxsize=4)
def measure(device: str = "cpu") -> float:
    """TFLOP/s of a training step on `device` ("cuda", "mps" or "cpu"), in half precision on a GPU, in single on a CPU.

    Measured once by a process. Raises `BadSpec` for a device that cannot be used.
    """
    dtype = torch.float32 if device == "cpu" else torch.float16
    # SD 1.5's first block at 512 pixels; a GPU gets more pictures, or it waits for its own start.
    pictures = 1 if device == "cpu" else 8
    try:
        picture = torch.randn(pictures, 320, 64, 64, device=device, dtype=dtype)
        kernel = torch.randn(320, 320, 3, 3, device=device, dtype=dtype)
        rows = torch.randn(pictures * 1024, 640, device=device, dtype=dtype)
        matrix = torch.randn(5120, 640, device=device, dtype=dtype)
    except (RuntimeError, AssertionError) as error:
        raise BadSpec(f"the device {device} cannot be used", "Set studio.device to auto.") from error
    best = [float("inf")] * 2
    with torch.inference_mode():
        for _ in range(TIMES):
            for which in range(2):
                _wait(device)
                began = time.perf_counter()
                if which:
                    functional.linear(rows, matrix)
                else:
                    functional.conv2d(picture, kernel, padding=1)
                _wait(device)
                best[which] = min(best[which], time.perf_counter() - began)
    work = 2 * pictures * (320 * 320 * 9 * 64 * 64 + 1024 * 640 * 5120)
    return SHARE * work / sum(best) / 1e12


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()

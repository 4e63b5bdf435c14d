"""Whether a render fits into memory, and how: number format, where parts wait, the VAE in tiles; said before loading.

Weights are counted from headers. What a picture adds was measured by counting the live tensors of full-size models on
torch's meta device, half precision, attention without its matrix of scores: a UNet with guidance 520 bytes a pixel
(SD 1 and 2) or 316 (SDXL), a VAE's decoder 1,540. Leaves carrying a plan out to `loading`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from generation import architecture, fitting, headers
from generation.catalogue import ModelEntry
from generation.errors import BadSpec, BadWeights, RenderFailed

GIB = 2**30
TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
BYTES = {"fp16": 2, "bf16": 2, "fp32": 4}
PRECISIONS = ("auto", *TYPES)
OFFLOADS = ("auto", "none", "model", "sequential")
# Bytes a pixel in half precision, by the measurement above.
UNET_PIXEL = {"sd15": 520, "sd2": 520, "sdxl": 316, "sdxl-refiner": 316}
VAE_PIXEL = 1540
TILE = 512  # pixels of a side of the VAE's tiles
LAYER = 250_000_000  # bytes of the largest layer that sequential offload holds, with room for the next
SPARE = 1.1  # the allocator's pieces
CONTEXT = {"cuda": GIB // 3}  # what a GPU's libraries take before the first tensor


@dataclass(frozen=True)
class Plan:
    """How a model is held: `dtype` fp16, bf16 or fp32; `offload` none, model or sequential; `vae_tiling`.

    `needs` and `free` are bytes on the device; `reason` is one line for the person.
    """

    device: str
    dtype: str
    offload: str
    vae_tiling: bool
    needs: int
    free: int
    reason: str = ""

    @property
    def torch_dtype(self) -> torch.dtype:
        return TYPES[self.dtype]

    def to_json(self) -> dict[str, Any]:
        """Every field as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Weights:
    """Numbers (not bytes) of a checkpoint's parts."""

    unet: int
    vae: int
    text: int


def weigh(entry: ModelEntry) -> Weights:
    """The sizes of a checkpoint's parts, from headers. Raises `BadWeights` where they cannot be read."""
    path = Path(entry.path)
    try:
        if not path.is_dir():
            header = headers.load(path)
            text = ("cond_stage_model.", "conditioner.")
            return Weights(*(header.weigh(*p)[0] for p in ((architecture.UNET,), (architecture.VAE,), text)))
        return Weights(*(_folder(path, *parts) for parts in (("unet",), ("vae",), ("text_encoder", "text_encoder_2"))))
    except (OSError, ValueError) as error:
        raise BadWeights(f"{path} cannot be used: {error}", "Choose another model.") from error


def _folder(path: Path, *parts: str) -> int:
    total = 0
    for part in parts:
        files = sorted((path / part).glob("*.safetensors"))
        # Half-precision copies lie beside the whole ones; either set is loaded, never both.
        plain = [file for file in files if file.name.count(".") == 1]
        total += sum(headers.load(file).weigh()[0] for file in plain or files)
    return total


def free_memory(device: str) -> int:
    """Bytes that can be had on `device` now: CUDA's own count, Metal's recommended limit, or the system's memory."""
    if device.startswith("cuda"):
        # What torch keeps for later is ours to use again.
        kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0]) + kept
    if device == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return _system_memory()


def _system_memory() -> int:
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        # Elsewhere the system tells only what it has; half of it is taken for free.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (OSError, ValueError, AttributeError):
        return 8 * GIB


def choose_dtype(device: str, wanted: str = "auto") -> str:
    """The number format of a device: half on GPUs, single on the CPU. Raises `BadSpec` for one it cannot compute."""
    if wanted not in PRECISIONS:
        raise BadSpec(f'there is no precision "{wanted}"', f"Choose: {', '.join(PRECISIONS)}.")
    if wanted == "fp16" and device == "cpu":
        raise BadSpec("the CPU cannot render in fp16", "Set studio.precision to auto, bf16 or fp32.")
    cuda = device.startswith("cuda") and torch.cuda.is_available()
    if wanted == "bf16" and cuda and torch.cuda.get_device_capability()[0] < 8:
        raise BadSpec("this GPU does not compute in bf16", "Set studio.precision to auto or fp16.")
    if wanted != "auto":
        return wanted
    # Turing's cards without tensor cores (GTX 16xx) give black pictures in half precision.
    if cuda and "GTX 16" in torch.cuda.get_device_name():
        return "fp32"
    return "fp32" if device == "cpu" else "fp16"


def preflight(
    entry: ModelEntry,
    device: str,
    dtype: str = "auto",
    width: int = 512,
    height: int = 512,
    batch: int = 1,
    *,
    offload: str = "auto",
    free: int | None = None,
    held: int = 0,
) -> Plan:
    """The first plan that fits, fastest first: all on the device; the VAE in tiles; parts that take turns; layers.

    `dtype` and `offload` are the settings; `free` bytes (asked of the device when None), `held` of them taken by this
    model already. Raises `RenderFailed` with the numbers when even the smallest plan does not fit, `BadSpec` for a
    setting that cannot be, `BadWeights` for a model that cannot be read.
    """
    fitting.require(entry, *fitting.MODELS)
    if offload not in OFFLOADS:
        raise BadSpec(f'there is no offload "{offload}"', f"Choose: {', '.join(OFFLOADS)}.")
    weights = weigh(entry)
    free = (free_memory(device) if free is None else free) + held
    plans = [
        _plan(entry, weights, device, number, wait, tiles, width * height, batch, free)
        for number, wait, tiles in _choices(device, dtype, offload)
    ]
    size = f"{width}x{height}" + (f", batch {batch}" if batch > 1 else "")
    for number, plan in enumerate(plans):
        if plan.needs <= plan.free:
            why = "" if number == 0 else f"; {_said(plans[0])} would need {_gib(plans[0].needs)}"
            reason = f"{size}: {_said(plan)}, about {_gib(plan.needs)} of {_gib(plan.free)} free{why}"
            return replace(plan, reason=reason)
    least = min(plans, key=lambda plan: plan.needs)
    raise RenderFailed(
        f"{entry.name} at {size} needs about {_gib(least.needs)} on {device} ({_said(least)}); {_gib(free)} are free",
        "Choose a smaller size or batch, close other programs, or set studio.offload to auto.",
    )


def _choices(device: str, dtype: str, offload: str) -> Iterator[tuple[str, str, bool]]:
    """(number format, offload, tiles) in the order in which they are tried."""
    usual = choose_dtype(device, dtype)
    waits = ["none", "model", "sequential"] if offload == "auto" else [offload]
    if device == "cpu":
        waits = ["none"]  # there is no other memory for parts to wait in
    for wait in waits:
        if wait != "sequential":
            yield usual, wait, False
        yield usual, wait, True
    if device == "cpu" and dtype == "auto":
        # Half as large and slower on most processors, but better than not at all.
        yield "bf16", "none", True


def _plan(
    entry: ModelEntry, weights: Weights, device: str, dtype: str, offload: str, tiles: bool, pixels: int, batch: int,
    free: int,
) -> Plan:  # fmt: skip
    """What this choice needs at its peak."""
    family, width = fitting.base(entry.family), BYTES[dtype]
    unet, vae, text = (numbers * width for numbers in (weights.unet, weights.vae, weights.text))
    steps = pixels * batch * UNET_PIXEL.get(family, 520) * width // 2
    # SDXL's VAE overflows in fp16 and decodes in single precision (diffusers#4325).
    upcast = 2 if family.startswith("sdxl") and dtype == "fp16" else 1
    shown = min(pixels, TILE * TILE) if tiles else pixels * batch
    decoding = shown * VAE_PIXEL * width // 2 * upcast
    if offload == "none":
        peak = unet + text + vae * upcast + max(steps, decoding)
    elif offload == "model":
        peak = max(unet + steps, vae * upcast + decoding, text)
    else:
        peak = LAYER + max(steps, decoding)
    kind = device.partition(":")[0]
    return Plan(device, dtype, offload, tiles, int(peak * SPARE) + CONTEXT.get(kind, 0), free)


def _said(plan: Plan) -> str:
    """The choice in a few words."""
    waits = {"none": "", "model": "parts take turns", "sequential": "layer by layer"}[plan.offload]
    return ", ".join(word for word in (plan.dtype, waits, "VAE in tiles" if plan.vae_tiling else "") if word)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"

"""What turns gradients into changes: a visible table, and the way the rate goes.

Each stands for the settings that its authors give for diffusion models. One that is not installed is told with the line
that installs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from diffusers.optimization import get_scheduler
from transformers.optimization import Adafactor

from generation.errors import BadSpec


def _adamw(groups: Sequence[Mapping[str, Any]], decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(list(groups), weight_decay=decay)


def _adamw8(groups: Sequence[Mapping[str, Any]], decay: float) -> torch.optim.Optimizer:
    """Dettmers et al. 2021, arXiv:2110.02861: state in 8 bits. NVIDIA alone."""
    if not torch.cuda.is_available():
        raise BadSpec("AdamW8bit works on an NVIDIA GPU alone", "Choose AdamW, or Adafactor where memory is short.")
    found: torch.optim.Optimizer = _needed("bitsandbytes").optim.AdamW8bit(list(groups), weight_decay=decay)
    return found


def _adafactor(groups: Sequence[Mapping[str, Any]], decay: float) -> torch.optim.Optimizer:
    """Shazeer and Stern 2018, arXiv:1804.04235, at the rate that is given."""
    return Adafactor(list(groups), scale_parameter=False, relative_step=False, warmup_init=False, weight_decay=decay)


def _prodigy(groups: Sequence[Mapping[str, Any]], decay: float) -> torch.optim.Optimizer:
    """Mishchenko and Defazio 2023, arXiv:2306.06101: finds the rate; what is given multiplies it and should be 1."""
    found: torch.optim.Optimizer = _needed("prodigyopt").Prodigy(
        list(groups), weight_decay=decay, decouple=True, use_bias_correction=True, safeguard_warmup=True
    )
    return found


OPTIMIZERS: dict[str, Callable[[Sequence[Mapping[str, Any]], float], torch.optim.Optimizer]] = {
    "AdamW": _adamw, "AdamW8bit": _adamw8, "Adafactor": _adafactor, "Prodigy": _prodigy,
}  # fmt: skip


def _needed(package: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise BadSpec(f"this optimizer needs the package {package}", f"Install it: pip install {package}.") from error


def build(groups: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], steps: int) -> tuple[Any, Any]:
    """(optimiser, schedule of its rates over `steps`). Raises `BadSpec` where the package is missing."""
    optimizer = OPTIMIZERS[settings["optimizer"]](groups, settings["weight_decay"])
    name = settings["scheduler"]
    if name == "constant" and settings["warmup"]:
        name = "constant_with_warmup"
    schedule = get_scheduler(name, optimizer, num_warmup_steps=settings["warmup"], num_training_steps=steps)
    return optimizer, schedule

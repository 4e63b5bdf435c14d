"""A1111's sampler names and what they are in diffusers. Names only: nothing is imported here.

A scheduler is always made from the checkpoint's own configuration with these arguments on top.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from generation.errors import UnknownSampler, nearest


@dataclass(frozen=True)
class SamplerChoice:
    """`name` as A1111 shows it, with its schedule behind it; `scheduler_class` and `arguments` for diffusers."""

    name: str
    scheduler_class: str
    arguments: dict[str, Any] = field(default_factory=dict)
    sampler: str = ""
    schedule: str = "Automatic"


_MULTI = "DPMSolverMultistepScheduler"
_SINGLE = "DPMSolverSinglestepScheduler"
# Base samplers; `final_sigmas_type` zero is their default.
BASES: dict[str, tuple[str, dict[str, Any]]] = {
    "DPM++ 2M": (_MULTI, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "DPM++ 2M SDE": (_MULTI, {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
    "DPM++ 3M SDE": (_MULTI, {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}),
    "DPM++ SDE": ("DPMSolverSDEScheduler", {}),
    "DPM++ 2S a": (_SINGLE, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "Euler a": ("EulerAncestralDiscreteScheduler", {}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "DPM2": ("KDPM2DiscreteScheduler", {}),
    "DPM2 a": ("KDPM2AncestralDiscreteScheduler", {}),
    "LMS": ("LMSDiscreteScheduler", {}),
    "UniPC": ("UniPCMultistepScheduler", {}),
    # Its own default clips latents to one, which a checkpoint whose file names another scheduler does not undo.
    "DDIM": ("DDIMScheduler", {"clip_sample": False}),
    "PLMS": ("PNDMScheduler", {"skip_prk_steps": True}),
    "DEIS": ("DEISMultistepScheduler", {}),
    "LCM": ("LCMScheduler", {}),
    "TCD": ("TCDScheduler", {}),
}
SCHEDULES: dict[str, dict[str, Any]] = {
    "Karras": {"use_karras_sigmas": True},
    "Exponential": {"use_exponential_sigmas": True},
    "Beta": {"use_beta_sigmas": True},
    "SGM Uniform": {"timestep_spacing": "trailing"},
    "Simple": {"timestep_spacing": "trailing"},
}
# Schedulers that take no sigmas of another kind: only the spacing of timesteps can change.
FIXED = frozenset({"Euler a", "DDIM", "PLMS", "LCM", "TCD"})


# And these take no other spacing.
UNSPACED = frozenset({"DPM++ 2S a"})


# Schedules that leave the scheduler's own timesteps as they are.
PLAIN = frozenset({"automatic", "uniform", "normal"})


def _build() -> dict[str, SamplerChoice]:
    table = {}
    for base, (scheduler, arguments) in BASES.items():
        table[base] = SamplerChoice(base, scheduler, arguments, base)
        for schedule, extra in SCHEDULES.items():
            if base in FIXED and "timestep_spacing" not in extra:
                continue
            if base in UNSPACED and "timestep_spacing" in extra:
                continue
            name = f"{base} {schedule}"
            table[name] = SamplerChoice(name, scheduler, {**arguments, **extra}, base, schedule)
    return table


TABLE = _build()
_FOLDED = {name.lower(): name for name in TABLE}


def names() -> list[str]:
    """Every name, the usual ones first."""
    first = [
        "Euler",
        "Euler a",
        "DPM++ 2M",
        "DPM++ 2M Karras",
        "DPM++ 2M SDE Karras",
        "UniPC",
        "DDIM",
    ]
    return [*first, *(name for name in TABLE if name not in first)]


def find(name: str, schedule: str = "") -> SamplerChoice:
    """The sampler of a name in any case, alone ("DPM++ 2M Karras") or with its schedule beside it.

    Raises `UnknownSampler` with the nearest name.
    """
    wanted, behind = name.strip(), schedule.strip()
    # Some tools write the schedule twice: in the name and beside it.
    if behind and behind.lower() not in PLAIN and not wanted.lower().endswith(f" {behind.lower()}"):
        wanted = f"{wanted} {behind}"
    if wanted.lower() not in _FOLDED:
        raise UnknownSampler(f'there is no sampler "{wanted}"', nearest(wanted, TABLE))
    return TABLE[_FOLDED[wanted.lower()]]


def to_a1111(name: str) -> tuple[str, str]:
    """("DPM++ 2M", "Karras") of "DPM++ 2M Karras": the two fields A1111 writes since 1.9."""
    choice = find(name)
    return choice.sampler, choice.schedule

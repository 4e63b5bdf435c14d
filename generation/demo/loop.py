"""A training loop that survives a kill: state saved every few minutes, atomically, and picked up again.

What a step does is its caller's; this module knows optimiser, schedule, running average and files.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

SAVE_EVERY = 180.0  # seconds


def save(path: Path, state: dict[str, Any]) -> None:
    """torch.save through a temporary name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


class Average:
    """Exponential moving average of modules' weights, faster at the beginning: min(decay, (1+n)/(10+n))."""

    def __init__(self, modules: Sequence[nn.Module], decay: float = 0.999) -> None:
        self.modules = [copy.deepcopy(m).requires_grad_(False) for m in modules]
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, modules: Sequence[nn.Module]) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for mine, theirs in zip(self.modules, modules):
            torch._foreach_lerp_(list(mine.parameters()), list(theirs.parameters()), 1 - decay)


def train(
    name: str,
    modules: Sequence[nn.Module],
    step: Callable[[int], torch.Tensor],
    *,
    steps: int,
    rate: float,
    folder: Path,
    groups: list[dict[str, Any]] | None = None,
    deadline: float | None = None,
    sample: Callable[[int, Average], None] | None = None,
    sample_every: int = 500,
) -> Average:
    """Run `step(n) -> loss` for `steps` steps of AdamW with warm-up and cosine decay, resuming from `folder`.

    `deadline` (seconds of this stage's running time, kept across resumes) bends the schedule: the rate falls by
    whichever of steps and time is further on, so that a slow machine still ends with a small one.
    """
    path = folder / f"{name}.state.pt"
    parameters: Any = groups or [p for m in modules for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    scale = [group["lr"] / rate for group in optimizer.param_groups]
    average = Average(modules)
    first, spent = 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        for module, mine, weights, averaged in zip(modules, average.modules, state["modules"], state["average"]):
            module.load_state_dict(weights)
            mine.load_state_dict(averaged)
        optimizer.load_state_dict(state["optimizer"])
        average.steps, first, spent = state["step"], state["step"], state["spent"]
        print(f"{name}: resumed at step {first}", flush=True)
    began = saved = time.monotonic()
    losses: list[float] = []

    def store(number: int) -> None:
        save(
            path,
            {
                "modules": [m.state_dict() for m in modules],
                "average": [m.state_dict() for m in average.modules],
                "optimizer": optimizer.state_dict(),
                "step": number,
                "spent": spent + time.monotonic() - began,
            },
        )

    number = first
    while number < steps:
        elapsed = spent + time.monotonic() - began
        share = max(number / steps, elapsed / deadline if deadline else 0.0)
        if share >= 1:
            break
        torch.manual_seed(number)
        factor = min(1.0, (number + 1) / 150) * max(0.01, 0.5 * (1 + torch.cos(torch.tensor(torch.pi * share)).item()))
        for group, part in zip(optimizer.param_groups, scale):
            group["lr"] = rate * factor * part
        loss = step(number)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"{name}: the loss became {loss.item()} at step {number}")
        loss.backward()
        nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(modules)
        number += 1
        losses.append(loss.item())
        if number % 50 == 0:
            pace = (spent + time.monotonic() - began) / number
            print(
                f"{name} {number}/{steps} loss {sum(losses[-50:]) / len(losses[-50:]):.4f} {pace:.2f} s/step",
                flush=True,
            )
        if sample is not None and number % sample_every == 0:
            sample(number, average)
        if time.monotonic() - saved > SAVE_EVERY:
            store(number)
            saved = time.monotonic()
    store(number)
    return average

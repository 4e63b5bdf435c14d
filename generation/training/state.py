"""A training's state on disk, whole or not there: weights, optimiser, rates, running average, losses.

Knows when a state belongs to the same training. Leaves when to save to `loop`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from generation.errors import BadSpec
from generation.training.watch import Watch

FILE = "training.state.pt"
BEST = "best.state.pt"
# What may differ between the two halves of a training: it changes no number.
FREE = frozenset({"state_every", "sample_every", "samples", "save_every", "save_every_epochs", "save_precision"})


class Named(Protocol):
    def named(self) -> dict[str, Tensor]: ...


class State:
    """`average_decay` above 0 keeps a running average beside the weights, which is what is validated and written."""

    def __init__(
        self,
        folder: Path,
        learner: Named,
        optimizer: torch.optim.Optimizer,
        rates: Any,
        watch: Watch,
        average_decay: float,
        identity: Mapping[str, Any],
    ) -> None:
        self._path, self._best = folder / FILE, folder / BEST
        self._learner, self._optimizer, self._rates, self._watch = learner, optimizer, rates, watch
        self._decay, self._identity = average_decay, dict(identity)
        self.saved = 0
        self._average = {n: t.detach().float().clone() for n, t in learner.named().items()} if average_decay else {}

    @torch.no_grad()
    def average(self, step: int) -> None:
        """Take a step's weights into the average; faster at first, or it would be of untrained ones for long."""
        if not self._average:
            return
        decay = min(self._decay, (step + 1) / (step + 10))
        for name, tensor in self._learner.named().items():
            self._average[name].lerp_(tensor.detach().float(), 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """While it holds, the learner has the averaged weights."""
        if not self._average:
            yield
            return
        own = {name: tensor.detach().clone() for name, tensor in self._learner.named().items()}
        put(self._learner, self._average)
        try:
            yield
        finally:
            put(self._learner, own)

    def settle(self) -> None:
        """The training is over: its result is the average, where one was kept."""
        if self._average:
            put(self._learner, self._average)

    def sound(self) -> bool:
        """Whether all weights are numbers."""
        return all(bool(torch.isfinite(tensor).all()) for tensor in self._learner.named().values())

    def save(self, step: int) -> None:
        if not self.sound():  # the state before stays
            return
        _write(
            self._path,
            {
                "weights": {name: tensor.detach() for name, tensor in self._learner.named().items()},
                "average": self._average,
                "optimizer": self._optimizer.state_dict(),
                "rates": {k: v for k, v in self._rates.state_dict().items() if isinstance(v, (int, float, list))},
                "watch": self._watch.to_json(),
                "step": step,
                "identity": self._identity,
            },
        )
        self.saved = step

    def keep_best(self) -> None:
        """The weights of now are the best so far."""
        with self.averaged():
            _write(self._best, {"weights": {n: t.detach() for n, t in self._learner.named().items()}})

    def resume(self) -> int:
        """The steps that were done before, 0 for a new training. Raises `BadSpec` for another training's state."""
        if not self._path.exists():
            return 0
        try:
            found = torch.load(self._path, weights_only=True, map_location="cpu")
            other = self._differs(found["identity"])
            if not other:
                put(self._learner, found["weights"])
                self._optimizer.load_state_dict(found["optimizer"])
                self._rates.load_state_dict({**self._rates.state_dict(), **found["rates"]})
                for name, value in found["average"].items():
                    self._average[name].copy_(value)
                self._watch.load(found["watch"])
                self.saved = int(found["step"])
        # A state of another version, or another file under this name, fails in many ways.
        except Exception as error:
            raise BadSpec(
                f"{self._path} is no state of this training", "Delete its folder to begin anew, or name another output."
            ) from error
        if other:
            raise BadSpec(
                f"a training to this output was begun with another {other}",
                f"Give the same to go on, name another output, or delete {self._path.parent} to begin anew.",
            )
        return self.saved

    def _differs(self, before: Mapping[str, Any]) -> str:
        """What of the training differs from the state's, in words."""
        for name in sorted({*before, *self._identity} - {"settings"}):
            if before.get(name) != self._identity.get(name):
                return name.replace("_", " ")
        old, new = before.get("settings", {}), self._identity.get("settings", {})
        for name in sorted({*old, *new} - FREE):
            if old.get(name) != new.get(name):
                return f"{name.replace('_', ' ')} ({old.get(name)} instead of {new.get(name)})"
        return ""

    def roll_back(self) -> int:
        """The weights of the last save, or of the beginning where there was none and they are sound; its step."""
        if self._path.exists():
            found = torch.load(self._path, weights_only=True, map_location="cpu")
            put(self._learner, found["weights"])
        return self.saved


def best(folder: Path, learner: Named) -> bool:
    """Put the weights of the best step into the learner; False where none were kept."""
    try:
        put(learner, torch.load(folder / BEST, weights_only=True, map_location="cpu")["weights"])
    except FileNotFoundError:
        return False
    return True


@torch.no_grad()
def put(learner: Named, weights: Mapping[str, Tensor]) -> None:
    """Give the learner's tensors other values. Raises `KeyError` for tensors of another learner."""
    own = learner.named()
    if own.keys() != weights.keys():
        raise KeyError("other tensors")
    for name, tensor in own.items():
        tensor.copy_(weights[name])


def _write(path: Path, state: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        torch.save(dict(state), temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        raise BadSpec(f"{path} cannot be written: {error}", "Make room on the disk, then start again.") from error
    finally:
        temporary.unlink(missing_ok=True)

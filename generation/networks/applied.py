"""Networks put into a pipeline's weights, and taken out again to the bit.

The weights themselves change, as in A1111: a render costs nothing more a step, and every pipeline that shares the
modules sees it. Before a tensor is first changed it is kept on the CPU as it was, and every later state is computed
from there, so that no rounding adds up. Leaves reading to `files` and the equations to `deltas`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from generation.catalogue import ModelEntry
from generation.errors import BadWeights
from generation.networks.deltas import Layer, bias_delta, delta, has_bias, unscaled
from generation.networks.files import FOREIGN, Files, Network
from generation.networks.keys import UNET
from generation.networks.modules import Slot, base_of, by_name, working_format
from generation.networks.named import LORA_FILES, USABLE, Use

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
FILES = Files()
REPORTED = 64  # tensors between two reports
CHOOSE = "Leave its name out of the prompt, or choose a model of its family."


class Step(NamedTuple):
    """A layer of a network at a strength; `rank` keeps a LoRA's first directions, None all."""

    layer: Layer
    strength: float
    rank: int | None


Plan = dict[Slot, tuple[Step, ...]]


class Applied:
    """The networks in a pipeline's weights. `family` is what the model is called in messages."""

    def __init__(self, pipe: Any, family: str, files: Files = FILES) -> None:
        self._pipe = pipe
        self._family = family
        self._files = files
        self._modules: dict[str, nn.Module] = {}
        self._uses: tuple[Use, ...] = ()
        self._stamps: tuple[Any, ...] = ()
        self._placed: Plan = {}
        self._originals: dict[Slot, Tensor] = {}

    @property
    def uses(self) -> tuple[Use, ...]:
        """What was asked for last and is in place."""
        return self._uses

    def set(self, uses: Sequence[Use], *, report: Report = lambda event: None, check: Check = lambda: None) -> bool:
        """Bring the weights to base + the networks of `uses` in their order; the same one twice counts twice.

        True where a text encoder changed: prompts encoded before are then out of date. Nothing is done where the same
        is in place; a network of strength 0 is not even read. A change that depends on the weight (DoRA, OFT, (IA)^3)
        sees what the networks before it have left. Raises `BadWeights`, or what `check` raises, with the former state
        in place: everything is matched and measured before the first weight changes, and a change cut short is undone.
        """
        active = [use for use in uses if use.unet or use.text]
        stamps = tuple((use, self._files.stamp(_path(use.entry))) for use in active)
        if stamps == self._stamps:
            self._uses = tuple(uses)
            return False
        plan = self._plan(active, report, check)
        try:
            changed = self._bring(plan, report, check)
        except BaseException:
            if not self._placed:  # the base, where not even the former sums could be made again
                self._uses, self._stamps = (), ()
            raise
        self._uses, self._stamps = tuple(uses), stamps
        return changed

    def clear(self) -> None:
        """The base's own weights again, to the bit."""
        self.set(())

    def _plan(self, uses: Sequence[Use], report: Report, check: Check) -> Plan:
        """What to add to which tensor. Raises `BadWeights` where a network is not for this model."""
        if uses and not self._modules:
            self._modules = by_name(self._pipe)
        plan: Plan = {}
        read: dict[str, tuple[Network, dict[str, nn.Module]]] = {}
        notes = []
        for use in uses:
            check()
            if use.entry.path not in read:
                report({"kind": "progress", "stage": "networks", "done": 0, "total": None, "message": use.entry.name})
                network = self._files.get(_path(use.entry))
                read[use.entry.path] = network, self._matched(use.entry.name, network, check)
                notes += _notes(use.entry.name, network, len(read[use.entry.path][1]))
            network, modules = read[use.entry.path]
            for place, module in modules.items():
                part, layer = place.partition(".")[0], network.layers[place]
                step = Step(layer, use.unet if part == UNET else use.text, use.rank)
                if not step.strength:
                    continue
                names = [] if layer.method == "bias" else ["weight"]
                for name in [*names, "bias"] if has_bias(layer) else names:
                    slot = Slot(part, module, name)
                    plan[slot] = (*plan.get(slot, ()), step)
        for note in notes:
            report({"kind": "note", "message": note})
        return plan

    def _matched(self, name: str, network: Network, check: Check) -> dict[str, nn.Module]:
        """Place -> module of the layers that this model has. Raises `BadWeights` where one does not fit."""
        mine = base_of(self._pipe)
        wrong = BadWeights(
            f'the network "{name}" is made for {network.base}, and this model is {self._family or mine or "another"}',
            CHOOSE,
        )
        if network.base and (network.base in FOREIGN.values() or (mine and network.base != mine)):
            raise wrong
        found = {place: self._modules[place] for place in network.layers if place in self._modules}
        if not found:
            if network.base:
                raise wrong
            raise BadWeights(f'the network "{name}" has no layer of this model', CHOOSE)
        measured: set[Any] = set()
        for place, module in found.items():
            check()
            try:
                _measure(network.layers[place], module, measured)
            except (ValueError, RuntimeError) as error:
                if network.base and network.base != mine:
                    raise wrong from error
                reason = str(error) if isinstance(error, ValueError) else _shapes(network.layers[place], module)
                raise BadWeights(
                    f'the network "{name}" does not fit this model at {place}: {reason}', CHOOSE
                ) from error
        return found

    def _bring(self, plan: Plan, report: Report, check: Check) -> bool:
        """Change the tensors whose steps are not those in place; True where one is of a text encoder."""
        before = dict(self._placed)
        slots = [slot for slot in {**before, **plan} if before.get(slot) != plan.get(slot)]
        for slot in slots:
            slot.tensor()  # not in memory: told before anything changes
        done: list[Slot] = []
        try:
            for number, slot in enumerate(slots):
                check()
                if number % REPORTED == 0:
                    report({"kind": "progress", "stage": "networks", "done": number, "total": len(slots)})
                done.append(slot)
                self._put(slot, plan.get(slot, ()))
        except BaseException:
            try:
                for slot in done:
                    self._put(slot, before.get(slot, ()))
            except RuntimeError:  # no memory left for sums: the base needs none
                for slot in list(self._originals):
                    self._put(slot, ())
            raise
        return any(slot.part != UNET for slot in slots)

    @torch.no_grad()
    def _put(self, slot: Slot, steps: tuple[Step, ...]) -> None:
        """Bring one tensor to its original with `steps` added; without steps to the original itself."""
        live = slot.tensor()
        if not steps:
            if slot in self._originals:
                live.copy_(self._originals.pop(slot))
            self._placed.pop(slot, None)
            return
        if slot not in self._originals:
            self._originals[slot] = live.detach().to("cpu", copy=True)
        original = self._originals[slot]
        try:
            value = _sum(original.to(live.device), slot.name, steps)
        except torch.OutOfMemoryError:
            value = _sum(original, slot.name, steps)
        live.copy_(value)
        self._placed[slot] = steps


def _path(entry: ModelEntry) -> Path:
    """Where the network lies. Raises `BadWeights` for what is none, or is known not to be readable."""
    if entry.problem not in USABLE:
        raise BadWeights(f"the network {entry.path} cannot be used: {entry.problem}", "Choose another file.")
    if entry.kind not in {*LORA_FILES, "unknown"}:
        raise BadWeights(f"{entry.name} is not a LoRA but a {entry.kind}", "Name a LoRA or LyCORIS there.")
    return Path(entry.path)


def _notes(name: str, network: Network, matched: int) -> list[str]:
    """What of a network is not used, for the person."""
    notes = []
    missing = len(network.layers) - matched
    if missing:
        notes.append(f"{missing} of {len(network.layers)} layers of {name} have no place in this model")
    if network.embeddings:
        notes.append(f"{name} also holds the embeddings {', '.join(network.embeddings)}, which are not used")
    return notes


def _shapes(layer: Layer, module: nn.Module) -> str:
    weight = module._parameters["weight"]
    assert weight is not None
    sides = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in layer.tensors.items())
    return f"{sides} for a weight of {list(weight.shape)}"


def _measure(layer: Layer, module: nn.Module, measured: set[Any]) -> None:
    """Try the layer's sums on shapes alone, once for each kind of layer. Raises ValueError or RuntimeError."""
    weight, bias = (module._parameters.get(name) for name in ("weight", "bias"))
    assert weight is not None
    shapes = tuple((name, tuple(tensor.shape)) for name, tensor in layer.tensors.items())
    kind = (shapes, tuple(weight.shape), bias is None or tuple(bias.shape))
    if not weight.is_floating_point():
        raise ValueError("the model's weights are quantised")
    if kind in measured:
        return
    delta(layer, torch.empty(weight.shape, device="meta"))
    if has_bias(layer):
        if bias is None:
            raise ValueError("there is no bias")
        bias_delta(layer, torch.empty(bias.shape, device="meta"))
    measured.add(kind)


def _sum(original: Tensor, name: str, steps: Sequence[Step]) -> Tensor:
    """The original with `steps` added one by one, in fp32."""
    value = original.to(working_format(original), copy=True)
    for step in steps:
        if name == "weight":
            change, scale = unscaled(step.layer, value, step.rank)
        else:
            change, scale = bias_delta(step.layer, value), 1.0
        value.add_(change, alpha=step.strength * scale)
    return value

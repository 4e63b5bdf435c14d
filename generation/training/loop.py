"""The one loop of training: batches to gradients to weights, watched, saved, and gone on with to the same bits.

What learns is a `Learner`; what is learned from are `Examples`. Everything random depends on the seed and the step's
number, so that a training that was killed ends as one that was not (bit-equal on a CPU). Several processes (accelerate)
take their own batches and share the mean of their gradients. Leaves loading, samples and files to `running`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from diffusers import DDPMScheduler
from torch import Tensor

from generation.training import TrainingFailed, objective, optimizers
from generation.training.examples import Batch, Examples
from generation.training.state import State
from generation.training.watch import Watch

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
SAID_EVERY = 0.5  # seconds


class Learner(Protocol):
    """What is trained: its parameters by part, all its tensors by name, and how it is written."""

    def groups(self) -> list[dict[str, Any]]: ...

    def named(self) -> dict[str, Tensor]: ...

    def write(self, path: Path, metadata: Mapping[str, str]) -> list[Path]: ...


@dataclass
class Run:
    """What a training ended with after `steps` steps, the history of losses in `watch`."""

    steps: int
    seconds: float
    watch: Watch


@dataclass
class Loop:
    """A training's parts. `priors` are pictures of the class, `held` those kept aside; `every(step)` is called after a
    step, with the averaged weights in place where there are any: samples and files are made there."""

    learner: Learner
    unet: Any
    scheduler: Any
    examples: Examples
    settings: Mapping[str, Any]
    steps: int
    folder: Path
    accelerator: Accelerator
    priors: Examples | None = None
    held: Examples | None = None
    every: Callable[[int], None] = lambda step: None
    wants: Callable[[int], bool] = lambda step: False
    report: Report = lambda event: None
    check: Check = lambda: None
    identity: dict[str, Any] = field(default_factory=dict)
    frames: int = 1  # pictures of a clip, which follow each other in a batch

    def run(self) -> Run:
        """Train. Raises `TrainingFailed` for a loss or weights that are no numbers, with the last good state in place;
        whatever `check` raises, with the state saved; `BadSpec` where the folder holds another training's state."""
        settings, accelerator = self.settings, self.accelerator
        groups = self.learner.groups()
        optimizer, rates = optimizers.build(groups, settings, self.steps)
        prepared = accelerator.prepare_optimizer(optimizer)
        schedule = DDPMScheduler.from_config(self.scheduler)
        watch = Watch()
        state = State(self.folder, self.learner, optimizer, rates, watch, settings["average_decay"], self.identity)
        done = state.resume()
        if done:
            self.report({"kind": "note", "message": f"goes on at step {done} of {self.steps}"})
        validate = settings["validate_every"] or max(self.steps // 20, 1)
        if self.held is not None and not done:
            self._validate(0, schedule, watch)
        self.unet.train()
        began = said = time.monotonic()
        for step in range(done, self.steps):
            try:
                self.check()
            except BaseException:
                # Steps may take minutes: what was learned since the last save is not thrown away.
                self._save(state, step)
                raise
            frozen = bool(settings["text_steps"]) and step >= settings["text_steps"]
            for group in groups:
                if group["part"] != "unet":
                    for parameter in group["params"]:
                        parameter.requires_grad_(not frozen)
            loss, batch = self._gradients(step, schedule)
            if not math.isfinite(loss):
                self._stop(state, step, f"the loss became {loss}", batch)
            parameters = [p for group in groups for p in group["params"] if p.grad is not None]
            self._shared(parameters)
            if settings["max_grad_norm"]:
                accelerator.unscale_gradients(prepared)
                norm = float(torch.nn.utils.clip_grad_norm_(parameters, settings["max_grad_norm"]))
                # In half precision the scaler skips such a step by itself and goes on with a smaller scale.
                if not math.isfinite(norm) and accelerator.scaler is None:
                    self._stop(state, step, "the gradients are no numbers", batch)
            prepared.step()
            rates.step()
            optimizer.zero_grad(set_to_none=True)
            state.average(step)
            watch.loss(step + 1, loss)
            last = step + 1 == self.steps
            if last and not state.sound():
                self._stop(state, step, "the weights are no numbers any more", batch)
            if self.held is not None and ((step + 1) % validate == 0 or last):
                with state.averaged():
                    self._validate(step + 1, schedule, watch)
                if watch.best == step + 1:
                    state.keep_best()
            now = time.monotonic()
            if now - said > SAID_EVERY or last:
                said = now
                left = (self.steps - step - 1) * (now - began) / (step + 1 - done)
                rate = rates.get_last_lr()[0]
                self.report(
                    {"kind": "progress", "stage": "training", "done": step + 1, "total": self.steps,
                     "message": f"loss {watch.smooth:.4f}", "seconds_left": round(left, 1)}
                )  # fmt: skip
                self.report(
                    {"kind": "loss", "step": step + 1, "loss": watch.smooth, "validation": watch.latest, "rate": rate}
                )
            if (step + 1) % settings["state_every"] == 0 or last or self.wants(step + 1):
                self._save(state, step + 1)
            if self.wants(step + 1) and accelerator.is_main_process:
                with state.averaged():
                    self.unet.eval()
                    self.every(step + 1)
                    self.unet.train()
            accelerator.wait_for_everyone()
        self.unet.eval()
        state.settle()
        return Run(self.steps, time.monotonic() - began, watch)

    def _gradients(self, step: int, schedule: Any) -> tuple[float, Batch]:
        """Add up the gradients of a step; (mean loss, its last batch)."""
        settings, accelerator = self.settings, self.accelerator
        rank, ranks = accelerator.process_index, accelerator.num_processes
        parts = settings["accumulate"]
        total = 0.0
        for part in range(parts):
            number = (step * parts + part) * ranks + rank
            # Dropout draws from the global generator.
            torch.manual_seed(settings["seed"] * 1_000_003 + number)
            with accelerator.autocast():
                batch = self.examples.batch(number, step)
                loss = self._loss(batch, schedule, number)
            if self.priors is not None and settings["prior_weight"]:
                # In a batch of its own: it lies in another bucket. The sum is that of Ruiz et al. 2022, equation 2.
                accelerator.backward(loss / parts)
                with accelerator.autocast():
                    prior = self.priors.batch(number, step)
                    kept = self._loss(prior, schedule, number + 2**31) * settings["prior_weight"]
                accelerator.backward(kept / parts)
                loss = loss.detach() + kept.detach()
            else:
                accelerator.backward(loss / parts)
            total += float(loss.detach()) / parts
        return total, batch

    def _loss(self, batch: Batch, schedule: Any, number: int) -> Tensor:
        settings = self.settings
        return objective.loss(
            self.unet,
            schedule,
            batch,
            batch.texts,
            seed=(settings["seed"] * 1_000_003 + number) % 2**63,
            device=self.accelerator.device,
            gamma=settings["min_snr_gamma"],
            offset=settings["noise_offset"],
            frames=self.frames,
            bias=settings["timestep_bias"],
        ).mean()

    def _shared(self, parameters: Sequence[Tensor]) -> None:
        """Several processes: each goes on with the mean of all their gradients."""
        if self.accelerator.num_processes == 1:
            return
        for parameter in parameters:
            parameter.grad = self.accelerator.reduce(parameter.grad, "mean")

    def _validate(self, step: int, schedule: Any, watch: Watch) -> None:
        assert self.held is not None
        self.unet.eval()
        with torch.no_grad(), self.accelerator.autocast():
            found = objective.validation(self.unet, schedule, self.held.all(), device=self.accelerator.device)
        self.unet.train()
        if (told := watch.validated(step, found)) and self.accelerator.is_main_process:
            self.report({"kind": "note", "message": told})

    def _save(self, state: State, step: int) -> None:
        if self.accelerator.is_main_process:
            state.save(step)

    def _stop(self, state: State, step: int, what: str, batch: Batch) -> None:
        """Put the last saved weights back and say what may be the cause."""
        kept = state.roll_back()
        names = ", ".join(picture.path.name for picture in batch.pictures[:3])
        settings = self.settings
        if not bool(torch.isfinite(batch.texts.embeds).all()):
            why = f"the text of {names} is no number: train in fp32 or bf16"
        elif settings["precision"] == "fp16":
            why = "numbers overflow in fp16: train with precision bf16 or fp32"
        else:
            why = f"a rate of {max(settings['rate'], settings['text_rate']):g} is too high: lower it to a tenth"
        raise TrainingFailed(
            f"{what} at step {step + 1} (pictures: {names}); the weights of step {kept} are kept", f"{why}."
        )


def accelerated(device: str, precision: str) -> Accelerator:
    """accelerate's hand on device, number format and processes; `precision` "fp32", "bf16" or "fp16"."""
    # It is one for the process, and refuses another number format than that of a training before.
    AcceleratorState._reset_state(reset_partial_state=False)
    return Accelerator(cpu=device == "cpu", mixed_precision={"fp32": "no"}.get(precision, precision))

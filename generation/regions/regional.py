"""Regional prompts: each part of the picture follows its own text, all in one diffusion.

At every step the UNet is asked about the whole picture's prompt and about each region's, for the same latents, and the
answers are joined pixel by pixel by soft masks (MultiDiffusion: Bar-Tal et al. 2023, arXiv:2302.08113, equation 5, with
one window the size of the picture). What is read is the prediction for the text alone, so that guidance, masks of
inpainting, control and references act on the joined answer as on any. Leaves places to `places`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter

from generation.conditioning import Conditioning, Plan
from generation.errors import BadSpec
from generation.pictures import read_mask
from generation.prompts.grammar import parse
from generation.regions import places
from generation.stage import Stage

FINE = 16  # points a latent's side is drawn with before it is averaged: a box may end inside a latent


@dataclass
class Region:
    """A text over the steps and where it holds: `shape` is a mask of 0..255 at any size, or a box in 0..1."""

    plan: Plan
    shape: Image.Image | places.Box
    weight: float
    soft: float

    def mask(self, height: int, width: int) -> np.ndarray:
        """[height, width] float32 in 0..1; its edge is softened over `soft` of the shorter side."""
        if isinstance(self.shape, Image.Image):
            drawn = self.shape.resize((width, height), Image.Resampling.BOX)
        else:
            fine = Image.new("L", (width * FINE, height * FINE))
            left, top, right, bottom = self.shape
            sides = (left * fine.width, top * fine.height, right * fine.width, bottom * fine.height)
            fine.paste(255, tuple(round(side) for side in sides))  # type: ignore[arg-type]
            drawn = fine.resize((width, height), Image.Resampling.BOX)
        if self.soft:
            drawn = drawn.filter(ImageFilter.GaussianBlur(self.soft * min(height, width)))
        return np.asarray(drawn, dtype=np.float32) / 255


@contextmanager
def attach(stage: Stage) -> Iterator[None]:
    """While it holds, the stage's loop asks about each of the spec's regions. Raises `BadSpec`, `BadImage`."""
    regions = [_region(stage, told) for told in stage.spec.regions]
    base = float(stage.spec.modifiers.get("base_weight", 0.2))
    progress = [0.0]

    def follow(rows: Any, timestep: Any, texts: Any, added: Any, share: float) -> dict[str, Any]:
        progress[0] = share
        return {}

    def wrap(inner: Any) -> Regional:
        return Regional(inner, stage.unet, regions, base, stage.batch, stage.spec.steps or 1, progress)

    stage.steering.append(follow)
    stage.around.append(wrap)
    try:
        yield
    finally:
        stage.steering.remove(follow)
        stage.around.remove(wrap)


def _region(stage: Stage, told: dict[str, Any]) -> Region:
    if bool(told["mask"]) == bool(told["place"].strip()):
        raise BadSpec(
            f'the region "{told["prompt"]}" needs a place or a mask, and not both',
            "Give place (left, top right, row 1 of 2, 0,0,0.5,1) or mask (a picture).",
        )
    if parse(told["prompt"]).networks:
        raise BadSpec(
            f'the region "{told["prompt"]}" names a network', "Networks act on the whole: name them in the prompt."
        )
    shape: Any = read_mask(told["mask"]) if told["mask"] else places.box(told["place"])
    if isinstance(shape, Image.Image) and shape.getbbox() is None:
        raise BadSpec(f"the mask {told['mask']} is black everywhere", "Paint white where the region is.")
    spec = stage.spec
    plan = stage.tools.conditioner.plan(told["prompt"], "", spec.steps or 1, spec.clip_skip, spec.weighting)
    if plan.composed:
        raise BadSpec(
            f'the region "{told["prompt"]}" is composed of several texts',
            "AND and a trailing weight belong into the prompt; give the region a weight of its own.",
        )
    return Region(plan, shape, told["weight"], told["soft"])


def fields(masks: Sequence[np.ndarray], weights: Sequence[float], base: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """(the share of the whole's prompt, that of each region), [height, width] each; they sum up to 1 everywhere.

    Where regions lie over each other they share by weight; inside them the whole's prompt keeps `base`, outside all.
    """
    strong = np.stack([min(weight, 1.0) * mask for mask, weight in zip(masks, weights, strict=True)])
    pull = np.stack([weight * mask for mask, weight in zip(masks, weights, strict=True)])
    among = pull / np.maximum(pull.sum(0), 1e-6)
    covered = strong.max(0) * (1 - base) * (pull.sum(0) > 0)
    return 1 - covered * among.sum(0), [covered * share for share in among]


class Regional:
    """What the loop asks instead of the UNet: it answers for the rows of the text with all regions joined."""

    def __init__(
        self,
        inner: Any,
        unet: Any,
        regions: Sequence[Region],
        base: float,
        batch: int,
        steps: int,
        progress: list[float],
    ) -> None:
        self.config = unet.config
        self._inner, self._unet, self._regions = inner, unet, regions
        self._base, self._batch, self._steps, self._progress = base, batch, steps, progress
        self._fields: dict[tuple[int, int], tuple[torch.Tensor, list[torch.Tensor]]] = {}

    def __call__(self, rows: torch.Tensor, timestep: Any, *, return_dict: bool = False, **named: Any) -> Any:
        count = len(rows)
        # A UNet takes residuals of adapters out of the very list it is given.
        own = {name: list(value) if isinstance(value, list) else value for name, value in named.items()}
        predicted = self._inner(rows, timestep, return_dict=False, **named)[0]
        base, shares = self._shares(predicted)
        text = predicted[-self._batch :]
        joined = base * text
        step = int(self._progress[0] * self._steps + 1e-6)
        last = {name: _last(value, count, self._batch) for name, value in own.items()}
        for region, share in zip(self._regions, shares, strict=True):
            told = self._told(region.plan.at(step), last, text)
            # Asked past the hooks that compose several prompts (AND): they belong to the whole's.
            found = self._unet.forward(rows[-self._batch :], timestep, return_dict=False, **told)[0]
            joined = joined + share * found
        return (torch.cat([predicted[: -self._batch], joined]),)

    def _told(self, text: Conditioning, named: dict[str, Any], like: torch.Tensor) -> dict[str, Any]:
        def repeated(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(like.device, like.dtype).repeat(self._batch, *[1] * (tensor.dim() - 1))

        found = {**_copied(named), "encoder_hidden_states": repeated(text.positive)}
        if text.positive_pooled is not None and found.get("added_cond_kwargs"):
            found["added_cond_kwargs"] = {**found["added_cond_kwargs"], "text_embeds": repeated(text.positive_pooled)}
        return found

    def _shares(self, like: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        size = (like.shape[-2], like.shape[-1])
        if size not in self._fields:
            masks = [region.mask(*size) for region in self._regions]
            base, shares = fields(masks, [region.weight for region in self._regions], self._base)
            made = [torch.from_numpy(share)[None, None].to(like.device, like.dtype) for share in (base, *shares)]
            self._fields[size] = (made[0], made[1:])
        return self._fields[size]


def _last(value: Any, rows: int, batch: int) -> Any:
    """Of everything that has a row for each of the UNet's, the last `batch`: those of the text."""
    if isinstance(value, dict):
        return {name: _last(inner, rows, batch) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_last(inner, rows, batch) for inner in value)
    if isinstance(value, torch.Tensor) and value.dim() and value.shape[0] == rows:
        return value[-batch:]
    return value


def _copied(named: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, list) else value for name, value in named.items()}

"""A refiner: another model predicts the last steps of the same diffusion (Podell et al. 2023, arXiv:2307.01952, 2.5).

Both share the latents and the sampler, so that nothing is decoded or noised in between. The refiner reads the same
prompt with its own text encoders; regions, references, control and networks act on the base alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from generation import fitting
from generation.catalogue import ModelEntry
from generation.conditioning import Conditioner, Plan
from generation.errors import BadSpec
from generation.loading import load
from generation.prompts.tokens import ClipTokenizer
from generation.stage import Stage

# Scores of aesthetics that SDXL's refiner is told for the negative and the positive prompt.
SCORES = (2.5, 6.0)
KEPT = "refiner"


@contextmanager
def refining(stage: Stage, name: str, switch: float) -> Iterator[None]:
    """While it holds, the model `name` is asked from the share `switch` of the steps on.

    It stays in memory beside the base until another one is asked for. Raises `UnknownModel`, and `BadSpec` or
    `BadWeights` for one whose latents or prediction differ from the base's, before it is loaded.
    """
    entry = stage.tools.catalogue.find(name)
    fitting.require(entry, *fitting.MODELS)
    refuse(entry, stage.tools.entry)
    pipe, conditioner = _loaded(stage, entry)
    spec = stage.spec
    plan = conditioner.plan(spec.prompt, spec.negative, spec.steps or 1, spec.clip_skip, spec.weighting)
    progress = [0.0]

    def follow(rows: Any, timestep: Any, texts: Any, added: Any, share: float) -> dict[str, Any]:
        progress[0] = share
        return {}

    def wrap(inner: Any) -> Refined:
        return Refined(inner, pipe.unet, plan, stage, switch, progress)

    stage.steering.append(follow)
    stage.around.append(wrap)
    try:
        with plan.composing(pipe.unet, stage.batch):
            yield
    finally:
        stage.steering.remove(follow)
        stage.around.remove(wrap)


def refuse(entry: ModelEntry, base: ModelEntry) -> None:
    """Raises `BadSpec` where the refiner's latents or what it predicts are not the base's."""
    one, other = (fitting.base(family).removesuffix("-refiner") for family in (entry.family, base.family))
    if one != other or (entry.prediction or "epsilon") != (base.prediction or "epsilon"):
        names = [fitting.NAMES.get(fitting.base(e.family), e.family) for e in (entry, base)]
        what = "" if one != other else ", and predicts something else"
        raise BadSpec(
            f"{entry.name} ({names[0]}) cannot refine {base.name} ({names[1]}){what}",
            "Choose a refiner of the same family.",
        )


def _loaded(stage: Stage, entry: ModelEntry) -> tuple[Any, Conditioner]:
    kept = stage.tools.kept
    if KEPT not in kept or kept[KEPT][0] != entry.path:
        stage.report({"kind": "progress", "stage": "loading", "done": 0, "total": None, "message": entry.name})
        kept.pop(KEPT, None)
        pipe = load(entry, str(stage.device), stage.unet.dtype)
        folder = Path(entry.path) / "tokenizer"
        tokenizer = ClipTokenizer.load(folder if (folder / "vocab.json").is_file() else None)
        embeddings = [found for found in stage.tools.catalogue.entries() if found.kind == "embedding"]
        kept[KEPT] = (entry.path, pipe, Conditioner(pipe, tokenizer, embeddings, entry.family))
    return kept[KEPT][1], kept[KEPT][2]


class Refined:
    """What the loop asks: what it asked before, and from the switch on the refiner."""

    def __init__(self, inner: Any, unet: Any, plan: Plan, stage: Stage, switch: float, progress: list[float]) -> None:
        self.config = inner.config
        self._inner, self._unet, self._plan = inner, unet, plan
        self._batch, self._steps, self._pixels = stage.batch, stage.spec.steps or 1, stage.tools.autoencoder.factor
        self._switch, self._progress = switch, progress

    def __call__(self, rows: torch.Tensor, timestep: Any, **named: Any) -> Any:
        if self._progress[0] < self._switch:
            return self._inner(rows, timestep, **named)
        self._plan.step = int(self._progress[0] * self._steps + 1e-6)
        told = self._plan.at(self._plan.step)
        groups = len(rows) // self._batch
        pair = [(told.negative, told.negative_pooled), (told.positive, told.positive_pooled)][2 - groups :]

        def many(tensors: list[torch.Tensor]) -> torch.Tensor:
            return torch.cat([one.repeat(self._batch, *[1] * (one.dim() - 1)) for one in tensors]).to(rows)

        added = None
        pooled = [one for _, one in pair if one is not None]
        if pooled:
            ids = [self._ids(rows, score) for score in SCORES[2 - groups :]]
            added = {"text_embeds": many(pooled), "time_ids": many(ids)}
        # What an inpainting UNet gets beside the latents is not for the refiner.
        latents = rows[:, : self._unet.config.in_channels]
        texts = many([embeds for embeds, _ in pair])
        return self._unet(latents, timestep, encoder_hidden_states=texts, added_cond_kwargs=added, return_dict=False)

    def _ids(self, rows: torch.Tensor, score: float) -> torch.Tensor:
        """[1, 5]: the original's height and width, the crop's corner, the score; [1, 6] for one made as the base."""
        config = self._unet.config
        height, width = (self._pixels * side for side in rows.shape[-2:])
        numbers = [height, width, 0, 0]
        pooled = self._pooled_width()
        wanted = (config.projection_class_embeddings_input_dim - pooled) // config.addition_time_embed_dim
        return torch.tensor([numbers + ([score] if wanted == 5 else [height, width])], dtype=torch.float32)

    def _pooled_width(self) -> int:
        pooled = self._plan.at(self._plan.step).positive_pooled
        assert pooled is not None
        return int(pooled.shape[-1])

"""Prompts -> the tensors a pipeline is conditioned on, step by step.

Chunks come from `prompts.chunks`. Compel gets each as one `FlattenedPrompt`, never raw text: its own syntax would
misread A1111's silently; the other weighting is `weighting`'s. What changes between steps is `prompts.schedule`'s to
say; here every text is encoded once, and `Plan` gives the tensors of a step. Several positive prompts (AND) are
composed in the UNet's prediction (Liu et al. 2022, arXiv:2206.01714). Leaves the loop of steps to the pipeline.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from compel import Compel, ReturnedEmbeddingsType
from compel.embeddings_provider import EmbeddingsProvider
from compel.prompt_parser import Conjunction, FlattenedPrompt

from generation import weighting
from generation.catalogue import ModelEntry
from generation.embeddings import Embeddings, PlacingHuggingFace, PlacingTokenizer
from generation.prompts.chunks import PromptChunk, chunk
from generation.prompts.grammar import NETWORK
from generation.prompts.schedule import composition, schedule
from generation.prompts.tokens import ClipTokenizer

REMEMBERED = 96  # texts; one of Stable Diffusion 1 takes 0.24 MB a chunk in single precision


@dataclass(frozen=True)
class Conditioning:
    """Tensors of one prompt pair: [1, 77 * chunks, width] each; the pooled ones [1, width] for SDXL alone."""

    positive: torch.Tensor
    negative: torch.Tensor
    positive_pooled: torch.Tensor | None = None
    negative_pooled: torch.Tensor | None = None


@dataclass(frozen=True)
class Encoded:
    """One text: `embeds` [1, 77 * chunks, width], and for SDXL `pooled` [1, projection]."""

    embeds: torch.Tensor
    pooled: torch.Tensor | None = None

    def padded(self, length: int, empty: Encoded) -> Encoded:
        """The same, `length` positions long: the empty prompt's chunks behind it."""
        made = padded(self.embeds, length, empty.embeds)
        return self if made is self.embeds else Encoded(made, self.pooled)


def padded(embeds: torch.Tensor, length: int, empty: torch.Tensor) -> torch.Tensor:
    """[1, length, width]: the tensor with as many chunks of the empty prompt behind it as it lacks; itself for none."""
    missing = (length - embeds.shape[1]) // empty.shape[1]
    return torch.cat([embeds, *[empty] * missing], 1) if missing else embeds


@dataclass(frozen=True)
class Timeline:
    """A prompt over the steps: `entries` [(end, text's encoding), ...] as `prompts.schedule` counts, and its weight."""

    entries: tuple[tuple[int, Encoded], ...]
    weight: float = 1.0

    def at(self, step: int) -> Encoded:
        """What holds at `step`, counted from 0: an entry holds for the steps before its end, the last for the rest."""
        return next((found for end, found in self.entries if step < end), self.entries[-1][1])


class Plan:
    """The conditioning of one render, step by step: what the pipeline begins with, and what changes on the way.

    `total` steps are counted in evaluations of the model, as A1111 does: a sampler of second order takes two a step.
    Whoever runs the loop sets `step` to the one that comes next.
    """

    def __init__(self, parts: Sequence[Timeline], negative: Timeline, empty: Encoded) -> None:
        # A part of weight 0 adds nothing to the sum; leaving it out leaves the others' bits alone.
        kept = [part for part in parts if part.weight != 0] or list(parts[:1])
        self.parts = tuple(kept)
        self.negative = negative
        self._empty = empty
        self.composed = len(self.parts) > 1 or self.parts[0].weight != 1
        self.edited = any(len(timeline.entries) > 1 for timeline in (*self.parts, negative))
        self.step = 0
        self._last: tuple[tuple[Encoded, ...], tuple[Encoded, ...]] = ((), ())

    def _at(self, step: int) -> tuple[Encoded, ...]:
        """The negative and the parts of a step, all of the same length."""
        found = tuple(timeline.at(step) for timeline in (self.negative, *self.parts))
        if len(found) != len(self._last[0]) or any(a is not b for a, b in zip(found, self._last[0], strict=True)):
            longest = max(one.embeds.shape[1] for one in found)
            self._last = (found, tuple(one.padded(longest, self._empty) for one in found))
        return self._last[1]

    def at(self, step: int) -> Conditioning:
        """The negative and the first part of a step, counted from 0."""
        negative, positive, *_ = self._at(step)
        return Conditioning(positive.embeds, negative.embeds, positive.pooled, negative.pooled)

    @contextmanager
    def composing(self, unet: Any, batch: int) -> Iterator[None]:
        """While it holds, a UNet that is asked about the first part is asked about all of them, and answers for all.

        Without an AND or a weight nothing is touched. Else the prediction for the text that the pipeline gets is
        u + sum_i w_i * (c_i - u), which its guidance makes u + sum_i w_i * cfg * (c_i - u) of.
        """
        self.step = 0
        if not self.composed:
            yield
            return
        guided = True

        def before(module: Any, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            nonlocal guided
            guided = named["encoder_hidden_states"].shape[0] == 2 * batch
            rows = batch * (1 + guided)
            texts = self._at(self.step)
            replaced = {"encoder_hidden_states": [one.embeds for one in texts]}
            if texts[0].pooled is not None:
                replaced["text_embeds"] = [one.pooled for one in texts if one.pooled is not None]

            def spread(value: Any, name: str = "") -> Any:
                """A tensor of all rows with the last `batch` of them (the text's) once more for each further part."""
                if isinstance(value, dict):
                    return {key: spread(inner, key) for key, inner in value.items()}
                if isinstance(value, (tuple, list)):
                    return type(value)(spread(inner) for inner in value)
                if not isinstance(value, torch.Tensor) or value.dim() == 0 or value.shape[0] != rows:
                    return value
                if name in replaced:
                    return torch.cat([_repeated(one.to(value.device, value.dtype), batch) for one in replaced[name]])
                return torch.cat([value[:batch], *[value[-batch:]] * len(self.parts)])

            return spread(args), spread(named)

        def behind(module: Any, args: Any, found: Any) -> Any:
            predicted = found[0]
            uncond, *conds = predicted.float().chunk(1 + len(self.parts))
            change = sum(part.weight * (cond - uncond) for part, cond in zip(self.parts, conds, strict=True))
            text = (uncond + change).to(predicted.dtype)
            made = torch.cat([predicted[:batch], text]) if guided else text
            if isinstance(found, tuple):
                return (made, *found[1:])
            found.sample = made
            return found

        handles = [unet.register_forward_pre_hook(before, with_kwargs=True), unet.register_forward_hook(behind)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


class SkippingProvider(EmbeddingsProvider):
    """Compel's provider that reads the text encoder's n-th last layer, normalised at the end (A1111's "Clip skip")."""

    clip_skip = 1

    def _encode_token_ids_to_embeddings(
        self, token_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        return weighting.read_layer(self.text_encoder, token_ids, self.clip_skip, attention_mask)


class Conditioner:
    """Turns prompts into conditioning for one loaded pipeline; remembers the texts it encoded last.

    `embeddings` are the catalogue's entries of that kind, `family` the model's, for what is said when one does not fit.
    """

    def __init__(
        self, pipe: Any, tokenizer: ClipTokenizer, embeddings: Sequence[ModelEntry] = (), family: str = ""
    ) -> None:
        self._sdxl = getattr(pipe, "text_encoder_2", None) is not None
        # SDXL's refiner has the second of the two alone.
        names = [end for end in ("", "_2") if getattr(pipe, f"text_encoder{end}", None) is not None]
        tokenizers = [getattr(pipe, f"tokenizer{end}") for end in names]
        self._encoders = [getattr(pipe, f"text_encoder{end}") for end in names]
        self._embeddings = Embeddings(embeddings, self._encoders, family)
        self._tokenizer = tokenizer
        if self._embeddings:
            self._tokenizer = PlacingTokenizer(tokenizer, self._embeddings)
            tokenizers = [PlacingHuggingFace(one, self._embeddings) for one in tokenizers]
        self._tokenizers = tokenizers
        if self._sdxl:
            self._compel = Compel(
                tokenizer=tokenizers,
                text_encoder=self._encoders,
                returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
                requires_pooled=[end == "_2" for end in names],
                truncate_long_prompts=False,
            )
        else:
            self._compel = Compel(
                tokenizer=tokenizers[0],
                text_encoder=pipe.text_encoder,
                truncate_long_prompts=False,
            )
            self._compel.conditioning_provider.__class__ = SkippingProvider
        self._known: OrderedDict[tuple[str, int, str], Encoded] = OrderedDict()

    def __call__(self, prompt: str, negative: str, clip_skip: int = 1, weighting: str = "compel") -> Conditioning:
        """The conditioning of a pair without steps: editing, alternation and AND are read as plain text.

        Both are brought to the same number of chunks with the empty prompt's.
        """
        pair = [self._encoded(text, clip_skip, weighting) for text in (prompt, negative)]
        longest = max(one.embeds.shape[1] for one in pair)
        if any(one.embeds.shape[1] != longest for one in pair):
            empty = self._encoded("", clip_skip, weighting)
            pair = [one.padded(longest, empty) for one in pair]
        return Conditioning(pair[0].embeds, pair[1].embeds, pair[0].pooled, pair[1].pooled)

    def plan(self, prompt: str, negative: str, total: int, clip_skip: int = 1, weighting: str = "compel") -> Plan:
        """The conditioning of a render of `total` evaluations; each distinct text is encoded once.

        The positive prompt may be composed (AND, a trailing weight); the negative one cannot, as in A1111.
        """

        def timeline(entries: Sequence[tuple[int, str]], weight: float = 1.0) -> Timeline:
            return Timeline(tuple((end, self._encoded(text, clip_skip, weighting)) for end, text in entries), weight)

        parts = [timeline(part.schedule, part.weight) for part in composition(prompt, total)]
        against = timeline(schedule(NETWORK.sub("", negative), total))
        lengths = {one.embeds.shape[1] for line in (*parts, against) for _, one in line.entries}
        # Only what is of different lengths needs the empty prompt.
        empty = self._encoded("", clip_skip, weighting) if len(lengths) > 1 else against.entries[0][1]
        return Plan(parts, against, empty)

    def clear(self) -> None:
        """Forget every encoded text."""
        self._known.clear()

    @torch.no_grad()
    def _encoded(self, text: str, clip_skip: int, how: str) -> Encoded:
        """The text's tensors, remembered by text, layer and weighting. Blanks around a text are no tokens."""
        text = text.strip()
        key = (text, clip_skip, how)
        if key not in self._known:
            chunks = chunk(text, self._tokenizer)
            with self._embeddings.placed() if self._embeddings else nullcontext():
                embeds = (
                    weighting.encode(chunks, self._tokenizers, self._encoders, clip_skip, sdxl=self._sdxl)
                    if how == "a1111"
                    else self._compelled(chunks, clip_skip)
                )
                pooled = weighting.pool(chunks[0], self._tokenizers[-1], self._encoders[-1]) if self._sdxl else None
            self._known[key] = Encoded(embeds, pooled)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def _compelled(self, chunks: list[PromptChunk], clip_skip: int) -> torch.Tensor:
        """[1, 77 * len(chunks), width]."""
        if not self._sdxl:
            self._compel.conditioning_provider.clip_skip = clip_skip
            # The empty prompt, too, is read at that layer.
            self._compel.conditioning_provider._empty_z = None
        prompts = [FlattenedPrompt(_fragments(part)) for part in chunks]
        built = self._compel.build_conditioning_tensor_for_conjunction(Conjunction(prompts))
        found: torch.Tensor = built[0]
        return found if found.dim() == 3 else found[None]


def _repeated(tensor: torch.Tensor, batch: int) -> torch.Tensor:
    return tensor.repeat(batch, *[1] * (tensor.dim() - 1))


def _fragments(part: PromptChunk) -> list[tuple[str, float]]:
    """What Compel gets: a fragment of whitespace alone would make it raise when weighted below 1."""
    kept = [(text, float(weight)) for text, weight in part.fragments if text.strip()]
    return kept or [("", 1.0)]

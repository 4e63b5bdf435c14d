"""Prompts -> the tensors a pipeline is conditioned on, through Compel's objects.

Chunks come from `prompts.chunks`; each is one `FlattenedPrompt`, and they are concatenated as A1111 does. Raw text is
never given to Compel: its own syntax would misread A1111's silently. Leaves sampling to the engine.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from compel import Compel, ReturnedEmbeddingsType
from compel.embeddings_provider import EmbeddingsProvider
from compel.prompt_parser import Conjunction, FlattenedPrompt

from generation.errors import BadSpec
from generation.prompts.chunks import PromptChunk, chunk
from generation.prompts.tokens import ClipTokenizer

REMEMBERED = 32


@dataclass(frozen=True)
class Conditioning:
    """Tensors of one prompt pair: [1, 77 * chunks, width] each; the pooled ones [1, width] for SDXL alone."""

    positive: torch.Tensor
    negative: torch.Tensor
    positive_pooled: torch.Tensor | None = None
    negative_pooled: torch.Tensor | None = None

    def arguments(self, batch: int) -> dict[str, torch.Tensor]:
        """Keyword arguments of a diffusers pipeline for `batch` pictures."""
        found = {
            "prompt_embeds": self.positive,
            "negative_prompt_embeds": self.negative,
            "pooled_prompt_embeds": self.positive_pooled,
            "negative_pooled_prompt_embeds": self.negative_pooled,
        }
        return {
            name: tensor.repeat(batch, *[1] * (tensor.dim() - 1))
            for name, tensor in found.items()
            if tensor is not None
        }


class SkippingProvider(EmbeddingsProvider):
    """Compel's provider that reads the text encoder's n-th last layer, normalised at the end (A1111's "Clip skip")."""

    clip_skip = 1

    def _encode_token_ids_to_embeddings(
        self, token_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        if self.clip_skip == 1:
            found: torch.Tensor = super()._encode_token_ids_to_embeddings(token_ids, attention_mask)
            return found
        layers = self.text_encoder(token_ids, attention_mask, output_hidden_states=True, return_dict=True).hidden_states
        if self.clip_skip >= len(layers):
            raise BadSpec(
                f"clip skip {self.clip_skip} is more than the text encoder's {len(layers) - 1} layers",
                f"Choose 1 to {len(layers) - 1}.",
            )
        normalised: torch.Tensor = self.text_encoder.text_model.final_layer_norm(layers[-self.clip_skip])
        return normalised


class Conditioner:
    """Turns prompts into conditioning for one loaded pipeline; remembers the last few."""

    def __init__(self, pipe: Any, tokenizer: ClipTokenizer) -> None:
        self._pipe = pipe
        self._tokenizer = tokenizer
        self._sdxl = getattr(pipe, "text_encoder_2", None) is not None
        if self._sdxl:
            self._compel = Compel(
                tokenizer=[pipe.tokenizer, pipe.tokenizer_2],
                text_encoder=[pipe.text_encoder, pipe.text_encoder_2],
                returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
                requires_pooled=[False, True],
                truncate_long_prompts=False,
            )
        else:
            self._compel = Compel(
                tokenizer=pipe.tokenizer,
                text_encoder=pipe.text_encoder,
                truncate_long_prompts=False,
            )
            self._compel.conditioning_provider.__class__ = SkippingProvider
        self._known: OrderedDict[tuple[str, str, int], Conditioning] = OrderedDict()

    @torch.no_grad()
    def __call__(self, prompt: str, negative: str, clip_skip: int = 1) -> Conditioning:
        """The pair's conditioning; both are brought to the same number of chunks with the empty prompt's."""
        key = (prompt, negative, clip_skip)
        if key not in self._known:
            if not self._sdxl:
                self._compel.conditioning_provider.clip_skip = clip_skip
                # The empty prompt, too, is read at that layer.
                self._compel.conditioning_provider._empty_z = None
            self._known[key] = self._build(prompt, negative)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def _build(self, prompt: str, negative: str) -> Conditioning:
        pooled: list[torch.Tensor | None] = [None, None]
        texts = []
        for number, text in enumerate((prompt, negative)):
            chunks = chunk(text, self._tokenizer)
            texts.append(self._encode(chunks))
            if self._sdxl:
                pooled[number] = self._pool(chunks[0])
        longest = max(t.shape[1] for t in texts)
        if any(t.shape[1] != longest for t in texts):
            empty = self._encode(chunk("", self._tokenizer))
            texts = [torch.cat([t, *[empty] * ((longest - t.shape[1]) // empty.shape[1])], 1) for t in texts]
        return Conditioning(texts[0], texts[1], *pooled)

    def _encode(self, chunks: list[PromptChunk]) -> torch.Tensor:
        """[1, 77 * len(chunks), width]."""
        prompts = [FlattenedPrompt(_fragments(part)) for part in chunks]
        built = self._compel.build_conditioning_tensor_for_conjunction(Conjunction(prompts))
        found: torch.Tensor = built[0]
        return found if found.dim() == 3 else found[None]

    def _pool(self, part: PromptChunk) -> torch.Tensor:
        """The second encoder's pooled vector [1, width] of the plain text of the first chunk: no syntax, no weights."""
        plain = "".join(text for text, _ in part.fragments) or ""
        tokenizer, encoder = self._pipe.tokenizer_2, self._pipe.text_encoder_2
        ids = tokenizer(plain, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        pooled: torch.Tensor = encoder(ids.to(encoder.device))[0]
        return pooled


def _fragments(part: PromptChunk) -> list[tuple[str, float]]:
    """What Compel gets: a fragment of whitespace alone would make it raise when weighted below 1."""
    kept = [(text, float(weight)) for text, weight in part.fragments if text.strip()]
    return kept or [("", 1.0)]

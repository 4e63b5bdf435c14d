"""Captions -> what the UNet reads while it is trained: one, two or three chunks of 75 tokens as one row of states.

As kohya-ss/sd-scripts has it: a caption is cut after 75, 150 or 225 tokens, each chunk encoded apart between BOS and
EOS, and of several chunks one BOS, all tokens and one EOS are kept (77, 152 or 227 positions). Gradients pass through.
Leaves drawing captions to `captions` and remembering outputs to `examples`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from generation.errors import BadSpec
from generation.weighting import LENGTH

INSIDE = LENGTH - 2  # tokens of a chunk


@dataclass(frozen=True)
class Texts:
    """Encoded captions: `embeds` [n, positions, width], for SDXL `pooled` [n, projection]."""

    embeds: Tensor
    pooled: Tensor | None = None

    def rows(self, numbers: Sequence[int]) -> Texts:
        return Texts(self.embeds[list(numbers)], None if self.pooled is None else self.pooled[list(numbers)])

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> Texts:
        moved = None if self.pooled is None else self.pooled.to(device, dtype)
        return Texts(self.embeds.to(device, dtype), moved)


def joined(texts: Sequence[Texts]) -> Texts:
    pooled = [one.pooled for one in texts if one.pooled is not None]
    return Texts(torch.cat([one.embeds for one in texts]), torch.cat(pooled) if pooled else None)


class Reader:
    """The text encoders of a pipeline as a training reads them.

    `max_tokens` is 75, 150 or 225; `clip_skip` n reads the n-th last layer behind the final norm, which SDXL's two do
    not know: they always give the layer before the last. Raises `BadSpec` for a clip skip beyond the layers.
    """

    def __init__(self, pipe: Any, max_tokens: int = INSIDE, clip_skip: int = 1) -> None:
        names = [end for end in ("", "_2") if getattr(pipe, f"text_encoder{end}", None) is not None]
        self.encoders = [getattr(pipe, f"text_encoder{end}") for end in names]
        self._tokenizers = [getattr(pipe, f"tokenizer{end}") for end in names]
        self._sdxl = "_2" in names
        self._chunks, self._clip_skip = max_tokens // INSIDE, clip_skip
        layers = int(self.encoders[0].config.num_hidden_layers)
        if not self._sdxl and clip_skip > layers:
            raise BadSpec(
                f"clip skip {clip_skip} is more than the text encoder's {layers} layers", f"Give 1 to {layers}."
            )

    def place(self, tokenizers: Sequence[Any]) -> None:
        """Read with other tokenizers: those that know a word which is being learned."""
        self._tokenizers = list(tokenizers)

    def ids(self, text: str, tokenizer: Any) -> list[list[int]]:
        """[chunks][77] of a caption; what is behind the last token is the tokenizer's own padding."""
        found = tokenizer([text], truncation=False, verbose=False)["input_ids"][0][1:-1]
        rows = []
        for number in range(self._chunks):
            own = found[number * INSIDE : (number + 1) * INSIDE]
            behind = INSIDE - len(own)
            rows.append([tokenizer.bos_token_id, *own, tokenizer.eos_token_id, *[tokenizer.pad_token_id] * behind])
        return rows

    def __call__(self, captions: Sequence[str]) -> Texts:
        """The captions' states, with gradients where an encoder learns."""
        sides, pooled = [], None
        for tokenizer, encoder in zip(self._tokenizers, self.encoders, strict=True):
            rows = [row for text in captions for row in self.ids(text, tokenizer)]
            ids = torch.tensor(rows, device=next(encoder.parameters()).device)
            found = encoder(ids, output_hidden_states=True, return_dict=True)
            sides.append(self._joined(self._layer(encoder, found)))
            if self._sdxl:
                pooled = found[0][:: self._chunks]  # of the first chunk; the second encoder's stays
        return Texts(torch.cat(sides, -1), pooled)

    def _layer(self, encoder: Any, found: Any) -> Tensor:
        if self._sdxl:
            return found.hidden_states[-2]
        if self._clip_skip == 1:
            return found.last_hidden_state
        return _final_norm(encoder)(found.hidden_states[-self._clip_skip])

    def _joined(self, states: Tensor) -> Tensor:
        """[n, positions, width] of [n * chunks, 77, width]."""
        if self._chunks == 1:
            return states
        apart = states.unflatten(0, (-1, self._chunks))
        inner = apart[:, :, 1:-1].flatten(1, 2)
        return torch.cat([apart[:, 0, :1], inner, apart[:, -1, -1:]], 1)


def _final_norm(encoder: Any) -> Any:
    """The norm behind the last layer, in either of the shapes that transformers has given its CLIP."""
    return getattr(encoder, "text_model", encoder).final_layer_norm

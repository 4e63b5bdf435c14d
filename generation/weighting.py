"""A1111's emphasis, the alternative to Compel's: hidden states times weights, the mean put back.

Facts of the behaviour (its emphasis "Original"): a chunk is BOS, up to 75 tokens, EOS, padding; every position has a
weight, that of BOS, EOS and padding being 1; z' = z * w and z'' = z' * mean(z) / mean(z'), with means over the whole
tensor of the chunk, each text encoder by itself. Leaves chunks to `prompts.chunks` and what is made of them to
`conditioning`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from generation.errors import BadSpec
from generation.prompts.chunks import PromptChunk

LENGTH = 77  # positions of CLIP's text encoders: 75 tokens between BOS and EOS


def token_row(part: PromptChunk, tokenizer: Any) -> tuple[list[int], list[float]]:
    """(ids, weights), 77 each: BOS, the chunk, EOS, then the tokenizer's own padding.

    Stable Diffusion 1 pads with EOS (49407); the second encoder of SDXL, and Stable Diffusion 2, with id 0.
    """
    behind = LENGTH - 2 - len(part.ids)
    ids = [tokenizer.bos_token_id, *part.ids, tokenizer.eos_token_id, *[tokenizer.pad_token_id] * behind]
    return ids, [1.0, *part.weights, 1.0, *[1.0] * behind]


def emphasise(hidden: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    """`hidden` [1, n, width] with one weight a position, its mean over everything as it was. Weights 1 change no bit.

    Where weighting leaves a mean of exactly 0 there is none to restore, and the product stays as it is.
    """
    wide = hidden.float()
    weighted = wide * torch.tensor(weights, dtype=wide.dtype, device=wide.device)[None, :, None]
    after = weighted.mean()
    if after != 0:
        weighted = weighted * (wide.mean() / after)
    return weighted.to(hidden.dtype)


def read_layer(
    encoder: Any, ids: torch.Tensor, clip_skip: int, attention_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """[1, 77, width] of ids [1, 77]: the encoder's n-th last layer behind the final norm (A1111's "Clip skip")."""
    if clip_skip == 1:
        last: torch.Tensor = encoder(ids, attention_mask, return_dict=True).last_hidden_state
        return last
    layers = encoder(ids, attention_mask, output_hidden_states=True, return_dict=True).hidden_states
    if clip_skip >= len(layers):
        raise BadSpec(
            f"clip skip {clip_skip} is more than the text encoder's {len(layers) - 1} layers",
            f"Choose 1 to {len(layers) - 1}.",
        )
    normalised: torch.Tensor = encoder.text_model.final_layer_norm(layers[-clip_skip])
    return normalised


def read_penultimate(encoder: Any, ids: torch.Tensor) -> torch.Tensor:
    """[1, 77, width] of ids [1, 77]: the layer before the last, not normalised, as SDXL's two encoders are read."""
    layer: torch.Tensor = encoder(ids, output_hidden_states=True, return_dict=True).hidden_states[-2]
    return layer


def encode(
    chunks: Sequence[PromptChunk],
    tokenizers: Sequence[Any],
    encoders: Sequence[Any],
    clip_skip: int = 1,
    *,
    sdxl: bool = False,
) -> torch.Tensor:
    """[1, 77 * len(chunks), width] of one encoder, or of SDXL's two side by side (their widths add up).

    With `sdxl` (two encoders, or the refiner's one) `clip_skip` is left out: it always reads the layer before the last.
    """
    sdxl = sdxl or len(encoders) > 1
    rows = []
    for part in chunks:
        sides = []
        for tokenizer, encoder in zip(tokenizers, encoders, strict=True):
            numbers, weights = token_row(part, tokenizer)
            ids = torch.tensor([numbers], device=encoder.device)
            hidden = read_penultimate(encoder, ids) if sdxl else read_layer(encoder, ids, clip_skip)
            sides.append(emphasise(hidden, weights))
        rows.append(torch.cat(sides, -1))
    return torch.cat(rows, 1)


def pool(part: PromptChunk, tokenizer: Any, encoder: Any) -> torch.Tensor:
    """[1, projection]: the pooled vector of a chunk's plain tokens, which no weight touches."""
    ids, _ = token_row(part, tokenizer)
    pooled: torch.Tensor = encoder(torch.tensor([ids], device=encoder.device))[0]
    return pooled

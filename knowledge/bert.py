"""A BERT sentence encoder read straight from a sentence-transformers folder.

The bundled all-MiniLM-L6-v2 and most small embedding models are a BERT with mean or first-token
pooling. Reading such a folder here gives the numbers of sentence-transformers (tests compare them
to 1e-5) without importing it: on two cores the first query is answered after 3 s instead of 10 s,
and nothing prints over the terminal. Folders of another architecture go through
sentence-transformers itself (knowledge.embedders).

Devlin et al. 2018, "BERT" (the encoder); Reimers and Gurevych 2019, "Sentence-BERT", section 3
(the pooling).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer

Vectors = NDArray[np.float32]

# Wordpieces in one batch, padding included: large enough to fill the cores, small enough for the
# cache.
_BATCH_TOKENS = 4096
_THREADS = 8  # more only wait for each other on matrices of 384 columns


def can_read(folder: Path) -> bool:
    """Whether ``folder`` is a BERT with mean or first-token pooling and nothing after it but
    normalisation.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        pooling = json.loads((folder / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules]
    modes = {name for name, on in pooling.items() if name.startswith("pooling_mode_") and on is True}
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act", "gelu") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and kinds in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
        and modes in ({"pooling_mode_mean_tokens"}, {"pooling_mode_cls_token"})
        and (folder / "tokenizer.json").is_file()
        and (folder / "model.safetensors").is_file()
    )


class BertEncoder:
    """Texts -> unit vectors. ``max_tokens`` counts wordpieces with both special tokens; longer
    texts are cut.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        pooling = json.loads((folder / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
        self._layers = int(config["num_hidden_layers"])
        self._heads = int(config["num_attention_heads"])
        self._epsilon = float(config.get("layer_norm_eps", 1e-12))
        self._first_token = bool(pooling.get("pooling_mode_cls_token"))
        self._device = torch.device(device)
        if torch.get_num_threads() > _THREADS:
            torch.set_num_threads(_THREADS)
        weights = load_file(str(folder / "model.safetensors"))
        self._w = {
            name.removeprefix("bert."): tensor.float().to(self._device)
            for name, tensor in weights.items()
            if tensor.is_floating_point()
        }
        self.dimension = int(config["hidden_size"])
        self.max_tokens = int(config["max_position_embeddings"])
        settings = folder / "sentence_bert_config.json"
        if settings.is_file():
            limit = json.loads(settings.read_text(encoding="utf-8")).get("max_seq_length")
            self.max_tokens = min(self.max_tokens, int(limit or self.max_tokens))
        self.tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(self.max_tokens)

    def count(self, text: str) -> int:
        """Wordpieces of ``text``, without special tokens, cut at ``max_tokens``."""
        return len(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def encode(self, texts: Sequence[str], *, check: Callable[[], None] | None = None) -> Vectors:
        """float32, shape (len(texts), dimension), rows of length 1, in the order of ``texts``."""
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        result = np.zeros((len(ids), self.dimension), dtype=np.float32)
        start = 0
        while start < len(order):
            if check is not None:
                check()
            stop = start + 1
            while stop < len(order) and (stop + 1 - start) * len(ids[order[stop]]) <= _BATCH_TOKENS:
                stop += 1
            some = order[start:stop]
            result[some] = self._encode([ids[index] for index in some])
            start = stop
        return result

    @torch.inference_mode()
    def _encode(self, batch: list[list[int]]) -> Vectors:
        length = max(map(len, batch))
        ids = torch.zeros((len(batch), length), dtype=torch.long)
        mask = torch.zeros((len(batch), length), dtype=torch.bool)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = True
        ids, mask = ids.to(self._device), mask.to(self._device)
        hidden = (
            F.embedding(ids, self._w["embeddings.word_embeddings.weight"])
            + self._w["embeddings.position_embeddings.weight"][:length]
            + self._w["embeddings.token_type_embeddings.weight"][0]
        )
        hidden = self._norm(hidden, "embeddings.LayerNorm")
        for layer in range(self._layers):
            hidden = self._layer(hidden, mask, f"encoder.layer.{layer}")
        if self._first_token:
            pooled = hidden[:, 0]
        else:
            weight = mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        return F.normalize(pooled, dim=-1).cpu().numpy()

    def _layer(self, hidden: torch.Tensor, mask: torch.Tensor, name: str) -> torch.Tensor:
        batch, length, width = hidden.shape

        def heads(part: str) -> torch.Tensor:
            projected = self._linear(hidden, f"{name}.attention.self.{part}")
            return projected.view(batch, length, self._heads, width // self._heads).transpose(1, 2)

        attended = F.scaled_dot_product_attention(
            heads("query"),
            heads("key"),
            heads("value"),
            attn_mask=mask[:, None, None, :],
            scale=1 / math.sqrt(width // self._heads),
        )
        attended = attended.transpose(1, 2).reshape(batch, length, width)
        attended = self._linear(attended, f"{name}.attention.output.dense")
        hidden = self._norm(hidden + attended, f"{name}.attention.output.LayerNorm")
        inner = F.gelu(self._linear(hidden, f"{name}.intermediate.dense"))
        return self._norm(hidden + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, self._w[f"{name}.weight"], self._w[f"{name}.bias"])

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], self._w[f"{name}.weight"], self._w[f"{name}.bias"], self._epsilon)

"""CLIP's byte-pair tokenizer without transformers, for counting while a person types."""

from __future__ import annotations

import json
import unicodedata
from functools import lru_cache
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from generation.errors import GenerationError

BUNDLED = Path(__file__).parent.parent / "weights" / "atelier-demo" / "tokenizer"
# Contractions, letters, single digits, runs of the rest: CLIP's own split (openai/CLIP, simple_tokenizer).
SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class ClipTokenizer:
    """Encodes text to CLIP's ids (0..49405), BOS and EOS left to the caller. Safe to share between threads."""

    def __init__(self, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
        model = BPE(
            vocab=vocabulary,
            merges=merges,
            unk_token="<|endoftext|>",
            end_of_word_suffix="</w>",
            continuing_subword_prefix="",
        )
        self._tokenizer = Tokenizer(model)
        self._tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(SPLIT), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        self._tokenizer.decoder = decoders.ByteLevel()

    @classmethod
    def load(cls, folder: Path | None = None) -> ClipTokenizer:
        """The tokenizer of `folder` (vocab.json, merges.txt), or the bundled one; each read once."""
        return _load(folder or BUNDLED)

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(unicodedata.normalize("NFC", text)).ids)

    def encode_with_places(self, text: str) -> list[tuple[int, int, int]]:
        """(id, start, end) of each token: where it stands in the NFC form of `text`."""
        found = self._tokenizer.encode(unicodedata.normalize("NFC", text))
        return [(token, start, end) for token, (start, end) in zip(found.ids, found.offsets, strict=True)]

    def decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids)).replace("</w>", " ").strip()


@lru_cache(maxsize=4)
def _load(folder: Path) -> ClipTokenizer:
    try:
        vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
        lines = (folder / "merges.txt").read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise GenerationError(
            f"the tokenizer in {folder} cannot be read", "Provide vocab.json and merges.txt there."
        ) from error
    merges = []
    for line in lines:
        left, _, right = line.partition(" ")
        if right and not line.startswith("#version"):
            merges.append((left, right))
    return ClipTokenizer(vocabulary, merges)

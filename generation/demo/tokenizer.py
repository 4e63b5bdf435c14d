"""CLIP's byte-pair vocabulary as the files a diffusers checkpoint carries.

The source is `bpe_simple_vocab_16e6.txt.gz` (MIT), as OpenAI published it and the package open-clip-torch carries it.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

MERGES = 49152 - 256 - 2
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def byte_letters() -> list[str]:
    """The 256 letters that stand for bytes, in the vocabulary's order (GPT-2's table: printable ones first)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(rest))]


def write_tokenizer(bpe: Path, folder: Path) -> None:
    """Write vocab.json (49,408 entries), merges.txt and the two configs into `folder`."""
    lines = gzip.decompress(bpe.read_bytes()).decode("utf-8").split("\n")[1 : MERGES + 1]
    letters = byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters)]
    words += ["".join(line.split()) for line in lines] + [BEGIN, END]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False, separators=(",", ":")), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n", "utf-8")
    special = {"bos_token": BEGIN, "eos_token": END, "unk_token": END, "pad_token": END}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=1), "utf-8")
    config = {
        **special,
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": 77,
        "tokenizer_class": "CLIPTokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1), "utf-8")

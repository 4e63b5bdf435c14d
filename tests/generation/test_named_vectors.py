"""Embeddings in the meter: as many tokens as the render will give them, from headers alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from generation.catalogue import Catalogue
from generation.embeddings import Embeddings, PlacingTokenizer
from generation.prompts.chunks import chunk
from generation.prompts.named_vectors import CountingTokenizer, count
from generation.prompts.tokens import ClipTokenizer


class Encoder:
    """As much of a text encoder as finding embeddings asks for."""

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return torch.nn.Embedding(10, 768)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "embeddings"
    place.mkdir()
    save_file({"emb_params": torch.zeros(8, 768)}, place / "EasyNegative.safetensors")
    torch.save({"string_to_param": {"*": torch.zeros(3, 768)}, "name": "x"}, place / "bad-hands-3.pt")
    torch.save({"<cat>": torch.zeros(768)}, place / "cat-toy.bin")
    save_file({"clip_l": torch.zeros(5, 768), "clip_g": torch.zeros(5, 1280)}, place / "xl.safetensors")
    return place


def test_vectors_are_counted_from_headers(folder: Path) -> None:
    found = {path.stem: count(path) for path in folder.iterdir()}
    assert found == {"EasyNegative": 8, "bad-hands-3": 3, "cat-toy": 1, "xl": 5}
    (folder / "broken.pt").write_bytes(b"PK broken")
    assert count(folder / "broken.pt") == 1
    assert count(folder / "none.pt") == 1


@pytest.mark.parametrize(
    "text",
    [
        "ugly, EasyNegative, bad-hands-3", "easynegative", "(EASYNEGATIVE:1.2), cat", "notEasyNegative here",
        "cat, " * 34 + "EasyNegative, bad-hands-3, dog", "cat " * 70 + "EasyNegative", "a BREAK EasyNegative",
        "ёж EasyNegative, кот", "",
    ],
)  # fmt: skip
def test_chunks_are_those_of_the_render(folder: Path, text: str) -> None:
    entries = [e for e in Catalogue([folder.parent]).entries() if e.name in {"EasyNegative", "bad-hands-3"}]
    plain = ClipTokenizer.load()
    real = PlacingTokenizer(plain, Embeddings(entries, [Encoder()], "sd15"))
    counted = CountingTokenizer(plain, {e.name: count(Path(e.path)) for e in entries})
    assert [(c.tokens, c.text) for c in chunk(text, counted)] == [(c.tokens, c.text) for c in chunk(text, real)]


def test_counting_imports_no_torch() -> None:
    code = "import sys, generation.prompts.named_vectors; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

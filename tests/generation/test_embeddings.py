"""Textual inversion: the formats, the count, and vectors that must act as the tokens they were copied from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from generation.catalogue import BUNDLED, Catalogue, ModelEntry, look
from generation.conditioning import Conditioner
from generation.embeddings import FIRST, Embeddings, PlacingTokenizer, family_of
from generation.embeddings import load as read
from generation.engine import Engine
from generation.errors import BadWeights, GenerationError
from generation.loading import load
from generation.prompts.chunks import chunk
from generation.prompts.tokens import ClipTokenizer
from generation.specs import RenderSpec

VECTORS = torch.arange(48.0).reshape(3, 16)


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint: Path) -> Any:
    return load(look(tiny_checkpoint), "cpu", torch.float32)


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return ClipTokenizer.load()


def entries(*paths: Path) -> list[ModelEntry]:
    return [look(path) for path in paths]


def saved(folder: Path, name: str, vectors: torch.Tensor) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"emb_params": vectors.contiguous()}, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def rows_of(pipe: Any, tokenizer: ClipTokenizer, text: str) -> torch.Tensor:
    """The table's own vectors of a text's tokens."""
    table: torch.Tensor = pipe.text_encoder.get_input_embeddings().weight.detach()
    return table[tokenizer.encode(text)].clone()


@pytest.mark.parametrize("form", ["pt", "old pt", "bin", "bin of one", "emb_params", "placeholder", "pt of one key"])
def test_every_format_gives_its_vectors(tmp_path: Path, form: str) -> None:
    suffix = "bin" if "bin" in form else "pt" if "pt" in form else "safetensors"
    path = tmp_path / f"e.{suffix}"
    about = {"name": "e", "step": 500, "sd_checkpoint": None, "string_to_token": {"*": 265}}
    contents: dict[str, Any] = {
        "pt": {**about, "string_to_param": {"*": torch.nn.Parameter(VECTORS)}},
        "old pt": {**about, "string_to_param": torch.nn.ParameterDict({"*": torch.nn.Parameter(VECTORS)})},
        "bin": {"<e>": VECTORS},
        "bin of one": {"<e>": VECTORS[0]},
        "emb_params": {"emb_params": VECTORS},
        "placeholder": {"<e>": VECTORS},
        "pt of one key": {"emb_params": VECTORS},
    }
    if suffix == "safetensors":
        save_file(contents[form], path)
    else:
        torch.save(contents[form], path)
    (found,) = read(path)
    assert torch.equal(found, VECTORS[:1] if form == "bin of one" else VECTORS)
    assert not found.requires_grad


def test_sdxl_files_hold_one_tensor_an_encoder(tmp_path: Path) -> None:
    save_file({"clip_g": torch.ones(2, 1280), "clip_l": torch.zeros(2, 768)}, tmp_path / "e.safetensors")
    assert [tuple(t.shape) for t in read(tmp_path / "e.safetensors")] == [(2, 768), (2, 1280)]
    save_file({"clip_g": torch.ones(3, 1280), "clip_l": torch.zeros(2, 768)}, tmp_path / "f.safetensors")
    with pytest.raises(BadWeights, match="differently many"):
        read(tmp_path / "f.safetensors")


class Bomb:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path(BOMB[0]),))


BOMB = [""]


def test_what_is_no_embedding_is_refused_in_one_line_and_runs_nothing(tmp_path: Path) -> None:
    BOMB[0] = str(tmp_path / "went off")
    torch.save({"string_to_param": {"*": VECTORS}, "x": Bomb()}, tmp_path / "bomb.pt")
    torch.save({"a": VECTORS, "b": VECTORS}, tmp_path / "two.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"<e>": torch.zeros(76, 16)}, tmp_path / "many.bin")
    torch.save({"<e>": torch.zeros(2, 2, 2)}, tmp_path / "deep.bin")
    (tmp_path / "damaged.safetensors").write_bytes(b"\x00" * 40)
    (tmp_path / "damaged.pt").write_bytes(b"nothing at all")
    (tmp_path / "empty.bin").write_bytes(b"")
    files = sorted(tmp_path.iterdir())
    assert len(files) == 8
    for path in [*files, tmp_path / "missing.pt"]:
        with pytest.raises(BadWeights) as caught:
            read(path)
        assert "\n" not in caught.value.message
        assert path.name in caught.value.message
        assert caught.value.hint
    assert not Path(BOMB[0]).exists()


def placing(pipe: Any, tokenizer: ClipTokenizer, *paths: Path) -> PlacingTokenizer:
    return PlacingTokenizer(tokenizer, Embeddings(entries(*paths), [pipe.text_encoder]))


def test_a_name_counts_as_many_tokens_as_it_has_vectors(pipe: Any, tokenizer: ClipTokenizer, tmp_path: Path) -> None:
    ours = placing(pipe, tokenizer, saved(tmp_path, "zork", VECTORS), saved(tmp_path, "zork-two", VECTORS[:2]))
    (part,) = chunk("a (Zork:1.3), ZORK-TWO fox", ours)
    assert part.tokens == 1 + 3 + 1 + 2 + 1
    assert list(part.ids) == [320, FIRST, FIRST + 1, FIRST + 2, 267, FIRST + 3, FIRST + 4, 3240]
    assert list(part.weights) == [1, 1.3, 1.3, 1.3, 1, 1, 1, 1]
    assert part.fragments == (("a", 1.0), ("Zork", 1.3), (", ZORK-TWO fox", 1.0))
    for other in ("zorks", "azork", "zork_", "zorkzork", "zo rk"):
        assert max(chunk(other, ours)[0].ids) < FIRST
    for text in ("", "a red fox, BREAK b", "cat " * 90, "naïve 猫"):
        assert chunk(text, ours) == chunk(text, tokenizer)


@pytest.mark.parametrize(
    ("cats", "counts", "place"),
    [(71, [75], 71), (72, [75, 1], 72), (73, [73, 4], 0), (74, [74, 4], 0), (75, [75, 4], 0), (76, [75, 5], 1)],
)
def test_no_embedding_is_split_between_chunks(
    pipe: Any, tokenizer: ClipTokenizer, tmp_path: Path, cats: int, counts: list[int], place: int
) -> None:
    found = chunk("cat " * cats + "zork fox", placing(pipe, tokenizer, saved(tmp_path, "zork", VECTORS)))
    assert [part.tokens for part in found] == counts
    assert [part.ids.index(FIRST) for part in found if FIRST in part.ids] == [place]


@pytest.mark.parametrize("how", ["compel", "a1111"])
@pytest.mark.parametrize("skip", [1, 2])
def test_vectors_copied_from_words_act_as_those_words(
    pipe: Any, tokenizer: ClipTokenizer, tmp_path: Path, how: str, skip: int
) -> None:
    path = saved(tmp_path, "zork", rows_of(pipe, tokenizer, "red fox"))
    conditioner = Conditioner(pipe, tokenizer, entries(path))
    bare = Conditioner(pipe, tokenizer)
    for text in ("a {} here", "a ({}:1.4) here", "a ({}:0.6), here", "{}", "{0} BREAK {0} {0}", "cat " * 73 + "{}"):
        ours = conditioner(text.format("Zork"), "", skip, how)
        theirs = bare(text.format("red fox"), "", skip, how)
        assert torch.allclose(ours.positive, theirs.positive, atol=1e-6), text
        assert torch.equal(ours.negative, theirs.negative)
    # What names none is what it was, and the model's own table never changes.
    assert torch.equal(conditioner("a red fox", "", skip, how).positive, bare("a red fox", "", skip, how).positive)
    assert not pipe.text_encoder._forward_pre_hooks
    assert not pipe.text_encoder.get_input_embeddings()._forward_hooks
    assert pipe.text_encoder.get_input_embeddings().num_embeddings == 49408


def test_the_wrong_width_is_refused_with_both_families(pipe: Any, tokenizer: ClipTokenizer, tmp_path: Path) -> None:
    path = saved(tmp_path, "wide", torch.ones(2, 768))
    conditioner = Conditioner(pipe, tokenizer, entries(path), "sd15-small")
    assert conditioner("wider", "").positive.shape == (1, 77, 16)
    with pytest.raises(GenerationError) as caught:
        conditioner("a WIDE road", "")
    assert caught.value.message == 'the embedding "wide" is made for sd15, and this model is sd15-small'
    assert caught.value.hint
    with pytest.raises(GenerationError, match=r"sd15, and this model is of width 16"):
        Conditioner(pipe, tokenizer, entries(path))("wide", "")
    # A file of the right width under the same name is taken instead.
    fitting = saved(tmp_path / "other", "wide", VECTORS)
    both = Conditioner(pipe, tokenizer, entries(path, fitting))
    alone = Conditioner(pipe, tokenizer, entries(fitting))
    assert torch.equal(both("a wide road", "").positive, alone("a wide road", "").positive)
    assert [family_of(widths) for widths in ((768, 1280), (1024,), (7,))] == ["sdxl", "sd2", "of width 7"]


def test_a_damaged_file_is_told_when_it_is_named(pipe: Any, tokenizer: ClipTokenizer, tmp_path: Path) -> None:
    path = saved(tmp_path / "embeddings", "torn", VECTORS)
    path.write_bytes(path.read_bytes()[:-20])
    conditioner = Conditioner(pipe, tokenizer, entries(path))
    assert conditioner("whole", "").positive.shape == (1, 77, 16)
    with pytest.raises(BadWeights, match="cut short"):
        conditioner("torn", "")


@pytest.mark.parametrize("how", ["compel", "a1111"])
def test_sdxl_takes_both_tensors_and_pools_over_them(tokenizer: ClipTokenizer, tmp_path: Path, how: str) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    torch.manual_seed(4)
    text = {
        "vocab_size": 49408, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
        "max_position_embeddings": 77,
    }  # fmt: skip
    pipe = SimpleNamespace(
        tokenizer=CLIPTokenizer.from_pretrained(BUNDLED / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(BUNDLED / "tokenizer", pad_token="!"),
        text_encoder=CLIPTextModel(CLIPTextConfig(hidden_size=16, projection_dim=16, **text)).eval(),
        # 2 is what published checkpoints say of the end of a text; it is then found by the highest id.
        text_encoder_2=CLIPTextModelWithProjection(
            CLIPTextConfig(hidden_size=24, projection_dim=20, eos_token_id=2, **text)
        ).eval(),
    )
    ids = tokenizer.encode("red fox")
    tensors = [e.get_input_embeddings().weight.detach()[ids] for e in (pipe.text_encoder, pipe.text_encoder_2)]
    save_file({"clip_l": tensors[0], "clip_g": tensors[1]}, tmp_path / "zork.safetensors")
    ours = Conditioner(pipe, tokenizer, entries(tmp_path / "zork.safetensors"))("a (zork:1.2) here", "", 1, how)
    theirs = Conditioner(pipe, tokenizer)("a (red fox:1.2) here", "", 1, how)
    assert torch.allclose(ours.positive, theirs.positive, atol=1e-6)
    assert ours.positive_pooled is not None
    assert theirs.positive_pooled is not None
    assert torch.allclose(ours.positive_pooled, theirs.positive_pooled, atol=1e-6)
    one = saved(tmp_path, "single", VECTORS)
    with pytest.raises(GenerationError, match="of width 16, and this model is sdxl"):
        Conditioner(pipe, tokenizer, entries(one), "sdxl")("single", "")


def test_the_engine_takes_them_from_the_catalogue(tiny_checkpoint: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    shutil.copytree(tiny_checkpoint, root / "tiny")
    (root / "embeddings").mkdir()
    torch.save({"string_to_param": {"*": VECTORS / 40}}, root / "embeddings" / "zork.pt")
    saved(root / "embeddings", "wide", torch.ones(2, 768))
    engine = Engine(Catalogue([root]), device="cpu")
    without = Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")

    def made(engine: Engine, prompt: str, negative: str = "", **fields: Any) -> np.ndarray:
        spec = RenderSpec(prompt, negative, model="tiny", seed=3, **fields)
        return np.asarray(Image.open(engine.render(spec, tmp_path / "a.png").path))

    for how in ("compel", "a1111"):
        ours = made(engine, "a zork fox", weighting=how)
        assert (ours == made(engine, "a ZORK fox", weighting=how)).all()
        assert (ours != made(without, "a zork fox", weighting=how)).any()
        assert (made(engine, "a fox", "zork", weighting=how) != made(engine, "a fox", weighting=how)).any()
        assert (made(engine, "[cat:zork:0.5] AND fox", weighting=how) != ours).any()
        assert (made(engine, "a (red:1.2) fox", weighting=how) == made(without, "a (red:1.2) fox", weighting=how)).all()
    with pytest.raises(GenerationError, match="sd15, and this model is sd15-small"):
        made(engine, "a wide road")
    assert json.loads((root / "tiny" / "atelier.json").read_text())["name"] == "tiny"

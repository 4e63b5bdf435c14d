"""Captions by local folders: a BLIP of random weights, a tagger in a tiny ONNX file, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "faces"))
from onnx_writer import Node, write

from generation.errors import BadWeights
from generation.training import captioners

TAGS = ("general", "1girl", "blue_sky", "^_^", "someone_(series)", "red_hair")


def tagger(folder: Path, tags: int = len(TAGS)) -> Path:
    """A tagger whose outputs are the mean of the picture's blue, and functions of it."""
    folder.mkdir(exist_ok=True)
    rows = [("general", 9), ("1girl", 0), ("blue_sky", 0), ("^_^", 0), ("someone_(series)", 4), ("red_hair", 0)]
    lines = ["tag_id,name,category,count", *(f"{n},{name},{kind},1" for n, (name, kind) in enumerate(rows[:tags]))]
    (folder / "selected_tags.csv").write_text("\n".join(lines) + "\n")
    # [1, 48] @ [48, 6]: the first pixels' blue (they come as BGR) and red, by 255.
    weights = np.zeros((48, len(TAGS)), dtype=np.float32)
    weights[0::3, 2] = 1 / 255 / 16
    weights[2::3, 5] = 1 / 255 / 16
    added = np.array([[0.9, 0.0, 0.0, 0.4, 0.8, 0.0]], dtype=np.float32)
    write(
        folder / "model.onnx",
        [Node("Reshape", ["x", "shape"], "flat"), Node("MatMul", ["flat", "w"], "m"), Node("Add", ["m", "b"], "y")],
        {"x": ((1, 4, 4, 3), 1)},
        ["y"],
        {"shape": np.array([1, 48], dtype=np.int64), "w": weights, "b": added},
    )
    return folder


def test_a_tagger_names_what_is_over_its_threshold(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    caption = captioners.load(tagger(tmp_path / "t"))
    # Ratings are no tags, a character needs 0.85, faces keep their underscore; the surest comes first.
    assert caption(Image.new("RGB", (30, 30), (0, 0, 255))) == "blue sky, ^_^"
    assert caption(Image.new("RGB", (30, 30), (255, 0, 0))) == "red hair, ^_^"
    assert caption(Image.new("RGB", (30, 30), (60, 0, 60))) == "^_^"


def test_a_tagger_gets_a_square_filled_up_with_white(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    caption = captioners.load(tagger(tmp_path / "t"))
    assert caption(Image.new("RGB", (60, 6), "black")) in {"blue sky, red hair, ^_^", "red hair, blue sky, ^_^"}


def test_another_threshold(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert captioners.load(tagger(tmp_path / "t"), threshold=0.5)(Image.new("RGB", (8, 8), "blue")) == "blue sky"


def blip(folder: Path) -> Path:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import BlipConfig, BlipForConditionalGeneration, PreTrainedTokenizerFast

    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[DEC]", *(f"word{n}" for n in range(27))]
    inner = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
    )
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BlipConfig(
        text_config={**shape, "vocab_size": 32, "encoder_hidden_size": 16, "bos_token_id": 4, "sep_token_id": 2,
                     "pad_token_id": 0, "eos_token_id": 2, "max_position_embeddings": 64},
        vision_config={**shape, "image_size": 32, "patch_size": 16},
    )  # fmt: skip
    import torch

    torch.manual_seed(0)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    return folder


def test_blip_writes_words(tmp_path: Path) -> None:
    caption = captioners.load(blip(tmp_path / "b"))
    said = caption(Image.new("RGB", (50, 20), "red"))
    assert said and all(word.startswith("word") for word in said.split())
    assert said == caption(Image.new("RGB", (50, 20), "red"))


def test_blip_with_weights_missing_says_nothing_at_random(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    path = blip(tmp_path / "b") / "model.safetensors"
    weights = load_file(path)
    del weights["vision_model.post_layernorm.weight"]
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(BadWeights, match="post_layernorm"):
        captioners.load(tmp_path / "b")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "config.json"), ({"config.json": "{"}, "cannot be read"), ({"config.json": "{}"}, "unknown"),
        ({"config.json": '{"model_type": "bert"}'}, "bert"), ({"config.json": '{"model_type": "blip"}'}, "safetensors"),
        ({"config.json": '{"model_type": "blip"}', "model.safetensors": "x"}, "cannot be loaded"),
        ({"model.onnx": "x"}, "selected_tags.csv"), ({"selected_tags.csv": "name,category\na,0"}, "model.onnx"),
        ({"model.onnx": "x", "selected_tags.csv": "name,category\na,0"}, "no ONNX"),
        ({"model.onnx": "x", "selected_tags.csv": "a,b\n1,2"}, "no list of tags"),
        ({"model.onnx": "x", "selected_tags.csv": ""}, "no list of tags"),
    ],
)  # fmt: skip
def test_folders_that_hold_no_model(tmp_path: Path, files: dict[str, str], said: str) -> None:
    if "onnx" in "".join(files):
        pytest.importorskip("onnxruntime")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BadWeights, match=said) as told:
        captioners.load(tmp_path)
    assert told.value.hint and "\n" not in told.value.message


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="nowhere"):
        captioners.load(tmp_path / "nowhere")


def test_tags_that_do_not_go_with_the_weights(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(BadWeights, match="5 tags"):
        captioners.load(tagger(tmp_path / "t", 5))


def test_a_tagger_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BadWeights, match="onnxruntime") as told:
        captioners.load(tagger(tmp_path / "t"))
    assert "pip install" in told.value.hint

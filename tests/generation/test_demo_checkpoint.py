"""The committed demo checkpoint: its files, its tokenizer, its measured figures, and one picture it draws."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from transformers import CLIPTokenizer

from generation.catalogue import BUNDLED, look
from generation.demo.evaluate import Studio, border, nearest_colour
from generation.demo.export import LARGEST


def test_it_is_small_and_complete() -> None:
    assert sum(f.stat().st_size for f in BUNDLED.rglob("*") if f.is_file()) <= LARGEST
    entry = look(BUNDLED)
    assert (entry.kind, entry.family, entry.problem) == ("checkpoint", "sd15-small", "")
    assert (entry.defaults.width, entry.defaults.height, entry.defaults.steps) == (64, 64, 20)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_weights_are_half_precision_and_name_no_folder_of_the_training(part: str) -> None:
    (path,) = (BUNDLED / part).glob("*.safetensors")
    with safe_open(str(path), "pt") as file:
        kinds = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118 - not a dict
    assert kinds == {"F16"}
    assert "_name_or_path" not in json.loads((BUNDLED / part / "config.json").read_text())


def test_the_tokenizer_is_clips() -> None:
    tokenizer = CLIPTokenizer.from_pretrained(BUNDLED / "tokenizer")
    assert len(tokenizer) == 49408
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    padded = tokenizer("A CAT", padding="max_length", truncation=True).input_ids
    assert padded == [49406, 320, 2368] + [49407] * 74
    assert len(tokenizer("cat " * 100, truncation=True).input_ids) == 77
    assert (tokenizer.pad_token, tokenizer.model_max_length) == ("<|endoftext|>", 77)


def test_the_card_states_the_measured_figures() -> None:
    measured = json.loads((BUNDLED / "measured.json").read_text())
    card = (BUNDLED / "README.md").read_text()
    for name in ("background", "subject", "weight", "beyond75", "classifier_accuracy"):
        assert f"{100 * measured[name]:.1f} %" in card, name


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(BUNDLED)


def test_twenty_steps_draw_on_the_background_that_was_named(studio: Studio) -> None:
    pictures = studio.render(["a red apple on a blue background, flat style"], [4], 20)
    assert pictures.shape == (1, 64, 64, 3)
    assert nearest_colour(border(pictures[0])) == "blue"


@pytest.mark.parametrize("sampler", ["Euler", "DDIM", "DPM++ 2M"])
def test_every_kind_of_sampler_keeps_the_colour(studio: Studio, sampler: str) -> None:
    other = Studio(BUNDLED, sampler=sampler)
    other.conditioner = studio.conditioner
    pictures = other.render(["a star on a green background"], [4], 12)
    assert nearest_colour(border(pictures[0])) == "green"
    assert torch.isfinite(torch.from_numpy(pictures).float()).all()

"""The bundled checkpoint with a network over it, and the names of the full-size models."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from network_models import entry, kohya, same, saved, states
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.errors import BadWeights
from generation.networks.applied import Applied
from generation.networks.modules import base_of, by_name
from generation.networks.named import Use
from generation.specs import RenderSpec

ROOT = Path(__file__).parents[3]
# The published architectures, without weights.
UNETS: dict[str, dict[str, Any]] = {
    "sd1": {"cross_attention_dim": 768},
    "sdxl": {
        "block_out_channels": (320, 640, 1280), "cross_attention_dim": 2048, "use_linear_projection": True,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10), "attention_head_dim": (5, 10, 20),
        "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}  # fmt: skip


def shared(*parts: str) -> Path:
    """A file of the shared data; the test is skipped where it is not at hand."""
    path = Path(os.environ.get("ATELIER_SHARED", ROOT.parent / "shared")).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the shared data {'/'.join(parts)} are not here (ATELIER_SHARED)")
    return path


class Hollow:
    """A pipeline of the full-size modules on the meta device."""

    def __init__(self, name: str) -> None:
        with torch.device("meta"):
            self.unet = UNet2DConditionModel(**UNETS[name])
            self.text_encoder = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072))
            if name == "sdxl":
                big = CLIPTextConfig(
                    hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20,
                    projection_dim=1280,
                )  # fmt: skip
                self.text_encoder_2 = CLIPTextModelWithProjection(big)


@pytest.mark.parametrize("name", UNETS)
def test_both_spellings_of_the_published_models_name_one_module(name: str) -> None:
    listed = shared("data", "keys", "ai_toolkit_keymaps", f"stable_diffusion_{name}.json").read_text("utf-8")
    modules = by_name(Hollow(name))
    seen = 0
    for original, ours in json.loads(listed)["ldm_diffusers_keymap"].items():
        if not original.startswith("model.diffusion_model.") or not original.endswith(".weight"):
            continue
        stem = original.removeprefix("model.diffusion_model.").removesuffix(".weight").replace(".", "_")
        theirs = ours.removeprefix("unet_").removesuffix(".weight").replace(".", "_")
        assert modules[f"unet.{stem}"] is modules[f"unet.{theirs}"], original
        seen += 1
    assert seen == len({id(module) for place, module in modules.items() if place.startswith("unet.")})


def test_a_real_network_fits_the_real_layout_and_no_other() -> None:
    path = shared("data", "weights", "lora_sd15_catundchat", "pytorch_lora_weights.safetensors")
    events: list[dict[str, Any]] = []
    hollow = Hollow("sd1")
    assert base_of(hollow) == "sd15"
    # All layers are matched and measured, and nothing is left over; only then are the weights missed.
    with pytest.raises(BadWeights, match="not in memory"):
        Applied(hollow, "sd15").set([Use(entry(path))], report=events.append)
    assert not [event for event in events if event["kind"] == "note"]
    with pytest.raises(BadWeights, match="made for sd15, and this model is sdxl"):
        Applied(Hollow("sdxl"), "sdxl").set([Use(entry(path))])


def test_a_network_changes_what_the_bundled_checkpoint_draws(tmp_path: Path) -> None:
    engine = Engine(Catalogue([]), device="cpu")
    loaded = engine.prepare("atelier-demo")
    base = states(loaded.pipe)
    applied = Applied(loaded.pipe, loaded.entry.family)
    tensors = {name: t * 0.2 if "up.weight" in name else t for name, t in kohya(loaded.pipe, rank=2).items()}
    use = saved(tmp_path / "n.safetensors", tensors)

    def drawn(*uses: Use) -> np.ndarray:
        if applied.set(uses):
            loaded.conditioner.clear()
        spec = RenderSpec("a red apple on a blue background", seed=4, steps=4)
        return np.asarray(Image.open(engine.render(spec, tmp_path / "a.png").path))

    plain = drawn()
    whole, text, unet = drawn(use), drawn(replace(use, unet=0.0)), drawn(replace(use, text=0.0))
    pictures = [plain, whole, text, unet, drawn(use, replace(use, unet=-0.5, text=-0.5))]
    assert all((one != other).any() for n, one in enumerate(pictures) for other in pictures[:n])
    assert (drawn(replace(use, unet=0.0, text=0.0)) == plain).all()
    assert (drawn(use) == whole).all()
    assert (drawn() == plain).all()
    assert same(states(loaded.pipe), base)

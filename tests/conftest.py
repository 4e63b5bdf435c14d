"""Reference vectors where they are at hand, and a checkpoint of the right architecture with random weights."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from generation.catalogue import BUNDLED

ROOT = Path(__file__).parent.parent


def _shared() -> Path:
    return Path(os.environ.get("ATELIER_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    """The reference vectors of a name; the test is skipped where they are not at hand."""

    def load(name: str) -> Any:
        path = _shared() / "vectors" / name
        if not path.is_file():
            pytest.skip(f"the reference vectors {name} are not here (ATELIER_SHARED)")
        return json.loads(path.read_text("utf-8"))

    return load


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion of random weights, diffusers layout, CLIP's real vocabulary, 64x64."""
    import torch
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    pipe = StableDiffusionPipeline(
        vae=AutoencoderKL(
            block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4, sample_size=64,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
                max_position_embeddings=77, projection_dim=16,
            )
        ),
        tokenizer=CLIPTokenizer.from_pretrained(BUNDLED / "tokenizer"),
        unet=UNet2DConditionModel(
            sample_size=32, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=16, norm_num_groups=4,
        ),
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipe.save_pretrained(folder)
    shutil.rmtree(folder / "tokenizer")
    shutil.copytree(BUNDLED / "tokenizer", folder / "tokenizer")
    about = {"name": "tiny", "family": "sd15-small", "width": 64, "height": 64, "steps": 4, "cfg": 3.0}
    (folder / "atelier.json").write_text(json.dumps({**about, "sampler": "Euler"}), "utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion XL of random weights, diffusers layout, 64x64."""
    import torch
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    torch.manual_seed(2)
    text = {
        "vocab_size": 49408, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
        "max_position_embeddings": 77,
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("models") / "tiny"
    StableDiffusionXLPipeline(
        vae=AutoencoderKL(
            block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4, sample_size=64,
        ),
        text_encoder=CLIPTextModel(CLIPTextConfig(hidden_size=16, projection_dim=16, **text)),
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=24, projection_dim=20, **text)),
        tokenizer=CLIPTokenizer.from_pretrained(BUNDLED / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(BUNDLED / "tokenizer", pad_token="!"),
        unet=UNet2DConditionModel(
            sample_size=32, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), cross_attention_dim=40, norm_num_groups=4,
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), addition_embed_type="text_time",
            addition_time_embed_dim=8, projection_class_embeddings_input_dim=8 * 6 + 20,
        ),
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear"),
        add_watermarker=False,
    ).save_pretrained(folder)  # fmt: skip
    about = {"name": "tiny", "family": "sdxl", "width": 64, "height": 64, "steps": 4, "cfg": 3.0, "sampler": "Euler"}
    (folder / "atelier.json").write_text(json.dumps(about), "utf-8")
    return folder

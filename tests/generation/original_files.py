"""Small checkpoints in the names of CompVis, Stability and OpenCLIP, of random weights: diffusers' parts renamed back.

The names are all there, as in the real files (test_architecture compares them); only the widths are small.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from generation import architecture

Tensors = dict[str, torch.Tensor]
RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
ENDS = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0", "conv_out": "out.2", "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2", "controlnet_mid_block": "middle_block_out.0",
    "controlnet_cond_embedding.conv_in": "input_hint_block.0",
    "controlnet_cond_embedding.conv_out": "input_hint_block.14",
}  # fmt: skip


def unet_names(state: Tensors, layers: int) -> Tensors:
    """A UNet's or ControlNet's tensors in the original names; `layers` of a level."""
    attends = {key.split(".")[1] for key in state if key.startswith("up_blocks.") and ".attentions." in key}
    found = {}
    for key, value in state.items():
        stem, _, end = key.rpartition(".")
        if stem in ENDS:
            found[f"{ENDS[stem]}.{end}"] = value
        elif step := re.fullmatch(r"controlnet_down_blocks\.(\d+)", stem):
            found[f"zero_convs.{step[1]}.0.{end}"] = value
        elif step := re.fullmatch(r"controlnet_cond_embedding\.blocks\.(\d+)", stem):
            found[f"input_hint_block.{2 * int(step[1]) + 2}.{end}"] = value
        elif step := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", stem):
            resnet = step[1] == "resnets"
            inner = RESNET[step[3]] if resnet else step[3]
            found[f"middle_block.{2 * int(step[2]) if resnet else 1}.{inner}.{end}"] = value
        elif step := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", stem):
            side, level, part, number, inner = step[1], int(step[2]), step[3], int(step[4]), step[5]
            place = level * (layers + 1) + (1 if side == "down" else 0)
            block = f"{'input' if side == 'down' else 'output'}_blocks."
            match part:
                case "resnets":
                    found[f"{block}{place + number}.0.{RESNET[inner]}.{end}"] = value
                case "attentions":
                    found[f"{block}{place + number}.1.{inner}.{end}"] = value
                case "downsamplers":
                    found[f"{block}{place + layers}.0.op.{end}"] = value
                case "upsamplers":
                    found[f"{block}{place + layers}.{2 if str(level) in attends else 1}.conv.{end}"] = value
    assert len(found) == len(state)
    return found


def vae_names(state: Tensors, levels: int) -> Tensors:
    """A VAE's tensors in the original names."""
    found = {}
    for key, value in state.items():
        new = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", new)
        new = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample.", new)
        new = re.sub(r"up_blocks\.(\d+)\.resnets\.", lambda m: f"up.{levels - 1 - int(m[1])}.block.", new)
        new = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0\.", lambda m: f"up.{levels - 1 - int(m[1])}.upsample.", new)
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", new)
        new = new.replace("mid_block.attentions.0.group_norm", "mid.attn_1.norm")
        for theirs, ours in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
            new = new.replace(f"mid_block.attentions.0.{theirs}", f"mid.attn_1.{ours}")
        found[new] = value[:, :, None, None] if ".attn_1." in new and value.dim() == 2 else value
    return found


def open_clip_names(state: Tensors) -> Tensors:
    """A text encoder's tensors in OpenCLIP's names."""
    found = {}
    fixed = {
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.final_layer_norm.weight": "ln_final.weight", "text_model.final_layer_norm.bias": "ln_final.bias",
    }  # fmt: skip
    for key, value in state.items():
        if key in fixed:
            found[fixed[key]] = value
        elif key == "text_projection.weight":
            found["text_projection"] = value.T.contiguous()
        elif ".k_proj." in key or ".v_proj." in key:
            continue
        else:
            new = key.replace("text_model.encoder.layers.", "transformer.resblocks.").replace("layer_norm", "ln_")
            new = (
                new.replace("mlp.fc1", "mlp.c_fc").replace("mlp.fc2", "mlp.c_proj").replace("self_attn.out", "attn.out")
            )
            if ".q_proj." in key:
                value = torch.cat([state[key.replace(".q_proj.", f".{n}_proj.")] for n in "qkv"])
                new = new.replace("self_attn.q_proj.", "attn.in_proj_")
            found[new] = value
    return found


def parts(config: dict[str, Any]) -> dict[str, Any]:
    """The modules of a configuration that `architecture` gives."""
    made = {
        "unet": UNet2DConditionModel.from_config(config["unet"]),
        "vae": AutoencoderKL.from_config(config["vae"]),
    }
    for name in config["encoders"]:
        maker = CLIPTextModelWithProjection if name == "text_encoder_2" else CLIPTextModel
        made[name] = maker(CLIPTextConfig(**config[name]))
    return made


def original(config: dict[str, Any], *, empty: bool = False) -> Tensors:
    """The whole checkpoint of a configuration in the original names; `empty`: shapes without numbers."""
    if empty:
        with init_empty_weights():
            made = parts(config)
    else:
        made = parts(config)
    unet = unet_names(made["unet"].state_dict(), config["unet"]["layers_per_block"])
    vae = vae_names(made["vae"].state_dict(), len(config["vae"]["block_out_channels"]))
    found = {f"{architecture.UNET}{key}": value for key, value in unet.items()}
    found |= {f"{architecture.VAE}{key}": value for key, value in vae.items()}
    for name, prefix in config["encoders"].items():
        state = made[name].state_dict()
        names = open_clip_names(state) if prefix.endswith("model.") else state
        found |= {f"{prefix}{key}": value for key, value in names.items()}
    return found


def shrunken(family: str) -> dict[str, Any]:
    """A family's configuration with all its levels and names, a tenth as wide and with shallower encoders."""
    config = architecture.published(family)
    unet, text = config["unet"], 0
    for name in config["encoders"]:
        width = 64 if name == "text_encoder_2" else 32
        config[name] |= {
            "hidden_size": width, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1,
            "projection_dim": width,
        }  # fmt: skip
        text += width
    unet["block_out_channels"] = [32 * (width // unet["block_out_channels"][0]) for width in unet["block_out_channels"]]
    unet["cross_attention_dim"] = text
    if isinstance(unet["attention_head_dim"], list):
        unet["attention_head_dim"] = [max(1, width // 64) for width in unet["block_out_channels"]]
    if "projection_class_embeddings_input_dim" in unet:
        sizes = 5 if family == "sdxl-refiner" else 6
        unet["projection_class_embeddings_input_dim"] = sizes * 256 + config["text_encoder_2"]["projection_dim"]
    config["vae"]["block_out_channels"] = [32, 32, 64, 64]
    return config


def write(path: Path, family: str, *, dtype: torch.dtype = torch.float32, without: str = "") -> Path:
    """A shrunken checkpoint of a family as .safetensors or .ckpt; `without`: a prefix of names left out."""
    torch.manual_seed(0)
    state = {key: value.to(dtype).contiguous() for key, value in original(shrunken(family)).items()}
    state = {key: value for key, value in state.items() if not without or not key.startswith(without)}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".ckpt":
        torch.save({"state_dict": state, "epoch": 3, "global_step": 470000}, path)
    else:
        save_file(state, path)
    return path


def controlnet(family: str) -> tuple[ControlNetModel, Tensors]:
    """A shrunken ControlNet of a family and its tensors in the original names."""
    torch.manual_seed(1)
    unet = UNet2DConditionModel.from_config(shrunken(family)["unet"])
    made = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32, 96, 256))
    return made, unet_names(made.state_dict(), 2)

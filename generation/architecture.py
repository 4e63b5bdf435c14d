"""How wide and deep the parts of a checkpoint are, from the shapes in its header, for diffusers to build them.

Starts from the family's published configuration in `configs/` and takes every number that a shape tells from the file
itself, so that pruned, widened and shrunken relatives take the same path as the original. Knows CompVis' and
Stability's names and diffusers' own for a ControlNet. Builds nothing.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).parent / "configs"
HEAD = 64  # channels of one head in every family but SD 1's UNet, which has eight heads whatever its width
UNET = "model.diffusion_model."
VAE = "first_stage_model."
CONTROL = "control_model."

Names = Mapping[str, list[int]]
Config = dict[str, Any]


@lru_cache(maxsize=16)
def _published(family: str) -> Config:
    found: Config = json.loads((CONFIGS / f"{family}.json").read_text("utf-8"))
    like = found.pop("like", None)
    if like is None:
        return found
    whole = copy.deepcopy(_published(like))
    for name, value in found.items():
        whole[name] = {**whole.get(name, {}), **value} if isinstance(value, dict) else value
    return whole


def families() -> list[str]:
    """Families whose single files can be loaded."""
    return sorted(path.stem for path in CONFIGS.glob("*.json"))


def published(family: str) -> Config:
    """The configurations of a family by part: `unet`, `vae`, `text_encoder`, `scheduler`, ...; and `pipeline`, the
    class; `encoders`, the prefix of each text encoder's names; `options` of the pipeline. KeyError for another family.
    """
    if family not in families():
        raise KeyError(family)
    return copy.deepcopy(_published(family))


def configure(family: str, keys: Names) -> Config:
    """`published(family)` with the sizes this file has. Raises ValueError naming a part that the file lacks."""
    config = published(family)
    if f"{UNET}input_blocks.0.0.weight" not in keys:
        raise ValueError("it holds no UNet")
    config["unet"] = unet(config["unet"], keys, UNET)
    if f"{VAE}decoder.conv_in.weight" not in keys:
        config.pop("vae")
    else:
        config["vae"] = vae(config["vae"], keys, VAE)
    for name, prefix in config["encoders"].items():
        config[name] = text_encoder(config[name], keys, prefix)
    if "ztsnr" in keys or "v_pred" in keys:
        # Noob AI's mark of a model trained to predict the velocity; with the second key from pure noise on.
        zero = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if "ztsnr" in keys else {}
        config["scheduler"] |= {"prediction_type": "v_prediction", **zero}
    return config


def unet(usual: Config, keys: Names, prefix: str) -> Config:
    """A UNet's or ControlNet's configuration from `input_blocks.N...` names behind `prefix`."""
    none = {"blocks": 0, "channels": 0, "depth": 0, "reads": 0}
    levels = [dict(none)]
    number = 1
    while True:
        block = f"{prefix}input_blocks.{number}."
        if f"{block}0.op.weight" in keys:
            levels.append(dict(none))
        elif f"{block}0.in_layers.2.weight" in keys:
            levels[-1]["blocks"] += 1
            levels[-1]["channels"] = keys[f"{block}0.in_layers.2.weight"][0]
            levels[-1]["depth"] = max(levels[-1]["depth"], _count(keys, f"{block}1.transformer_blocks."))
            levels[-1]["reads"] |= f"{block}1.norm.weight" in keys
        else:
            break
        number += 1
    first = keys[f"{prefix}input_blocks.0.0.weight"]
    middle = _count(keys, f"{prefix}middle_block.1.transformer_blocks.")
    config = _levels(usual, levels, middle) | {"in_channels": first[1]}
    if f"{prefix}out.2.weight" in keys:
        config["out_channels"] = keys[f"{prefix}out.2.weight"][0]
    projected = keys.get(f"{prefix}label_emb.0.0.weight")
    return config | _reading(keys, prefix, projected)


def controlnet(usual: Config, keys: Names) -> Config:
    """A ControlNet's configuration, from a file in the original names or in diffusers'."""
    hints = [16, 32, 96, 256]
    if "controlnet_cond_embedding.conv_in.weight" not in keys:
        prefix = CONTROL if f"{CONTROL}input_blocks.0.0.weight" in keys else ""
        config = unet(usual, keys, prefix)
        hint = f"{prefix}input_hint_block."
        hints = [keys[f"{hint}{n}.weight"][0] for n in (0, 4, 8, 12) if f"{hint}{n}.weight" in keys]
    else:
        levels: list[dict[str, int]] = []
        while f"down_blocks.{len(levels)}.resnets.0.conv1.weight" in keys:
            block = f"down_blocks.{len(levels)}."
            depth = _count(keys, f"{block}attentions.0.transformer_blocks.")
            channels = keys[f"{block}resnets.0.conv1.weight"][0]
            reads = int(f"{block}attentions.0.norm.weight" in keys)
            blocks = _count(keys, f"{block}resnets.")
            levels.append({"blocks": blocks, "channels": channels, "depth": depth, "reads": reads})
        middle = _count(keys, "mid_block.attentions.0.transformer_blocks.")
        config = _levels(usual, levels, middle) | {"in_channels": keys["conv_in.weight"][1]}
        config |= _reading(keys, "", keys.get("add_embedding.linear_1.weight"))
        last = "controlnet_cond_embedding.blocks."
        hints = [keys["controlnet_cond_embedding.conv_in.weight"][0]]
        hints += [keys[f"{last}{n}.weight"][0] for n in range(1, _count(keys, last), 2)]
    for name in ("out_channels", "up_block_types", "sample_size", "upcast_attention"):
        config.pop(name, None)
    return config | {"_class_name": "ControlNetModel", "conditioning_embedding_out_channels": hints}


def vae(usual: Config, keys: Names, prefix: str) -> Config:
    """A VAE's configuration from `encoder.down.N...` names behind `prefix`, or from diffusers' `down_blocks.N...`."""
    original = f"{prefix}encoder.down.0.block.0.conv1.weight" in keys
    level, block = ("down.{}.", "block.{}.conv1.weight") if original else ("down_blocks.{}.", "resnets.{}.conv1.weight")
    channels: list[int] = []
    while (name := f"{prefix}encoder.{level.format(len(channels))}{block.format(0)}") in keys:
        channels.append(keys[name][0])
    layers = _count(keys, f"{prefix}encoder.{level.format(0)}{block.partition('{')[0]}")
    latents = keys[f"{prefix}decoder.conv_in.weight"][1]
    return usual | {
        "block_out_channels": channels,
        "down_block_types": ["DownEncoderBlock2D"] * len(channels),
        "up_block_types": ["UpDecoderBlock2D"] * len(channels),
        "layers_per_block": layers,
        "latent_channels": latents,
        "norm_num_groups": _groups(usual, channels),
        "use_quant_conv": f"{prefix}quant_conv.weight" in keys,
        "use_post_quant_conv": f"{prefix}post_quant_conv.weight" in keys,
    }


def text_encoder(usual: Config, keys: Names, prefix: str) -> Config:
    """A CLIP text encoder's configuration from OpenAI's names (in transformers' spelling) or OpenCLIP's."""
    if prefix.endswith("model."):
        names = ("token_embedding.weight", "positional_embedding", "transformer.resblocks.", "mlp.c_fc.weight")
        projection = keys.get(f"{prefix}text_projection", [])
    else:
        inner = "text_model." if f"{prefix}text_model.embeddings.token_embedding.weight" in keys else ""
        names = (
            f"{inner}embeddings.token_embedding.weight", f"{inner}embeddings.position_embedding.weight",
            f"{inner}encoder.layers.", "mlp.fc1.weight",
        )  # fmt: skip
        projection = []
    words, places, layers, widened = names
    if f"{prefix}{words}" not in keys:
        raise ValueError("it holds no text encoder")
    vocabulary, width = keys[f"{prefix}{words}"]
    depth = _count(keys, f"{prefix}{layers}")
    return usual | {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": keys[f"{prefix}{layers}0.{widened}"][0],
        # SD 2 reads the layer before the last; files hold the last one too, which nobody asks for.
        "num_hidden_layers": min(depth, usual["num_hidden_layers"]),
        "num_attention_heads": max(1, width // HEAD),
        "max_position_embeddings": keys[f"{prefix}{places}"][0],
        "projection_dim": projection[1] if len(projection) == 2 else width,
    }


def _levels(usual: Config, levels: list[dict[str, int]], middle: int) -> Config:
    """What a UNet's levels say: channels, kinds of blocks, depths, heads; `middle` is the depth between them."""
    channels = [level["channels"] for level in levels]
    reads = [level["reads"] > 0 for level in levels]
    per_channel = isinstance(usual["attention_head_dim"], list)
    # diffusers gives the middle the last level's depth, and the refiner's last level has no transformer of its own.
    depths = [level["depth"] if level["reads"] else middle or 1 for level in levels]
    return usual | {
        "block_out_channels": channels,
        "layers_per_block": levels[0]["blocks"],
        "down_block_types": ["CrossAttnDownBlock2D" if r else "DownBlock2D" for r in reads],
        "mid_block_type": "UNetMidBlock2DCrossAttn" if middle else "UNetMidBlock2D",
        "up_block_types": ["CrossAttnUpBlock2D" if r else "UpBlock2D" for r in reversed(reads)],
        "transformer_layers_per_block": depths,
        # diffusers calls the number of heads their width, for history's sake.
        "attention_head_dim": [max(1, c // HEAD) for c in channels] if per_channel else usual["attention_head_dim"],
        "norm_num_groups": _groups(usual, channels),
    }


def _reading(keys: Names, prefix: str, projected: list[int] | None) -> Config:
    """What the text's and the sizes' ways into a UNet are like."""
    found: Config = {}
    for name, shape in keys.items():
        if name.startswith(prefix) and name.endswith("attn2.to_k.weight"):
            found["cross_attention_dim"] = shape[1]
            break
    for name, shape in keys.items():
        if name.startswith(prefix) and name.endswith(".proj_in.weight"):
            found["use_linear_projection"] = len(shape) == 2
            break
    if projected is not None:
        found["projection_class_embeddings_input_dim"] = projected[1]
    return found


def _groups(usual: Config, channels: list[int]) -> int:
    """Groups of the normalisations: the family's, unless a width cannot be divided by them."""
    groups: int = usual["norm_num_groups"]
    while groups > 1 and any(width % groups for width in channels):
        groups //= 2
    return groups


def _count(keys: Names, prefix: str) -> int:
    """How many numbers follow `prefix` in the names: 0, 1, ... up to a gap."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    numbers = {int(found[1]) for name in keys if (found := pattern.match(name))}
    count = 0
    while count in numbers:
        count += 1
    return count

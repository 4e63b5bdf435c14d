"""A pipeline's modules by every name that network files call them, and their weights wherever offloading put them.

Knows diffusers' names, and the ones of the original code (`input_blocks_4_1_...`), which kohya uses for SDXL. Leaves
changing the weights to `applied`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from generation.errors import BadWeights
from generation.networks.keys import FAMILIES, TEXT, TEXT_2, UNET

# Inside a residual block: the original code's names -> diffusers'.
RESNET = {
    "in_layers_0": "norm1", "in_layers_2": "conv1", "emb_layers_1": "time_emb_proj", "out_layers_0": "norm2",
    "out_layers_3": "conv2", "skip_connection": "conv_shortcut",
}  # fmt: skip
OUTSIDE = {
    "input_blocks_0_0": "conv_in", "time_embed_0": "time_embedding_linear_1", "time_embed_2": "time_embedding_linear_2",
    "label_emb_0_0": "add_embedding_linear_1", "label_emb_0_2": "add_embedding_linear_2", "out_0": "conv_norm_out",
    "out_2": "conv_out",
}  # fmt: skip


class Slot(NamedTuple):
    """One tensor of a module, `weight` or `bias`."""

    part: str
    module: nn.Module
    name: str

    def tensor(self) -> Tensor:
        """The tensor to change in place. Raises `BadWeights` where the weights are not in memory."""
        own = self.module._parameters[self.name]
        assert own is not None
        if own.device.type != "meta":
            return own.data
        # Sequential offload leaves no weight in a module; accelerate's hook holds them in a table.
        hooks = [getattr(self.module, "_hf_hook", None)]
        hooks += getattr(hooks[0], "hooks", ())
        for hook in hooks:
            table = getattr(hook, "weights_map", None)
            if table is not None and isinstance(table[self.name], Tensor) and table[self.name].device.type != "meta":
                found: Tensor = table[self.name]
                return found
        raise BadWeights(
            "the model's weights are not in memory, so that no network can be laid over them",
            "Choose the offload none or model instead of sequential.",
        )


def parts(pipe: Any) -> dict[str, nn.Module]:
    """The networks' targets in a pipeline, those it has."""
    found = {name: getattr(pipe, name, None) for name in (UNET, TEXT, TEXT_2)}
    return {name: module for name, module in found.items() if isinstance(module, nn.Module)}


def by_name(pipe: Any) -> dict[str, nn.Module]:
    """ "part.module" in every spelling -> the module, of all modules with a weight of their own."""
    found: dict[str, nn.Module] = {}
    for part, root in parts(pipe).items():
        spelled = {
            name.replace(".", "_"): module
            for name, module in root.named_modules()
            if isinstance(module._parameters.get("weight"), Tensor)
        }
        others = dict(_original(root)) if part == UNET else {}
        for name, module in spelled.items():
            found[f"{part}.{name}"] = module
            if part != UNET:
                # transformers has taken "text_model." out of the names and may be of either kind.
                bare = name.removeprefix("text_model_")
                found.setdefault(f"{part}.{bare}", module)
                found.setdefault(f"{part}.text_model_{bare}", module)
        for other, ours in others.items():
            for name, module in spelled.items():
                if name == ours or name.startswith(f"{ours}_"):
                    found.setdefault(f"{part}.{other}{name.removeprefix(ours)}", module)
    return found


class Block(NamedTuple):
    """How many residual blocks, whether attention stands behind each, whether a down- or upsampler ends it."""

    resnets: int
    attends: bool
    resampled: bool


def _original(unet: Any) -> Iterator[tuple[str, str]]:
    """`original_names` of a UNet's own depth."""

    def blocks(name: str, sampler: str) -> list[Block]:
        return [
            Block(len(one.resnets), bool(getattr(one, "attentions", None)), bool(getattr(one, sampler, None)))
            for one in getattr(unet, name, ())
        ]

    return original_names(blocks("down_blocks", "downsamplers"), blocks("up_blocks", "upsamplers"))


def configured(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """`original_names` of a UNet that was not built, by its diffusers configuration."""
    down, up, layers = config["down_block_types"], config["up_block_types"], config["layers_per_block"]
    return original_names(
        [Block(layers, "CrossAttn" in kind, n + 1 < len(down)) for n, kind in enumerate(down)],
        [Block(layers + 1, "CrossAttn" in kind, n + 1 < len(up)) for n, kind in enumerate(up)],
    )


def original_names(down: Sequence[Block], up: Sequence[Block]) -> Iterator[tuple[str, str]]:
    """(the original code's name, diffusers' name) of a UNet's blocks.

    There `input_blocks` counts residual blocks and downsamplers in one row, `output_blocks` residual blocks, the last
    of which has the upsampler in its last place.
    """
    yield from OUTSIDE.items()
    number = 1
    for block, (resnets, attends, resampled) in enumerate(down):
        ours = f"down_blocks_{block}"
        for n in range(resnets):
            yield from _pair(f"input_blocks_{number}", f"{ours}_", n, attends)
            number += 1
        if resampled:
            yield f"input_blocks_{number}_0_op", f"{ours}_downsamplers_0_conv"
            number += 1
    yield from _resnet("middle_block_0", "mid_block_resnets_0")
    yield "middle_block_1", "mid_block_attentions_0"
    yield from _resnet("middle_block_2", "mid_block_resnets_1")
    number = 0
    for block, (resnets, attends, resampled) in enumerate(up):
        ours = f"up_blocks_{block}"
        for n in range(resnets):
            yield from _pair(f"output_blocks_{number}", f"{ours}_", n, attends)
            number += 1
        if resampled:
            yield f"output_blocks_{number - 1}_{2 if attends else 1}_conv", f"{ours}_upsamplers_0_conv"


def _pair(other: str, ours: str, n: int, attends: bool) -> Iterator[tuple[str, str]]:
    yield from _resnet(f"{other}_0", f"{ours}resnets_{n}")
    if attends:
        yield f"{other}_1", f"{ours}attentions_{n}"


def _resnet(other: str, ours: str) -> Iterator[tuple[str, str]]:
    for theirs, name in RESNET.items():
        yield f"{other}_{theirs}", f"{ours}_{name}"


def base_of(pipe: Any) -> str:
    """The family by the width of the text that the UNet reads; "" for a width of no known family."""
    width = getattr(getattr(getattr(pipe, UNET, None), "config", None), "cross_attention_dim", 0)
    return FAMILIES.get(width, "") if isinstance(width, int) else ""


def working_format(tensor: Tensor) -> torch.dtype:
    """What changes of a tensor are summed in: fp32, or the tensor's own format where that is finer."""
    return torch.promote_types(tensor.dtype, torch.float32) if tensor.dtype.itemsize > 1 else torch.float32

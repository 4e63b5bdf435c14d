"""LoRA, DoRA, LoHa and LoKr as PEFT lays them into a model, trained, and written as kohya's files.

Which layers get one: all linear layers and 1x1 convolutions of the UNet's transformers and the text encoders, with
`conv_rank` the residual blocks' 3x3 convolutions too. Knows PEFT's names for the tensors. Leaves the file's names to
`networks.exporting` and the training to `loop`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from generation.catalogue import ModelEntry
from generation.fitting import base
from generation.networks import exporting
from generation.networks.deltas import Layer
from generation.networks.keys import TEXT, TEXT_2, UNET
from generation.training.settings import TrainingSpec

NAME = "trained"
# PEFT's tables of tensors -> the names in files.
TABLES = {
    "lora_A": "lora_down", "lora_B": "lora_up", "lora_magnitude_vector": "dora_scale",
    **{name: name for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")},
    **{name: name for name in ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")},
}  # fmt: skip
UNET_BLOCKS = ("Transformer2DModel",)
CONV_BLOCKS = ("ResnetBlock2D", "Downsample2D", "Upsample2D")
TEXT_BLOCKS = ("CLIPAttention", "CLIPSdpaAttention", "CLIPMLP")
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "q_proj", "k_proj", "v_proj", "out_proj")
KOHYA_ALGORITHMS = {"lora": "networks.lora", "dora": "lycoris.kohya", "loha": "lycoris.kohya", "lokr": "lycoris.kohya"}


class Adapter:
    """A network over a pipeline's UNet and, with a text rate, its text encoders. The base's weights never change."""

    def __init__(self, pipe: Any, spec: TrainingSpec, entry: ModelEntry) -> None:
        self._settings, self._family = spec.settings, base(entry.family)
        self._unet = dict(pipe.unet.config)
        self._roots: dict[str, nn.Module] = {}
        if self._settings["unet"]:
            self._roots[UNET] = pipe.unet
        for part in (TEXT, TEXT_2):
            if self._settings["text_rate"] and getattr(pipe, part, None) is not None:
                self._roots[part] = getattr(pipe, part)
        # The same seed begins with the same network, whatever was drawn before.
        torch.manual_seed(self._settings["seed"])
        for part, root in self._roots.items():
            self._lay(part, root)

    def _lay(self, part: str, root: nn.Module) -> None:
        settings = self._settings
        rank, alpha = settings["rank"], settings["alpha"] or settings["rank"]
        conv_rank = settings["conv_rank"]
        plain, wide = targets(root, attention_only=settings["attention_only"], conv=bool(conv_rank))
        ranks = dict.fromkeys(wide, conv_rank)
        alphas = dict.fromkeys(wide, settings["conv_alpha"] or conv_rank)
        shared: dict[str, Any] = {
            "r": rank, "target_modules": [*plain, *wide], "rank_pattern": ranks, "alpha_pattern": alphas,
        }  # fmt: skip
        kind = settings["algorithm"]
        if kind in {"lora", "dora"}:
            config: Any = LoraConfig(
                lora_alpha=alpha, lora_dropout=settings["dropout"], use_dora=kind == "dora", **shared
            )
        else:
            of = LoHaConfig if kind == "loha" else LoKrConfig
            config = of(alpha=alpha, rank_dropout=settings["dropout"], **shared)
        root.requires_grad_(False)
        inject_adapter_in_model(config, root, adapter_name=NAME)
        for parameter in root.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
                parameter.data = parameter.data.contiguous()

    def groups(self) -> list[dict[str, Any]]:
        """Parameters with their rate and the part they belong to, for an optimiser."""
        settings = self._settings
        return [
            {
                "params": [parameter for parameter in root.parameters() if parameter.requires_grad],
                "lr": settings["rate"] if part == UNET else settings["text_rate"],
                "part": part,
            }
            for part, root in self._roots.items()
        ]

    def named(self) -> dict[str, Tensor]:
        """The trained tensors by name: what a state keeps."""
        return {
            f"{part}.{name}": parameter
            for part, root in self._roots.items()
            for name, parameter in root.named_parameters()
            if parameter.requires_grad or f".{NAME}" in name
        }

    def layers(self) -> dict[str, Layer]:
        """The network as `networks` reads it, by place."""
        return {place: _layer(module) for place, module in self._modules()}

    def _modules(self) -> Iterator[tuple[str, Any]]:
        for part, root in self._roots.items():
            for name, module in root.named_modules():
                if isinstance(module, BaseTunerLayer):
                    yield f"{part}.{name.replace('.', '_')}", module

    def write(self, path: Path, metadata: Mapping[str, str]) -> list[Path]:
        """The network's file, kohya's keys, alpha as trained. Raises `BadWeights` for values that cannot be written."""
        settings = self._settings
        said = {
            "ss_network_module": KOHYA_ALGORITHMS[settings["algorithm"]],
            "ss_network_dim": str(settings["rank"]),
            "ss_network_alpha": str(settings["alpha"] or settings["rank"]),
        }
        if settings["algorithm"] != "lora":
            said["ss_network_args"] = f'{{"algo": "{settings["algorithm"]}"}}'
        elif settings["conv_rank"]:
            conv_alpha = settings["conv_alpha"] or settings["conv_rank"]
            said["ss_network_args"] = f'{{"conv_dim": "{settings["conv_rank"]}", "conv_alpha": "{conv_alpha:g}"}}'
        exporting.write(
            path,
            self.layers(),
            family=self._family,
            metadata={**said, **metadata},
            precision=settings["save_precision"],
            unet=self._unet,
        )
        return [path]


def targets(root: nn.Module, *, attention_only: bool = False, conv: bool = False) -> tuple[list[str], list[str]]:
    """(names of linear layers and 1x1 convolutions, names of 3x3 convolutions) that get a network."""
    plain: list[str] = []
    wide: list[str] = []
    for outer, block in root.named_modules():
        kind = type(block).__name__
        if kind not in {*UNET_BLOCKS, *TEXT_BLOCKS, *(CONV_BLOCKS if conv else ())}:
            continue
        for inner, module in block.named_modules():
            name = f"{outer}.{inner}" if inner else outer
            if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)):
                if kind in CONV_BLOCKS or not attention_only or name.endswith(ATTENTION):
                    plain.append(name)
            elif isinstance(module, nn.Conv2d):
                wide.append(name)
    return list(dict.fromkeys(plain)), list(dict.fromkeys(wide))


@torch.no_grad()
def _layer(module: Any) -> Layer:
    """One of PEFT's layers in the files' terms."""
    tensors = {}
    for table, name in TABLES.items():
        held = getattr(module, table, {})
        if NAME in held:
            value = held[NAME]
            # clone(): a network may be written while it goes on learning.
            tensors[name] = (value if isinstance(value, Tensor) else value.weight).detach().float().clone()
    method = (
        next(m for m, own in (("lora", "lora_up"), ("loha", "hada_w1_a")) if own in tensors)
        if ("lora_up" in tensors or "hada_w1_a" in tensors)
        else "lokr"
    )
    if "dora_scale" in tensors:
        tensors["dora_scale"] = tensors["dora_scale"].reshape(-1, *[1] * (module.get_base_layer().weight.dim() - 1))
    scaling, rank = float(module.scaling[NAME]), int(module.r[NAME])
    if method == "lokr" and "lokr_w1" in tensors and "lokr_w2" in tensors:
        # Two whole factors have no rank, and files of LyCORIS then take no alpha into account.
        tensors["lokr_w1"] = tensors["lokr_w1"] * scaling
        return Layer(method, tensors)
    return Layer(method, tensors, scaling * rank)

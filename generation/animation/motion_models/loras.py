"""Motion LoRAs: small networks over a motion module that teach it a movement of the camera.

They come with the original code's names of 2023, with diffusers' and with PEFT's; all say the same: up @ down, times
alpha by rank where an alpha is given, is added to a matrix of attention over time. Leaves finding files to `finding`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from generation import single_files
from generation.animation.motion_models.modules import diffusers_name
from generation.errors import BadWeights

HINT = "Give a motion LoRA that was made for AnimateDiff's modules of this family."
# Whatever a trainer called it: the module's matrix, and which half.
NAMES = re.compile(
    r"^(?P<place>(?:down_blocks|up_blocks|mid_block)\..*?attn[12])\.(?:processor\.)?(?P<side>to_q|to_k|to_v|to_out)"
    r"(?:\.0)?(?:_lora|\.lora|\.lora_linear_layer)?[._](?P<half>down|up|A|B)(?:\.default)?\.weight$"
)
DOWN = ("down", "A")


def apply(adapter: Any, path: Path, strength: float) -> int:
    """Add a motion LoRA to a module's weights; how many matrices it changed. Raises `BadWeights`."""
    tensors = single_files.read(path)
    halves: dict[str, dict[str, Tensor]] = {}
    alphas: dict[str, float] = {}
    for name, tensor in tensors.items():
        plain = diffusers_name(name)
        if plain.endswith(".alpha"):
            alphas[_matrix(plain.removesuffix(".alpha"))] = float(tensor)
            continue
        found = NAMES.match(plain)
        if found is None:
            continue
        side = "to_out.0" if found["side"] == "to_out" else found["side"]
        half = "down" if found["half"] in DOWN else "up"
        halves.setdefault(f"{found['place']}.{side}", {})[half] = tensor.float()
    if not halves:
        raise BadWeights(f"{path.name} is no motion LoRA", HINT)
    modules = dict(adapter.named_modules())
    changes = []
    for place, pair in halves.items():
        module = modules.get(place)
        if module is None or pair.keys() != {"down", "up"}:
            raise BadWeights(f"{path.name} does not fit the motion module: {place}", HINT)
        delta = pair["up"] @ pair["down"]
        if delta.shape != module.weight.shape:
            raise BadWeights(
                f"{path.name} does not fit the motion module: {place} is {tuple(module.weight.shape)}, not "
                f"{tuple(delta.shape)}",
                HINT,
            )
        rank = pair["down"].shape[0]
        changes.append((module, delta * (alphas.get(place, rank) / rank)))
    with torch.no_grad():
        for module, delta in changes:
            module.weight += (strength * delta).to(module.weight)
    return len(changes)


def _matrix(name: str) -> str:
    """The matrix of an alpha's name."""
    plain = re.sub(
        r"\.processor\.|(?:_lora|\.lora)$", lambda found: "." if found.group(0) == ".processor." else "", name
    )
    return f"{plain}.0" if plain.endswith(".to_out") else plain

"""A motion module that learns from clips: only what looks along time learns, beside a network that learns the words.

AnimateDiff's recipe (Guo et al. 2023, arXiv:2307.04725): the UNet of a checkpoint stays, modules over time are laid
into it whose last layer begins at zero, so that the first step changes nothing, and they learn from clips. The domain
adapter of its third version, a LoRA over the UNet's attention, may learn with them. Leaves clips to `clips` and the
loop to `loop`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from diffusers import MotionAdapter
from torch import Tensor, nn

from generation.animation.motion_models import hooks, modules
from generation.catalogue import ModelEntry
from generation.training.adapters import Adapter
from generation.training.settings import TrainingSpec

MODULE, ADAPTER = "motion", "adapter"


def begin(unet: Any, frames: int) -> MotionAdapter:
    """A module for `unet` that adds nothing yet, for clips of up to `frames` frames."""
    config = unet.config
    layers = config.layers_per_block
    adapter = MotionAdapter(
        block_out_channels=tuple(config.block_out_channels),
        motion_layers_per_block=layers if isinstance(layers, int) else tuple(layers),
        motion_num_attention_heads=modules.HEADS,
        motion_norm_num_groups=config.norm_num_groups,
        motion_max_seq_length=max(frames, modules.FRAMES),
    )
    for name, module in adapter.named_modules():
        if name.endswith("proj_out") and isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return adapter


class Motion:
    """A motion module in a pipeline's UNet, and with `adapter_rank` the network beside it."""

    def __init__(self, pipe: Any, spec: TrainingSpec, entry: ModelEntry) -> None:
        settings = spec.settings
        self._settings = settings
        # The same seed begins with the same weights, whatever was drawn before.
        torch.manual_seed(settings["seed"])
        named = settings["begin_from"]
        self.module = modules.load(Path(named).expanduser()) if named else begin(pipe.unet, settings["frames"])
        self.module.to(next(pipe.unet.parameters()).device, torch.float32).requires_grad_(True).train()
        self.adapter: Adapter | None = None
        if settings["adapter_rank"]:
            wanted = {"rank": settings["adapter_rank"], "rate": settings["adapter_rate"] or settings["rate"],
                      "text_rate": settings["text_rate"], "seed": settings["seed"], "attention_only": True,
                      "save_precision": settings["save_precision"]}  # fmt: skip
            self.adapter = Adapter(pipe, TrainingSpec("lora", spec.dataset, spec.output, spec.model, wanted), entry)
        self._hung = ExitStack()
        self._hung.enter_context(hooks.moving(pipe.unet, self.module, settings["frames"]))

    def groups(self) -> list[dict[str, Any]]:
        """Parameters with their rate, for an optimiser."""
        found = [{"params": list(self.module.parameters()), "lr": self._settings["rate"], "part": "unet"}]
        return found + (self.adapter.groups() if self.adapter else [])

    def named(self) -> dict[str, Tensor]:
        """The trained tensors by name: what a state keeps."""
        found: dict[str, Tensor] = {f"{MODULE}.{name}": one for name, one in self.module.named_parameters()}
        if self.adapter is not None:
            found |= {f"{ADAPTER}.{name}": tensor for name, tensor in self.adapter.named().items()}
        return found

    def write(self, path: Path, metadata: Mapping[str, str]) -> list[Path]:
        """The module's file, and the network's beside it."""
        precision, frames = self._settings["save_precision"], self._settings["frames"]
        paths = [modules.write(path, self.module, metadata, precision, frames)]
        if self.adapter is not None:
            paths += self.adapter.write(path.with_name(f"{path.stem}.adapter.safetensors"), metadata)
        return paths

    def close(self) -> None:
        """Take the module out of the UNet."""
        self._hung.close()

"""IP-Adapter files (Ye et al. 2023, arXiv:2308.06721): plain, plus, full face, FaceID and FaceID plus; SD 1.5 and SDXL.

A file holds `image_proj`, which makes tokens of a picture's features, and `ip_adapter`, numbered by the UNet's
attention: keys and values for each cross-attention, and in FaceID files a LoRA for every attention. Leaves the features
to `encoders` and `faces`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from generation import headers, pickles
from generation.errors import BadWeights
from generation.single_files import DAMAGED, read

LORA_PARTS = ("to_q", "to_k", "to_v", "to_out")
AGAIN = "Download it again, or choose another IP-Adapter."


@dataclass
class Adapter:
    """`kind` is plain, plus, full, faceid or faceid-plus.

    `width` is that of the picture's features it reads (0: none): projected ones where `kind` is plain, hidden ones
    otherwise. `keys` and `values` are [inner, text] by the attention's number, `loras` (down, up) by number and part.
    """

    kind: str
    width: int
    project: nn.Module
    keys: dict[int, torch.Tensor]
    values: dict[int, torch.Tensor]
    loras: dict[tuple[int, str], tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    @property
    def of_faces(self) -> bool:
        return self.kind.startswith("faceid")


def load(path: Path, unet: Any) -> Adapter:
    """The adapter of a file, on the UNet's device in its number format. Raises `BadWeights` in one line."""
    tensors = _tensors(path)
    inner = {key.removeprefix("ip_adapter."): v for key, v in tensors.items() if key.startswith("ip_adapter.")}
    proj = {key.removeprefix("image_proj."): v for key, v in tensors.items() if key.startswith("image_proj.")}
    if not inner or not proj:
        raise BadWeights(f"{path} is no IP-Adapter", "Choose another file.")
    kind, width = told_apart(proj)
    try:
        project = unet._convert_ip_adapter_image_proj_to_diffusers(proj, low_cpu_mem_usage=False)
    except (*DAMAGED, AttributeError, IndexError) as error:
        reason = " ".join(str(error).split())[:160]
        raise BadWeights(f"{path} could not be loaded: {reason}", AGAIN) from error
    if kind == "faceid-plus":
        # The second version adds the identity to what is read from the picture; its name is all that tells.
        project.shortcut = "v2" in path.stem.lower()
    attentions = list(unet.attn_processors)
    adapter = Adapter(kind, width, project.to(unet.device, unet.dtype).eval(), {}, {})
    for number, name in enumerate(attentions):
        if name.endswith("attn2.processor"):
            for table, part in ((adapter.keys, "to_k_ip"), (adapter.values, "to_v_ip")):
                table[number] = _matrix(path, unet, inner, f"{number}.{part}.weight", name, part[:4])
        for part in LORA_PARTS:
            down, up = (inner.get(f"{number}.{part}_lora.{end}.weight") for end in ("down", "up"))
            if down is None:
                continue
            if up is None or up.shape[1] != down.shape[0]:
                raise BadWeights(f"{path} lacks one half of the LoRA of {name}", AGAIN)
            adapter.loras[number, part] = (down.to(unet.device, unet.dtype), up.to(unet.device, unet.dtype))
    return adapter


def told_apart(proj: Mapping[str, torch.Tensor]) -> tuple[str, int]:
    """(kind, width of the features it reads) of the tensors of `image_proj`."""
    if "proj.weight" in proj:
        return "plain", proj["proj.weight"].shape[1]
    if "proj.3.weight" in proj:
        return "full", proj["proj.0.weight"].shape[1]
    if "perceiver_resampler.proj_in.weight" in proj:
        return "faceid-plus", proj["perceiver_resampler.proj_in.weight"].shape[1]
    if "norm.weight" in proj:
        return "faceid", 0
    return "plus", proj["proj_in.weight"].shape[1] if "proj_in.weight" in proj else 0


def _matrix(path: Path, unet: Any, inner: Mapping[str, torch.Tensor], key: str, name: str, part: str) -> torch.Tensor:
    """Keys or values of a cross-attention. Raises `BadWeights` where they are not of this UNet's shape."""
    own = getattr(unet.get_submodule(name.removesuffix(".processor")), part).weight
    found = inner.get(key)
    if found is None or found.shape != own.shape:
        sides = "is missing" if found is None else f"is {list(found.shape)} and should be {list(own.shape)}"
        raise BadWeights(
            f"{path.name} is made for another model: {key} {sides}",
            "Choose the IP-Adapter of the checkpoint's family (SD 1.5 or SDXL).",
        )
    return found.to(unet.device, unet.dtype)


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor by its whole name; pickles hold tables in a table."""
    if path.suffix.lower() not in headers.PICKLES:
        return read(path)
    try:
        pickles.read(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
        return {f"{outer}.{key}": value for outer, table in found.items() for key, value in table.items()}
    except (*DAMAGED, AttributeError) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise BadWeights(f"{path} could not be read: {reason}", AGAIN) from error

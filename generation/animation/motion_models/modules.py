"""Motion modules in files: AnimateDiff's single file, or a folder of diffusers, read and written.

What a module looks like is read from its tensors: blocks, channels, layers and how many frames its places count. The
number of attention heads is not in them: it is 8, as all published modules have it, unless the file's metadata says
otherwise. Leaves what a module does to `hooks`.

A file begun by Atelier's trainer may have a network beside it, `<name>.adapter.safetensors`, which teaches the UNet
the words and the look of the clips it was trained on (AnimateDiff's domain adapter).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import MotionAdapter
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from generation import diffusers_folders, single_files
from generation.errors import BadWeights
from generation.networks.exporting import PRECISIONS, aside

HINT = "Give a motion module of AnimateDiff (.safetensors, .ckpt) or its folder of diffusers."
HEADS, GROUPS, FRAMES = 8, 32, 32
USUAL = 16  # frames of the clips that published modules were trained on
CONFIG = "atelier_motion"  # the metadata's field
CONFIGURED = ("motion_num_attention_heads", "motion_norm_num_groups", "motion_max_seq_length")
# The original code's names -> diffusers', and back.
RENAMED = (
    (".temporal_transformer.", "."), (".attention_blocks.0.", ".attn1."), (".attention_blocks.1.", ".attn2."),
    (".norms.0.", ".norm1."), (".norms.1.", ".norm2."), (".ff_norm.", ".norm3."),
)  # fmt: skip
INSIDE = re.compile(r"^((?:down_blocks|up_blocks)\.\d+|mid_block)\.motion_modules\.\d+\.(?!temporal_transformer)")


def load(path: Path, dtype: torch.dtype = torch.float32) -> MotionAdapter:
    """The module of a file or a folder, on the CPU. Raises `BadWeights` with the cause and the remedy."""
    if path.is_dir():
        return _of_folder(path, dtype)
    tensors = {diffusers_name(name): tensor for name, tensor in single_files.read(path).items()}
    tensors = {name: tensor for name, tensor in tensors.items() if "motion_modules." in name}
    if not tensors:
        raise BadWeights(f"{path.name} holds no motion module", HINT)
    places = max((t.shape[1] for n, t in tensors.items() if n.endswith("pos_encoder.pe") and t.dim() == 3), default=0)
    tensors = {name: tensor for name, tensor in tensors.items() if "pos_encoder" not in name}
    if any(".lora" in name or "_lora." in name for name in tensors):
        raise BadWeights(f"{path.name} is a motion LoRA, not a motion module", "Name it under loras, and a module too.")
    config = configuration(tensors, places or FRAMES, path.name)
    config |= {name: value for name, value in _metadata(path).items() if name in CONFIGURED}
    try:
        with torch.device("meta"):
            adapter = MotionAdapter(**config)
        known = dict(adapter.state_dict())
        missing = sorted(known.keys() - tensors.keys() - _counted(known))
        if missing:
            raise BadWeights(f"{path.name} lacks {len(missing)} tensors of a motion module, such as {missing[0]}", HINT)
        adapter = MotionAdapter(**config).to(dtype)
        adapter.load_state_dict({name: tensors[name].to(dtype) for name in known if name in tensors}, strict=False)
    except (RuntimeError, ValueError, TypeError) as error:
        raise BadWeights(f"{path.name} is no motion module that is known", HINT) from error
    return adapter.eval()


def configuration(tensors: Mapping[str, Tensor], places: int, name: str) -> dict[str, Any]:
    """What `MotionAdapter` is made with, of a module's tensors in diffusers' names. Raises `BadWeights`."""

    def counted(pattern: str) -> int:
        numbers = [int(found.group(1)) for key in tensors if (found := re.match(pattern, key))]
        return max(numbers, default=-1) + 1

    blocks = counted(r"down_blocks\.(\d+)\.")
    try:
        channels = tuple(int(tensors[f"down_blocks.{n}.motion_modules.0.norm.weight"].shape[0]) for n in range(blocks))
        layers = tuple(counted(rf"down_blocks\.{n}\.motion_modules\.(\d+)\.") for n in range(blocks))
        depth = counted(r"down_blocks\.0\.motion_modules\.0\.transformer_blocks\.(\d+)\.")
        inside = tensors["down_blocks.0.motion_modules.0.proj_in.weight"]
    except KeyError as error:
        raise BadWeights(f"{name} is no motion module that is known", HINT) from error
    if not blocks or not depth or inside.dim() != 2 or any(channel % HEADS for channel in channels):
        raise BadWeights(f"{name} is no motion module that is known", HINT)
    return {
        "block_out_channels": channels,
        "motion_layers_per_block": layers,
        "motion_mid_block_layers_per_block": max(counted(r"mid_block\.motion_modules\.(\d+)\."), 1),
        "use_motion_mid_block": any(key.startswith("mid_block.") for key in tensors),
        "motion_transformer_layers_per_block": depth,
        "motion_num_attention_heads": HEADS,
        "motion_norm_num_groups": GROUPS,
        "motion_max_seq_length": places,
    }


def frames_of(adapter: Any) -> int:
    """The most frames whose places it counts; what it was trained on is often fewer (AnimateDiff's: 16)."""
    return int(adapter.config.motion_max_seq_length)


def adapter_beside(path: Path) -> Path | None:
    """The network that belongs to a module, where there is one."""
    beside = path / "adapter.safetensors" if path.is_dir() else path.with_name(f"{path.stem}.adapter.safetensors")
    return beside if beside.is_file() else None


def trained_on(path: Path) -> int:
    """The frames of the clips that a module was trained on: what its file says, or AnimateDiff's 16."""
    return int(_metadata(path).get("frames", USUAL))


def write(path: Path, adapter: Any, metadata: Mapping[str, str], precision: str = "fp16", frames: int = USUAL) -> Path:
    """The module as AnimateDiff's single file, its configuration in the metadata; whole or not there.

    `frames` is what `trained_on` will say.
    """
    config = {**{name: adapter.config[name] for name in CONFIGURED}, "frames": frames}
    tensors = {
        original_name(name): tensor.detach().to("cpu", PRECISIONS[precision]).contiguous()
        for name, tensor in adapter.state_dict().items()
        if "pos_embed" not in name
    }
    with aside(path) as temporary:
        save_file(tensors, str(temporary), metadata={**metadata, CONFIG: json.dumps(config)})
    return path


def original_name(name: str) -> str:
    """A tensor's name in the original code, of diffusers' one."""
    for original, ours in reversed(RENAMED[1:]):
        name = name.replace(ours, original)
    return INSIDE.sub(lambda found: f"{found.group(0)}temporal_transformer.", name)


def diffusers_name(name: str) -> str:
    """A tensor's name in diffusers, of the original code's one."""
    name = name.removeprefix("module.").removeprefix("unet.")
    for original, ours in RENAMED:
        name = name.replace(original, ours)
    return name


def _counted(names: Mapping[str, Any]) -> set[str]:
    """Tensors that are counted, not learned: the sines that tell places."""
    return {name for name in names if "pos_embed" in name}


def _metadata(path: Path) -> dict[str, int]:
    """What Atelier's trainer wrote into a file; {} for one of another origin."""
    if path.suffix.lower() != ".safetensors":
        return {}
    try:
        with safe_open(str(path), "pt") as file:
            found = json.loads((file.metadata() or {}).get(CONFIG, "{}"))
        return {name: int(found[name]) for name in (*CONFIGURED, "frames") if name in found}
    # safetensors answers damage with errors of its own.
    except Exception:
        return {}


def _of_folder(path: Path, dtype: torch.dtype) -> MotionAdapter:
    try:
        config = diffusers_folders.read_json(path / "config.json")
        adapter = MotionAdapter.from_pretrained(path, torch_dtype=dtype, local_files_only=True, use_safetensors=True)
    # diffusers answers a damaged folder with errors of many kinds.
    except Exception as error:
        raise BadWeights(f"{path} is no folder of a motion module", HINT) from error
    if config.get("conv_in_channels"):
        raise BadWeights(f"{path.name} needs more than latents (PIA's condition)", "Choose a plain motion module.")
    return adapter.eval()

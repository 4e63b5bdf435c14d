"""ControlNets and T2I-Adapters for a loaded checkpoint: found by name, refused or kept.

Knows which widths must agree with the UNet's, and T2I-Adapter's names in its authors' files. Leaves ControlNets' files
to `loading`, and what is done with either to `steering`.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import T2IAdapter

from generation import single_files
from generation.catalogue import BUNDLED, Catalogue, ModelEntry, look
from generation.errors import BadWeights, GenerationError, UnknownModel, nearest
from generation.fitting import fit, named, require
from generation.loading import load_controlnet
from generation.stage import Stage

KINDS = ("controlnet", "t2i-adapter")
DEMO = BUNDLED.with_name("atelier-demo-canny")
KEPT = 4  # networks; one of Stable Diffusion 1.5 takes 1.4 GB in single precision
# What files for a preprocessor are called, where that is not its own name.
CALLED = {
    "segmentation": ("seg",), "softedge": ("softedge", "hed", "pidi"), "normal": ("normal",), "dwpose": ("openpose",),
    "scribble": ("scribble", "sketch"), "invert": ("lineart", "scribble"), "depth": ("depth",),
}  # fmt: skip


def find(catalogue: Catalogue, name: str, model: ModelEntry, preprocessor: str) -> ModelEntry:
    """The network by name or path; for "" the one that fits both the checkpoint and the preprocessor.

    Raises `UnknownModel`, or `BadWeights` for what is no ControlNet, is damaged, or made for another family.
    """
    if name in {"", DEMO.name} and (name or model.path == str(BUNDLED)):
        if not (DEMO / "config.json").is_file():
            raise BadWeights(f"the ControlNet {DEMO.name} is not there", "Install the program again.")
        found = look(DEMO)
    elif name:
        found = _called(catalogue, name)
    else:
        found = _fitting(catalogue, model, preprocessor)
    require(found, *KINDS)
    fit(found, model)
    return found


def _called(catalogue: Catalogue, name: str) -> ModelEntry:
    entries = [entry for entry in catalogue.entries() if entry.kind in KINDS]
    own = [entry for entry in entries if name in {entry.name, entry.path, Path(entry.path).name}]
    if own:
        return min(own, key=lambda entry: entry.problem != "")
    try:
        return catalogue.find(name)
    except UnknownModel as error:
        names = [entry.name for entry in entries] + [DEMO.name]
        there = nearest(name, names) or f"There are: {', '.join(names[:8])}."
        raise UnknownModel(f'there is no ControlNet "{name}"', there) from error


def _fitting(catalogue: Catalogue, model: ModelEntry, preprocessor: str) -> ModelEntry:
    words = CALLED.get(preprocessor, (preprocessor,))
    usable = [entry for entry in catalogue.entries() if entry.kind in KINDS and not _misfit(entry, model)]
    own = [entry for entry in usable if any(word in entry.name.lower() for word in words)]
    if not own:
        names = ", ".join(entry.name for entry in usable[:8])
        kind = f" for {preprocessor}" if preprocessor != "none" else ""
        raise UnknownModel(
            f"there is no ControlNet{kind} that fits {model.name}",
            f"Name one with model: {names}." if names else "Put one into a folder of models, or name its file.",
        )
    # Of several the plain one has the shortest name: control_v11p_sd15_canny before ..._canny_fp16.
    return min(own, key=lambda entry: (len(entry.name), entry.name))


def _misfit(entry: ModelEntry, model: ModelEntry) -> bool:
    try:
        fit(entry, model)
    except GenerationError:
        return True
    return False


def load(stage: Stage, name: str, preprocessor: str) -> Any:
    """The network on the stage's device, kept for the next render. Raises as `find`, and where shapes do not fit."""
    tools = stage.tools
    entry = find(tools.catalogue, name, tools.entry, preprocessor)
    kept: OrderedDict[str, Any] = tools.kept.setdefault("controls", OrderedDict())
    if entry.path not in kept:
        stage.report({"kind": "progress", "stage": "loading", "done": 0, "total": None, "message": entry.name})
        stage.check()
        while len(kept) >= KEPT:
            kept.popitem(last=False)
        dtype = stage.unet.dtype
        network = load_controlnet(entry, dtype) if entry.kind == "controlnet" else load_adapter(entry, dtype)
        refuse_misfit(network, stage.unet, tools.autoencoder.factor, entry, tools.entry)
        kept[entry.path] = network.to(stage.device).eval().requires_grad_(False)
    kept.move_to_end(entry.path)
    return kept[entry.path]


def refuse_misfit(network: Any, unet: Any, factor: int, entry: ModelEntry, model: ModelEntry) -> None:
    """Raises `BadWeights` naming the first number in which the network and the UNet differ."""
    theirs, ours = unet.config, network.config
    differences: list[tuple[str, Any, Any]] = []
    if isinstance(network, T2IAdapter):
        both = min(len(ours.channels), len(theirs.block_out_channels))
        differences.append(("channels", list(ours.channels)[:both], list(theirs.block_out_channels)[:both]))
        # SDXL's first level has no attention and adds an adapter's feature behind its halving, the others' before it.
        layouts = {True: "like SDXL's", False: "like SD 1.5's"}
        xl, late = ours.adapter_type == "full_adapter_xl", "CrossAttn" not in theirs.down_block_types[0]
        differences.append(("first level", layouts[xl], layouts[late]))
        differences.append(("pixels a latent", ours.downscale_factor, factor * (2 if xl else 1)))
    else:
        differences.append(("channels", list(ours.block_out_channels), list(theirs.block_out_channels)))
        differences.append(("layers a level", ours.layers_per_block, theirs.layers_per_block))
        if any("CrossAttn" in kind for kind in ours.down_block_types):
            differences.append(("width of the text", ours.cross_attention_dim, theirs.cross_attention_dim))
        hint = 2 ** (len(ours.conditioning_embedding_out_channels) - 1)
        differences.append(("pixels a latent", hint, factor))
        if ours.addition_embed_type and not theirs.addition_embed_type:
            differences.append(("conditions", ours.addition_embed_type, "text alone"))
    for what, has, wants in differences:
        if has != wants:
            raise BadWeights(
                f"{entry.name} does not fit {model.name}: its {what} {_said(has)}, the model's {_said(wants)}",
                f"Choose {named(entry)} made for this checkpoint's family.",
            )


def _said(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


# T2I-Adapter


def load_adapter(entry: ModelEntry, dtype: torch.dtype) -> T2IAdapter:
    """A T2I-Adapter (Mou et al. 2023, arXiv:2302.08453) of a diffusers folder, or of a file in either spelling."""
    path = Path(entry.path)
    try:
        if path.is_dir():
            return T2IAdapter.from_pretrained(path, torch_dtype=dtype, local_files_only=True, use_safetensors=True)
        tensors = diffusers_names(single_files.read(path))
        config = adapter_config({name: list(tensor.shape) for name, tensor in tensors.items()})
        adapter = T2IAdapter(**config)
        adapter.load_state_dict(tensors)
    except (*single_files.DAMAGED, IndexError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise BadWeights(f"{path} could not be loaded: {reason}", "Download it again, or choose another.") from error
    return adapter.to(dtype)


def diffusers_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors under diffusers' names; the authors' files count all blocks of all levels in one row."""
    bare = {name.removeprefix("adapter."): tensor for name, tensor in tensors.items()}
    if any(".resnets." in name for name in bare):
        return {f"adapter.{name}": tensor for name, tensor in bare.items()}
    if any(name.startswith("body.0.body.") for name in bare):
        light = re.compile(r"^(body\.\d+\.)body\.")
        return {"adapter." + light.sub(r"\1resnets.", name): tensor for name, tensor in bare.items()}
    count = len({name.split(".")[1] for name in bare if name.startswith("body.")})
    first = [bare[f"body.{n}.block1.weight"].shape[0] for n in range(count)]
    # A level begins where the channels change; two levels of SD 1.5's are equally wide, so levels are equally long.
    deep = next((n for n in range(1, count) if first[n] != first[0]), count)
    found = {}
    for name, tensor in bare.items():
        step = re.fullmatch(r"body\.(\d+)\.(in_conv|block1|block2)\.(.+)", name)
        if step is None:
            found[f"adapter.{name}"] = tensor
            continue
        level, block = divmod(int(step[1]), deep)
        inside = step[2] if step[2] == "in_conv" else f"resnets.{block}.{step[2]}"
        found[f"adapter.body.{level}.{inside}.{step[3]}"] = tensor
    return found


def adapter_config(shapes: Mapping[str, list[int]]) -> dict[str, Any]:
    """The configuration that tensors under diffusers' names have. KeyError where one is missing."""
    levels = len({name.split(".")[2] for name in shapes if name.startswith("adapter.body.")})
    blocks = len({name.split(".")[4] for name in shapes if name.startswith("adapter.body.0.resnets.")})
    light = "adapter.body.0.out_conv.weight" in shapes
    if light:
        # Its last level halves once more and keeps the width of the one before.
        channels = [shapes[f"adapter.body.{level}.out_conv.weight"][0] for level in range(levels - 1)]
        folded = shapes["adapter.body.0.in_conv.weight"][1]
    else:
        channels = [shapes[f"adapter.body.{level}.resnets.0.block1.weight"][0] for level in range(levels)]
        folded = shapes["adapter.conv_in.weight"][1]
    side = next(s for s in (2, 4, 8, 16, 0) if s == 0 or folded in {s * s, 3 * s * s})
    if side == 0:
        raise ValueError(f"{folded} channels are no folded picture")
    kind = "light_adapter" if light else "full_adapter_xl" if side == 16 else "full_adapter"
    return {
        "in_channels": folded // (side * side), "channels": channels, "num_res_blocks": blocks,
        "downscale_factor": side, "adapter_type": kind,
    }  # fmt: skip

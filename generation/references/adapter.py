"""References: pictures that the UNet attends to beside the prompt (IP-Adapter, Ye et al. 2023, arXiv:2308.06721).

    attention(q, K text, V text) + weight * attention(q, K' picture, V' picture)

with keys and values of the adapter's own for each cross-attention. Hooks on `to_q` and before `to_out` do it, so that
any attention processor serves and no weight changes. The pictures' tokens travel with the call of the UNet, row by row,
so that what multiplies rows (AND, regions) multiplies them too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from generation import fitting
from generation.catalogue import ModelEntry
from generation.errors import BadSpec, BadWeights
from generation.faces.identity import identity
from generation.pictures import read, read_mask
from generation.references import encoders, files
from generation.stage import Stage

KEPT = "references"
MOST = 4  # adapters and encoders kept beside a checkpoint
TOKENS = "ip_hidden_states"  # a name that diffusers' attention passes over without a warning


@dataclass
class Reference:
    """One picture at work: `tokens` [2, n, width], of no picture and of the picture; `mask` [1, 1, h, w] or None."""

    adapter: files.Adapter
    tokens: torch.Tensor
    weight: float
    start: float
    end: float
    layers: frozenset[int]
    mask: torch.Tensor | None
    strength: float = 0.0  # at the present step


@contextmanager
def attach(stage: Stage) -> Iterator[None]:
    """While it holds, the stage's UNet attends to the spec's references; then it is as it was, hook by hook.

    Raises `BadSpec`, `BadImage`, `BadWeights`, `UnknownModel` before the first step; a weight of 0 loads nothing.
    """
    references = [_reference(stage, told) for told in stage.spec.references if told["weight"]]
    if not references:
        yield
        return
    size = [0, 0]

    def steer(rows: torch.Tensor, timestep: Any, texts: Any, added: Any, share: float) -> dict[str, Any]:
        size[:] = rows.shape[-2:]
        for one in references:
            one.strength = one.weight if one.start <= share < one.end or (share == 0 == one.start) else 0.0
        # Without guidance the rows are the text's alone, with it the negative's stand first.
        pick = slice(0 if len(rows) > stage.batch else 1, None)
        own = [one.tokens[pick].repeat_interleave(stage.batch, 0).to(rows.dtype) for one in references]
        return {"cross_attention_kwargs": {TOKENS: own}}

    stage.steering.append(steer)
    with ExitStack() as hooks:
        hooks.callback(stage.steering.remove, steer)
        for number, name in enumerate(stage.unet.attn_processors):
            attention = stage.unet.get_submodule(name.removesuffix(".processor"))
            for one in references:
                _lora(hooks, one, number, attention)
            if any(number in one.layers for one in references):
                _reading(hooks, attention, number, references, size)
        yield


def _reading(hooks: ExitStack, attention: Any, number: int, references: list[Reference], size: list[int]) -> None:
    """Hooks that add what the references say to one cross-attention."""
    now: dict[str, Any] = {}

    def begin(module: Any, args: Any, named: dict[str, Any]) -> None:
        now["tokens"] = named.get(TOKENS)

    def asked(module: Any, args: Any, query: torch.Tensor) -> None:
        now["query"] = query

    def add(module: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        query, tokens = now.pop("query", None), now.pop("tokens", None)
        found = args[0]
        for one, own in zip(references, tokens or (), strict=False):
            if one.strength and number in one.layers:
                said = attended(query, own, one.adapter.keys[number], one.adapter.values[number], attention.heads)
                found = found + one.strength * (said if one.mask is None else said * places(one.mask, said, size))
        return found, *args[1:]

    hooks.callback(attention.register_forward_pre_hook(begin, with_kwargs=True).remove)
    hooks.callback(attention.to_q.register_forward_hook(asked).remove)
    hooks.callback(attention.to_out[0].register_forward_pre_hook(add).remove)


def attended(
    query: torch.Tensor, tokens: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, heads: int
) -> torch.Tensor:
    """[rows, places, inner]: attention of `query` [rows, places, inner] to `tokens` [rows, n, text]."""

    def split(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.unflatten(-1, (heads, -1)).transpose(1, 2)

    k, v = functional.linear(tokens, keys), functional.linear(tokens, values)
    found: torch.Tensor = functional.scaled_dot_product_attention(split(query), split(k), split(v))
    return found.transpose(1, 2).flatten(2)


def places(mask: torch.Tensor, like: torch.Tensor, size: list[int]) -> torch.Tensor:
    """[1, places, 1]: the mask at the resolution of an attention over latents of `size`."""
    count = like.shape[1]
    for factor in (1, 2, 4, 8, 16, 32):
        high, wide = (-(-side // factor) for side in size)
        if high * wide == count:
            small = functional.interpolate(mask.float(), size=(high, wide), mode="area")
            return small.flatten(2).transpose(1, 2).to(like)
    raise AssertionError(f"{count} places are no level of latents {size}")


def _lora(hooks: ExitStack, one: Reference, number: int, attention: Any) -> None:
    """The LoRA of a FaceID file: it acts with the reference's weight, in its steps, on every attention."""
    for part in files.LORA_PARTS:
        if (number, part) not in one.adapter.loras:
            continue
        down, up = one.adapter.loras[number, part]

        def more(
            module: Any, args: Any, found: torch.Tensor, down: torch.Tensor = down, up: torch.Tensor = up
        ) -> torch.Tensor:
            if not one.strength:
                return found
            return found + one.strength * functional.linear(functional.linear(args[0], down), up)

        target = attention.to_out[0] if part == "to_out" else getattr(attention, part)
        hooks.callback(target.register_forward_hook(more).remove)


def layers(unet: Any, kind: str, family: str) -> frozenset[int]:
    """Numbers of the cross-attentions that a kind of reference acts on.

    SDXL: style and composition are one layer each (InstantStyle, Wang et al. 2024, arXiv:2404.02733). Other UNets: the
    composition is the innermost level on its way down, the style everything outside that level.
    """
    names = {n: name for n, name in enumerate(unet.attn_processors) if name.endswith("attn2.processor")}
    if kind == "full":
        return frozenset(names)
    if family.startswith("sdxl") and len(unet.down_blocks) == 3:
        prefix = "up_blocks.0.attentions.1." if kind == "style" else "down_blocks.2.attentions.1."
        return frozenset(n for n, name in names.items() if name.startswith(prefix))
    deep = max(n for n, block in enumerate(unet.down_blocks) if getattr(block, "attentions", None))
    down, up = f"down_blocks.{deep}.", f"up_blocks.{len(unet.down_blocks) - 1 - deep}."
    if kind == "composition":
        return frozenset(n for n, name in names.items() if name.startswith(down))
    return frozenset(n for n, name in names.items() if not name.startswith((down, up)))


def _reference(stage: Stage, told: dict[str, Any]) -> Reference:
    if told["start"] >= told["end"]:
        raise BadSpec(f"the reference {told['image']} ends before it starts", "Give start below end, 0 to 1.")
    picture = read(told["image"])
    mask = None
    if told["mask"]:
        drawn = np.asarray(read_mask(told["mask"]), dtype=np.float32) / 255
        mask = torch.from_numpy(drawn)[None, None].to(stage.device)
    entry = _chosen(stage, told["adapter"])
    fitting.require(entry, "ip-adapter")
    fitting.fit(entry, stage.tools.entry)
    adapter: files.Adapter = _kept(stage, entry.path, lambda: files.load(Path(entry.path), stage.unet))
    on = layers(stage.unet, told["kind"], stage.tools.entry.family)
    tokens = _tokens(stage, adapter, entry, told, picture)
    return Reference(adapter, tokens, told["weight"], told["start"], told["end"], on, mask)


def _chosen(stage: Stage, name: str) -> ModelEntry:
    if name:
        return stage.tools.catalogue.find(name)
    own = [entry for entry in stage.tools.catalogue.entries() if entry.kind == "ip-adapter"]
    fit = [entry for entry in own if not fitting.reason(entry, stage.tools.entry)]
    if len(fit) == 1:
        return fit[0]
    if not fit:
        raise BadWeights(
            "there is no IP-Adapter for this model",
            "Put its file (such as ip-adapter_sd15.safetensors) into a folder of studio.models, under ipadapter.",
        )
    raise BadSpec("there are several IP-Adapters", f"Name one: {', '.join(entry.name for entry in fit[:6])}.")


@torch.no_grad()
def _tokens(
    stage: Stage, adapter: files.Adapter, entry: ModelEntry, told: dict[str, Any], picture: Any
) -> torch.Tensor:
    """[2, n, width] of no picture and of the picture."""
    device, dtype = stage.device, stage.unet.dtype
    face = None
    if adapter.of_faces:
        face, picture = identity(picture, stage.tools.catalogue, told["image"])
    if adapter.width:
        path = encoders.find(adapter, entry, stage.tools.catalogue, told["encoder"])
        encoder = _kept(stage, str(path), lambda: encoders.load(path, device, dtype))
        seen, none = encoders.features(encoder, picture, projected=adapter.kind == "plain")
        both = torch.cat([none, seen])
    if face is not None:
        if adapter.width:
            adapter.project.clip_embeds = both[:, None]
        one = torch.from_numpy(face)[None].to(device, dtype)
        both = torch.cat([torch.zeros_like(one), one])
    found: torch.Tensor = adapter.project(both)
    return found if found.dim() == 3 else found[:, None]


def _kept(stage: Stage, key: str, make: Any) -> Any:
    """What was loaded before for this checkpoint, or is now; those used longest ago go."""
    table: dict[str, Any] = stage.tools.kept.setdefault(KEPT, {})
    table[key] = table.pop(key) if key in table else make()
    while len(table) > MOST:
        del table[next(iter(table))]
    return table[key]

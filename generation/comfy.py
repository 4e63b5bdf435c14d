"""ComfyUI's graph: from its sampler back to the texts and numbers that made a picture.

Knows the nodes ComfyUI ships with, and any node whose inputs carry the same names; a graph is followed by its links,
never run. Leaves the file it lies in to `metadata`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from generation import samplers
from generation.errors import UnknownSampler

# ComfyUI's names of samplers and schedules -> A1111's. "normal" is what A1111 calls Automatic.
SAMPLERS = {
    "euler": "Euler", "euler_ancestral": "Euler a", "heun": "Heun", "dpm_2": "DPM2", "dpm_2_ancestral": "DPM2 a",
    "lms": "LMS", "dpmpp_2s_ancestral": "DPM++ 2S a", "dpmpp_sde": "DPM++ SDE", "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE", "dpmpp_3m_sde": "DPM++ 3M SDE", "ddim": "DDIM", "uni_pc": "UniPC",
    "uni_pc_bh2": "UniPC", "lcm": "LCM", "deis": "DEIS",
}  # fmt: skip
SCHEDULES = {
    "normal": "", "karras": "Karras", "exponential": "Exponential", "sgm_uniform": "SGM Uniform", "simple": "Simple",
    "beta": "Beta", "ddim_uniform": "",
}  # fmt: skip
# Inputs that lead from a conditioning to its text, the likelier first.
TO_TEXT = (
    "text", "text_g", "text_l", "string", "value", "prompt", "conditioning", "conditioning_1", "conditioning_to",
    "conditioning_from", "conditioning_2", "positive", "string_a", "text1", "text_a", "string_b", "text2", "text_b",
)  # fmt: skip
MOST_NODES = 2000  # a graph drawn by a person has some hundred

Node = dict[str, Any]
Graph = dict[str, Any]


def read(graph: Graph) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(spec fields, settings) of a `prompt` graph, or None when it has no sampler."""
    node = _sampler(graph)
    if node is None:
        return None
    inputs = _in(node)
    # SamplerCustomAdvanced keeps its texts in a guider, its numbers in nodes of their own.
    guider = _in(_follow(graph, inputs.get("guider"))) if "guider" in inputs else inputs
    positive = guider.get("positive", guider.get("conditioning"))
    fields: dict[str, Any] = {
        "prompt": _text(graph, positive, set()),
        "negative": _text(graph, guider.get("negative"), set()),
    }
    settings = {key: value for key, value in inputs.items() if not isinstance(value, list)}
    for keys, name, kind in (
        (("seed", "noise_seed"), "seed", int),
        (("steps",), "steps", int),
        (("cfg",), "cfg", float),
    ):
        value = next((v for v in (_number(graph, node, key) for key in keys) if v is not None), None)
        if value is not None:
            fields[name] = kind(value)
    name, schedule = _named(graph, node, "sampler_name"), _named(graph, node, "scheduler")
    settings |= {key: text for key, text in (("sampler_name", name), ("scheduler", schedule)) if text}
    with contextlib.suppress(UnknownSampler):
        fields["sampler"] = sampler(name, schedule)
    fields |= _size(graph, inputs.get("latent_image"))
    model = next((_in(n)["ckpt_name"] for n in _upstream(graph, guider.get("model")) if "ckpt_name" in _in(n)), None)
    if model is None:
        model = next((_in(n)["ckpt_name"] for n in graph.values() if "ckpt_name" in _in(n)), None)
    if isinstance(model, str):
        settings["Model"] = model
    layer = next(
        (_in(n)["stop_at_clip_layer"] for n in _upstream(graph, positive) if "stop_at_clip_layer" in _in(n)), 0
    )
    if isinstance(layer, int) and layer < 0:
        fields["clip_skip"] = -layer  # -1 is the last layer
    return fields, settings


def sampler(name: str, schedule: str) -> str:
    """A1111's name for ComfyUI's sampler and schedule. Raises `UnknownSampler` where there is none."""
    base = SAMPLERS.get(name.removesuffix("_gpu"), "")
    if schedule and schedule not in SCHEDULES:
        raise UnknownSampler(f'there is no schedule "{schedule}"')
    return samplers.find(base, schedule=SCHEDULES.get(schedule, "")).name


def _sampler(graph: Graph) -> Node | None:
    """The sampler that drew the picture first: of several the one that begins from an empty latent."""
    found = [node for node in graph.values() if _is_sampler(_in(node))]
    from_empty = [node for node in found if _size(graph, _in(node).get("latent_image"))]
    return (from_empty or found or [None])[0]


def _is_sampler(inputs: dict[str, Any]) -> bool:
    """ControlNet nodes too have a positive and a negative; only a sampler has steps, a seed or a guider beside."""
    texts = {"positive", "negative"} <= set(inputs)
    return ("guider" in inputs and "sigmas" in inputs) or (
        texts and any(key in inputs for key in ("seed", "noise_seed", "steps", "sigmas"))
    )


def _in(node: Any) -> dict[str, Any]:
    inputs = node.get("inputs") if isinstance(node, dict) else None
    return inputs if isinstance(inputs, dict) else {}


def _follow(graph: Graph, link: Any) -> Any:
    """The node a link [id, output] leads to."""
    if isinstance(link, list) and len(link) == 2:
        return graph.get(str(link[0]))
    return None


def _upstream(graph: Graph, link: Any) -> Iterator[Node]:
    """The nodes before a link, the nearest first, each once."""
    seen: set[int] = set()
    front = [link]
    while front and len(seen) < MOST_NODES:
        node = _follow(graph, front.pop(0))
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        front.extend(_in(node).values())


def _number(graph: Graph, node: Node, key: str) -> int | float | None:
    """The sampler's number: its own, a primitive's it is linked to, or that of its noise, sigmas or guider."""
    value = _in(node).get(key)
    if isinstance(value, list):
        source = _in(_follow(graph, value))
        value = next((source[k] for k in (key, "value", "int", "float", "Number", "seed") if k in source), None)
    if value is None:
        parts = (_in(_follow(graph, _in(node).get(part))) for part in ("noise", "sigmas", "guider"))
        value = next((part[key] for part in parts if key in part), None)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _named(graph: Graph, node: Node, key: str) -> str:
    """A name that stands in the sampler, or in the node that its `sampler` or `sigmas` come from."""
    inputs = _in(node)
    parts = (inputs, _in(_follow(graph, inputs.get("sampler"))), _in(_follow(graph, inputs.get("sigmas"))))
    return next((part[key] for part in parts if isinstance(part.get(key), str)), "")


def _size(graph: Graph, link: Any) -> dict[str, int]:
    """Width and height of an empty latent."""
    inputs = _in(_follow(graph, link))
    sides = {
        side: value
        for side in ("width", "height")
        if isinstance(value := inputs.get(side), int) and not isinstance(value, bool)
    }
    return sides if len(sides) == 2 else {}


def _text(graph: Graph, link: Any, seen: set[tuple[int, Any]]) -> str:
    """The text behind a conditioning: the first found on the way back, no link taken twice."""
    if isinstance(link, str):
        return link
    node = _follow(graph, link)
    # `seen` holds the way in too: both outputs of a ControlNet node may lie on one way back.
    if node is None or (id(node), link[1]) in seen or len(seen) > MOST_NODES // 10:
        return ""
    seen.add((id(node), link[1]))
    inputs = _in(node)
    if {"positive", "negative"} <= set(inputs):
        # A node that passes both on: its second output is the negative.
        return _text(graph, inputs["negative" if link[1] == 1 else "positive"], seen)
    if "ZeroOut" in str(node.get("class_type", "")):
        return ""  # the conditioning of no text, whatever it was made from
    return next((text for key in TO_TEXT if key in inputs and (text := _text(graph, inputs[key], seen))), "")

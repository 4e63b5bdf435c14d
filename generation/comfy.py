"""ComfyUI's graph: from its sampler back to the texts and numbers that made a picture."""

from __future__ import annotations

import contextlib
from typing import Any

from generation import samplers
from generation.errors import UnknownSampler

# ComfyUI's names of samplers and schedules -> A1111's.
SAMPLERS = {
    "euler": "Euler", "euler_ancestral": "Euler a", "heun": "Heun", "dpm_2": "DPM2", "dpm_2_ancestral": "DPM2 a",
    "lms": "LMS", "dpmpp_2s_ancestral": "DPM++ 2S a", "dpmpp_sde": "DPM++ SDE", "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE", "dpmpp_3m_sde": "DPM++ 3M SDE", "ddim": "DDIM", "uni_pc": "UniPC", "lcm": "LCM",
}  # fmt: skip
SCHEDULES = {
    "karras": "Karras", "exponential": "Exponential", "sgm_uniform": "SGM Uniform", "simple": "Simple", "beta": "Beta",
}  # fmt: skip
DEEPEST = 40


def read(graph: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """(spec fields, settings) of a `prompt` graph, or None when it has no sampler."""
    node = next(
        (n for n in graph.values() if isinstance(n, dict) and {"positive", "negative"} <= set(_in(n))),
        None,
    )
    if node is None:
        return None
    inputs = _in(node)
    settings = {k: v for k, v in inputs.items() if not isinstance(v, list)}
    fields: dict[str, Any] = {
        "prompt": _text(graph, inputs["positive"], 0),
        "negative": _text(graph, inputs["negative"], 0),
    }
    for names, name, kind in (
        (("seed", "noise_seed"), "seed", int),
        (("steps",), "steps", int),
        (("cfg",), "cfg", float),
    ):
        for key in names:
            value = _value(graph, inputs.get(key), key)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                fields[name] = kind(value)
    with contextlib.suppress(UnknownSampler):
        fields["sampler"] = samplers.find(
            SAMPLERS.get(str(inputs.get("sampler_name")), ""),
            schedule=SCHEDULES.get(str(inputs.get("scheduler")), ""),
        ).name
    latent = _follow(graph, inputs.get("latent_image"))
    for side in ("width", "height"):
        if isinstance(_in(latent).get(side), int):
            fields[side] = _in(latent)[side]
    for other in graph.values():
        if isinstance(other, dict) and "ckpt_name" in _in(other):
            settings["Model"] = _in(other)["ckpt_name"]
    return fields, settings


def _in(node: Any) -> dict[str, Any]:
    inputs = node.get("inputs") if isinstance(node, dict) else None
    return inputs if isinstance(inputs, dict) else {}


def _follow(graph: dict[str, Any], link: Any) -> Any:
    """The node a link [id, output] leads to."""
    if isinstance(link, list) and link:
        return graph.get(str(link[0]))
    return None


def _value(graph: dict[str, Any], value: Any, key: str) -> Any:
    """A plain value, or the one of the primitive node it is linked to."""
    node = _follow(graph, value)
    if node is None:
        return value
    inputs = _in(node)
    return inputs.get(key, inputs.get("value", inputs.get("int")))


def _text(graph: dict[str, Any], link: Any, depth: int) -> str:
    """The text behind a conditioning: the first text found on the way back."""
    if isinstance(link, str):
        return link
    node = _follow(graph, link)
    if node is None or depth > DEEPEST:
        return ""
    inputs = _in(node)
    for key in ("text", "text_g", "string", "value"):
        if isinstance(inputs.get(key), str):
            return str(inputs[key])
    for key in ("text", "conditioning", "conditioning_1", "positive", "string", "text_g"):
        if key in inputs:
            found = _text(graph, inputs[key], depth + 1)
            if found:
                return found
    return ""

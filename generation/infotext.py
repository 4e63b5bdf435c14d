"""A1111's text beside a picture, written and read. Pure text; which file it lies in is `metadata`'s matter.

Layout: the prompt, `Negative prompt: ...`, one line of `Key: value` pairs. Any of the first two may be missing and may
span lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from generation import samplers
from generation.errors import UnknownSampler

PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
SIZE = re.compile(r"^(\d+)x(\d+)$")
NEGATIVE = "Negative prompt:"
# Keys as A1111 writes them -> fields of a render spec, with their types.
FIELDS: dict[str, tuple[str, type]] = {
    "Steps": ("steps", int),
    "CFG scale": ("cfg", float),
    "Seed": ("seed", int),
    "Size-1": ("width", int),
    "Size-2": ("height", int),
    "Clip skip": ("clip_skip", int),
}


def quote(value: Any) -> str:
    """The value as it stands behind its key: quoted when it holds a comma, a colon or a line break."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(c in text for c in ",:\n") else text


def write(spec: Mapping[str, Any], *, model_hash: str = "", version: str = "Atelier") -> str:
    """The infotext of a resolved render spec, with the keys in A1111's order."""
    sampler, schedule = samplers.to_a1111(spec["sampler"])
    values: dict[str, Any] = {
        "Steps": spec["steps"],
        "Sampler": sampler,
        "Schedule type": None if schedule == "Automatic" else schedule,
        "CFG scale": f"{spec['cfg']:g}",
        "Seed": spec["seed"],
        "Size": f"{spec['width']}x{spec['height']}",
        "Model hash": model_hash or None,
        "Model": spec["model"],
        "Clip skip": spec["clip_skip"] if spec.get("clip_skip", 1) > 1 else None,
        # The noise is drawn on the CPU; A1111 needs to know to make the same picture.
        "RNG": "CPU",
        "Version": version,
    }
    lines = [str(spec["prompt"])]
    if spec.get("negative"):
        lines.append(f"{NEGATIVE} {spec['negative']}")
    lines.append(", ".join(f"{key}: {quote(v)}" for key, v in values.items() if v is not None))
    return "\n".join(lines)


def read(text: str) -> dict[str, Any]:
    """{"prompt", "negative_prompt", "params": {key: text}}; a size becomes `<key>-1` and `<key>-2`.

    The last line holds parameters only if it has at least three pairs; else it belongs to the prompt.
    """
    *lines, last = text.strip().split("\n")
    if len(PAIR.findall(last)) < 3:
        lines.append(last)
        last = ""
    prompt: list[str] = []
    negative: list[str] = []
    into = prompt
    for line in lines:
        line = line.strip()
        if line.startswith(NEGATIVE):
            into = negative
            line = line[len(NEGATIVE) :].strip()
        into.append(line)
    params: dict[str, str] = {}
    for key, value in PAIR.findall(last):
        if not value:
            continue
        if value.startswith('"') and value.endswith('"') and len(value) > 1:
            try:
                value = str(json.loads(value))
            except ValueError:
                value = value[1:-1]
        size = SIZE.match(value)
        if size:
            params[f"{key}-1"], params[f"{key}-2"] = size[1], size[2]
        else:
            params[key] = value
    return {"prompt": "\n".join(prompt), "negative_prompt": "\n".join(negative), "params": params}


def to_spec(parsed: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a render spec that the parsed text holds; what cannot be used is left out."""
    params = parsed["params"]
    spec: dict[str, Any] = {"prompt": parsed["prompt"], "negative": parsed["negative_prompt"]}
    for key, (name, kind) in FIELDS.items():
        try:
            if key in params:
                spec[name] = kind(params[key])
        except ValueError:
            continue
    try:
        spec["sampler"] = samplers.find(
            params.get("Sampler", ""), schedule=params.get("Schedule type", "")
        ).name
    except UnknownSampler:
        pass
    return spec

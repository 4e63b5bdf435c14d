"""Which tool wrote a picture's texts, and what they say: prompt, settings, and the fields of a render spec.

Knows the keys and JSON of A1111, ComfyUI, InvokeAI, Fooocus, NovelAI and Atelier. Leaves the text format of A1111 to
`infotext`, ComfyUI's graph to `comfy`, and where the texts lie in a file to `metadata`.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from generation import comfy, infotext, samplers
from generation.errors import BadSpec, UnknownSampler
from generation.specs import RenderSpec

Data = dict[str, Any]
Names = Mapping[str, tuple[str, type]]
# Another tool's keys -> fields of a spec, with their types.
INVOKE: Names = {
    "positive_prompt": ("prompt", str), "negative_prompt": ("negative", str), "seed": ("seed", int),
    "steps": ("steps", int), "cfg_scale": ("cfg", float), "width": ("width", int), "height": ("height", int),
}  # fmt: skip
FOOOCUS: Names = {
    "prompt": ("prompt", str), "negative_prompt": ("negative", str), "seed": ("seed", int),
    "steps": ("steps", int), "guidance_scale": ("cfg", float), "clip_skip": ("clip_skip", int),
}  # fmt: skip
NOVEL: Names = {
    "uc": ("negative", str), "seed": ("seed", int), "steps": ("steps", int), "scale": ("cfg", float),
    "width": ("width", int), "height": ("height", int),
}  # fmt: skip
# InvokeAI's letters in a `Dream` text.
DREAM = {"-s": "steps", "-S": "seed", "-C": "cfg_scale", "-W": "width", "-H": "height", "-A": "scheduler"}
# InvokeAI's and NovelAI's samplers where they do not bear ComfyUI's names; a trailing k says Karras at InvokeAI.
OTHER_SAMPLERS = {
    "euler_a": "euler_ancestral", "euler_k": "euler karras", "heun_k": "heun karras", "lms_k": "lms karras",
    "kdpm_2": "dpm_2", "kdpm_2_a": "dpm_2_ancestral", "kdpm_2_k": "dpm_2 karras",
    "kdpm_2_a_k": "dpm_2_ancestral karras", "dpmpp_2s": "dpmpp_2s_ancestral",
    "dpmpp_2s_k": "dpmpp_2s_ancestral karras", "dpmpp_2m_k": "dpmpp_2m karras",
    "dpmpp_2m_sde_k": "dpmpp_2m_sde karras", "dpmpp_sde_k": "dpmpp_sde karras", "unipc": "uni_pc",
    "unipc_k": "uni_pc karras", "k_lms": "lms", "k_euler": "euler", "k_euler_a": "euler_ancestral",
    "k_euler_ancestral": "euler_ancestral", "k_heun": "heun", "k_dpm_2": "dpm_2", "k_dpm_2_a": "dpm_2_ancestral",
    "k_dpmpp_2m": "dpmpp_2m", "k_dpmpp_sde": "dpmpp_sde", "k_dpmpp_2s_ancestral": "dpmpp_2s_ancestral",
}  # fmt: skip
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


@dataclass(frozen=True)
class Found:
    """`tool` is "" when unknown; `fields` fit `RenderSpec.from_json`, `settings` are the tool's own."""

    tool: str = ""
    fields: Data = field(default_factory=dict)
    settings: Data = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        return str(self.fields.get("prompt", ""))

    @property
    def negative(self) -> str:
        return str(self.fields.get("negative", ""))


def understand(texts: Mapping[str, str]) -> Found:
    """What the texts of a picture say. Never raises: what no reader understands is an unknown tool's.

    The tools are asked in an order of their own: several may have written into one picture, and one with a prompt
    is taken before one without.
    """
    empty = Found()
    for reader in READERS:
        try:
            found = reader(texts)
        except UNREADABLE:
            continue
        if found and (found.prompt or found.negative):
            return found
        if found and not empty.tool:
            empty = found
    return empty


def fitting(fields: Mapping[str, Any]) -> Data:
    """The fields that a spec can hold: another tool's sizes, seeds and samplers may be outside of what is possible."""
    kept: Data = {}
    for name, value in fields.items():
        with contextlib.suppress(BadSpec):
            RenderSpec(**{"prompt": "", name: value})
            kept[name] = value
    return kept


def _renamed(data: Data, names: Names) -> Data:
    """Fields of a spec from another tool's keys; values of a wrong type are left out."""
    fields: Data = {}
    for key, (name, kind) in names.items():
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            if isinstance(data.get(key), (str, int, float)):
                fields[name] = kind(data[key])
    return fields


def _sampler(name: Any, schedule: Any = "") -> Data:
    """{"sampler": name} where A1111's table has one like it, else {}."""
    base, _, behind = OTHER_SAMPLERS.get(str(name), str(name)).partition(" ")
    with contextlib.suppress(UnknownSampler):
        return {"sampler": comfy.sampler(base, behind or str(schedule or "").lower())}
    with contextlib.suppress(UnknownSampler):
        return {"sampler": samplers.find(str(name), schedule=str(schedule or "")).name}
    return {}


def _without(data: Data, *keys: str) -> Data:
    return {key: value for key, value in data.items() if key not in keys}


def _atelier(texts: Mapping[str, str]) -> Found | None:
    if "atelier" not in texts:
        return None
    data = dict(json.loads(texts["atelier"]))
    return Found("Atelier", data, _without(data, "prompt", "negative"))


def _invoke(texts: Mapping[str, str]) -> Found | None:
    if "invokeai_metadata" not in texts:
        return None
    data = dict(json.loads(texts["invokeai_metadata"]))
    fields = _renamed(data, INVOKE) | _sampler(data.get("scheduler"))
    skipped = data.get("clip_skip")
    if isinstance(skipped, int):
        fields["clip_skip"] = skipped + 1  # InvokeAI counts the layers left out
    return Found("InvokeAI", fitting(fields), _without(data, "positive_prompt", "negative_prompt"))


def _invoke_2(texts: Mapping[str, str]) -> Found | None:
    """InvokeAI 2: JSON under `sd-metadata`, its prompt text or a list of weighted parts."""
    if "sd-metadata" not in texts:
        return None
    data = json.loads(texts["sd-metadata"])
    image = dict(data["image"])
    prompt = image.get("prompt", "")
    if isinstance(prompt, list):
        prompt = ", ".join(str(part["prompt"]) for part in prompt)
    fields = _bracketed(str(prompt)) | _renamed(_without(image, "prompt"), INVOKE) | _sampler(image.get("sampler"))
    settings = _without(image, "prompt") | {k: data[k] for k in ("model", "model_weights") if k in data}
    return Found("InvokeAI", fitting(fields), settings)


def _dream(texts: Mapping[str, str]) -> Found | None:
    """InvokeAI 1 and 2: a command line, `"a fox [blurry]" -s 50 -S 5 -W 512 -H 512 -C 7.5 -A k_lms`."""
    if "Dream" not in texts:
        return None
    quoted = re.match(r'\s*"((?:\\.|[^\\"])*)"', texts["Dream"])
    if quoted is None:
        return Found("InvokeAI", {}, {"Dream": texts["Dream"]})
    words = shlex.split(texts["Dream"][quoted.end() :].replace("'", " "))
    data: Data = {}
    for here, behind in zip(words, [*words[1:], ""]):
        for letter, key in DREAM.items():
            # Both `-s 50` and `-s50` were written.
            if here == letter:
                data[key] = behind
            elif here.startswith(letter) and here[2:3].isdigit():
                data[key] = here[2:]
    fields = _bracketed(quoted[1].replace('\\"', '"')) | _renamed(data, INVOKE) | _sampler(data.get("scheduler"))
    return Found("InvokeAI", fitting(fields), data)


def _bracketed(prompt: str) -> Data:
    """InvokeAI 2 wrote what should not be seen in [brackets] inside the prompt."""
    negative = ", ".join(re.findall(r"\[([^\[\]]*)\]", prompt))
    positive = re.sub(r"\s*\[[^\[\]]*\]", "", prompt).strip()
    return {"prompt": positive, "negative": negative}


def _comfy(texts: Mapping[str, str]) -> Found | None:
    graph = json.loads(texts.get("prompt", "{}"))
    read = comfy.read(graph) if graph else None
    if read:
        return Found("ComfyUI", fitting(read[0]), read[1])
    nodes = graph and all(isinstance(node, dict) and "class_type" in node for node in graph.values())
    return Found("ComfyUI") if nodes or '"nodes"' in texts.get("workflow", "") else None


def _novel(texts: Mapping[str, str]) -> Found | None:
    if texts.get("Software") != "NovelAI":
        return None
    data = dict(json.loads(texts["Comment"]))
    prompt = texts.get("Description") or data.get("prompt", "")
    fields = {"prompt": str(prompt)} | _renamed(data, NOVEL)
    fields |= _sampler(data.get("sampler"), str(data.get("noise_schedule") or "").replace("native", ""))
    return Found("NovelAI", fitting(fields), _without(data, "uc", "prompt"))


def _fooocus(texts: Mapping[str, str]) -> Found | None:
    text = texts.get("parameters", texts.get("comment", "")).lstrip()
    if not text.startswith("{"):
        return None
    data = dict(json.loads(text))
    if "prompt" not in data:
        return None
    fields = _renamed(data, FOOOCUS) | _sampler(data.get("sampler"), data.get("scheduler"))
    sides = re.findall(r"\d+", str(data.get("resolution", "")))
    if len(sides) == 2:
        fields |= {"width": int(sides[0]), "height": int(sides[1])}
    return Found("Fooocus", fitting(fields), _without(data, "prompt", "negative_prompt"))


def _a1111(texts: Mapping[str, str]) -> Found | None:
    """A1111, Forge and all who write like them; a text without parameters is a prompt of no known tool."""
    if "parameters" not in texts:
        return None
    parsed = infotext.read(texts["parameters"], careful=True)
    params = parsed["params"]
    if not params:
        return Found("", fitting({"prompt": parsed["prompt"], "negative": parsed["negative_prompt"]}))
    fooocus = "fooocus_scheme" in texts or str(params.get("Version", "")).startswith("Fooocus")
    return Found("Fooocus" if fooocus else "A1111", fitting(infotext.to_spec(parsed)), params)


Reader = Callable[[Mapping[str, str]], Found | None]
READERS: tuple[Reader, ...] = (_atelier, _invoke, _invoke_2, _comfy, _novel, _fooocus, _a1111, _dream)

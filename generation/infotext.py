"""A1111's text beside a picture, written and read. Pure text; which file it lies in is `metadata`'s matter.

Layout: the prompt, `Negative prompt: ...`, one line of `Key: value` pairs. Any of the first two may be missing and may
span lines.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from generation import samplers
from generation.errors import UnknownSampler

RUN = re.compile(r"[\w \-/]*")
WORD = re.compile(r"\w")
SPACE = re.compile(r"\s*")
QUOTED = re.compile(r'"(?:\\.|[^\\"])+"(?=,|$)')
SIZE = re.compile(r"^(\d+)x(\d+)$")
FEWEST = 3  # pairs that make a line one of parameters
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
    """The infotext of a resolved render spec, with the keys in A1111's order.

    What is None or "", or a seed not drawn yet (-1), is left out. Raises `UnknownSampler` for a sampler that is not in
    the table.
    """
    sampler, schedule = samplers.to_a1111(spec["sampler"]) if spec.get("sampler") else (None, "Automatic")
    sized = spec.get("width") and spec.get("height")
    values: dict[str, Any] = {
        "Steps": spec.get("steps"),
        "Sampler": sampler,
        "Schedule type": None if schedule == "Automatic" else schedule,
        "CFG scale": _number(spec.get("cfg")),
        "Seed": None if spec.get("seed") == -1 else spec.get("seed"),
        "Size": f"{spec['width']}x{spec['height']}" if sized else None,
        "Model hash": model_hash,
        "Model": spec.get("model"),
        "Clip skip": spec["clip_skip"] if spec.get("clip_skip", 1) > 1 else None,
        **_of_operation(spec),
        # The noise is drawn on the CPU; A1111 needs to know to make the same picture.
        "RNG": "CPU",
        "Version": version,
    }
    lines = [str(spec.get("prompt", ""))]
    if spec.get("negative"):
        lines.append(f"{NEGATIVE} {spec['negative']}")
    shown = ((key, str(value)) for key, value in values.items() if value not in {None, ""})
    # A1111 writes a value that equals its key once.
    lines.append(", ".join(key if key == value else f"{key}: {quote(value)}" for key, value in shown))
    return "\n".join(lines)


def _of_operation(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What A1111 writes of image to image, of variations and of the second pass, under its names."""
    options = spec.get("options") or {}
    shown: dict[str, Any] = {}
    if options.get("variation_strength"):
        shown["Variation seed"] = options.get("variation_seed")
        shown["Variation seed strength"] = _number(options["variation_strength"])
    if "strength" in options:
        shown["Denoising strength"] = _number(options["strength"])
    if spec.get("operation") == "inpaint":
        shown["Mask blur"] = options.get("mask_blur") or None
    if options.get("hires_scale", 1) > 1:
        shown["Denoising strength"] = _number(options.get("hires_strength"))
        shown["Hires upscale"] = _number(options["hires_scale"])
        shown["Hires steps"] = options.get("hires_steps") or None
        shown["Hires upscaler"] = {"latent": "Latent", "lanczos": "Lanczos"}.get(options.get("hires_upscaler", ""))
    return shown


def _number(value: float | None) -> str | None:
    """7.0 as `7`, as A1111's own fields show it; every digit of anything else."""
    if value is None:
        return None
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def read(text: str, *, careful: bool = False) -> dict[str, Any]:
    """{"prompt", "negative_prompt", "params": {key: text}}; a size becomes `<key>-1` and `<key>-2`.

    The last line holds parameters only if it has at least three pairs; else it belongs to the prompt. That is A1111's
    own reading. `careful` mends its two mistakes: a prompt that looks like pairs stays a prompt unless `Steps` is
    among them, and bare JSON, as Civitai's generator writes it, is one value (then not text but the JSON's data).
    """
    *lines, last = text.strip().split("\n")
    found = list(_pairs(last, bare_json=careful))
    if len(found) < FEWEST or (careful and "steps" not in {key.lower() for key, _ in found}):
        lines.append(last)
        found = []
    prompt = negative = ""
    in_negative = False
    for line in lines:
        line = line.strip()
        if line.startswith(NEGATIVE):
            in_negative = True
            line = line[len(NEGATIVE) :].strip()
        if in_negative:
            negative = f"{negative}\n{line}" if negative else line
        else:
            prompt = f"{prompt}\n{line}" if prompt else line
    params: dict[str, Any] = {}
    for key, value in found:
        if value == "":
            continue
        value = _unquote(value) if isinstance(value, str) else value
        size = SIZE.match(value) if isinstance(value, str) else None
        if size:
            params[f"{key}-1"], params[f"{key}-2"] = size[1], size[2]
        else:
            params[key] = value
    return {"prompt": prompt, "negative_prompt": negative, "params": params}


def _unquote(value: str) -> str:
    """The text in quotes; what is no JSON string stays as it stands."""
    if not (value.startswith('"') and value.endswith('"')):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def _pairs(line: str, *, bare_json: bool = False) -> Iterator[tuple[str, Any]]:
    """(key, value) pairs of a line, quotes still on.

    A key is the longest run of letters, digits, spaces, `-` and `/` before a colon that begins with a letter or digit
    and has two characters; a value is a quoted string before a comma, or everything up to the next comma. Walks from
    colon to colon, so the time grows with the length alone: one regular expression for a pair tries every start of a
    long prompt line, which takes minutes at 50,000 characters.
    """
    at = 0
    while (colon := line.find(":", at)) >= 0:
        before = line[at:colon]
        run = RUN.match(before[::-1])
        word = WORD.search(before, len(before) - (run.end() if run else 0))
        at = colon + 1
        if word is None or len(before) - word.start() < 2:
            continue
        space = SPACE.match(line, at)
        start = space.end() if space else at
        value: Any = None
        if bare_json and line[start : start + 1] in {"[", "{"}:
            value, end = _json(line, start)
            # One that does not parse tells that this line is none of Civitai's; more tries would cost time.
            bare_json = value is not None
        if value is None:
            quoted = QUOTED.match(line, start)
            end = quoted.end() if quoted else line.find(",", start)
            end = len(line) if end < 0 else end
            value = line[start:end]
        yield before[word.start() :], value
        at = end + 1


def _json(line: str, start: int) -> tuple[Any, int]:
    """(data, end) of the JSON that begins at `start` and ends before a comma or the line's end; else (None, start)."""
    try:
        value, end = json.JSONDecoder().raw_decode(line, start)
    except (ValueError, RecursionError):
        return None, start
    return (value, end) if line[end : end + 1] in {"", ","} else (None, start)


def to_spec(parsed: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a render spec that the parsed text holds; what cannot be used is left out."""
    params = parsed["params"]
    spec: dict[str, Any] = {"prompt": parsed["prompt"], "negative": parsed["negative_prompt"]}
    for key, (name, kind) in FIELDS.items():
        try:
            if key in params:
                spec[name] = kind(params[key])
        except (ValueError, TypeError):
            continue
    with contextlib.suppress(UnknownSampler):
        spec["sampler"] = samplers.find(
            str(params.get("Sampler", "")), schedule=str(params.get("Schedule type", ""))
        ).name
    return spec

"""What is written about weights: in their own header by trainers, and in the files tools leave beside them.

Knows kohya's `ss_*`, modelspec, A1111's `<name>.json`, Civitai's `<name>.civitai.info`, Stability Matrix's
`<name>.cm-info.json` and CompVis' `<name>.yaml`. Everything read here is a hint; shapes decide in `recognition`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation.places import picture, side_cars

LARGEST = 4_000_000  # bytes of a side-car
LONGEST = 400  # characters of a description
MOST_TRIGGERS = 12
# How trainers and sites write the base model -> family.
BASES = (
    (re.compile(r"refiner", re.I), "sdxl-refiner"),
    (re.compile(r"sdxl|xl[-_ ]|pony|illustrious|noobai|stable-diffusion-xl", re.I), "sdxl"),
    (re.compile(r"sd[-_ ]?v?2|stable-diffusion-v2", re.I), "sd2"),
    (re.compile(r"sd[-_ ]?v?1|stable-diffusion-v1", re.I), "sd15"),
)


@dataclass(frozen=True)
class About:
    """`triggers` that call a network's subject up, its usual `weight`, the base `family` as written, "" or None unsaid.

    `prediction` is "v" or "epsilon"; `thumbnail` a path.
    """

    triggers: tuple[str, ...] = ()
    weight: float | None = None
    description: str = ""
    family: str = ""
    prediction: str = ""
    thumbnail: str = ""


def about(path: Path, texts: Mapping[str, str], names: frozenset[str]) -> About:
    """What the header's `texts` and the files in `names` beside `path` say; damaged ones say nothing."""
    notes: dict[str, Any] = {}
    for name in reversed(side_cars(path.name, names)):
        notes |= _notes(path.with_name(name))
    if not notes and not texts:
        return About(thumbnail=_picture(path, names))
    triggers = _words(notes.get("triggers")) or _words(texts.get("modelspec.trigger_phrase"))
    said = str(notes.get("family") or texts.get("ss_base_model_version") or texts.get("modelspec.architecture") or "")
    return About(
        triggers or frequent(texts.get("ss_tag_frequency", "")),
        notes.get("weight"),
        _line(notes.get("description") or texts.get("modelspec.description") or ""),
        next((family for pattern, family in BASES if said and pattern.search(said)), ""),
        notes.get("prediction") or _prediction(texts),
        _picture(path, names),
    )


def _picture(path: Path, names: frozenset[str]) -> str:
    """The picture a tool shows for these weights, "" where none lies beside them."""
    found = picture(path.stem, names)
    return str(path.with_name(found)) if found else ""


def frequent(frequencies: str) -> tuple[str, ...]:
    """The tags of kohya's `ss_tag_frequency` ({folder: {tag: count}}) that stand in at least half as many captions
    as the commonest one: without a trigger phrase, those are what calls the subject up."""
    counts: dict[str, int] = {}
    if not frequencies:
        return ()
    try:
        for tags in json.loads(frequencies).values():
            for tag, count in tags.items():
                counts[tag.strip()] = counts.get(tag.strip(), 0) + int(count)
    except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):
        return ()
    most = max(counts.values(), default=0)
    ordered = sorted((tag for tag in counts if tag), key=lambda tag: (-counts[tag], tag))
    return tuple(tag for tag in ordered[:MOST_TRIGGERS] if counts[tag] * 2 >= most)


def _prediction(texts: Mapping[str, str]) -> str:
    said = texts.get("modelspec.prediction_type") or texts.get("ss_v_parameterization") or ""
    if said.lower() in {"v", "true", "v_prediction"}:
        return "v"
    return "epsilon" if said.lower() in {"epsilon", "false"} else ""


def _notes(path: Path) -> dict[str, Any]:
    """What one side-car says, under our names; {} where it cannot be read."""
    try:
        if path.stat().st_size > LARGEST:
            return {}
        text = path.read_text("utf-8")
        if path.suffix == ".yaml":
            found = re.search(r"^\s*parameterization\s*:\s*[\"']?(\w+)", text, re.MULTILINE)
            # CompVis' configurations name the velocity "v"; without the line they mean the noise.
            return {"prediction": "v" if found and found[1] == "v" else "epsilon"} if "model" in text else {}
        table = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(table, dict):
        return {}
    first = {key.lower().replace(" ", ""): value for key, value in table.items()}
    notes = {
        "triggers": first.get("activationtext") or first.get("trainedwords"),
        "description": first.get("description") or first.get("modeldescription") or first.get("notes"),
        "family": first.get("sdversion") if first.get("sdversion") != "Unknown" else "",
        "weight": _number(first.get("preferredweight")),
    }
    notes["family"] = notes["family"] or first.get("basemodel")
    return {key: value for key, value in notes.items() if value}


def _words(value: Any) -> tuple[str, ...]:
    """Trigger words of a text divided by commas, or of a list of such texts, each once."""
    texts = value if isinstance(value, list) else [value]
    words = [word.strip() for text in texts if isinstance(text, str) for word in text.split(",")]
    return tuple(dict.fromkeys(" ".join(word.split())[:80] for word in words if word))[:MOST_TRIGGERS]


def _number(value: Any) -> float | None:
    """A usable weight of a network; A1111 writes 0 where none was given."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -10 <= value <= 10:
        return None
    return float(value) or None


def _line(value: Any) -> str:
    """Text of a site, perhaps HTML, as one short line."""
    return " ".join(re.sub(r"<[^<>]{0,400}>", " ", str(value)[: LONGEST * 10]).split())[:LONGEST]

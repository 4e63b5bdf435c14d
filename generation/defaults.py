"""What a model is used with when the person leaves it open: by its family, and by the words that name fast models."""

from __future__ import annotations

import dataclasses
import re
from functools import lru_cache
from typing import Any

from generation.specs import ModelDefaults

FAMILIES = {
    "sdxl": ModelDefaults(1024, 1024, 25, 6.0, "DPM++ 2M Karras"),
    "sd2": ModelDefaults(512, 512, 25, 7.0, "DPM++ 2M Karras"),
    "sd2-v": ModelDefaults(768, 768, 25, 7.0, "DPM++ 2M Karras"),
}
# Distilled models need few steps and hardly any guidance; their names are the only place that says so.
FAST: tuple[tuple[re.Pattern[str], dict[str, Any]], ...] = (
    # Stability's own Turbo models draw 512 pixels in one to four steps without guidance (arXiv:2311.17042).
    (
        re.compile(r"(?:^|[^a-z])(?:sd[-_ ]?xl|sd)[-_ ]?turbo", re.I),
        {"width": 512, "height": 512, "steps": 4, "cfg": 1.0, "sampler": "Euler a"},
    ),
    (re.compile(r"lightning", re.I), {"steps": 8, "cfg": 1.0, "sampler": "Euler SGM Uniform"}),  # arXiv:2402.13929
    (re.compile(r"hyper[-_ ]?sd", re.I), {"steps": 8, "cfg": 1.0, "sampler": "TCD"}),  # arXiv:2404.13686
    (re.compile(r"(?:^|[^a-z])lcm(?:[^a-z]|$)", re.I), {"steps": 6, "cfg": 1.5, "sampler": "LCM"}),  # arXiv:2310.04378
    (re.compile(r"turbo", re.I), {"steps": 8, "cfg": 2.0, "sampler": "DPM++ SDE Karras"}),
)
STEPS = re.compile(r"(?:^|[^0-9])(1|2|4|6|8|12|16)[-_ ]?steps?(?:[^a-z]|$)", re.I)


@lru_cache(maxsize=512)
def defaults_of(family: str, name: str = "") -> ModelDefaults:
    """The defaults of a family, changed by what a checkpoint's `name` says."""
    base, _, variant = family.partition("-")
    usual = FAMILIES.get(family) or FAMILIES.get(base if variant != "small" else "", ModelDefaults())
    for pattern, values in FAST:
        if pattern.search(name):
            said = STEPS.search(name)
            steps = {"steps": int(said[1])} if said else {}
            return dataclasses.replace(usual, **{**values, **steps})
    return usual

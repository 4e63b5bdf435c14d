"""What distilled models ask for: a line for the person where a render's settings are not theirs.

LCM, Turbo, Lightning and Hyper-SD, as checkpoints or as LoRA, tell by their names alone what they are; their settings
are `defaults`'. Nothing is changed: a person may want to see what happens. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence

from generation.defaults import FAST, defaults_of
from generation.specs import RenderSpec

LENIENT = 2.0  # times the steps, and above the guidance, that is still said nothing about


def hints(names: Sequence[str], family: str, spec: RenderSpec) -> list[str]:
    """One line for each of `names` (of the checkpoint and of networks) whose settings `spec` is far from.

    `spec` is resolved.
    """
    found = []
    for name in names:
        if not any(pattern.search(name) for pattern, _ in FAST):
            continue
        usual = defaults_of(family, name)
        steps, cfg = spec.steps or usual.steps, usual.cfg if spec.cfg is None else spec.cfg
        if steps > LENIENT * usual.steps or cfg > usual.cfg + LENIENT:
            found.append(
                f"{name} is made for {usual.steps} steps, CFG {usual.cfg:g} and {usual.sampler}; "
                f"this render has {steps} steps and CFG {cfg:g}"
            )
    return found

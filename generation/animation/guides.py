"""Settings as guides write them: a list of `Translation z: 0: (0.2), 60:(10)` and prompts in quotes, in any order.

Knows the words that forms and guides use for Deforum's keys. Leaves what a value may be to `settings`.
"""

from __future__ import annotations

import re
from typing import Any

from generation.animation import deforum_keys as keys
from generation.errors import BadSpec, nearest

# Words of forms -> keys, where they are not the key with blanks.
WORDS = {
    "strength": "strength_schedule",
    "noise": "noise_schedule",
    "noise_multiplier": "noise_multiplier_schedule",
    "cfg": "cfg_scale_schedule",
    "cfg_scale": "cfg_scale_schedule",
    "contrast": "contrast_schedule",
    "fov": "fov_schedule",
    "rotation_x": "rotation_3d_x",
    "rotation_y": "rotation_3d_y",
    "rotation_z": "rotation_3d_z",
    "width": "W",
    "height": "H",
    "frames": "max_frames",
    "cadence": "diffusion_cadence",
    "negative": "negative_prompts",
    "negative_prompt": "negative_prompts",
    "mode": "animation_mode",
    "border_mode": "border",
    "checkpoint": "model",
    **keys.FORMERLY,
}
IN_SPACE = ("translation_z", "rotation_3d_x", "rotation_3d_y", "rotation_3d_z")
_LINE = re.compile(r"\s*(?:[-*+>|]\s*)*\**([A-Za-z][\w ]*?)\**\s*(?:schedule)?\s*[:=]\s*\**\s*(.*?)\s*", re.IGNORECASE)
_PROMPT = re.compile(r'"([^"\n]*)"\s*:\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)


def read_guide(text: str) -> dict[str, Any]:
    """Keys and values as a settings file has them. A name that is no key is an error with its line.

    Lines that name nothing (headings, fences of code, blank ones) are passed over. Without a mode it is 3D where
    something moves in space, else 2D.
    """
    found: dict[str, Any] = {}
    prompts = {frame.strip(): " ".join(prompt.split()) for frame, prompt in _PROMPT.findall(text)}
    if prompts:
        found["prompts"] = prompts
    rest = _PROMPT.sub(lambda match: "\n" * match[0].count("\n"), text)
    for number, line in enumerate(rest.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None or not match[2].strip("`{}, "):
            if line.count('"') % 2:
                raise BadSpec(f"line {number}: a quotation mark is not closed", 'Write prompts as "0": "words".')
            continue
        name = _key(match[1])
        if not name:
            known = [*keys.SCHEDULES, *(parameter.name for parameter in keys.VALUES), *WORDS]
            hint = nearest("_".join(match[1].lower().split()), known) or "Write it as in Translation x: 0:(0), 30:(15)."
            raise BadSpec(f'line {number}: "{match[1][:40]}" is no setting', hint)
        found[name] = match[2].rstrip(",")
    if "animation_mode" not in found:
        found["animation_mode"] = "3D" if any(name in found for name in IN_SPACE) else "2D"
    return found


def _key(words: str) -> str:
    """The key that words stand for, or ""."""
    name = "_".join(words.lower().split())
    known = {one.lower(): one for one in (*keys.SCHEDULES, *keys.WORDS, *(p.name for p in keys.VALUES), "prompts")}
    for tried in (name, f"{name}_schedule", name.removesuffix("_schedule")):
        if tried in known:
            return known[tried]
        if tried in WORDS:
            return WORDS[tried]
    return ""

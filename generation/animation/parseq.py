"""Parseq's manifests: what every schedule is at each frame, worked out beforehand, in a JSON file.

Knows Parseq's names and its differences (`zoom_delta`): it counts motion from the first frame, where an animation moves
from frame to frame. Leaves what the values do to `timelines`. Imports nothing heavy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generation.animation.deforum_keys import SCHEDULES, WORDS
from generation.animation.schedules import NEGATIVE
from generation.animation.settings import local
from generation.errors import BadSpec

LARGEST = 200_000_000  # bytes: ten thousand frames with all fields and texts take about 40 million
# What is counted from the first frame on.
MOVED = frozenset(
    "angle zoom translation_x translation_y translation_z rotation_3d_x rotation_3d_y rotation_3d_z "
    "perspective_flip_theta perspective_flip_phi perspective_flip_gamma".split()
)
# Parseq's fields -> schedules, where they are not called alike with or without "_schedule".
CALLED = {
    "scale": "cfg_scale_schedule",
    "antiblur_kernel": "kernel_schedule",
    "antiblur_sigma": "sigma_schedule",
    "antiblur_amount": "amount_schedule",
    "antiblur_threshold": "threshold_schedule",
}
PROMPT = "deforum_prompt"
HINT = "Give a file that Parseq rendered, with rendered_frames in it."


@dataclass(frozen=True)
class Manifest:
    """`values` of schedules and `words` of names by frame, `prompts` as (positive, negative); all as long as `frames`.

    `fps` is 0 where the manifest names none.
    """

    frames: int
    values: dict[str, tuple[float, ...]]
    words: dict[str, tuple[str, ...]]
    prompts: tuple[tuple[str, str], ...]
    fps: float


def read(given: str, *, deltas: bool = True) -> Manifest:
    """The manifest of a file on this machine, or of JSON as it is. Raises `BadSpec`."""
    text = given if given.lstrip().startswith("{") else _text(given)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadSpec("parseq_manifest is no JSON that can be read", HINT) from error
    frames = data.get("rendered_frames") if isinstance(data, Mapping) else None
    if not isinstance(frames, list) or not frames or not all(_whole(one) for one in frames):
        raise BadSpec("parseq_manifest has no rendered_frames with their numbers", HINT)
    by_number = {int(one["frame"]): one for one in frames}
    if 0 not in by_number:
        raise BadSpec("parseq_manifest has no frame 0", HINT)
    fields = {_schedule(name, deltas): name for name in by_number[0] if _schedule(name, deltas)}
    values = {name: _series(by_number, field) for name, field in fields.items() if name in SCHEDULES}
    words = {name: _texts(by_number, field) for name, field in fields.items() if name in WORDS}
    pairs = (text.partition(NEGATIVE) for text in (_texts(by_number, PROMPT) if PROMPT in by_number[0] else ()))
    options = data.get("options")
    fps = options.get("output_fps") if isinstance(options, Mapping) else 0
    return Manifest(
        max(by_number) + 1,
        values,
        words,
        tuple((positive.strip(), negative.strip()) for positive, _, negative in pairs),
        float(fps) if isinstance(fps, (int, float)) else 0.0,
    )


def _text(given: str) -> str:
    path = local(given, "parseq_manifest")
    try:
        if path.stat().st_size > LARGEST:
            raise BadSpec(f"{path.name} is larger than a manifest can be", HINT)
        return path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it holds no text"
        raise BadSpec(f"parseq_manifest {str(path)[:120]} cannot be read: {why}", HINT) from error


def _whole(frame: Any) -> bool:
    number = frame.get("frame") if isinstance(frame, Mapping) else None
    whole = isinstance(number, int) or (isinstance(number, float) and number.is_integer())
    return whole and not isinstance(number, bool) and 0 <= number < 1_000_000  # type: ignore[operator]


def _schedule(field: str, deltas: bool) -> str:
    """The schedule a field is for, "" for none."""
    moved = field.removesuffix("_delta")
    if moved in MOVED:
        return moved if (field != moved) == deltas else ""
    for name in (CALLED.get(field, field), f"{field}_schedule"):
        if name in SCHEDULES or name in WORDS:
            return name
    return ""


def _series(frames: Mapping[int, Mapping[str, Any]], field: str) -> tuple[float, ...]:
    """One value a frame; where a frame has none it is that of the one before."""
    found: list[float] = []
    for number in range(max(frames) + 1):
        value = frames.get(number, {}).get(field)
        if value is None and found:
            value = found[-1]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < float("inf"):
            raise BadSpec(f"parseq_manifest: {field} of frame {number} is no number", "Render it again in Parseq.")
        found.append(float(value))
    return tuple(found)


def _texts(frames: Mapping[int, Mapping[str, Any]], field: str) -> tuple[str, ...]:
    found: list[str] = []
    for number in range(max(frames) + 1):
        value = frames.get(number, {}).get(field)
        found.append(value if isinstance(value, str) else found[-1] if found else str(value or ""))
    return tuple(found)

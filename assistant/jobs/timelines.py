"""What the job of a timeline does: an animation's settings as values by frame, so that a screen need not load numpy.

As `handlers`: a function from a warm workshop and a spec (plain JSON) to a result (plain JSON).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from assistant.jobs.workshop import Workshop

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
MOST = 10_000  # values told of a schedule; of longer animations every so many frames
PROMPTS = 1_000  # prompts told where expressions make each frame's another


def timeline(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"settings": a settings file's data} -> {"frames", "every", "schedules": {name: [..]}, "prompts": [[frame,
    positive, negative], ..], "seeds", "warnings"}.

    A schedule that never changes has one value, one that is switched off is left out. Of the others the values of
    frames 0, "every", 2 * "every", ... are told. "prompts" hold what is asked for from a frame on. "seeds" is []
    where the first is yet to be drawn.
    """
    from generation.animation.deforum_keys import SCHEDULES, WORDS
    from generation.animation.settings import of
    from generation.animation.timelines import Timeline

    settings = of(spec["settings"])
    known = settings["seed"] != -1
    line = Timeline(settings, settings["seed"] if known else 0)
    every = -(-line.frames // MOST)
    told = range(0, line.frames, every)
    schedules: dict[str, list[float] | list[str]] = {}
    for name in (*SCHEDULES, *WORDS):
        check()
        if line.has(name):
            values: list[Any]
            if name in WORDS:
                values = [line.word(name, frame) for frame in told]
            else:
                values = [float(f"{line.at(name, frame):.9g}") for frame in told]
            schedules[name] = values if any(value != values[0] for value in values) else values[:1]
    at = list(line.starts)
    if any("`" in prompt for prompt in settings["prompts"].values()):
        at = sorted({*at, *range(0, line.frames, -(-line.frames // PROMPTS))})
    check()
    return {
        "frames": line.frames,
        "every": every,
        "schedules": schedules,
        "prompts": [[frame, *line.prompt(frame)] for frame in at],
        "seeds": [line.seed(frame) for frame in told] if known else [],
        "warnings": line.warnings,
    }

"""An animation being edited: its settings, the values the worker made of them, and what is changed at a frame.

Knows no screen. The values come from a `timeline` job, because making them takes numpy; keys are found and
written here.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from generation.animation import deforum_keys
from generation.animation.deforum_keys import RARE, SCHEDULES, SWITCHED, WORDS
from generation.animation.keyframes import (
    Keyframe,
    keyframes,
    prompt_keys,
    with_key,
    with_prompt,
    without_key,
    without_prompt,
)
from generation.animation.settings import Settings, of, read
from generation.errors import BadSpec, GenerationError
from generation.specs import RenderSpec

PROMPTS = "prompts"
# What the form changes; the rest of a file is kept as it is.
FORM = (
    "max_frames", "fps", "animation_mode", "W", "H", "seed", "seed_behavior", "sampler", "steps", "model", "strength",
    "diffusion_cadence", "optical_flow_cadence", "color_coherence", "blend_prompts", "positive_prompts",
    "negative_prompts", "border", "padding_mode", "use_depth_warping", "depth_model", "use_init", "init_image",
    "video_init_path", "hybrid_motion", "hybrid_composite", "make_gif", "add_soundtrack", "soundtrack_path",
    "walk_seeds", "walk_loop", "walk_audio",
)  # fmt: skip
TABLE = tuple(parameter for parameter in deforum_keys.VALUES if parameter.name in FORM)


@dataclass(frozen=True)
class Film:
    """`values` is the result of a `timeline` job for these settings, {} until it came."""

    settings: Settings
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        return int(self.settings["max_frames"])

    @property
    def seed(self) -> int:
        """The seed that keys are placed by: `s` of a drawn seed is not known yet."""
        return max(int(self.settings["seed"]), 0)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Prompts, then the schedules that differ from their defaults, then the others."""
        off = {name for name, switch in SWITCHED.items() if switch in RARE and not self.settings[switch]}
        known = {name: text for name, text in {**SCHEDULES, **WORDS}.items() if name not in off}
        changed = [name for name in known if self.settings[name] != known[name]]
        return (PROMPTS, *changed, *(name for name in known if name not in changed))

    def usual(self, name: str) -> bool:
        """Whether a schedule is as it is where a file does not name it."""
        return name != PROMPTS and self.settings[name] == {**SCHEDULES, **WORDS}[name]

    def acts(self, name: str) -> bool:
        """Whether it is switched on and says anything."""
        switch = SWITCHED.get(name)
        return name == PROMPTS or bool(self.settings[name] and (switch is None or self.settings[switch]))

    @cached_property
    def _keys(self) -> dict[str, list[Keyframe]]:
        return {}

    def keys(self, name: str) -> list[Keyframe]:
        """The keys of the prompts or of a schedule, in the order of frames."""
        if name not in self._keys:
            if name == PROMPTS:
                found = prompt_keys(self.settings[PROMPTS], self.frames, seed=self.seed)
            else:
                found = keyframes(self.settings[name], self.frames, seed=self.seed, words=name in WORDS)
            self._keys[name] = found
        return self._keys[name]

    def key(self, name: str, frame: int) -> Keyframe | None:
        return next((key for key in self.keys(name) if key.frame == frame), None)

    def neighbour(self, name: str, frame: int, by: int) -> int:
        """The frame of the next key (`by` 1) or the one before (-1); first or last frame where there is none."""
        at = [key.frame for key in self.keys(name)]
        if by > 0:
            place = bisect_right(at, frame)
            return at[place] if place < len(at) else self.frames - 1
        place = bisect_left(at, frame) - 1
        return at[place] if place >= 0 else 0

    # Values

    def value(self, name: str, frame: int) -> float | str | None:
        """What a schedule or the prompt is at a frame; None while that is not known, and where nothing acts."""
        if not self.values:
            return None
        if name == PROMPTS:
            return str(self.prompt(frame)[0])
        values = self.values["schedules"].get(name)
        if not values:
            return None
        found: float | str = values[min(frame // self.values["every"], len(values) - 1)]
        return found

    def prompt(self, frame: int) -> tuple[str, str]:
        """(positive, negative) at a frame."""
        place = bisect_right(self.values["prompts"], frame, key=lambda one: one[0]) - 1
        _, positive, negative = self.values["prompts"][place]
        return positive, negative

    def curve(self, name: str) -> list[float]:
        """The numbers of a schedule over all frames; [] for names, prompts and what is not known."""
        if name == PROMPTS or name in WORDS or not self.values:
            return []
        return list(self.values["schedules"].get(name, []))

    def still(self, frame: int, model: str) -> dict[str, Any]:
        """A render of a frame's prompt and settings, as if nothing had come before it. Raises `BadSpec`."""
        settings = self.settings
        positive, negative = self.prompt(frame)
        spec: dict[str, Any] = {"prompt": positive, "negative": negative, "model": settings["model"] or model}
        seeds = self.values["seeds"]
        spec["seed"] = seeds[min(frame // self.values["every"], len(seeds) - 1)] if seeds else self.seed
        for ours, theirs in (("width", "W"), ("height", "H"), ("steps", "steps"), ("sampler", "sampler")):
            if settings[theirs]:
                spec[ours] = settings[theirs]
        spec |= {"clip_skip": settings["clip_skip"], "vae": settings["vae"], "weighting": settings["weighting"]}
        if (cfg := self.value("cfg_scale_schedule", frame)) is not None:
            spec["cfg"] = min(max(float(cfg), 0.0), 50.0)
        if (steps := self.value("steps_schedule", frame)) is not None:
            spec["steps"] = min(max(round(float(steps)), 1), 1000)
        if (sampler := self.value("sampler_schedule", frame)) is not None:
            spec["sampler"] = sampler
        if (checkpoint := self.value("checkpoint_schedule", frame)) is not None:
            spec["model"] = checkpoint
        return RenderSpec.from_json(spec).to_json()

    @property
    def content(self) -> dict[str, Any]:
        return self.settings.to_json()

    def write(self, path: Path) -> None:
        """Write the settings file. Raises OSError."""
        self.settings.write(path)

    # Changes

    def changed(self, changes: dict[str, Any]) -> Film:
        """With other settings; the values are to be made anew. Raises `BadSpec`, `BadSchedule`."""
        return Film(self.settings.changed(changes))

    def with_key(self, name: str, frame: int, value: str) -> Film:
        """With a key at a frame; a schedule that was switched off is switched on. Raises `BadSchedule`, `BadSpec`."""
        if name == PROMPTS:
            return self.changed({name: with_prompt(self.settings[name], frame, value, self.frames, seed=self.seed)})
        text = with_key(self.settings[name], frame, value, self.frames, seed=self.seed, words=name in WORDS)
        return self._schedule(name, {name: text} | ({SWITCHED[name]: True} if name in SWITCHED else {}))

    def without_key(self, name: str, frame: int) -> Film:
        """Without the key at a frame. Raises `BadSchedule` where there is none, and for frame 0's."""
        if name == PROMPTS:
            return self.changed({name: without_prompt(self.settings[name], frame, self.frames, seed=self.seed)})
        text = without_key(self.settings[name], frame, self.frames, seed=self.seed, words=name in WORDS)
        return self._schedule(name, {name: text})

    def _schedule(self, name: str, changes: dict[str, Any]) -> Film:
        """What is known of the other schedules stays known until the new values come."""
        film = self.changed(changes)
        if not self.values:
            return film
        others = {one: values for one, values in self.values["schedules"].items() if one != name}
        return film.told({**self.values, "schedules": others})

    def told(self, values: dict[str, Any]) -> Film:
        """With the values of these settings; keys that were read are not read again, there may be ten thousand."""
        film = replace(self, values=values)
        film._keys.update(self._keys)
        return film


def begun(prompt: str, negative: str) -> Film:
    """A new animation of a prompt: two seconds that zoom in slowly."""
    first = f"{prompt} --neg {negative}" if negative else prompt
    return Film(of({"prompts": {"0": first}, "animation_mode": "2D", "max_frames": 30, "zoom": "0:(1.02)"}))


def opened(path: Path) -> tuple[Film, bool]:
    """The film of a settings file, and whether that is a guide's text. Raises `BadSpec`, `BadSchedule`."""
    film = Film(read(path))
    try:
        with path.open(encoding="utf-8-sig") as file:
            guide = not file.read(1000).lstrip().startswith("{")
        for name in film.names:
            film.keys(name)
    except OSError as error:
        raise BadSpec(f"{path} cannot be read: {error.strerror}", "Choose another file.") from error
    return film, guide


def problem(error: GenerationError) -> str:
    return f"{error.message}. {error.hint}".strip()


def shown_value(value: float | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.4g}"

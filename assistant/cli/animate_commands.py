"""What `animate` does: settings read and changed, made into a job; results as text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from assistant.cli.commands import Result, absolute, changes, do
from assistant.cli.show import wrap
from assistant.errors import BadArgument
from assistant.memory import told_measures
from assistant.paths import Paths
from assistant.settings import Settings
from knowledge.screen import shown


def deforum(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """An animation of a settings file; with --write-settings the file alone, as Deforum reads it."""
    return _made("deforum", options, paths, settings)


def walk(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    return _made("walk", options, paths, settings)


def _made(kind: str, options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from generation.animation.settings import read

    source = Path(options.settings).expanduser()
    found = read(source).changed(_changes(options))
    if options.write_settings:
        return {"path": str(found.write(Path(options.write_settings))), "notes": list(found.notes)}, 0
    spec: dict[str, Any] = {
        "do": kind,
        "settings": found.to_json(),
        "name": source.stem,
        "output": absolute(options.output),
        "fresh": options.fresh,
        "measure": not options.no_measure,
        "clip": absolute(options.clip),
    }
    return do("animate", spec, paths, settings), 0


def motion(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """A clip of a motion model: of a file, or of a prompt with everything else left open."""
    from generation.animation.motion_models.settings import of, read

    if options.settings:
        source = Path(options.settings).expanduser()
        found, name = read(source), source.stem
    elif options.prompt:
        found, name = of({"prompt": options.prompt}), " ".join(options.prompt.split()[:6])
    else:
        raise BadArgument("a clip needs a settings file or a prompt", 'Give --prompt "an apple moving left to right".')
    given = changes(options.set, "Write --set key=value, such as --set scale=1.2.")
    beside = {"prompt": options.prompt, "frames": options.frames, "seed": options.seed}
    found = found.changed({**given, **{key: value for key, value in beside.items() if value is not None}})
    spec: dict[str, Any] = {
        "settings": found.to_json(),
        "name": name,
        "output": absolute(options.output),
        "fresh": options.fresh,
        "measure": not options.no_measure,
        "clip": absolute(options.clip),
    }
    return do("motion", spec, paths, settings), 0


def measure(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    spec = {
        "do": "measure",
        "video": str(Path(options.video).expanduser().absolute()),
        "source": absolute(options.source),
        "clip": absolute(options.clip),
    }
    return do("animate", spec, paths, settings), 0


def _changes(options: argparse.Namespace) -> dict[str, str]:
    found = changes(options.set, "Write --set key=value, such as --set zoom='0:(1.02)'.")
    if options.frames is not None:
        found["max_frames"] = str(options.frames)
    return found


# As text


def show_made(result: dict[str, Any]) -> str:
    if "frames" not in result:
        return shown(result["path"])
    width, height = result["size"]
    lines = [
        result["path"],
        f"{result['frames']} frames of {width}x{height}, {result['fps']:g} a second, seed {result['seed']}",
        f"{result['made']} made now{_denoised(result)}, {result['seconds']:.1f} s",
        *_measured(result["measures"]),
        result["sheet"],
        *(result[name] for name in ("upscaled", "interpolated") if name in result),
    ]
    return shown("\n".join(lines))


def _denoised(result: dict[str, Any]) -> str:
    return f", {result['denoised']} of them denoised" if "denoised" in result else ""


def show_measure(result: dict[str, Any]) -> str:
    return shown("\n".join([result["path"], *_measured(result["measures"])]))


def _measured(measures: dict[str, Any]) -> list[str]:
    if not measures:
        return []
    return [wrap(told_measures(measures), "")]

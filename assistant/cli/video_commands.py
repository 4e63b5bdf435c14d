"""What the commands about video to video do, and their results as text."""

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


def vid2vid(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """A video through the stages of a file; with --dry-run what would be done, with --preview one frame."""
    from assistant.jobs.videos import planned

    if options.stage and options.preview is None:
        raise BadArgument("--stage names whose frame is shown, and no --preview is given", "Add --preview FRAME.")
    spec = {
        "file": str(Path(options.file).expanduser().absolute()),
        "video": absolute(options.video),
        "off": options.off or [],
        "set": _changes(options),
        "preview": options.preview,
        "stage": options.stage or "",
        **_common(options),
    }
    pipeline = planned(spec)
    if options.dry_run:
        stages = [{"id": one.id, "do": one.do, "on": one.on, "line": one.line} for one in pipeline.steps]
        return {"name": pipeline.name, "input": pipeline.input, "plan": stages}, 0
    return do("vid2vid", spec, paths, settings), 0


def interpolate(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """Frames put in between those of a video."""
    given = {"factor": options.factor, "network": absolute(options.network), "quality": options.quality}
    stage = {"do": "interpolate", "with": {name: value for name, value in given.items() if value}}
    spec = {
        "pipeline": {"name": "interpolated", "stages": [stage]},
        "video": absolute(options.video),
        "set": {} if options.frames is None else {"frames": str(options.frames)},
        **_common(options),
    }
    return do("vid2vid", spec, paths, settings), 0


def _common(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "output": absolute(options.output),
        "fresh": options.fresh,
        "measure": not options.no_measure,
        "clip": absolute(options.clip),
    }


def _changes(options: argparse.Namespace) -> dict[str, str]:
    found = changes(options.set, "Write --set stage.setting=value, or width=512.")
    if options.frames is not None:
        found["frames"] = str(options.frames)
    return found


# As text


def show_made(result: dict[str, Any]) -> str:
    if "plan" in result:
        lines = [f"{one['id']:<16} {one['do']}{'' if one['on'] else '  (off)'}" for one in result["plan"]]
        return shown("\n".join([result["input"] or "no input", *lines]))
    if "frames" not in result:
        return shown(result["path"])
    width, height = result["size"]
    lines = [
        result["path"],
        f"{result['frames']} frames of {width}x{height}, {result['fps']:g} a second, {result['seconds']:.1f} s",
        *(f"{one['id']:<16} {one['made']} made now" for one in result["stages"]),
    ]
    if result["cuts"]:
        lines.append(f"scenes begin at 0, {', '.join(str(cut) for cut in result['cuts'])}")
    for title, name in (("made", "measures"), ("filmed", "source_measures")):
        if result[name]:
            lines.append(wrap(f"{title}: {told_measures(result[name])}", ""))
    return shown("\n".join([*lines, result["sheet"]]))

"""`atelier character`: a tree of networks weighed, rendered, and made into one LoRA or a prompt.

Takes (options, paths, settings), returns (plain data, exit status).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from assistant.cli.commands import Result, absolute, do, given
from assistant.errors import BadArgument
from assistant.paths import Paths
from assistant.settings import Settings

FIELDS = ("seed", "steps", "cfg", "width", "height", "sampler", "negative", "model")


def character(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """Exit status 1 where constraints do not hold and nothing was asked to be made of it."""
    values: dict[str, float] = {}
    for text in options.set:
        name, equals, number = text.partition("=")
        try:
            values[name.strip()] = float(number)
        except ValueError as error:
            raise BadArgument(f'"{text}" sets no weight', "Write --set body.torso.arm=0.7.") from error
        if not equals:
            raise BadArgument(f'"{text}" sets no weight', "Write --set body.torso.arm=0.7.")
    wanted: dict[str, Any] | None = None
    if options.render is not None:
        wanted = {name: value for name in FIELDS if (value := getattr(options, name)) is not None}
    spec = {
        "tree": str(Path(given(options.tree, "tree")).expanduser().absolute()),
        "preset": options.preset or "",
        "set": values,
        "prompt": options.render or options.prompt or "",
        "render": wanted,
        "output": absolute(options.output),
        "export": absolute(options.export),
    }
    result = do("character", spec, paths, settings)
    return result, int(bool(result["broken"]))


def show_character(result: dict[str, Any]) -> str:
    lines = [result["character"]]
    for part in result["parts"]:
        depth = part["path"].count(".")
        name = part["path"].rpartition(".")[2]
        off = "" if part["active"] else ", not active"
        file = f"  {Path(part['file']).name}" if part["file"] else ""
        acts = f" acts {part['acts']:g}" if part["leaf"] and part["acts"] != part["weight"] else ""
        low, high = part["range"]
        lines.append(f"{'  ' * (depth + 1)}{name} {part['weight']:g} ({low:g} to {high:g}{off}){acts}{file}")
    if result["presets"]:
        lines.append(f"presets: {', '.join(result['presets'])}")
    lines += [f"does not hold: {text}" for text in result["broken"]]
    lines.append(f"prompt: {result['prompt']}")
    if result["export"]:
        lines.append(f"one LoRA: {result['export']['path']}")
    if result["render"]:
        lines.append(
            f"{result['render']['path']}\nseed {result['render']['seed']}, {result['render']['seconds']:.1f} s"
        )
    return "\n".join(lines)

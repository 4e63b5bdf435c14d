"""What the commands of recipes do. Takes (options, paths, settings), returns (plain data, exit status)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from assistant.cli.commands import Result, changes, do
from assistant.errors import BadArgument
from assistant.paths import Paths
from assistant.settings import Settings
from generation.recipes import Recipe
from generation.recipes.inputs import as_json
from generation.recipes.reading import read
from knowledge.screen import shown

SETTING = "Write --set stage.setting=value, or variable=value."


def run(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """A recipe over its inputs; with --dry-run what would be done. Status 1 where a stage could not be made."""
    from assistant.jobs.recipes import planned

    if options.cluster is not None and options.cluster < 1:
        raise BadArgument(f"a cluster has no {options.cluster} workers", "Give 1 or more.")
    spec: dict[str, Any] = {
        "recipe": str(Path(options.recipe).expanduser().absolute()),
        "inputs": [str(Path(one).expanduser().absolute()) for one in options.inputs],
        "off": options.off or [],
        "set": changes(options.set or [], SETTING),
        "output": str(Path(options.output).expanduser().absolute()) if options.output else "",
        "cluster": options.cluster or 0,
    }
    recipe, inputs = planned(spec)
    if options.dry_run:
        return {**_plan(recipe), "inputs": [as_json(one) for one in inputs]}, 0
    result = do("recipe", spec, paths, settings)
    return result, int(result["failed"] > 0)


def check(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    return _plan(read(Path(options.recipe))), 0


def save(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """The recipe of a picture's own settings."""
    from generation.recipes.saving import save as write

    picture = Path(options.picture)
    output = Path(options.output) if options.output else picture.with_suffix(".yaml")
    if output.exists() and not options.force:
        raise BadArgument(f"{output} is there already", "Give another -o, or --force.")
    path = write(picture, output)
    return {"path": str(path), **_plan(read(path))}, 0


def _plan(recipe: Recipe) -> dict[str, Any]:
    """The stages in the order in which they run."""
    stages = [
        {"id": step.id, "do": step.do, "from": list(step.sources), "on": step.on, "line": step.line}
        for step in recipe.steps
    ]
    return {"recipe": recipe.name, "plan": stages, "takes_input": recipe.takes_input}


# As text


def show_run(result: dict[str, Any]) -> str:
    if "plan" in result:
        return show_plan(result)
    lines = []
    for one in result["stages"]:
        how = one["error"] or ("was there" if one["cached"] else f"{one['seconds']:.1f} s")
        lines.append(f"{one['input']:<24} {one['stage']:<16} {how}")
    counts = f"{result['made']} made, {result['cached']} were there, {result['failed']} failed"
    return shown("\n".join([*lines, result["path"], f"{counts}, {result['seconds']:.1f} s"]))


def show_plan(result: dict[str, Any]) -> str:
    lines = [result["path"]] if "path" in result else []
    for stage in result["plan"]:
        taken = f" from {', '.join(stage['from'])}" if stage["from"] else ""
        lines.append(f"{stage['id']:<16} {stage['do']}{taken}{'' if stage['on'] else '  (off)'}")
    if "inputs" in result:
        lines.append(f"{len(result['inputs'])} inputs: {', '.join(one['stem'] for one in result['inputs'][:8])}")
    return shown("\n".join(lines))

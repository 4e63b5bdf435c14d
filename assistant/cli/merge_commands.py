"""What the command of merging does. Takes (options, paths, settings), returns (plain data, exit status)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from assistant.cli.commands import Result, do, given
from assistant.errors import BadArgument
from assistant.paths import Paths
from assistant.settings import Settings
from generation.merging import METHODS, WEIGHTED
from knowledge.screen import shown


def merge(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """A recipe carried out; with --dry-run what it would give, by headers alone."""
    from assistant.jobs.workshop import Workshop
    from generation.merging.sources import planned, source

    if options.list:
        return {"methods": [_told(name) for name in METHODS]}, 0
    found = source(given(options.recipe, "recipe"))
    plan = planned(found, Workshop(paths, settings).catalogue)
    if options.dry_run:
        return plan.to_json(options.precision or ""), 0
    if not options.output:
        raise BadArgument("the merge has no file to go to", "Give -o FILE.safetensors, or -o FOLDER for folders.")
    spec = {
        "recipe": found.text,
        "folder": str(found.folder or Path.cwd()),
        "inputs": {name: dict(one) for name, one in found.inputs.items()},
        "output": str(Path(options.output).expanduser().absolute()),
        "precision": options.precision or "",
        "render": not options.no_render,
        "force": options.force,
    }
    return do("merge", spec, paths, settings), 0


def _told(name: str) -> dict[str, Any]:
    method = METHODS[name]
    settings: list[dict[str, Any]] = [
        {"name": p.name, "kind": p.kind, "default": p.default, "help": p.help} for p in method.parameters
    ]
    if name in WEIGHTED:
        settings.append({"name": "weights", "kind": "numbers", "default": None, "help": "one for each network"})
    return {
        "name": name,
        "help": method.help,
        "takes": list(method.takes),
        "more": method.more,
        "gives": method.gives,
        "parameters": settings,
    }


# As text


def show(result: dict[str, Any]) -> str:
    if "methods" in result:
        return "\n".join(line for one in result["methods"] for line in _method(one))
    return shown(_done(result) if "path" in result else _plan(result))


def _method(one: dict[str, Any]) -> list[str]:
    more = ", ..." if one["more"] else ""
    lines = [f"{one['name']}({', '.join(one['takes'])}{more}) gives a {one['gives']}", f"    {one['help']}"]
    return lines + [f"    {p['name']:<10} {p['help']} ({p['default']})" for p in one["parameters"]]


def _plan(result: dict[str, Any]) -> str:
    size = f"{result['tensors']:,} tensors, {result['bytes'] / 1e6:,.1f} MB" if result["tensors"] else "a network"
    lines = [f"{result['method']}: {size}, {result['dtype']}, family {result['family']}"]
    for what, said in (("missing", "stays the first's, missing in"), ("extra", "left out, only in")):
        lines += [f"{one['tensor']}: {said} {one['model']}" for one in result[what][:10]]
        if len(result[what]) > 10:
            lines.append(f"and {len(result[what]) - 10} more")
    return "\n".join(lines)


def _done(result: dict[str, Any]) -> str:
    seen = result["verified"]
    checked = f"checked: {seen['sampled']} sampled, largest error {seen['largest_error']:.2g}, no value lost"
    picture = f", test picture {seen['render']}" if seen["render"] else ""
    kept = f", {result['kept']:.1%} of the change kept" if "kept" in result else ""
    return "\n".join(
        [
            result["path"],
            f"{result['tensors']:,} tensors, {result['bytes'] / 1e6:,.1f} MB, family {result['family']}{kept}",
            checked + picture,
            f"{result['peak_bytes'] / 1e6:.1f} MB of memory, {result['seconds']:.1f} s",
            *result["notes"],
        ]
    )

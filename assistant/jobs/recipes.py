"""What the job of a recipe does: read, gather its inputs, run them here or on a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.jobs.workshop import Workshop
from generation.recipes import Recipe
from generation.recipes.inputs import Input, gather
from generation.recipes.reading import read

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]


def planned(spec: dict[str, Any]) -> tuple[Recipe, list[Input]]:
    """The recipe and inputs that a job's spec names, checked."""
    recipe = read(Path(spec["recipe"]), spec.get("set") or {}, tuple(spec.get("off") or ()))
    return recipe, gather(recipe, spec.get("inputs") or ())


def run(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"recipe": file, "inputs": [path], "off": [id], "set": {name: text}, "output": folder or "", "cluster": workers}
    -> {"path", "recipe", "stages": [MADE], "made", "cached", "failed", "seconds"}.

    `path` is the folder of the pictures. Run again over the same folder, what is there is not made again.
    """
    began = time.perf_counter()
    recipe, inputs = planned(spec)
    output = Path(spec["output"]).expanduser().absolute() if spec.get("output") else shop.output_folder() / "recipes"
    if spec.get("cluster"):
        from generation.recipes import cluster

        device = shop.settings["studio.device"]
        engine = {
            "roots": [str(shop.paths.models), *(str(Path(p).expanduser()) for p in shop.settings["studio.models"])],
            "device": None if device == "auto" else device,
            "precision": shop.settings["studio.precision"],
            "offload": shop.settings["studio.offload"],
        }
        made = cluster.run(recipe, inputs, output, engine, int(spec["cluster"]), report=report, check=check)
    else:
        from generation.recipes import running

        made = running.run(recipe, inputs, output, shop.engine, report=report, check=check)
    return {
        "path": str(output / recipe.name),
        "recipe": recipe.name,
        "stages": [one.to_json() for one in made],
        "made": sum(not one.cached and not one.error for one in made),
        "cached": sum(one.cached for one in made),
        "failed": sum(bool(one.error) for one in made),
        "seconds": round(time.perf_counter() - began, 3),
    }

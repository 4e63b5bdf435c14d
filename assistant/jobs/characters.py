"""What the jobs about characters do: a tree of networks shown, rendered, or made into one LoRA.

As `handlers`: functions from a warm workshop and a spec (plain JSON) to a result (plain JSON).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.jobs.handlers import render
from assistant.jobs.workshop import Workshop

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]


def character(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"tree": file, "preset", "set": {path: weight}, "prompt", "render": {fields of a render} or null, "output",
    "export": file or "", "keep": whether a note is written} -> {"character", "parts", "prompt", "negative", "model",
    "presets", "constraints", "broken", "export", "render"}.

    Without "render" and "export" nothing is made but the merges that leaves name, and constraints that do not hold are
    listed under "broken"; to render or export they must hold.
    """
    from generation.characters import making, trees

    tree = trees.read(Path(spec["tree"]))
    if spec.get("preset"):
        tree = tree.preset(spec["preset"])
    tree = tree.set(spec.get("set") or {})
    wanted = spec.get("render")
    exported: dict[str, Any] | None = None
    if wanted is not None or spec.get("export"):
        tree.checked()
    shop.catalogue.refresh()
    found = making.files(tree, shop.catalogue, report=report, check=check)
    if spec.get("export"):
        output = Path(spec["export"]).expanduser().absolute()
        exported = making.export(tree, output, shop.catalogue, report=report, check=check)
        shop.catalogue.refresh()
    acting = tree.acting()
    text = making.prompt(tree, spec.get("prompt", ""), found)
    made = None
    if wanted is not None:
        model = wanted.get("model") or tree.model or shop.settings["studio.model"]
        fields = {"negative": tree.negative, **wanted, "prompt": text, "model": model}
        inner = {"spec": fields, "output": spec.get("output", ""), "remember": spec.get("keep", True)}
        made = render(shop, inner, report=report, check=check)
    return {
        "character": tree.name,
        "path": made["path"] if made else exported["path"] if exported else str(tree.file),
        "model": tree.model or shop.settings["studio.model"],
        "parts": [
            {
                "path": part.path,
                "weight": part.weight,
                "acts": round(acting[part.path], 4),
                "range": [part.low, part.high],
                "active": part.active,
                "leaf": part.leaf,
                "file": str(found[part.path]) if part.path in found else None,
            }
            for part in tree.walk()
        ],
        "prompt": text,
        "negative": tree.negative,
        "presets": {name: dict(values) for name, values in tree.presets.items()},
        "constraints": [one.text for one in tree.constraints],
        "broken": tree.broken(),
        "export": exported,
        "render": made,
    }

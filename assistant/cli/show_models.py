"""Results about weights as text for a person. Each function takes what its command returned."""

from __future__ import annotations

from typing import Any

from assistant.cli.show import wrap
from knowledge.screen import shown


def models_list(result: dict[str, Any]) -> str:
    lines = []
    for entry in result["models"]:
        size = f"{entry['size'] / 1e6:,.0f} MB"
        problem = f"  ({entry['problem']})" if entry.get("problem") else ""
        lines.append(f"{entry['name']:<32} {entry['kind']:<12} {entry['family']:<15} {size:>10}{problem}")
    return shown("\n".join(lines)) or "No such models. `atelier models import FOLDER` adds a folder."


def models_info(result: dict[str, Any]) -> str:
    entry = result["model"]
    usual = entry["defaults"]
    rows = {
        "path": entry["path"],
        "kind": " ".join(part for part in (entry["kind"], entry["format"]) if part),
        "family": entry["family"] + (", predicts the velocity" if entry["prediction"] == "v" else ""),
        "size": f"{entry['size'] / 1e6:,.1f} MB",
        "problem": entry["problem"],
        "triggers": ", ".join(entry["triggers"]),
        "weight": "" if entry["weight"] is None else f"{entry['weight']:g}",
        "picture": entry["thumbnail"],
    }
    if entry["kind"] == "checkpoint":
        rows["defaults"] = (
            f"{usual['width']}x{usual['height']}, {usual['steps']} steps, CFG {usual['cfg']:g}, {usual['sampler']}"
        )
    rows |= entry["hashes"]
    lines = [entry["name"], *(f"{name:<9} {value}" for name, value in rows.items() if value)]
    return shown("\n".join(lines)) + (f"\n{shown(wrap(entry['description']))}" if entry["description"] else "")


def models_import(result: dict[str, Any]) -> str:
    lines = [f"Added {folder}" for folder in result["added"]]
    if result["added"]:
        lines.append(f"{result['models']} models in it; nothing was copied.")
    lines += [f"Found {folder}" for folder in result["found"]]
    if result["found"]:
        lines.append("`atelier models import FOLDER` adds one, `--all` adds them all.")
    return shown("\n".join(lines)) or "No other tool's models were found; name a folder: `atelier models import FOLDER`"

"""A plan of a training as rows of a list: what it comes to, its buckets, and the remarks with their pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from assistant.pace import eta
from generation.training.plan_remarks import TITLES
from generation.training.settings import table
from knowledge.screen import shown

FEW = 40  # rows of a kind; the shell's `--json` has all


@dataclass(frozen=True)
class Row:
    """A line of the list; `picture` is the path it is about, "" for none."""

    text: Text
    picture: str = ""


def rows(plan: dict[str, Any]) -> list[Row]:
    """Buckets, remarks with their pictures, then every picture with its bucket; without a plan the settings."""
    if "images" not in plan:
        told = [(one.name.replace("_", " "), plan["settings"][one.name]) for one in table(plan["kind"])]
        return [Row(Text.assemble((f"{name:<22}", "cyan"), shown(str(value)))) for name, value in told]
    found = []
    for bucket in plan["buckets"]:
        size = "x".join(map(str, bucket["size"]))
        found.append(Row(Text.assemble((f"{size:>11}", "cyan"), f"  {_pictures(bucket['count'])}")))
    for kind, title in TITLES.items():
        of_kind = [remark for remark in plan["remarks"] if remark["kind"] == kind]
        if not of_kind:
            continue
        found.append(Row(Text(f"{title}: {len(of_kind)}" if of_kind[0]["path"] else title, "bold yellow")))
        for remark in of_kind[:FEW]:
            name = f"{Path(remark['path']).name}  " if remark["path"] else ""
            text = Text.assemble("  ", (shown(name), "bold"), (shown(remark["message"]), ""))
            found.append(Row(text, remark["path"]))
        if len(of_kind) > FEW:
            found.append(Row(Text(f"  and {len(of_kind) - FEW} more", "dim")))
    found.append(Row(Text(f"Pictures: {len(plan['pictures'])}", "bold")))
    for picture in plan["pictures"][: FEW * 10]:
        bucket = "x".join(map(str, picture["bucket"])) if picture["bucket"] else "left out"
        text = Text.assemble("  ", (shown(Path(picture["path"]).name), "bold"), (f"  {bucket}", "cyan"))
        if picture["crop_loss"]:
            text.append(f"  -{picture['crop_loss']:.1%}", "yellow")
        text.append(f"  {shown(picture['caption'])}", "dim")
        found.append(Row(text, picture["path"]))
    return found


def unplanned(kind: str, dataset: str, model: str, given: dict[str, Any]) -> dict[str, Any]:
    """What stands where a plan would, for a kind that has none: its usual settings, with those given."""
    settings = {one.name: one.default for one in table(kind)} | given
    return {"kind": kind, "dataset": dataset, "model": model, "settings": settings, "steps": settings["steps"],
            "fits": True, "pictures": []}  # fmt: skip


def summary(plan: dict[str, Any]) -> str:
    """What is done with how many pictures, and what it takes."""
    if "images" not in plan:
        return f"A training of {plan['kind']} has no plan: no guide gives figures for clips. These are its settings."
    seconds = plan["seconds_estimate"]
    time = "time unknown" if seconds is None else f"about {eta(seconds)}"
    fits = "" if plan["fits"] else ", more than there is"
    upscale = plan["no_upscale"]
    lost = f"{plan['crop_loss']:.1%} cropped off"
    if upscale["proposed"]:
        lost += f" ({upscale['crop_loss']:.1%} without enlarging)"
    settings = plan["settings"]
    return (
        f"{_pictures(plan['images'])}, {plan['repeats']:g} repeats x {plan['epochs']} epochs: {plan['steps']} steps of "
        f"{settings['batch']}; about {plan['memory_gb']:.1f} GB{fits}, {time} ({plan['device']}); {lost}"
    )


def _pictures(count: int) -> str:
    return f"{count} picture{'' if count == 1 else 's'}"

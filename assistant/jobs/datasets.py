"""What the jobs about datasets do: a plan of a training, captions edited or made.

As `handlers`: functions from a warm workshop and a spec (plain JSON) to a result (plain JSON).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant.jobs.workshop import Workshop
from generation.errors import BadSpec

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
GIB = 2**30


def plan(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"dataset", "model", "kind", "preset", "settings", "regularisation", "memory_gb", "look", "contact"} -> a plan.

    Without "look" no picture is decoded: damage, blur and duplicates stay unknown. "contact" is a PNG to write or "",
    "memory_gb" null for what the device has.
    """
    from importlib.util import find_spec

    from generation import fitting, loading, memory, pictures
    from generation.training import checks, contact, datasets, planned, presets, speed
    from generation.training import plan as planning

    presets.require(spec.get("kind", "lora"))
    folder = Path(spec["dataset"])
    contact_file = pictures.target(Path(spec["contact"])) if spec.get("contact") else None
    dataset = datasets.read(folder, check)
    if spec.get("regularisation"):
        dataset = replace(dataset, regularisation=datasets.read(Path(spec["regularisation"]), check).pictures)
    entry = shop.catalogue.find(spec.get("model") or shop.settings["studio.model"])
    fitting.require(entry, *fitting.MODELS)
    chosen = shop.settings["studio.device"]
    device = loading.choose_device(None if chosen == "auto" else chosen)[0].partition(":")[0]
    side = round((entry.defaults.width * entry.defaults.height) ** 0.5)
    remarks: tuple[datasets.Remark, ...] = ()
    if spec.get("look", True):
        remarks = checks.examine(dataset.pictures, side, report=report, check=check)
    damaged = {remark.path for remark in remarks if remark.kind == "damaged"}
    dataset = replace(dataset, pictures=tuple(one for one in dataset.pictures if str(one.path) not in damaged))
    if not dataset.pictures:
        raise BadSpec(f"no picture of {dataset.path} can be decoded", "Copy them again from where they came.")
    check()
    wanted = spec.get("memory_gb")
    machine = planned.Machine(
        device,
        int(wanted * GIB) if wanted else memory.free_memory(device),
        speed.measure(device),
        speed.START,
        find_spec("bitsandbytes") is not None and device == "cuda",
    )
    made = planning.make(
        dataset,
        planned.Base(entry.name, entry.family, side, memory.weigh(entry).unet),
        machine,
        kind=spec.get("kind", "lora"),
        subject=spec.get("preset", "character"),
        given=spec.get("settings") or {},
        remarks=remarks,
    )
    result = {**made.to_json(), "device": device, "contact": ""}
    if contact_file:
        marks: dict[str, list[str]] = {}
        for remark in made.remarks:
            if remark.path and remark.kind not in marks.setdefault(remark.path, []):
                marks[remark.path].append(remark.kind)
        sheet = contact.sheet(made.pictures, made.placed, marks, report=report, check=check)
        result["contact"] = str(pictures.write_png(sheet, contact_file))
    return result


def captions(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"dataset", "edit": {..}, "auto": folder or "", "threshold", "overwrite", "dry_run"} -> {"changed", "stats"}.

    "auto" writes a caption for each picture that has none (for all with "overwrite"), then the edit is made of all.
    """
    from assistant.caption_files import kept, write
    from generation.training import caption_edits, datasets

    dataset = datasets.read(Path(spec["dataset"]), check)
    wanted = {picture.path: picture.caption for picture in dataset.pictures}
    failed: list[dict[str, str]] = []
    if spec.get("auto"):
        wanted |= _made(shop, spec, dataset.pictures, failed, report, check)
    edit = caption_edits.Edit(**{**spec["edit"], "remove": tuple(spec["edit"].get("remove", ()))})
    # Class tokens that stand in for a caption would be lost by a prefix written in their place.
    tokens = {picture.path: picture.tokens for picture in dataset.pictures}
    after = {
        path: caption_edits.edited(caption, edit) if caption or not tokens[path] else ""
        for path, caption in wanted.items()
    }
    before = {picture.path: picture.caption for picture in dataset.pictures}
    changed = {path: caption for path, caption in after.items() if caption != before[path]}
    check()
    if changed and not spec.get("dry_run"):
        write(dataset, changed)
    return {
        "dataset": str(dataset.path),
        "images": len(dataset.pictures),
        "changed": [{"path": str(path), "before": before[path], "after": text} for path, text in changed.items()],
        "failed": failed,
        "written": not spec.get("dry_run"),
        "undo": str(kept(dataset.path)) if kept(dataset.path).is_file() else "",
        "stats": caption_edits.statistics(list(after.values())),
    }


def _made(
    shop: Workshop,
    spec: dict[str, Any],
    pictures: Any,
    failed: list[dict[str, str]],
    report: Report,
    check: Check,
) -> dict[Path, str]:
    """Captions made by a local model, by picture; what cannot be read is told in `failed`."""
    from generation import loading
    from generation.errors import BadImage
    from generation.pictures import read
    from generation.training import captioners

    chosen = shop.settings["studio.device"]
    device, _ = loading.choose_device(None if chosen == "auto" else chosen)
    report({"kind": "progress", "stage": "loading", "done": 0, "total": None, "message": spec["auto"]})
    caption = captioners.load(Path(spec["auto"]), device, threshold=spec.get("threshold"))
    todo = [one for one in pictures if spec.get("overwrite") or not one.caption]
    found = {}
    for number, picture in enumerate(todo):
        check()
        report({"kind": "progress", "stage": "captions", "done": number, "total": len(todo)})
        try:
            found[picture.path] = caption(read(picture.path))
        except BadImage as error:
            failed.append({"path": str(picture.path), "message": error.message})
    return found

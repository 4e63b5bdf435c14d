"""What the jobs of drafts and pictures do: functions from a warm workshop and a spec (plain JSON) to a result (plain
JSON). The library's stand in `library`.

The shapes of the results are those the shell prints with `--json`.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from assistant.drafting import own, variants
from assistant.errors import AssistantError
from assistant.jobs.library import read_new_renders
from assistant.jobs.workshop import Workshop
from assistant.memory import remember_render
from assistant.prompt_shelf import Shelf
from assistant.styles import read as read_styles
from generation.errors import GenerationError
from generation.metadata import read as read_metadata
from generation.specs import RenderSpec
from knowledge.records import Passage

# What says that a prompt is a template: a choice in braces, a count of choices, a wildcard.
TEMPLATE = re.compile(r"\{[^{}]*(?:\||\$\$)[^{}]*\}|__[\w\-/*.]+__")
Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]


def expand(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"idea", "strength", "chunks", "seed", "grounded", "style", "template", "negative", "family", "variants"} -> the
    first draft with "prompt", "negative", "sources", ..., and under "variants" the others asked for.
    """
    model, reason = shop.language_model_or_none()
    if model is None:
        report({"kind": "note", "message": reason})
    passages: list[Passage] = []
    rank = None
    try:
        if spec.get("grounded", True):
            read_new_renders(shop, check)
            passages = shop.library.search(spec["idea"], k=5)
        embedder = shop.library.embedder

        def rank(idea: str, phrases: Sequence[str]) -> list[float]:
            check()
            vectors = embedder.encode([idea, *phrases])
            return [float(score) for score in vectors[1:] @ vectors[0]]

    except AssistantError as error:
        report({"kind": "note", "message": error.message})
    phrases: dict[str, list[str]] = {}
    for origin, read in (
        (own.STYLES, lambda: own.of_styles(read_styles(shop.paths.styles)) if shop.paths.styles.exists() else []),
        (own.PROMPTS, lambda: own.of_prompts(Shelf(shop.paths.prompts).frequent(100)[0])),
    ):
        try:
            phrases[origin] = read()
        except AssistantError as error:
            report({"kind": "note", "message": error.message})
    check()
    drafts = variants(
        spec["idea"],
        model,
        max(1, int(spec.get("variants", 1))),
        passages=passages,
        rank=rank,
        strength=float(spec.get("strength", 0.7)),
        chunks=int(spec.get("chunks", 1)),
        seed=int(spec.get("seed", 0)),
        check=check,
        style=str(spec.get("style", "auto")),
        template=str(spec.get("template", "auto")),
        templates_file=shop.paths.config / "templates.toml",
        phrases=phrases,
        negative=str(spec.get("negative", "")),
        family=str(spec.get("family", "")),
    )
    for note in drafts[0].notes:
        report({"kind": "note", "message": note})
    return {**drafts[0].to_json(), "variants": [draft.to_json() for draft in drafts[1:]]}


def render(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"spec": a RenderSpec, "output": file or ""} -> {"path", "paths", "size", "seed", "seconds", "spec"}."""
    wanted = _drawn(shop, RenderSpec.from_json(spec["spec"]), report)
    output = Path(spec["output"]).expanduser() if spec.get("output") else None
    if output is None:
        output = _free_name(shop.output_folder(), wanted.prompt)
    preview = shop.paths.previews / f"{spec.get('preview', 'render')}.png"
    result = shop.engine.render(wanted, output, preview=preview, report=report, check=check)
    shown: dict[str, Any] = {
        "path": str(result.path),
        "paths": [str(path) for path in result.paths],
        "size": list(result.size),
        "seed": result.seed,
        "seconds": round(result.seconds, 3),
        "spec": result.spec.to_json(),
    }
    if shop.settings["studio.remember"] and spec.get("remember", True):
        note = remember_render(shop.paths.memory, result.path, shown["spec"], result.seconds)
        shown["note"] = str(note)
    return shown


def grid(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"spec", "axes": ["cfg=3,5"] or "matrix": true, "output": file or ""} -> {"path", "cells", "labels", "seconds"}.

    Every cell is a picture of its own in a folder beside the sheet; run again over the same output, cells that are
    there with the same settings are not rendered again.
    """
    from generation import grids, pictures, sheets

    base = RenderSpec.from_json(spec["spec"])
    base = replace(base, seed=secrets.randbelow(2**32) if base.seed == -1 else base.seed, batch=1)
    made = grids.matrix(base) if spec.get("matrix") else None
    made = made or grids.plan(base, [grids.axis(text, base.operation) for text in spec["axes"]])
    given = Path(spec["output"]).expanduser() if spec.get("output") else None
    output = pictures.target(given or _free_name(shop.output_folder(), f"grid {base.prompt}"))
    folder = output.with_name(f"{output.stem}-cells")
    columns, rows, sheets_of = (made.labels(number) for number in range(3))
    found: dict[tuple[int, int, int], Path] = {}
    began = time.perf_counter()
    for number, cell in enumerate(made.cells):
        report({"kind": "progress", "stage": "cells", "done": number, "total": len(made.cells)})
        check()
        path = folder / "-".join(["cell", *map(str, cell.place)])
        path = path.with_name(f"{path.name}.png")
        if not _is_of(path, cell.spec):
            shop.engine.render(cell.spec, path, report=_only_notes(report), check=check)
        found[cell.place] = path
        report({"kind": "preview", "path": str(path)})
    paths = []
    for z, label in enumerate(sheets_of):
        there = [[pictures.read(found[x, y, z]) for x in range(len(columns))] for y in range(len(rows))]
        place = output if len(sheets_of) == 1 else output.with_stem(f"{output.stem}-{z + 1}")
        titled = [f"{label}: {name}".strip(": ") for name in columns] if label else columns
        paths.append(str(pictures.write_png(sheets.grid(there, titled, rows), place)))
    return {
        "path": paths[0],
        "paths": paths,
        "cells": [{"place": list(cell.place), "path": str(found[cell.place])} for cell in made.cells],
        "labels": [columns, rows, sheets_of],
        "seed": base.seed,
        "seconds": round(time.perf_counter() - began, 3),
        "spec": base.to_json(),
    }


def _is_of(path: Path, spec: RenderSpec) -> bool:
    """Whether a picture is there that was made by this spec: what the spec names stands in the picture's settings."""
    try:
        known = read_metadata(path).spec() or {}
    except GenerationError:
        return False
    return all(known.get(name) == value for name, value in spec.to_json().items() if value is not None)


def _only_notes(report: Report) -> Report:
    """A grid counts its cells; the steps of each would jump about in its bar."""
    return lambda event: report(event) if event["kind"] == "note" else None


def _drawn(shop: Workshop, spec: RenderSpec, report: Report) -> RenderSpec:
    """The spec with `{a|b}` and `__name__` of its prompts drawn by its seed; the template is kept as the idea."""
    if not any(TEMPLATE.search(text) for text in (spec.prompt, spec.negative)):
        return spec
    from assistant.wildcards import expand as draw

    folders = [shop.paths.wildcards, *(Path(p).expanduser() for p in shop.settings["draft.wildcards"])]
    folders = [folder for folder in folders if folder.is_dir()]
    seed = secrets.randbelow(2**32) if spec.seed == -1 else spec.seed

    def warn(message: str) -> None:
        report({"kind": "note", "message": message})

    prompt, negative = (
        draw(text, folders, seed=seed, warn=warn)[0] if TEMPLATE.search(text) else text
        for text in (spec.prompt, spec.negative)
    )
    return replace(spec, prompt=prompt, negative=negative, seed=seed, idea=spec.idea or spec.prompt)


def _free_name(folder: Path, prompt: str) -> Path:
    """<folder>/2026-01-31/153000-first-words.png, with a number behind it where that is taken."""
    now = datetime.now().astimezone()
    words = re.findall(r"[^\W_]+", prompt.lower())[:6]
    stem = "-".join([f"{now:%H%M%S}", *words])[:80]
    path = folder / f"{now:%Y-%m-%d}" / f"{stem}.png"
    number = 2
    while path.exists():
        path = path.with_name(f"{stem}-{number}.png")
        number += 1
    return path


def warm(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """Load embedder and language model ahead of the first question."""
    shop.library.search("warm", k=1)
    check()
    model, reason = shop.language_model_or_none()
    return {"model": model.name if model else "", "reason": reason}


def release(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """Give the memory of what is kept warm back: the language model here, the checkpoint there."""
    return {"released": shop.release()}

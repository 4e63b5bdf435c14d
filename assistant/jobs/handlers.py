"""What the jobs of drafts and pictures do: functions from a warm workshop and a spec (plain JSON) to a result (plain
JSON). The library's stand in `library`.

The shapes of the results are those the shell prints with `--json`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from assistant.drafting import expand as expand_idea
from assistant.errors import AssistantError
from assistant.jobs.library import read_new_renders
from assistant.jobs.workshop import Workshop
from assistant.memory import remember_render
from generation.specs import RenderSpec
from knowledge.records import Passage

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]


def expand(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"idea", "strength", "chunks", "seed", "grounded"} -> a draft with "prompt", "negative", "sources"."""
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
            vectors = embedder.encode([idea, *phrases])
            return [float(score) for score in vectors[1:] @ vectors[0]]

    except AssistantError as error:
        report({"kind": "note", "message": error.message})
    check()
    draft = expand_idea(
        spec["idea"],
        model,
        passages=passages,
        rank=rank,
        strength=float(spec.get("strength", 0.7)),
        chunks=int(spec.get("chunks", 1)),
        seed=int(spec.get("seed", 0)),
        check=check,
    )
    return draft.to_json()


def render(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"spec": a RenderSpec, "output": file or ""} -> {"path", "seed", "seconds", "spec"}."""
    wanted = RenderSpec.from_json(spec["spec"])
    output = Path(spec["output"]).expanduser() if spec.get("output") else None
    if output is None:
        output = _free_name(shop.output_folder(), wanted.prompt)
    preview = shop.paths.previews / f"{spec.get('preview', 'render')}.png"
    result = shop.engine.render(wanted, output, preview=preview, report=report, check=check)
    shown: dict[str, Any] = {
        "path": str(result.path),
        "seed": result.seed,
        "seconds": round(result.seconds, 3),
        "spec": result.spec.to_json(),
    }
    if shop.settings["studio.remember"]:
        note = remember_render(shop.paths.memory, result.path, shown["spec"], result.seconds)
        shown["note"] = str(note)
    return shown


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

"""What each kind of job does: a function from a warm workshop and a spec (plain JSON) to a result (plain JSON).

The shapes of the results are those the shell prints with `--json`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from assistant.answering import answer
from assistant.drafting import expand as expand_idea
from assistant.errors import AssistantError
from assistant.jobs.workshop import Workshop
from assistant.memory import remember_render
from generation.specs import RenderSpec
from ingest.pipeline import ingest as read_in
from knowledge.errors import LibraryBusyError
from knowledge.records import Passage

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]


def ingest(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"paths": [...]} -> {"documents": [{"path", "status", "reason", "chunks"}], "seconds"}."""
    started = time.monotonic()
    paths = [Path(path).expanduser() for path in spec["paths"]]
    exclude = tuple(shop.settings["library.exclude"])
    outcomes = read_in(paths, shop.library, report=report, check=check, exclude=exclude)
    return {
        "documents": [{"path": o.path, "status": o.status, "reason": o.reason, "chunks": o.chunks} for o in outcomes],
        "seconds": round(time.monotonic() - started, 3),
    }


def sync(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """Bring sample notes (in a new library), collections and the notes about renders up to date."""
    paths = [shop.paths.samples]
    paths += [Path(p).expanduser() for p in shop.settings["library.collections"]]
    paths += [shop.paths.memory] if shop.paths.memory.exists() else []
    missing = [path for path in paths if not path.exists()]
    for path in missing:
        report({"kind": "note", "message": f"the collection {path} is not there"})
    present = [str(path) for path in paths if path not in missing]
    return ingest(shop, {"paths": present}, report=report, check=check)


def _read_new_renders(shop: Workshop, check: Check) -> None:
    """Notes about new renders enter before a question is answered; skipped while another writes."""
    if not shop.paths.memory.exists():
        return
    known = shop.library.manifest()
    notes = [p for p in shop.paths.memory.rglob("*.md") if str(p) not in known]
    if not notes:
        return
    try:
        read_in(notes, shop.library, report=lambda event: None, check=check)
    except LibraryBusyError:
        return


def search(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"query", "k"} -> {"passages": [...]}."""
    _read_new_renders(shop, check)
    passages = shop.library.search(spec["query"], k=int(spec.get("k", 8)))
    return {"passages": [_passage(p, bool(spec.get("explain"))) for p in passages]}


def _passage(passage: Passage, explain: bool) -> dict[str, Any]:
    names = ("path", "title", "heading", "line_start", "line_end", "page", "score", "text")
    shown = {name: getattr(passage, name) for name in names}
    if explain:
        shown["signals"] = dict(passage.signals)
    return shown


def ask(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"question"} -> {"answer", "refused", "citations", "model", "nearest"}."""
    _read_new_renders(shop, check)
    evidence = shop.library.evidence(spec["question"], k=shop.settings["library.passages"])
    check()
    model = None
    if not evidence.refused and shop.settings["llm.backend"] != "off":
        model, reason = shop.language_model_or_none()
        if model is None:
            report({"kind": "note", "message": reason})
    return answer(evidence, model, report=report, check=check).to_json()


def expand(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"idea", "strength", "chunks", "seed", "grounded"} -> a draft with "prompt", "negative", "sources"."""
    model, reason = shop.language_model_or_none()
    if model is None:
        report({"kind": "note", "message": reason})
    passages: list[Passage] = []
    rank = None
    try:
        if spec.get("grounded", True):
            _read_new_renders(shop, check)
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


def documents(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{} -> {"documents": [...], "health": {...}}."""
    return {
        "documents": [row.to_json() for row in shop.library.documents()],
        "health": shop.library.health(),
    }


def rebuild(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """Make the index again from the store; {} -> the library's health."""
    shop.library.rebuild(report=report, check=check)
    return {"health": shop.library.health()}


def warm(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """Load embedder and language model ahead of the first question."""
    shop.library.search("warm", k=1)
    check()
    model, reason = shop.language_model_or_none()
    return {"model": model.name if model else "", "reason": reason}

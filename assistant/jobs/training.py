"""What the jobs of training do: settings put together, a model taught, and what came of it written down.

As `handlers`: functions from a warm workshop and a spec (plain JSON) to a result (plain JSON).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.jobs.library import read_new_renders
from assistant.jobs.workshop import Workshop
from assistant.memory import remember_training
from assistant.writing import write_whole
from generation.errors import BadSpec
from generation.training import kohya_settings
from generation.training.settings import TrainingSpec, table
from knowledge.records import Chunk, Passage

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
RESOLVED = "settings.json"
WORD = re.compile(r"[^\W\d_]+")
WIDER = 24  # passages looked through for a name
NAME = 5  # letters; shorter words are seldom names
# What every question about settings holds.
COMMON = frozenset({
    "settings", "setting", "train", "trained", "training", "model", "models", "which", "does", "steps", "image",
    "images", "lora", "dreambooth", "learning", "rate", "guide", "notes", "what", "recommend", "recommended",
})  # fmt: skip


def train(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"kind", "dataset", "output", "model", "settings", "regularisation", "preset", "memory_gb", "processes"} -> the
    record.

    With a "preset" (character, style, object) what "settings" leave open is planned, as `train plan` shows it; without
    one the table's defaults hold. What was planned is kept beside the state: a training that goes on goes on with it,
    whatever memory is free then.
    """
    from generation.training import launching, results, running

    model = spec.get("model") or shop.settings["studio.model"]
    whole = TrainingSpec.from_json(
        {
            "kind": spec.get("kind", ""),
            "dataset": spec.get("dataset", ""),
            "output": spec.get("output", ""),
            "model": model,
            "settings": spec.get("settings") or {},
            "regularisation": spec.get("regularisation", ""),
        }
    )
    kept = results.work_folder(results.target(whole, shop.catalogue.find(model))) / RESOLVED
    if spec.get("preset"):
        settings = _kept(kept, spec) or _planned(shop, spec, report, check)
        whole = TrainingSpec.from_json({**whole.to_json(), "settings": settings})
        write_whole(kept, json.dumps({"asked": _asked(spec), "settings": settings}, indent=2))
    shop.release()
    device = shop.settings["studio.device"]
    common: dict[str, Any] = {
        "device": None if device == "auto" else device,
        "gallery": shop.output_folder(),
        "report": report,
        "check": check,
    }
    if (processes := int(spec.get("processes") or 1)) > 1:
        roots = [shop.paths.models, *(Path(path).expanduser() for path in shop.settings["studio.models"])]
        result = launching.launch(whole, processes, roots, **common)
    else:
        result = dict(running.train(whole, shop.catalogue, **common).record)
    # The new network is there for the next prompt.
    shop.__dict__.pop("catalogue", None)
    if shop.settings["studio.remember"]:
        result["note"] = str(remember_training(shop.paths.memory, result))
    return result


def _asked(spec: dict[str, Any]) -> dict[str, Any]:
    return {name: spec.get(name) for name in ("kind", "dataset", "model", "settings", "preset", "memory_gb")}


def _kept(path: Path, spec: dict[str, Any]) -> dict[str, Any] | None:
    """The settings that this training was begun with, None for a new one."""
    try:
        found = json.loads(path.read_text("utf-8"))
        return dict(found["settings"]) if found["asked"] == json.loads(json.dumps(_asked(spec))) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _planned(shop: Workshop, spec: dict[str, Any], report: Report, check: Check) -> dict[str, Any]:
    from assistant.jobs.datasets import plan

    names = ("dataset", "model", "kind", "preset", "settings", "regularisation", "memory_gb")
    made = plan(shop, {**{name: spec.get(name) for name in names}, "look": False}, report=report, check=check)
    if not made["fits"]:
        raise BadSpec(
            f"the training needs {made['memory_gb']:g} GB on {made['device']}, more than there is",
            "Choose a smaller batch, rank or resolution, or checkpointing; `atelier train plan` shows what fits.",
        )
    for remark in made["remarks"]:
        if not remark["path"]:
            report({"kind": "note", "message": remark["message"]})
    own = {parameter.name for parameter in table(spec["kind"])}
    return {name: value for name, value in made["settings"].items() if name in own}


def guide_settings(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"question", "kind"} -> {"settings": [{"setting", "value", "said", "path", "line_start", "line_end"}]}.

    Those of the best passage that states any, and of its neighbours under the same heading; each with where it stands.
    Where the library would refuse to answer, a passage must at least name what the question names.
    """
    read_new_renders(shop, check)
    evidence = shop.library.evidence(spec["question"], shop.settings["library.passages"])
    passages = list(evidence.passages)
    if evidence.refused:
        nearest = shop.library.search(spec["question"], WIDER)
        passages = [passage for passage in nearest if _names(passage, spec["question"])]
    for best in passages:
        if not kohya_settings.parse(best.text, spec["kind"]):
            continue
        found: dict[str, dict[str, Any]] = {}
        beside: list[Passage | Chunk] = [best, *shop.library.neighbours(best)]
        for passage in beside:
            if passage.heading != best.heading:
                continue
            for one in kohya_settings.parse(passage.text, spec["kind"]):
                if one.setting and one.setting not in found:
                    where = {"path": best.path, "line_start": passage.line_start, "line_end": passage.line_end}
                    found[one.setting] = {"setting": one.setting, "value": one.value, "said": one.text, **where}
        if found:
            return {"settings": list(found.values())}
    return {"settings": []}


def _names(passage: Passage, question: str) -> bool:
    """Whether a passage holds a name of the question, a letter more or less: notes spell names as they come."""
    words = {word.casefold() for word in WORD.findall(f"{passage.heading} {passage.text}")}
    asked = [word.casefold() for word in WORD.findall(question) if len(word) >= NAME and word.casefold() not in COMMON]
    return any(difflib.get_close_matches(word, words, n=1, cutoff=0.85) for word in asked)

"""What the job of a merge does: plan, stream, verify, and a test picture by the warm engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.jobs.workshop import Workshop
from assistant.memory import remember_merge

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]


def run(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"recipe": text, "folder": its own or "", "inputs": those of the merge it was taken from, "output", "precision":
    "" or one of fp16, bf16, fp32, "render": flag, "force": flag} -> {"path", "method", "tensors", "bytes", "family",
    "verified", "peak_bytes", "seconds", "notes", ...}.
    """
    from generation.merging import running
    from generation.merging.sources import Source

    shop.release()  # a merge needs little, but the test picture a whole model
    shop.catalogue.refresh()
    given = Source(spec["recipe"], Path(spec["folder"]) if spec.get("folder") else None, spec.get("inputs") or {})
    made = running.merge(
        given,
        Path(spec["output"]),
        shop.catalogue,
        precision=spec.get("precision") or "",
        engine=shop.engine if spec.get("render", True) else None,
        force=bool(spec.get("force")),
        report=report,
        check=check,
    )
    shop.catalogue.refresh()
    if shop.settings["studio.remember"]:
        made["note"] = str(remember_merge(shop.paths.memory, spec["recipe"], made))
    return made

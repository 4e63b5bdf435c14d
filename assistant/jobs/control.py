"""What the jobs about control do: a condition made of a picture, and a ControlNet trained on a folder.

As `handlers`: functions from a warm workshop and a spec (plain JSON) to a result (plain JSON).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.jobs.workshop import Workshop
from generation.errors import BadSpec

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]


def preprocess(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"kind", "image", "output", "size": [w, h] or null, "resize", "values"} -> {"path", "size", "kind", ...}."""
    from generation.pictures import target, write_png
    from generation.preprocessors.prepared import prepare

    began = time.perf_counter()
    output = target(Path(spec["output"]))
    size = spec.get("size")
    report({"kind": "progress", "stage": spec["kind"], "done": 0, "total": None})
    made = prepare(
        spec["kind"],
        spec["image"],
        (int(size[0]), int(size[1])) if size else None,
        spec.get("resize", "crop"),
        spec.get("values") or {},
    )
    check()
    write_png(made, output)
    report({"kind": "preview", "path": str(output)})
    return {
        "path": str(output),
        "size": list(made.size),
        "kind": spec["kind"],
        "seconds": round(time.perf_counter() - began, 3),
    }


def train_controlnet(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"dataset", "output", "model", "preprocessor", "values", "size", "silent", "settings"} -> {"path", "steps", ...}.

    The state lies beside the output while it is trained; the same job again goes on from it, and it goes when the
    ControlNet is written.
    """
    import torch

    from generation import loading
    from generation.autoencoder import Autoencoder
    from generation.conditioning import Conditioner
    from generation.preprocessors import parameters
    from generation.prompts.tokens import ClipTokenizer
    from generation.training import control_examples, controlnet

    began = time.perf_counter()
    output = Path(spec["output"]).expanduser().absolute()
    if output.is_file() or (output.is_dir() and any(output.iterdir()) and not (output / "config.json").is_file()):
        raise BadSpec(f"{output} is not the folder of a ControlNet", "Name a new folder.")
    kind = spec.get("preprocessor", "canny")
    values = parameters(kind, spec.get("values") or {})
    settings = controlnet.Settings(**spec.get("settings", {}))
    dataset = Path(spec["dataset"]).expanduser().absolute()
    control_examples.sources(dataset)
    entry = shop.catalogue.find(spec.get("model") or shop.settings["studio.model"])
    shop.release()
    chosen = shop.settings["studio.device"]
    device, _ = loading.choose_device(None if chosen == "auto" else chosen)
    report({"kind": "progress", "stage": "loading", "done": 0, "total": None, "message": entry.name})
    pipe = loading.load(entry, device, torch.float32)
    side = int(spec.get("size") or 0)
    size = (side, side) if side else (entry.defaults.width, entry.defaults.height)
    work = output.with_name(f".{output.name}.training")
    tokenizer = Path(entry.path) / "tokenizer"
    autoencoder = Autoencoder(pipe.vae, device)
    examples = control_examples.load(
        dataset,
        work,
        conditioner=Conditioner(pipe, ClipTokenizer.load(tokenizer if (tokenizer / "vocab.json").is_file() else None)),
        autoencoder=autoencoder,
        size=size,
        kind=kind,
        values=values,
        silent=float(spec.get("silent", 0.1)),
        report=report,
        check=check,
    )
    losses: list[float] = []

    def heard(event: dict[str, Any]) -> None:
        if "loss" in event:
            losses.append(event["loss"])
        report(event)

    trained = controlnet.train(
        pipe.unet,
        pipe.scheduler.config,
        examples,
        work,
        settings,
        factor=autoencoder.factor,
        device=device,
        report=heard,
        check=check,
    )
    written = controlnet.write(trained, output)
    shutil.rmtree(work, ignore_errors=True)
    return {
        "path": str(output),
        "model": entry.name,
        "pictures": len(examples),
        "steps": settings.steps,
        "loss": round(losses[-1], 5) if losses else None,
        "bytes": written,
        "seconds": round(time.perf_counter() - began, 1),
    }

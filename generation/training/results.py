"""What a training leaves behind: where its files go, the best step's weights, the record and the picture of its losses.

Knows names and plain data. Leaves the tensors to the learners.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from generation import pictures
from generation.catalogue import ModelEntry
from generation.errors import BadSpec
from generation.training import plot, state
from generation.training.examples import Item
from generation.training.loop import Learner, Run
from generation.training.settings import TrainingSpec


def work_folder(output: Path) -> Path:
    """Where a training to `output` keeps its state until it has ended."""
    return output.with_name(f".{output.name}.training")


def target(spec: TrainingSpec, entry: ModelEntry) -> Path:
    """The file or folder to write. Raises `BadSpec` for what would destroy something else."""
    output = Path(spec.output).expanduser().absolute()
    whole = spec.kind in {"dreambooth", "finetune"} and Path(entry.path).is_dir()
    if whole:
        output = output.with_suffix("") if output.suffix == ".safetensors" else output
        if output.is_file() or (
            output.is_dir() and any(output.iterdir()) and not (output / "model_index.json").is_file()
        ):
            raise BadSpec(f"{output} is no folder of a model", "Name a new folder.")
        if Path(entry.path).resolve() == output.resolve():
            raise BadSpec("the training would write over the model it begins from", "Name another output.")
    else:
        if output.suffix.lower() != ".safetensors":
            output = output.with_name(f"{output.name}.safetensors")
        if output.is_dir():
            raise BadSpec(f"{output} is a folder", "Name a file.")
        if Path(entry.path).resolve() == output.resolve():
            raise BadSpec("the training would write over the model it begins from", "Name another output.")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadSpec(
            f"the folder {output.parent} cannot be made: {error.strerror}", "Choose another place."
        ) from error
    return output


def named(output: Path, step: int, per_epoch: int, settings: Mapping[str, Any]) -> Path:
    """The name of a file on the way, as kohya's: by epoch or by step."""
    if settings["save_every_epochs"] and step % (settings["save_every_epochs"] * per_epoch) == 0:
        return output.with_stem(f"{output.stem}-{step // per_epoch:06d}")
    return output.with_stem(f"{output.stem}-step{step:08d}")


def best(
    folder: Path, run: Run, output: Path, learner: Learner, said: Mapping[str, str], note: Callable[[str], None]
) -> list[Path]:
    """The file of the best step, where the last one overfits. The learner has its weights afterwards."""
    if run.watch.overfit < 0 or run.watch.best <= 0:
        return []
    if not state.best(folder, learner):
        return []
    made: list[Path] = learner.write(output.with_stem(f"{output.stem}-best"), said)
    note(f"the weights of step {run.watch.best}, before overfitting, are in {made[0].name}")
    return made


def identity(
    spec: TrainingSpec, entry: ModelEntry, found: list[Item], priors: list[Item], steps: int
) -> dict[str, Any]:
    """What a state must have in common with the training that goes on from it."""
    said = [[str(i.picture.path.name), i.picture.caption, i.repeats, list(i.placed.bucket)] for i in (*found, *priors)]
    digest = hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()
    return {
        "kind": spec.kind, "model": entry.path, "pictures_or_captions": digest, "number_of_steps": steps,
        "settings": spec.settings,
    }  # fmt: skip


def record(
    spec: TrainingSpec,
    entry: ModelEntry,
    found: list[Item],
    held: list[Item] | None,
    priors: list[Item],
    run: Run,
    made: list[Path],
    began: float,
    per_epoch: int,
) -> dict[str, Any]:
    watch = run.watch
    return {
        "kind": spec.kind,
        "model": entry.name,
        "dataset": spec.dataset,
        "pictures": len(found),
        "held": len(held or ()),
        "class_pictures": len(priors),
        "steps": run.steps,
        "epochs": round(run.steps / per_epoch, 2),
        "loss": round(watch.smooth, 5) if np.isfinite(watch.smooth) else None,
        "validation": watch.latest,
        "best": watch.best if watch.best >= 0 else None,
        "overfit": watch.overfit if watch.overfit >= 0 else None,
        "samples": [str(path) for path in made],
        "settings": spec.settings,
        "seconds": round(time.time() - began, 1),
        "training_seconds": round(run.seconds, 2),
    }


def size_of(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def keep(output: Path, run: Run, found: dict[str, Any]) -> None:
    """The losses as a picture, and everything the training was as JSON beside it."""
    title = f"{output.stem}: {found['kind']} on {found['model']}"
    pictures.write_png(plot.draw(run.watch, title), Path(found["plot"]))
    beside = output.with_name(f"{output.stem}.training.json")
    temporary = beside.with_name(f".{beside.name}.part")
    text = json.dumps({**found, "losses": run.watch.to_json()}, indent=2, ensure_ascii=False)
    temporary.write_text(text + "\n", "utf-8")
    temporary.replace(beside)

"""Pictures of the class that a subject is one of: given, or made by the model before it learns, to keep it as it is.

Prior preservation, Ruiz et al. 2022, arXiv:2208.12242, section 3.2. Pictures that were made stay beside the output and
are not made again. Leaves their weight in the loss to `loop`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from generation import pictures
from generation.catalogue import ModelEntry
from generation.engine import Engine
from generation.errors import BadSpec
from generation.specs import RenderSpec
from generation.training import datasets
from generation.training.buckets import Rules
from generation.training.datasets import Picture
from generation.training.examples import Item, items
from generation.training.settings import TrainingSpec

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]


def class_pictures(
    spec: TrainingSpec,
    entry: ModelEntry,
    dataset: datasets.Dataset,
    engine: Engine,
    pipe: Any,
    rules: Rules,
    output: Path,
    note: Callable[[str], None],
    report: Report,
    check: Check,
) -> list[Item]:
    """Pictures of the class: those given, of kohya's `reg`, and as many more as are asked for, made by the model."""
    settings = spec.settings
    if not settings.get("prior_weight"):
        return []
    given: list[Picture] = list(dataset.regularisation)
    if spec.regularisation:
        given += datasets.read(Path(spec.regularisation), check).pictures
    prompt = settings["class_prompt"].strip()
    missing = settings["prior_images"] - len(given)
    if missing > 0:
        if not prompt:
            raise BadSpec("pictures of the class are to be made, but the class is not named", "Give a class prompt.")
        folder = output.with_name(f"{output.stem}.class")
        given += _made(prompt, missing, folder, entry, engine, pipe, report, check)
    elif not given and prompt:
        note("the class is named but no picture of it is given or asked for: it is not kept")
    named = [replace(picture, caption=picture.caption or picture.tokens or prompt) for picture in given]
    return items(named, rules, 1, note) if named else []


def _made(
    prompt: str, count: int, folder: Path, entry: ModelEntry, engine: Engine, pipe: Any, report: Report, check: Check
) -> list[Picture]:
    """`count` pictures of the class in `folder`; those that are there already are not made again."""
    engine.adopt(entry, pipe)
    found = []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        check()
        report({"kind": "progress", "stage": "class pictures", "done": number, "total": count})
        path = folder / f"{number:05d}.png"
        if not path.is_file():
            engine.render(RenderSpec(prompt=prompt, model=entry.path, seed=number), path, check=check)
        image = pictures.read(path)
        found.append(Picture(path, image.width, image.height, prompt))
    engine.unload()
    return found

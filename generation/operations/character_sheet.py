"""A character from all sides on one sheet: the same prompt, seed and reference, one render a view.

Views differ by the words behind the prompt, by a pose where the person gives a set of them, and by a small share of
other noise, so that they are not the same picture four times. What the spec attaches (references, regions, modifiers)
holds for every view.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from generation.attachments import ATTACHMENTS
from generation.errors import BadSpec
from generation.operations import txt2img
from generation.pictures import to_array, to_image
from generation.sheets import GAP, grid
from generation.stage import Stage

# Row of the sheet -> (label, the words of the view).
ROWS: dict[str, tuple[tuple[str, str], ...]] = {
    "turnaround": (
        ("front", "front view, facing the viewer, full body"),
        ("three-quarter", "three-quarter view, full body"),
        ("side", "side view, profile, full body"),
        ("back", "view from behind, back turned, full body"),
    ),
    "expressions": (
        ("neutral", "close-up portrait, neutral expression"),
        ("happy", "close-up portrait, happy, smiling"),
        ("sad", "close-up portrait, sad expression"),
        ("angry", "close-up portrait, angry expression"),
    ),
}
POSES = (".png", ".jpg", ".jpeg", ".webp", ".json")


def run(stage: Stage) -> np.ndarray:
    """Sheets [batch, height, width, 3] float32 in 0..1, each of the views of one seed. Raises `BadSpec`, `BadImage`."""
    options = stage.options
    rows = [ROWS[name] for name in ROWS if options["views"] in {name, "both"}]
    poses = poses_of(options["poses"], [label for row in rows for label, _ in row])
    made: list[list[np.ndarray]] = []
    number = 0
    for row in rows:
        made.append([])
        for label, words in row:
            made[-1].append(_view(stage, label, words, poses.get(label), number))
            number += 1
    labels = [[label for label, _ in row] for row in rows]
    return np.stack([sheet([[view[n] for view in row] for row in made], labels) for n in range(stage.batch)])


def sheet(rows: Sequence[Sequence[np.ndarray]], labels: Sequence[Sequence[str]]) -> np.ndarray:
    """Pictures [h, w, 3] of each row under their labels, the rows under each other, on white."""
    parts = [grid([[to_image(p) for p in row]], own, [""]) for row, own in zip(rows, labels, strict=True)]
    whole = Image.new("RGB", (max(p.width for p in parts), sum(p.height + GAP for p in parts) - GAP), "white")
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height + GAP
    return to_array(whole)


def poses_of(folder: str, labels: Sequence[str]) -> dict[str, Path]:
    """Label of a view -> its pose: a file of that name in the folder, a drawn skeleton or keypoints in JSON.

    Raises `BadSpec` for a folder that is missing or holds none.
    """
    if not folder:
        return {}
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise BadSpec(f"there is no folder {place}", f"Give one with {labels[0]}.png and the others.")
    found = {
        path.stem.lower().replace("_", "-").replace(" ", "-"): path
        for path in sorted(place.iterdir(), reverse=True)
        if path.suffix.lower() in POSES
    }
    poses = {label: found[label] for label in labels if label in found}
    if not poses:
        raise BadSpec(f"{place} holds no pose of this sheet", f"Name the files {', '.join(labels)} (.png or .json).")
    return poses


def _view(stage: Stage, label: str, words: str, pose: Path | None, number: int) -> np.ndarray:
    """Pictures [batch, h, w, 3] of one view."""
    spec, options = stage.spec, stage.options
    prompt = f"{spec.prompt}, {words}" if spec.prompt.strip() else words
    told = dataclasses.replace(
        spec,
        prompt=prompt,
        operation="txt2img",
        options={"variation_strength": options["variety"] if number else 0.0},
        controls=_control(options, pose),
    )

    def report(event: dict[str, Any]) -> None:
        stage.report({**event, "stage": label} if event["kind"] == "progress" else event)

    view = Stage(
        stage.tools, told, stage.seeds, [(seed + number) % 2**63 for seed in stage.seeds], report, stage.check,
        stage.preview, [*stage.steering], [*stage.around],
    )  # fmt: skip
    with _controlled(view):
        return txt2img.run(view)


def _control(options: dict[str, Any], pose: Path | None) -> tuple[dict[str, Any], ...]:
    if pose is None:
        return ()
    drawn = "openpose" if pose.suffix.lower() == ".json" else "none"
    model = {"model": options["pose_model"]} if options["pose_model"] else {}
    return ({"image": str(pose), "preprocessor": drawn, "weight": options["pose_weight"], **model},)


@contextmanager
def _controlled(view: Stage) -> Iterator[None]:
    """The view's own control, beside what the engine attached to the whole sheet."""
    with ExitStack() as stack:
        if view.spec.controls:
            module, _, attribute = ATTACHMENTS["controls"].partition(":")
            stack.enter_context(getattr(import_module(module), attribute)(view))
        yield

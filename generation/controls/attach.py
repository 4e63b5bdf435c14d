"""A render's controls hung onto its stage: networks found, pictures read, everything refused before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diffusers import T2IAdapter

from generation.attachments import CONTROL, FRAME
from generation.controls import nets
from generation.controls.steering import Adapter, Control, ControlNet
from generation.errors import BadSpec
from generation.preprocessors.prepared import prepare
from generation.stage import Stage

OWN = frozenset(parameter.name for parameter in CONTROL)


@contextmanager
def attach(stage: Stage) -> Iterator[None]:
    """While it holds, each of the spec's controls steers the stage's loop; several are added up.

    The first pass's conditions are made at once, so that a picture that is missing, a network of another family or one
    whose shapes differ ends the render before its first step: raises `BadSpec`, `BadImage`, `BadWeights`,
    `UnknownModel`. A second pass of another size gets conditions made at that size.
    """
    hung: list[Control] = []
    for told in stage.spec.controls:
        stage.check()
        control = made(stage, told)
        if control.weight:
            control.ready(stage.size)
        hung.append(control)
    stage.steering.extend(hung)
    try:
        yield
    finally:
        for control in hung:
            stage.steering.remove(control)


def made(stage: Stage, told: dict[str, Any]) -> Control:
    """One control of its entry in the spec."""
    if told["start"] >= told["end"]:
        raise BadSpec(
            f"a control that begins at {told['start']:g} cannot end at {told['end']:g}", "Give a start before the end."
        )
    network = nets.load(stage, told["model"], told["preprocessor"])
    kind = Adapter if isinstance(network, T2IAdapter) else ControlNet
    return kind(
        network, _condition(told, stage.filmed), stage.tools.autoencoder.factor, stage.batch,
        told["weight"], told["start"], told["end"], told["mode"],
    )  # fmt: skip


def _condition(told: dict[str, Any], filmed: Sequence[Path]) -> Callable[[tuple[int, int]], Any]:
    """What makes the condition at a size: of the entry's picture, or of each of a clip's frames."""
    values = {name: value for name, value in told.items() if name not in OWN}
    images = [str(path) for path in filmed] if told["image"] == FRAME else [told["image"]]
    if not images:
        raise BadSpec(f"{FRAME} stands for a video's frames, and this is a single picture", "Name a picture.")

    def condition(size: tuple[int, int]) -> Any:
        made = [prepare(told["preprocessor"], image, size, told["resize"], values) for image in images]
        return made if told["image"] == FRAME else made[0]

    return condition

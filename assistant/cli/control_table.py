"""The options of the commands about control, from the preprocessors' own parameters."""

from __future__ import annotations

from typing import Any

from generation.operations import RESIZES
from generation.parameters import Parameter
from generation.preprocessors import PREPROCESSORS

TRAINING: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("dataset",),
        {"metavar": "FOLDER", "help": "pictures, captions in .txt beside them; conditions may lie in conditions/"},
    ),
    (("-o", "--output"), {"metavar": "FOLDER", "help": "folder to write; the same again goes on where it stopped"}),
    (("--model",), {"metavar": "NAME", "help": "the checkpoint it is made for"}),
    (("--preprocessor",), {"metavar": "KIND", "default": "canny", "help": "what makes the conditions (canny)"}),
    (("--set",), {"metavar": "NAME=VALUE", "action": "append", "default": [], "help": "a preprocessor's parameter"}),
    (("--steps",), {"type": int, "default": 1000, "help": "(1000)"}),
    (("--batch",), {"type": int, "default": 4, "help": "pictures a step (4)"}),
    (("--accumulate",), {"type": int, "default": 1, "help": "batches a step (1)"}),
    (("--rate",), {"type": float, "default": 1e-5, "help": "learning rate (1e-5)"}),
    (("--fresh",), {"type": float, "default": 1.0, "help": "times the rate for what is new (1)"}),
    (("--warmup",), {"type": int, "default": 50, "help": "steps over which the rate rises (50)"}),
    (("--average",), {"type": float, "default": 0.0, "help": "decay of a running average of the weights; 0: none"}),
    (("--gamma",), {"type": float, "default": 0.0, "help": "bound of the loss's weight by signal to noise; 0: none"}),
    (("--silent",), {"type": float, "default": 0.1, "help": "share of captions left empty (0.1)"}),
    (("--size",), {"type": int, "help": "pixels a side; none: the checkpoint's"}),
    (("--seed",), {"type": int, "default": 0}),
    (("--save-every",), {"type": int, "default": 100, "help": "steps (100)"}),
    (("--checkpointing",), {"action": "store_true", "help": "less memory for more time"}),
)


def preprocess_arguments() -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    """Those of `preprocess`: every kind's parameters, each with the kinds that have it."""
    options: list[tuple[tuple[str, ...], dict[str, Any]]] = [
        (("kind",), {"metavar": "KIND", "nargs": "?", "help": ", ".join(PREPROCESSORS)}),
        (("image",), {"metavar": "FILE", "nargs": "?", "help": "the picture, or keypoints in JSON for openpose"}),
        (("-o", "--output"), {"metavar": "FILE", "help": "PNG to write"}),
        (("--list",), {"action": "store_true", "help": "list the kinds, their parameters and what they need"}),
        (("--width",), {"type": int, "help": "none: the picture's own size"}),
        (("--height",), {"type": int}),
        (("--resize",), {"choices": RESIZES, "default": "crop", "help": "how another shape is brought to size (crop)"}),
    ]
    own: dict[str, tuple[Parameter, list[str]]] = {}
    for name, what in PREPROCESSORS.items():
        for parameter in what.parameters:
            own.setdefault(parameter.name, (parameter, []))[1].append(name)
    for name, (parameter, kinds) in own.items():
        metavar = "YES|NO" if parameter.kind == "flag" else "FILE" if parameter.kind == "file" else "N"
        told = f"{', '.join(kinds)}: {parameter.help[0].lower()}{parameter.help[1:]}"
        options.append(((f"--{name.replace('_', '-')}",), {"metavar": metavar, "help": told}))
    return options

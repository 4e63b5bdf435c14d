"""The commands that make pictures: one an operation, its options from the operation's parameters."""

from __future__ import annotations

import argparse
from typing import Any

from generation.attachments import MODIFIERS
from generation.operations import OPERATIONS
from generation.parameters import Parameter
from generation.specs import WEIGHTINGS

# What every render takes; a name here is a field of the spec.
SHARED: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("-o", "--output"), {"metavar": "FILE", "help": "PNG to write; none: a new name in the pictures folder"}),
    (("--negative",), {"metavar": "TEXT"}),
    (("--steps",), {"type": int}),
    (("--seed",), {"type": int, "help": "-1 draws one (the default)"}),
    (("--width",), {"type": int}),
    (("--height",), {"type": int}),
    (("--cfg",), {"type": float, "help": "guidance scale"}),
    (("--cfg-rescale",), {"type": float, "help": "0 to 1; against washed-out guidance"}),
    (("--sampler",), {"metavar": "NAME", "help": "by its A1111 name"}),
    (("--model",), {"metavar": "NAME", "help": "name in `atelier models list`, or a path"}),
    (("--vae",), {"metavar": "NAME", "help": "another VAE than the model's own"}),
    (
        ("--control",),
        {
            "metavar": "KIND:FILE",
            "action": "append",
            "help": "control by a picture: canny:pose.png,weight=0.8,end=0.7,model=NAME; may stand several times",
        },
    ),
    (
        ("--region",),
        {
            "metavar": "PLACE:PROMPT",
            "action": "append",
            "help": "another prompt for a part: left:a red apple,weight=0.8, or mask.png:...; may stand several times",
        },
    ),
    (
        ("--reference",),
        {
            "metavar": "FILE",
            "action": "append",
            "help": "a picture beside the prompt (IP-Adapter): photo.png,weight=0.7,kind=style,adapter=NAME",
        },
    ),
    (
        ("--modifier",),
        {
            "metavar": "NAME=VALUE",
            "action": "append",
            "help": f"{', '.join(parameter.name for parameter in MODIFIERS)}; may stand several times",
        },
    ),
    (("--clip-skip",), {"type": int}),
    (("--weighting",), {"choices": WEIGHTINGS, "help": "how (word:1.2) acts (compel)"}),
    (("--batch",), {"type": int, "help": "pictures in one go, with seeds that follow each other"}),
)
# These are read by the commands themselves.
OWN = ("--output", "--control", "--region", "--reference", "--modifier")
FIELDS = tuple(names[-1].lstrip("-").replace("-", "_") for names, _ in SHARED if names[-1] not in OWN)


def option(parameter: Parameter) -> tuple[tuple[str, ...], dict[str, Any]]:
    """A parameter as argparse takes it; values stay text, which the parameter itself reads."""
    name = f"--{parameter.name.replace('_', '-')}"
    default = f" ({parameter.default:g})" if isinstance(parameter.default, float) else f" ({parameter.default})"
    shown = parameter.help + (default if parameter.default not in ("", -1, True, False) else "")
    if parameter.kind == "flag":
        return (name,), {"action": argparse.BooleanOptionalAction, "default": None, "help": shown}
    more = {"choices": parameter.choices} if parameter.choices else {}
    metavar = {} if parameter.choices else {"metavar": "FILE" if parameter.kind == "file" else "N"}
    return (name,), {**more, **metavar, "help": shown}


def arguments(operation: str) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    """Files that must be given, the prompt, the operation's own options, then those of every render."""
    parameters = OPERATIONS[operation].parameters
    needed = [((p.name,), {"metavar": p.name.upper(), "help": p.help}) for p in parameters if p.required]
    prompt = (("prompt",), {"metavar": "PROMPT", "nargs": "?", "help": "the prompt; may come from --again"})
    if operation != "txt2img":
        prompt[1]["help"] = "the prompt; none: the picture's own"
    own = [option(p) for p in parameters if not p.required]
    if not OPERATIONS[operation].prompted:
        return [*needed, *own, SHARED[0]]
    again = (("--again",), {"metavar": "PICTURE", "help": "start from the settings of a picture"})
    return [*needed, prompt, *own, *SHARED, *([again] if operation == "txt2img" else [])]


def grid_arguments() -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    """Those of a render, with the axes."""
    axes = [
        ((f"--{name}",), {"metavar": "NAME=VALUES", "help": help})
        for name, help in (
            ("x", "columns: cfg=3,5,7  steps=10-30 (+10)  sampler=Euler,DDIM  replace=red,blue"),
            ("y", "rows"),
            ("z", "a sheet for each value"),
        )
    ]
    matrix = (("--matrix",), {"action": "store_true", "help": "every combination of a prompt's | choices |"})
    return [*axes, matrix, *[one for one in arguments("txt2img") if one[0] not in {("--batch",), ("--again",)}]]

"""The commands about control: `--control` in words, conditions made of pictures, a ControlNet trained.

Takes (options, paths, settings), returns (plain data, exit status).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from assistant.cli.commands import Result, do, given
from assistant.errors import BadArgument, nearest
from assistant.paths import Paths
from assistant.settings import Settings
from generation.attachments import CONTROL
from generation.parameters import Parameter
from generation.preprocessors import PREPROCESSORS, find, parameters

NAMED = re.compile(r",\s*([A-Za-z_]+)\s*=")
WORD = re.compile(r"^[A-Za-z][A-Za-z_-]+$")  # one letter is a drive of Windows
USAGE = "Write canny:picture.png,weight=0.8,end=0.7,model=NAME."


def control(text: str) -> dict[str, Any]:
    """An entry of a spec's `controls`, of `KIND:FILE[,name=value...]`; without a kind the file is the condition.

    A path may hold colons and commas: the kind ends at the first colon, the path at the first comma before the name of
    a setting and "=". Raises `BadArgument`, or `BadSpec` for a value that cannot be.
    """
    kind, colon, rest = text.partition(":")
    kind = kind.strip()
    if not colon or (kind not in PREPROCESSORS and (not WORD.match(kind) or Path(text).expanduser().exists())):
        kind, rest = "none", text
    table = {parameter.name: parameter for parameter in (*CONTROL, *find(kind).parameters)}
    others = {parameter.name for one in PREPROCESSORS.values() for parameter in one.parameters}
    path, settings = _split(rest, {*table, *others})
    if not path:
        raise BadArgument(f'"{text}" names no picture', USAGE)
    if not Path(path).expanduser().exists() and (wrong := NAMED.search(path)):
        hint = nearest(wrong[1], list(table)) or f"There are: {', '.join(sorted(table))}."
        raise BadArgument(f'a control has no setting "{wrong[1]}"', hint)
    entry: dict[str, Any] = {"image": str(Path(path).expanduser().absolute()), "preprocessor": kind}
    for name, value in settings:
        if name not in table:
            raise BadArgument(f'{kind} has no setting "{name}"', nearest(name, list(table)) or USAGE)
        if name in entry:
            raise BadArgument(f"{name} is said already", USAGE)
        entry[name] = _value(table[name], value)
    if "model" in entry and Path(entry["model"]).expanduser().exists():
        entry["model"] = str(Path(entry["model"]).expanduser().absolute())
    return entry


def _split(text: str, names: Iterable[str]) -> tuple[str, list[tuple[str, str]]]:
    """The path and the settings behind it; a comma before anything but a known name belongs to what it stands in."""
    marks = [mark for mark in NAMED.finditer(text) if mark[1] in names]
    if not marks:
        return text.strip(), []
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    path = text[: marks[0].start()]
    return path.strip(), [(mark[1], text[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)]


def _value(parameter: Parameter, text: str) -> Any:
    value = parameter.parsed(text)
    if parameter.kind == "file" and value:
        return str(Path(value).expanduser().absolute())
    return value


def preprocess(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """A condition of a picture, or the list of kinds."""
    if options.list:
        return {"preprocessors": [_told(name) for name in PREPROCESSORS]}, 0
    kind = given(options.kind, "kind")
    own = {parameter.name: parameter for parameter in find(kind).parameters}
    values: dict[str, Any] = {}
    for name in {p.name: p for one in PREPROCESSORS.values() for p in one.parameters}:
        text = getattr(options, name)
        if text is None:
            continue
        if name not in own:
            there = f"It has: {', '.join(own)}." if own else "It has none."
            raise BadArgument(f"{kind} has no parameter {name.replace('_', ' ')}", there)
        values[name] = _value(own[name], text)
    if (options.width is None) != (options.height is None):
        raise BadArgument("a size is a width and a height", "Give --width and --height.")
    size = [options.width, options.height] if options.width is not None else None
    if size and not all(1 <= side <= 8192 for side in size):
        raise BadArgument(f"the size {size[0]}x{size[1]} cannot be", "Give 1 to 8192.")
    spec = {
        "kind": kind,
        "image": str(Path(given(options.image, "picture")).expanduser().absolute()),
        "output": str(Path(given(options.output, "output")).expanduser().absolute()),
        "size": size,
        "resize": options.resize,
        "values": parameters(kind, values),
    }
    return do("preprocess", spec, paths, settings), 0


def _told(name: str) -> dict[str, Any]:
    what = PREPROCESSORS[name]
    shown = [
        {"name": p.name, "kind": p.kind, "default": p.default, "help": p.help,
         "low": p.low if p.low != float("-inf") else None, "high": p.high if p.high != float("inf") else None}
        for p in what.parameters
    ]  # fmt: skip
    return {"name": name, "help": what.help, "needs": what.needs, "parameters": shown}


def train(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """A ControlNet trained on a folder; stopped and started again it goes on."""
    table = {parameter.name: parameter for parameter in find(options.preprocessor).parameters}
    values: dict[str, Any] = {}
    for text in options.set:
        name, equals, value = text.partition("=")
        if not equals or name.strip() not in table:
            there = nearest(name.strip(), list(table)) or f"It has: {', '.join(table) or 'none'}."
            raise BadArgument(f'{options.preprocessor} has no parameter "{name.strip()}"', there)
        values[name.strip()] = _value(table[name.strip()], value)
    if not 0 <= options.silent <= 1:
        raise BadArgument(f"a share of {options.silent:g} cannot be", "Give --silent 0 to 1.")
    names = ("steps", "batch", "accumulate", "rate", "fresh", "warmup", "gamma", "seed", "save_every", "checkpointing")
    spec = {
        "dataset": str(Path(given(options.dataset, "folder")).expanduser().absolute()),
        "output": str(Path(given(options.output, "output")).expanduser().absolute()),
        "model": options.model or settings["studio.model"],
        "preprocessor": options.preprocessor,
        "values": values,
        "size": options.size,
        "silent": options.silent,
        "settings": {**{name: getattr(options, name) for name in names}, "decay": options.average},
    }
    return do("train-controlnet", spec, paths, settings), 0


# As text


def show_preprocess(result: dict[str, Any]) -> str:
    if "preprocessors" not in result:
        return f"{result['path']}\n{result['size'][0]}x{result['size'][1]}, {result['seconds']:.1f} s"
    lines = []
    for one in result["preprocessors"]:
        lines.append(f"{one['name']:<13} {one['help']}" + (f" (needs {one['needs']})" if one["needs"] else ""))
        for p in one["parameters"]:
            default = "" if p["default"] == "" else f" ({str(p['default']).lower()})"
            lines.append(f"    --{p['name'].replace('_', '-'):<18} {p['help']}{default}")
    return "\n".join(lines)


def show_train(result: dict[str, Any]) -> str:
    loss = f", loss {result['loss']:.4f}" if result["loss"] is not None else ""
    return (
        f"{result['path']}\n{result['steps']} steps on {result['pictures']} pictures for {result['model']}{loss}, "
        f"{result['bytes'] / 1e6:.1f} MB, {result['seconds']:.0f} s"
    )

"""What the commands that make pictures do. Takes (options, paths, settings), returns (plain data, exit status)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from assistant.cli.attachment_words import modifiers, reference, region
from assistant.cli.commands import Result, do, given
from assistant.cli.control_commands import control
from assistant.cli.picture_table import FIELDS
from assistant.errors import BadArgument
from assistant.paths import Paths
from assistant.settings import Settings
from generation.operations import OPERATIONS


def render(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """A prompt, or a picture's settings again with what is given on top."""
    spec: dict[str, Any] = _spec_of(Path(options.again).expanduser()) if options.again else {}
    _take(spec, options, settings, fresh=not options.again)
    spec["prompt"] = given(spec.get("prompt"), "prompt")
    own = OPERATIONS[spec.get("operation", "txt2img")].parameters
    # --again may bring another operation; only what both know can be changed.
    known = {parameter.name for parameter in own}
    extra = {name: value for name, value in _own("txt2img", options).items() if name in known}
    spec["options"] = {**spec.get("options", {}), **extra}
    return do("render", _job(spec, options), paths, settings), 0


def operate(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """An operation on a picture; without a prompt the picture's own is taken."""
    name = options.entry.name.replace("-", "_")
    spec: dict[str, Any] = {"operation": name, "options": _own(name, options)}
    if not OPERATIONS[name].prompted:
        return do(
            "render", _job({**spec, "prompt": "", "model": settings["studio.model"]}, options), paths, settings
        ), 0
    what = OPERATIONS[name]
    if what.prompt == "must":
        given(options.prompt, "prompt")
    elif options.prompt is None and not what.rewrites:
        own = spec["options"].get("image")
        known = (_settings_of(Path(own)) if own else None) or {}
        text = known.get("prompt", "")
        spec["prompt"] = text if what.prompt == "none" else given(text, "prompt")
        spec["negative"] = known.get("negative", "")
    _take(spec, options, settings, fresh=True)
    spec.setdefault("prompt", "")
    return do("render", _job(spec, options), paths, settings), 0


def grid(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """A sheet of renders over one to three axes, or a prompt matrix."""
    axes = [text for text in (options.x, options.y, options.z) if text]
    if bool(axes) == options.matrix:
        raise BadArgument("a grid has axes or is a matrix", "Give --x (and --y, --z), or --matrix.")
    spec: dict[str, Any] = {"prompt": given(options.prompt, "prompt"), "options": _own("txt2img", options)}
    options.batch = None
    _take(spec, options, settings, fresh=True)
    return do("grid", {**_job(spec, options), "axes": axes, "matrix": options.matrix}, paths, settings), 0


def _take(spec: dict[str, Any], options: argparse.Namespace, settings: Settings, *, fresh: bool) -> None:
    if options.prompt is not None:
        spec["prompt"] = options.prompt
    spec.setdefault("model", settings["studio.model"])
    for name in ("sampler", "steps", "cfg"):
        if settings[f"studio.{name}"] and fresh:
            spec[name] = settings[f"studio.{name}"]
    spec.update({name: value for name in FIELDS if (value := getattr(options, name)) is not None})
    if options.control:
        spec["controls"] = [control(text) for text in options.control]
    if options.region:
        spec["regions"] = [region(text) for text in options.region]
    if options.reference:
        spec["references"] = [reference(text) for text in options.reference]
    if options.modifier:
        spec["modifiers"] = {**spec.get("modifiers", {}), **modifiers(options.modifier)}


def _own(operation: str, options: argparse.Namespace) -> dict[str, Any]:
    """The operation's parameters that were given; a path is made absolute, so that the job can run again elsewhere."""
    found: dict[str, Any] = {}
    for parameter in OPERATIONS[operation].parameters:
        value = getattr(options, parameter.name, None)
        if value is None:
            continue
        if parameter.kind == "file" and value:
            value = str(Path(value).expanduser().absolute())
        found[parameter.name] = value if isinstance(value, bool) else parameter.parsed(value)
    return found


def _job(spec: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    return {"spec": spec, "output": str(Path(options.output).absolute()) if options.output else ""}


def _settings_of(picture: Path) -> dict[str, Any] | None:
    from generation.metadata import read

    return read(picture).spec()


def _spec_of(picture: Path) -> dict[str, Any]:
    spec = _settings_of(picture)
    if spec is None:
        raise BadArgument(f"{picture} carries no settings", "Choose a picture that was generated.")
    return dict(spec)

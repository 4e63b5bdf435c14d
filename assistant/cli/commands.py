"""What each command does. Takes (options, paths, settings), returns (plain data, exit status)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from assistant.cli.progress import Progress
from assistant.errors import BadArgument, Cancelled, one_line
from assistant.jobs.queue import Queue
from assistant.paths import Paths
from assistant.settings import Settings

Result = tuple[dict[str, Any], int]


def do(kind: str, spec: dict[str, Any], paths: Paths, settings: Settings) -> dict[str, Any]:
    """Run one job in this process, with a bar on stderr, and a row when its kind is durable."""
    from importlib import import_module

    from assistant.jobs import HANDLERS
    from assistant.jobs.workshop import Workshop

    what = HANDLERS[kind]
    module, attribute = what.handler.split(":")
    handler = getattr(import_module(module), attribute)
    queue = Queue(paths.jobs)
    number = queue.add(kind, spec) if what.durable else None
    if number is not None:
        queue.start(number)
    progress = Progress(sys.stderr)
    try:
        result: dict[str, Any] = handler(Workshop(paths, settings), spec, report=progress.report, check=lambda: None)
    except BaseException as error:
        if number is not None:
            stopped = isinstance(error, (KeyboardInterrupt, Cancelled))
            state = "cancelled" if stopped else "failed"
            queue.finish(number, state, message="" if stopped else one_line(error))
        raise
    finally:
        progress.close()
    if number is not None:
        queue.finish(number, "done", result=result)
    return result


def given(value: str | None, what: str) -> str:
    if not value or not value.strip():
        raise BadArgument(f"the {what} is empty", f"Give the {what} in quotes.")
    return value


def absolute(text: str | None) -> str:
    """A path as typed, made absolute; "" where there is none."""
    return str(Path(text).expanduser().absolute()) if text else ""


def changes(texts: list[str] | None, usage: str) -> dict[str, str]:
    """{name: value} of `--set NAME=VALUE`, values as typed. Raises `BadArgument` with `usage`."""
    found: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise BadArgument(f"--set {text} says nothing", usage)
        found[name.strip()] = value
    return found


def prompt_chunks(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from generation.prompts.chunks import chunk
    from generation.prompts.tokens import ClipTokenizer

    chunks = chunk(options.text, ClipTokenizer.load())
    return {
        "chunks": [{"tokens": c.tokens, "text": c.text} for c in chunks],
        "tokens": sum(c.tokens for c in chunks),
    }, 0


def image_info(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from generation.metadata import read

    return read(Path(options.file).expanduser()).to_json(), 0


def jobs(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    queue = Queue(paths.jobs)
    queue.mark_interrupted()
    if options.again is not None:
        job = queue.get(options.again)
        return {
            "job": job.id,
            "kind": job.kind,
            "result": do(job.kind, job.spec, paths, settings),
        }, 0
    return {"jobs": [job.to_json() for job in queue.list(options.n)]}, 0


def where(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    shown = paths.to_json()
    if settings["studio.output"]:
        shown["output"] = settings["studio.output"]
    return {"paths": shown}, 0


def settings(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    if options.name and options.value is not None:
        settings.set_text(options.name, options.value)
    if options.name:
        return {options.name: settings[options.name]}, 0
    return dict(settings.to_json()), 0


def doctor(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from assistant.cli.doctor import examine

    if options.rebuild:
        do("rebuild", {}, paths, settings)
    result = examine(paths, settings)
    return result, int(any(c["state"] == "broken" for c in result["checks"]))


def bench(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from assistant.cli.bench import measure

    return measure(paths, settings), 0

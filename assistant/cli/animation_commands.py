"""What the commands about animation do, and their results as text."""

from __future__ import annotations

import argparse
from typing import Any

from assistant.cli.commands import Result, given
from assistant.cli.show import width, wrap
from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.curves import plot
from knowledge.screen import shown

# Lines of a curve in the shell; more would push the warnings off a small terminal.
HEIGHT = 8


def schedule(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """The value of every frame."""
    # numpy and scipy come with it: only this command waits for them.
    from generation.animation.evaluation import evaluate
    from generation.animation.schedules import parse

    read = parse(given(options.text, "schedule"), words=options.words)
    found = evaluate(read, options.frames, seed=options.seed, interpolation=options.interpolation)
    return {"values": list(found.values), "warnings": list(found.warnings)}, 0


def show_schedule(result: dict[str, Any]) -> str:
    """A curve over the frames, or the frames where a name begins."""
    values = result["values"]
    if isinstance(values[0], str):
        starts = [n for n, value in enumerate(values) if not n or value != values[n - 1]]
        lines = [f"from frame {n:<6} {values[n]}" for n in starts]
    else:
        lines = plot(values, width(), HEIGHT)
    return shown("\n".join([*lines, *(wrap(f"note: {warning}", "") for warning in result["warnings"])]))

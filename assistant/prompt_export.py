"""Prompts of the shelf as a file: A1111's styles.csv, JSON or Markdown.

Knows how a kept prompt reads in each. The format of styles is `styles`' matter; leaves choosing the prompts to others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from assistant.errors import BadArgument, nearest
from assistant.export import write
from assistant.prompt_shelf import Kept
from assistant.styles import Style
from assistant.styles import write as write_styles

FORMATS = {"styles": ".csv", "json": ".json", "markdown": ".md"}


def export(path: Path, form: str, prompts: Sequence[Kept]) -> Path:
    """Write the prompts, whole or not at all; a path without an ending gets the form's. Raises `BadArgument`."""
    if form not in FORMATS:
        raise BadArgument(f'"{form}" is no form to export to', nearest(form, FORMATS))
    path = path if path.suffix else path.with_suffix(FORMATS[form])
    if form == "styles":
        return write_styles(path, styles(prompts))
    if form == "json":
        return write(path, json.dumps([kept.to_json() for kept in prompts], ensure_ascii=False, indent=2) + "\n")
    return write(path, "\n".join(_markdown(kept) for kept in prompts))


def styles(prompts: Sequence[Kept]) -> list[Style]:
    """A style a prompt, no two of one name and none that reads as a remark."""
    found: dict[str, Style] = {}
    for kept in prompts:
        name = base = kept.name.lstrip("# ") or str(kept.id)
        number = 2
        while name in found:
            name, number = f"{base} ({number})", number + 1
        found[name] = Style(name, kept.positive, kept.negative)
    return list(found.values())


def _markdown(kept: Kept) -> str:
    out = [f"## {kept.name}{' ★' if kept.favourite else ''}", "", *_fenced(kept.positive)]
    if kept.negative:
        out += ["", "Negative:", "", *_fenced(kept.negative)]
    facts = [f"Tags: {', '.join(kept.tags)}"] if kept.tags else []
    facts += [f"Used: {kept.used}, last {kept.last[:10]}"] if kept.used else []
    facts += [f"From: {kept.source}"] if kept.source else []
    out += [line for fact in facts for line in ("", fact)]
    return "\n".join(out + (["", kept.notes] if kept.notes else [])) + "\n"


def _fenced(text: str) -> list[str]:
    """A block no run of backticks in the text can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, text, fence]

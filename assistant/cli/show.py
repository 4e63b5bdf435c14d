"""Results as text for a person. Each function takes what its command returned."""

from __future__ import annotations

import shutil
import textwrap
from datetime import datetime
from typing import Any

from assistant.pace import eta
from knowledge.screen import shown


def width() -> int:
    return min(shutil.get_terminal_size((100, 24)).columns, 120)


def wrap(text: str, indent: str = "  ") -> str:
    lines = []
    for paragraph in text.splitlines():
        lines += textwrap.wrap(paragraph, width(), initial_indent=indent, subsequent_indent=indent) or [""]
    return "\n".join(lines)


def nothing(result: dict[str, Any]) -> str:
    return ""


def prompt_chunks(result: dict[str, Any]) -> str:
    lines = [f"chunk {n}: {chunk['tokens']:>2}/75  {chunk['text']}" for n, chunk in enumerate(result["chunks"], 1)]
    return "\n".join([*lines, f"{result['tokens']} tokens"])


def prompt_expand(result: dict[str, Any]) -> str:
    drafts = [result, *result["variants"]]
    lines = []
    for number, draft in enumerate(drafts, 1):
        lines += ([f"{number}."] if len(drafts) > 1 else []) + [draft["prompt"]]
        lines.append(f"Negative prompt: {draft['negative']}")
        for source in draft["sources"]:
            lines.append(f"“{source['used']}” from {source['path']}:{source['line_start']}")
        for phrase, origin in draft["origins"].items():
            if origin in {"styles", "your prompts"}:
                lines.append(f"“{phrase}” from {origin}")
    return shown("\n".join(lines))


def render(result: dict[str, Any]) -> str:
    spec = result["spec"]
    width, height = result["size"]
    return (
        "\n".join(result["paths"]) + f"\n{width}x{height}, {spec['steps']} steps, {spec['sampler']}, "
        f"CFG {spec['cfg']:g}, seed {result['seed']}, {result['seconds']:.1f} s"
    )


def grid(result: dict[str, Any]) -> str:
    return (
        "\n".join(result["paths"]) + f"\n{len(result['cells'])} cells, seed {result['seed']}, {result['seconds']:.1f} s"
    )


def gallery(result: dict[str, Any]) -> str:
    lines = []
    for shot in result["pictures"]:
        made = datetime.fromtimestamp(shot["mtime"] / 1e9)
        lines.append(f"{made:%Y-%m-%d %H:%M} {'*' * shot['rating']:<5} {shot['path']}")
        lines.append(f"{'':23}{shown(' '.join(shot['prompt'].split()))[:100]}")
    return "\n".join(lines) or "No picture fits."


def rated(result: dict[str, Any]) -> str:
    return f"{result['path']}: {'*' * result['rating'] or 'no rating'}"


def image_info(result: dict[str, Any]) -> str:
    lines = [f"{result['tool'] or 'no tool'}  {result['width']}x{result['height']}"]
    if result.get("prompt"):
        lines.append(f"prompt    {result['prompt']}")
    if result.get("negative"):
        lines.append(f"negative  {result['negative']}")
    lines += [f"{name}: {value}" for name, value in result.get("settings", {}).items()]
    return "\n".join(lines)


def jobs(result: dict[str, Any]) -> str:
    if "job" in result:
        return f"job {result['job']} ({result['kind']}) ran again: {result['result'].get('path', 'done')}"
    lines = []
    for job in result["jobs"]:
        began = datetime.fromtimestamp(job["created"]).strftime("%Y-%m-%d %H:%M")
        took = eta(job["seconds"]) if job["seconds"] is not None else ""
        about = job["message"] or (job["result"] or {}).get("path", "")
        lines.append(f"{job['id']:>5}  {began}  {job['kind']:<8} {job['state']:<11} {took:>10}  {about}")
    return "\n".join(lines) or "No jobs yet."


def doctor(result: dict[str, Any]) -> str:
    mark = {"ok": "ok     ", "missing": "missing", "broken": "BROKEN "}
    return "\n".join(
        f"{mark[c['state']]}  {c['what']:<18} {c['detail']}" + (f"  {c['hint']}" if c["hint"] else "")
        for c in result["checks"]
    )


def where(result: dict[str, Any]) -> str:
    return "\n".join(f"{name:<9} {path}" for name, path in result["paths"].items())


def settings(result: dict[str, Any]) -> str:
    return "\n".join(f"{name} = {value!r}" for name, value in result.items())


def bench(result: dict[str, Any]) -> str:
    lines = []
    for row in result["measurements"]:
        lines.append(f"{row['what']:<52} {row['value']:>10.3g} {row['unit']:<8} {row.get('note', '')}")
    return "\n".join(lines)

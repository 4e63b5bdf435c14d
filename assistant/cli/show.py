"""Results as text for a person. Each function takes what its command returned."""

from __future__ import annotations

import shutil
import textwrap
from datetime import datetime
from typing import Any

from assistant.pace import eta


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
    lines = [result["prompt"], f"Negative prompt: {result['negative']}"]
    for source in result["sources"]:
        lines.append(f"“{source['used']}” from {source['path']}:{source['line_start']}")
    return "\n".join(lines)


def render(result: dict[str, Any]) -> str:
    spec = result["spec"]
    return (
        f"{result['path']}\n{spec['width']}x{spec['height']}, {spec['steps']} steps, {spec['sampler']}, "
        f"CFG {spec['cfg']:g}, seed {result['seed']}, {result['seconds']:.1f} s"
    )


def image_info(result: dict[str, Any]) -> str:
    lines = [f"{result['tool'] or 'no tool'}  {result['width']}x{result['height']}"]
    if result.get("prompt"):
        lines.append(f"prompt    {result['prompt']}")
    if result.get("negative"):
        lines.append(f"negative  {result['negative']}")
    lines += [f"{name}: {value}" for name, value in result.get("settings", {}).items()]
    return "\n".join(lines)


def models_list(result: dict[str, Any]) -> str:
    lines = []
    for entry in result["models"]:
        size = f"{entry['size'] / 1e6:,.0f} MB"
        problem = f"  ({entry['problem']})" if entry.get("problem") else ""
        lines.append(f"{entry['name']:<32} {entry['kind']:<12} {entry['family']:<14} {size:>10}{problem}")
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

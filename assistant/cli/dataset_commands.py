"""The commands about what a training learns from: `train plan`, `captions`.

Takes (options, paths, settings), returns (plain data, exit status).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from assistant.cli.commands import Result, absolute, do, given
from assistant.cli.show import wrap
from assistant.errors import BadArgument, nearest
from assistant.pace import eta
from assistant.paths import Paths
from assistant.settings import Settings
from generation.training.plan_remarks import TITLES
from generation.training.presets import DEFAULT, MEMORIES, require
from generation.training.settings import TABLES, table
from knowledge.screen import shown

SHOWN = 5  # files named for each kind of remark


def plan(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """What a training would do; that it does not fit into the memory is said in it."""
    if options.kind not in TABLES:
        raise BadArgument(f'there is no training of a "{options.kind}"', nearest(options.kind, list(TABLES)))
    require(options.kind)
    if options.memory is not None and not 0 < options.memory <= 10_000:
        raise BadArgument(f"a memory of {options.memory:g} GB cannot be", f"Give such as {MEMORIES[0]} or 24.")
    spec = {
        "dataset": absolute(given(options.dataset, "dataset")),
        "model": options.model or settings["studio.model"],
        "kind": options.kind,
        "preset": options.preset,
        "settings": _settings(options.kind, options.set, options.no_upscale),
        "regularisation": absolute(options.regularisation),
        "memory_gb": options.memory,
        "look": not options.no_look,
        "contact": absolute(options.contact),
    }
    return do("plan-training", spec, paths, settings), 0


def captions(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """Captions counted, edited or made. Status 1 where a picture could not be read."""
    dataset = absolute(given(options.dataset, "dataset"))
    if options.undo:
        from assistant.caption_files import undo

        back, left = undo(Path(dataset))
        return {"dataset": dataset, "restored": back, "left": left}, 0
    if (options.replace is not None) != (options.find is not None):
        raise BadArgument("to replace is to find and to put in", "Give --find and --replace, which may be empty.")
    if options.threshold is not None and not 0 < options.threshold < 1:
        raise BadArgument(f"a threshold of {options.threshold:g} cannot be", "Give --threshold 0.35.")
    spec = {
        "dataset": dataset,
        "edit": {
            "find": options.find or "",
            "replace": options.replace or "",
            "remove": options.remove,
            "prefix": options.prefix or "",
            "suffix": options.suffix or "",
        },
        "auto": absolute(options.auto),
        "threshold": options.threshold,
        "overwrite": options.overwrite,
        "dry_run": options.dry_run,
    }
    result = do("captions", spec, paths, settings)
    return {**result, "shown": "stats" if options.stats else ""}, int(bool(result["failed"]))


def _settings(kind: str, texts: Iterable[str], no_upscale: bool) -> dict[str, Any]:
    """The settings of `--set NAME=VALUE`, in their types."""
    there = {parameter.name: parameter for parameter in table(kind)}
    found: dict[str, Any] = {"upscale": False} if no_upscale else {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in there:
            hint = nearest(name, list(there)) or "Write --set rank=8."
            raise BadArgument(f'training a {kind} has no setting "{name}"', hint)
        found[name] = there[name].parsed(value)
    return found


# As text


def show_plan(result: dict[str, Any]) -> str:
    lines = [_summary(result), ""]
    lines.append(f"{'bucket':>11}  {'pictures':>8}  {'without enlarging':>19}  {'pictures':>8}")
    other = result["no_upscale"]["buckets"]
    for number in range(max(len(result["buckets"]), len(other))):
        row = [_bucket(table[number]) if number < len(table) else ("", "") for table in (result["buckets"], other)]
        lines.append(f"{row[0][0]:>11}  {row[0][1]:>8}  {row[1][0]:>19}  {row[1][1]:>8}".rstrip())
    lost = f"{'cropped off':>11}  {result['crop_loss']:>8.1%}  {'':>19}  {result['no_upscale']['crop_loss']:>8.1%}"
    lines += [lost, "", *_remarks(result), *_told_settings(result)]
    if result["contact"]:
        lines += ["", f"Pictures and their crops: {result['contact']}"]
    return shown("\n".join(lines))


def _summary(result: dict[str, Any]) -> str:
    passes = f"{result['repeats']:g} repeats x {result['epochs']} epochs"
    memory = f"about {result['memory_gb']:.1f} GB" + ("" if result["fits"] else ", more than there is")
    seconds = result["seconds_estimate"]
    time = "time unknown" if seconds is None else f"about {eta(seconds)} here ({result['device']})"
    batch = result["settings"]["batch"]
    text = (
        f"{result['images']} pictures ({result['layout']}), {passes}: {result['steps']} steps of {batch}, "
        f"{memory}, {time}. Kind {result['kind']}, preset {result['preset']}, model {result['model']}."
    )
    beside = f" {result['regularisation']} pictures of the class are given." if result["regularisation"] else ""
    return wrap(text + beside, "")


def _bucket(row: dict[str, Any]) -> tuple[str, str]:
    return "x".join(map(str, row["size"])), str(row["count"])


def _remarks(result: dict[str, Any]) -> list[str]:
    lines = []
    for kind, title in TITLES.items():
        found = [remark for remark in result["remarks"] if remark["kind"] == kind]
        if not found:
            continue
        lines.append(f"{title}: {len(found)}" if found[0]["path"] else title)
        for remark in found[:SHOWN]:
            name = f"{Path(remark['path']).name} " if remark["path"] else ""
            lines.append(wrap(f"{name}{remark['message']}"))
        if len(found) > SHOWN:
            lines.append(f"  and {len(found) - SHOWN} more; --json has all")
    return [*lines, ""] if lines else ["Nothing is wrong with the pictures and captions.", ""]


def _told_settings(result: dict[str, Any]) -> list[str]:
    """The settings by who proposed them; those that nobody had anything to say about are left out."""
    by: dict[str, list[str]] = {}
    for name, source in result["sources"].items():
        if source != DEFAULT:
            by.setdefault(source, []).append(f"{name}={_value(result['settings'][name])}")
    lines = ["Settings"]
    indent = " " * 4
    for source, pairs in by.items():
        lines += [wrap(f"by {source}:"), wrap(", ".join(pairs), indent)]
    lines.append(wrap("Memory was counted on such models' live tensors, time from a moment's work on this machine."))
    return lines


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def show_captions(result: dict[str, Any]) -> str:
    if "restored" in result:
        lines = [f"{result['restored']} files brought back"]
        lines += [f"{path} was changed since and stays as it is" for path in result["left"]]
        return shown("\n".join(lines))
    lines = []
    for change in result["changed"][:SHOWN]:
        lines += [Path(change["path"]).name, wrap(f"- {change['before']}"), wrap(f"+ {change['after']}")]
    lines += [f"{one['message']}" for one in result["failed"]]
    count = len(result["changed"])
    how = "changed" if result["written"] else "would change"
    stats = result["stats"]
    if count:
        lines.append(f"{count} of {result['images']} captions {how}; --undo takes it back.")
    if not count or result["shown"]:
        lines.append(
            f"{stats['captions']} of {result['images']} pictures have a caption, of {stats['longest']} words at most"
        )
        lines += [f"{row['count']:>6}  {row['tag']}" for row in stats["tags"]]
    return shown("\n".join(lines))

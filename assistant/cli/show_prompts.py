"""Results about prompts as text for a person. Each function takes what its command returned."""

from __future__ import annotations

from typing import Any

from assistant.cli.show import wrap
from knowledge.screen import shown


def parse(result: dict[str, Any]) -> str:
    lines = [f"{weight:<8.4g} {text!r}" for text, weight in result["parsed"]]
    lines += [f"network  {':'.join([n['kind'], *n['positional']])}" for n in result["networks"]]
    if len(result["and"]) > 1:
        lines += [f"AND      {weight:g}  {part!r}" for part, weight in result["and"]]
    schedule = result["schedule"]
    if schedule and (len(schedule) > 1 or isinstance(schedule[0][0], list)):
        for part in schedule if isinstance(schedule[0][0], list) else [schedule]:
            lines += [f"to step {end:<4} {text}" for end, text in part]
    lines += [f"warning  {warning['message']}" for warning in result["warnings"]]
    return shown("\n".join(lines))


def convert(result: dict[str, Any]) -> str:
    return shown("\n".join([result["text"], *(f"lost: {one['message']}" for one in result["lost"])]))


def shorten(result: dict[str, Any]) -> str:
    return shown(
        "\n".join([result["text"], f"{result['tokens']} tokens", *(f"out: {one}" for one in result["removed"])])
    )


def translate(result: dict[str, Any]) -> str:
    return shown("\n".join([result["text"], *([result["note"]] if result["note"] else [])]))


def text(result: dict[str, Any]) -> str:
    return shown(str(result["text"]))


def explain(result: dict[str, Any]) -> str:
    lines = [f"{line['kind']:<10} {line['text']}\n{wrap(line['note'], ' ' * 11)}" for line in result["lines"]]
    lines += [f"again      {one['again']}  (said by {one['first']})" for one in result["duplicates"]]
    lines += [f"against    {one['one']}  and  {one['other']}  ({one['where']})" for one in result["contradictions"]]
    return shown("\n".join(lines))


def wildcards(result: dict[str, Any]) -> str:
    lines = result.get("prompts") or [f"__{name}__" for name in result.get("names", [])]
    lines = [*lines, *(f"note: {note}" for note in result["warnings"])]
    return shown("\n".join(lines)) or "No wildcards yet. Put .txt files into the folder `atelier where` names."


def styles(result: dict[str, Any]) -> str:
    lines = []
    for one in result["styles"]:
        lines += [one["name"], wrap(one["prompt"], "    ")]
        lines += [wrap(f"negative: {one['negative']}", "    ")] if one["negative"] else []
    return shown("\n".join(lines)) or "No styles yet. `atelier styles import FILE` reads a styles.csv."


def frequent(result: dict[str, Any]) -> str:
    lines = []
    for title, pairs in (("prompts", result["positives"]), ("negatives", result["negatives"])):
        lines += [f"In {title}:", *(f"{count:>5}  {phrase}" for phrase, count in pairs)] if pairs else []
    return shown("\n".join(lines)) or "No prompt yet: rendering one or keeping one (Ctrl+S in the Draft) counts it."


def styles_imported(result: dict[str, Any]) -> str:
    return f"{result['imported']} styles read, {result['styles']} in {result['path']}"


def styled(result: dict[str, Any]) -> str:
    return shown(f"{result['prompt']}\nNegative prompt: {result['negative']}")


def shelf(result: dict[str, Any]) -> str:
    lines = [_kept(one) for one in result["prompts"]]
    return shown("\n".join(lines)) or "No prompts kept yet. `atelier prompts add` keeps one."


def _kept(one: dict[str, Any]) -> str:
    star = "*" if one["favourite"] else " "
    tags = f"  #{' #'.join(one['tags'])}" if one["tags"] else ""
    negative = f"\n{wrap('negative: ' + one['negative'], '       ')}" if one["negative"] else ""
    return f"{one['id']:>4} {star} {one['name']}{tags}\n{wrap(one['positive'], '       ')}{negative}"


def kept(result: dict[str, Any]) -> str:
    return shown(_kept(result["prompt"]))


def imported(result: dict[str, Any]) -> str:
    lines = [f"{len(result['added'])} new, {result['known']} known, {len(result['silent'])} without a prompt"]
    lines += [f"{path}: {reason}" for path, reason in result["broken"].items()]
    return shown("\n".join(lines))


def exported(result: dict[str, Any]) -> str:
    return f"{result['prompts']} prompts in {result['path']}"


def removed(result: dict[str, Any]) -> str:
    return shown(f"Removed: {result['removed']['name']}")


def evaluation(result: dict[str, Any]) -> str:
    return "\n".join(f"{name:<18} {value}" for name, value in result.items())

"""What the commands about prompts do. Takes (options, paths, settings), returns (plain data, exit status)."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from assistant.cli.commands import Result, do, given
from assistant.cli.progress import Progress
from assistant.errors import BadArgument
from assistant.paths import Paths
from assistant.settings import Settings
from generation.prompts.grammar import Warning

MOST_VARIANTS = 12  # no more than can be read side by side


def _said(warnings: list[Warning] | tuple[Warning, ...]) -> list[dict[str, Any]]:
    return [{"message": w.message, "start": w.start, "end": w.end} for w in warnings]


def parse(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from generation.prompts import compel_syntax, grammar
    from generation.prompts.schedule import composition

    if options.steps < 1:
        raise BadArgument(f"--steps {options.steps} makes no picture", "Give a number from 1.")
    if options.syntax == "compel":
        tree = compel_syntax.parse(options.text)
        parts = [[[text, weight] for text, weight in flat] for flat in tree.fragments()]
        return {
            "parsed": [[text, weight] for text, weight in tree.flat()],
            "networks": [
                {"kind": "lora", "positional": [lora.name, str(lora.weight)], "named": {}} for lora in tree.loras
            ],
            "and": [[part, weight] for part, weight in zip(parts, tree.weights or [1.0] * len(parts), strict=False)],
            "schedule": [],
            "warnings": _said(tree.warnings),
        }, 0
    shown = grammar.parse(options.text).to_json()
    steps = [[[end, text] for end, text in part.schedule] for part in composition(options.text, options.steps)]
    shown["schedule"] = steps[0] if len(steps) == 1 else steps
    return shown, 0


def convert(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from generation.prompts.convert import convert as converted

    source = options.source or ("compel" if options.to == "a1111" else "a1111")
    found = converted(options.text, source, options.to)
    return {"text": found.text, "from": source, "to": options.to, "lost": _said(found.losses)}, 0


def _tokenizer() -> Any:
    from generation.prompts.tokens import ClipTokenizer

    return ClipTokenizer.load()


def shorten(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from assistant.prompt_tools import shorten as shortened

    if options.budget < 1:
        raise BadArgument(f"--budget {options.budget} leaves no room", "Give a number of tokens.")
    found = shortened(given(options.text, "prompt"), _tokenizer(), options.budget)
    return asdict(found), 0


def merge(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from assistant.prompt_tools import merge as merged

    return {"text": merged(given(options.one, "first prompt"), given(options.other, "second prompt"))}, 0


def explain(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from assistant import prompt_tools

    lines = [asdict(line) for line in prompt_tools.explain(options.text, _tokenizer())]
    against = [asdict(one) for one in prompt_tools.contradictions(options.text, options.negative or "")]
    again = [asdict(one) for one in prompt_tools.duplicates(options.text)]
    return {"lines": lines, "contradictions": against, "duplicates": again}, 0


def wildcards(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """A template drawn; without one the names there are."""
    from assistant import wildcards as drawing

    folders = [paths.wildcards, *(Path(p).expanduser() for p in settings["draft.wildcards"])]
    folders = [folder for folder in folders if folder.is_dir()]
    notes: list[str] = []
    if not options.template:
        return {"names": drawing.names(folders, warn=notes.append), "warnings": notes}, 0
    if options.all:
        found = drawing.combinations(options.template, folders, options.count, warn=notes.append)
    else:
        found = drawing.expand(options.template, folders, seed=options.seed, count=options.count, warn=notes.append)
    return {"prompts": found, "warnings": notes}, 0


def _styles(paths: Paths) -> list[Any]:
    from assistant import styles

    return styles.read(paths.styles) if paths.styles.exists() else []


def styles_list(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    return {"styles": [asdict(style) for style in _styles(paths)]}, 0


def styles_import(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """Styles of a styles.csv or a Fooocus-like JSON added to the person's; one of the same name is replaced."""
    from assistant import styles

    new = styles.read(Path(options.file).expanduser())
    names = {style.name for style in new}
    kept = [style for style in _styles(paths) if style.name not in names]
    styles.write(paths.styles, [*kept, *new])
    return {"imported": len(new), "styles": len(kept) + len(new), "path": str(paths.styles)}, 0


def styles_apply(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from assistant import styles

    chosen = styles.named(_styles(paths), options.names)
    prompt, negative = styles.apply(options.text, options.negative or "", chosen)
    return {"prompt": prompt, "negative": negative}, 0


def shelf_list(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from assistant.prompt_shelf import Shelf

    found = Shelf(paths.prompts).find(options.query or "", options.tag or "", favourites=options.favourites)
    return {"prompts": [one.to_json() for one in found]}, 0


def shelf_add(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from assistant.prompt_shelf import Shelf

    shelf = Shelf(paths.prompts)
    kept = shelf.add(
        given(options.prompt, "prompt"), options.negative or "", name=options.name or "", tags=options.tag or []
    )
    if options.favourite:
        shelf.favourite(kept.id)
        kept = shelf.get(kept.id)
    return {"prompt": kept.to_json()}, 0


def shelf_import(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from assistant.prompt_shelf import Shelf

    shelf, path = Shelf(paths.prompts), Path(options.path).expanduser()
    if path.is_dir():
        report = shelf.import_folder(path)
        return {
            "added": [one.to_json() for one in report.added],
            "known": len(report.known),
            "silent": list(report.silent),
            "broken": report.broken,
        }, int(bool(report.broken))
    kept = shelf.import_picture(path)
    if kept is None:
        raise BadArgument(f"{path} carries no prompt", "Choose a picture that was generated.")
    return {"added": [kept.to_json()], "known": 0, "silent": [], "broken": {}}, 0


def shelf_export(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from assistant.prompt_export import export
    from assistant.prompt_shelf import Shelf

    found = Shelf(paths.prompts).find(options.query or "", options.tag or "")
    path = export(Path(options.file).expanduser().absolute(), options.format, found)
    return {"path": str(path), "prompts": len(found)}, 0


def frequent(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """The phrases of most prompts on the shelf and among the draft's versions."""
    from assistant.phrases import frequent as counted
    from assistant.prompt_shelf import Shelf
    from assistant.versions import Versions

    pairs = [(one.positive, one.negative) for one in Shelf(paths.prompts).find()]
    pairs += [(one.prompt, one.negative) for one in Versions(paths.history).list()]
    positives, negatives = counted(list(dict.fromkeys(pairs)), options.n)
    return {"positives": [list(pair) for pair in positives], "negatives": [list(pair) for pair in negatives]}, 0


def shelf_remove(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from assistant.prompt_shelf import Shelf

    shelf = Shelf(paths.prompts)
    gone = shelf.get(options.number)
    shelf.delete(options.number)
    return {"removed": gone.to_json()}, 0


def expand(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    if not 0 <= options.strength <= 1:
        raise BadArgument(f"--strength {options.strength} is out of range", "Give 0 to 1.")
    if options.chunks < 1:
        raise BadArgument(f"--chunks {options.chunks} leaves no room", "Give a number from 1.")
    if not 1 <= options.variants <= MOST_VARIANTS:
        raise BadArgument(f"--variants {options.variants} is out of range", f"Give 1 to {MOST_VARIANTS}.")
    spec = {
        "idea": given(options.idea, "idea"),
        "strength": options.strength,
        "chunks": options.chunks,
        "seed": options.seed,
        "grounded": not options.no_notes,
        "style": options.style,
        "template": options.template,
        "negative": options.negative or "",
        "family": options.family or "",
        "variants": options.variants,
    }
    return do("expand", spec, paths, settings), 0


def translate(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """Status 1 when the text could not be put into English and stays as it is."""
    from assistant.drafting.translation import translate as translated
    from assistant.jobs.workshop import Workshop

    model, _ = Workshop(paths, settings).language_model_or_none()
    text = given(options.text, "prompt")
    found = translated(text, model, always=True)
    shown = {"text": found.text, "from": text, "how": found.how, "unknown": list(found.unknown), "note": found.note}
    return shown, int(found.how == "none")


def eval_prompts(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """Scores the expander as it stands: the language model of the settings, no notes."""
    from assistant.drafting import expand as expanded
    from assistant.jobs.workshop import Workshop
    from assistant.prompt_evaluation import evaluate, load

    ideas = load(Path(options.file).expanduser())[: options.limit or None]
    model, reason = Workshop(paths, settings).language_model_or_none()
    progress = Progress(sys.stderr)
    if model is None:
        progress.report({"kind": "note", "message": reason})
    done = 0

    def one(idea: str, seed: int) -> str:
        nonlocal done
        done += 1
        progress.report({"kind": "progress", "stage": "ideas", "done": done, "total": len(ideas)})
        return expanded(idea, model, chunks=options.chunks, seed=seed, style=options.style).prompt

    try:
        return evaluate(one, ideas, _tokenizer(), budget=options.chunks), 0
    finally:
        progress.close()

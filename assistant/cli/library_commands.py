"""What the library's commands do. Takes (options, paths, settings), returns (plain data, exit status)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from assistant.cli.commands import Result, do, given
from assistant.cli.progress import Progress
from assistant.collections import Collections
from assistant.conversations import Conversations
from assistant.errors import BadArgument
from assistant.export import FORMATS, exported, write
from assistant.paths import Paths
from assistant.settings import Settings

FILTERS = ("collection", "path", "tag", "kind", "since", "until", "prop")


def _filter(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in FILTERS if getattr(options, name, None)}


def ingest(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    chosen = [str(Path(p).expanduser().absolute()) for p in options.paths]
    kind = "ingest" if chosen else "sync"
    result = do(kind, {"paths": chosen, "collection": options.collection or ""}, paths, settings)
    failed = any(d["status"] == "failed" for d in result["documents"])
    return result, int(failed)


def search(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    if options.k < 1:
        raise BadArgument(f"-k {options.k} asks for no passage", "Give a number from 1.")
    spec = {
        "query": given(options.query, "query"),
        "k": options.k,
        "explain": options.explain,
        "filter": _filter(options),
    }
    return do("search", spec, paths, settings), 0


def ask(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    spec: dict[str, Any] = {
        "question": given(options.question, "question"),
        "filter": _filter(options),
        "quotes_only": options.quotes,
        "conversation": options.conversation,
    }
    return do("ask", spec, paths, settings), 0


def chat(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """A plain prompt in the shell; Ctrl+D ends it. With --json one answer a line. The conversation is kept."""
    from assistant.cli.show_library import ask as shown
    from assistant.jobs import library
    from assistant.jobs.workshop import Workshop

    shop = Workshop(paths, settings)
    conversation: int | str = options.conversation or "new"
    while True:
        try:
            question = input("> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return {"conversation": conversation if isinstance(conversation, int) else None}, 0
        if not question:
            continue
        progress = Progress(sys.stderr)
        spec = {"question": question, "conversation": conversation, "filter": _filter(options)}
        try:
            result = library.ask(shop, spec, report=progress.report, check=lambda: None)
        finally:
            progress.close()
        conversation = result["conversation"]
        as_json = getattr(options, "json", False)
        print(json.dumps(result, ensure_ascii=False) if as_json else shown(result), flush=True)


def brief(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    return do("brief", {"topic": given(options.topic, "topic"), "filter": _filter(options)}, paths, settings), 0


def summarise(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    return do("summarise", {"path": options.file, "sentences": _count(options.sentences)}, paths, settings), 0


def compare(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    spec = {"one": options.one, "other": options.other, "sentences": _count(options.sentences)}
    return do("compare", spec, paths, settings), 0


def _count(number: int) -> int:
    if number < 1:
        raise BadArgument(f"--sentences {number} asks for nothing", "Give a number from 1.")
    return number


def documents(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    result = do("documents", {}, paths, settings)
    if options.status:
        result["documents"] = [d for d in result["documents"] if d["status"] == options.status]
    if options.collection:
        Collections(paths.collections)[options.collection]
        result["documents"] = [d for d in result["documents"] if d["collection"] == options.collection]
    return result, 0


def collections(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    return {"collections": [one.to_json() for one in Collections(paths.collections)]}, 0


def collection_remove(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    Collections(paths.collections)[options.name]
    return do("forget", {"collection": options.name}, paths, settings), 0


def collection_exclude(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    Collections(paths.collections)[options.name]
    return do("exclude", {"collection": options.name, "patterns": options.patterns}, paths, settings), 0


def duplicates(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    return do("duplicates", {}, paths, settings), 0


def unanswered(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    return {"questions": Conversations(paths.conversations).unanswered()}, 0


def conversations(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    found = Conversations(paths.conversations).listed(options.query or "")
    return {"conversations": [one.to_json() for one in found]}, 0


def conversation_show(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    kept = Conversations(paths.conversations)
    one = kept.get(options.number)
    return {**one.to_json(), "turns": [turn.to_json() for turn in kept.turns(one.id)]}, 0


def conversation_rename(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    return Conversations(paths.conversations).rename(options.number, options.title).to_json(), 0


def conversation_delete(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    return {"deleted": Conversations(paths.conversations).delete(options.number).to_json()}, 0


def conversation_export(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    kept = Conversations(paths.conversations)
    one = kept.get(options.number)
    text = exported(one, kept.turns(one.id), options.format)
    if options.output == "-":
        return {"format": options.format, "text": text}, 0
    name = Path(options.output) if options.output else Path(f"conversation-{one.id}{FORMATS[options.format]}")
    return {"format": options.format, "path": str(write(name.expanduser().absolute(), text))}, 0


def eval_retrieval(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from knowledge.evaluation import evaluate

    progress = Progress(sys.stderr)
    embedder = options.embedder or settings["library.embedder"]
    try:
        return evaluate(Path(options.folder), embedder=embedder, report=progress.report, check=lambda: None), 0
    finally:
        progress.close()


def eval_answers(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from assistant.answer_evaluation import evaluate, load
    from assistant.jobs.workshop import Workshop

    questions = load(Path(options.file).expanduser())
    progress = Progress(sys.stderr)
    try:
        return evaluate(questions, Workshop(paths, settings).library, report=progress.report), 0
    finally:
        progress.close()


def llm_list(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from assistant.llm.gguf import available

    return {"models": [model.to_json() for model in available(paths, settings)]}, 0


def llm_use(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from assistant.llm.gguf import available, choose

    model = choose(options.name, available(paths, settings))
    settings["llm.model"] = "" if model.bundled else model.path
    settings["llm.backend"] = "llama.cpp"
    return {"model": model.to_json()}, 0

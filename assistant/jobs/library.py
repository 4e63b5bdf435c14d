"""What the library's jobs do: functions from a warm workshop and a spec (plain JSON) to a result (plain JSON).

The shapes of the results are those the shell prints with `--json` (docs/json.md).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant.answering import Answer, Turn, answer, cited_passage
from assistant.collections import Collections
from assistant.conversations import Conversations
from assistant.errors import BadArgument
from assistant.followups import standalone
from assistant.jobs.workshop import Workshop
from assistant.pictures_and_weights import formats
from ingest.pipeline import Source
from ingest.pipeline import ingest as read_in
from ingest.walk import walk
from knowledge import filters
from knowledge.errors import LibraryBusyError
from knowledge.filters import Filter
from knowledge.records import Passage

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
_WIDE = 5  # times the usual number of passages for a brief
_BRIEF_QUOTES = 12


def ingest(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"paths": [...], "collection": name or ""} -> {"documents": [{"path", "status", "reason", "chunks"}], "seconds"}.

    Folders are kept under a collection's name from now on; single files are read once.
    """
    paths = [Path(text).expanduser().absolute() for text in spec["paths"]]
    walk([path for path in paths if not path.is_dir()])  # what is not there is told before anything is kept
    kept = Collections(shop.paths.collections)
    sources: list[Source] = []
    for path in paths:
        if path.is_dir():
            held = kept.add(path, spec.get("collection", ""))
            sources.append(Source(path, held.name, held.exclude))
        else:
            home = kept.holding(path)
            sources.append(Source(path, spec.get("collection") or (home.name if home else "")))
    # Files of a collection below a named folder stay in it.
    folders = [source.path for source in sources]
    sources += [
        one
        for one in every_source(shop)
        if one.path not in folders and any(one.path.is_relative_to(f) for f in folders) and one.path.exists()
    ]
    return _read(shop, sources, report, check)


def sync(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """Bring every collection up to date, the sample notes and the notes about renders too; {"only": [paths]} only those
    that hold one of the paths or lie below it.
    """
    sources = every_source(shop)
    only = [Path(path) for path in spec.get("only", [])]
    if only:
        sources = [
            s for s in sources if any(path.is_relative_to(s.path) or s.path.is_relative_to(path) for path in only)
        ]
    missing = [source for source in sources if not source.path.exists()]
    for source in missing:
        report({"kind": "note", "message": f"{source.path} of the collection {source.collection} is not there"})
    return _read(shop, [source for source in sources if source not in missing], report, check)


def every_source(shop: Workshop) -> list[Source]:
    """The program's own notes, then the person's collections."""
    sources = []
    if shop.settings["library.samples"]:
        sources.append(Source(shop.paths.samples, "samples"))
    if shop.paths.memory.exists():
        sources.append(Source(shop.paths.memory, "renders"))
    for one in Collections(shop.paths.collections):
        sources += [Source(Path(f).expanduser().absolute(), one.name, one.exclude) for f in one.folders]
    return sources


def _read(shop: Workshop, sources: list[Source], report: Report, check: Check) -> dict[str, Any]:
    started = time.monotonic()
    outcomes = read_in(
        sources,
        shop.library,
        report=report,
        check=check,
        exclude=tuple(shop.settings["library.exclude"]),
        formats=formats(pictures=shop.settings["library.pictures"]),
    )
    return {
        "documents": [{"path": o.path, "status": o.status, "reason": o.reason, "chunks": o.chunks} for o in outcomes],
        "seconds": round(time.monotonic() - started, 3),
    }


def forget(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"collection"} -> {"removed": number of documents}: keep its folders no longer; the files stay as they are."""
    gone = Collections(shop.paths.collections).remove(spec["collection"])
    rows = [row for row in shop.library.documents() if row.collection == gone.name]
    for row in rows:
        check()
        shop.library.remove(row.path)
    for folder in gone.folders:
        shop.library.remove_root(str(Path(folder).expanduser().resolve()))
    shop.library.embed_pending(report=report, check=check)
    shop.library.compact()
    return {"collection": gone.to_json(), "removed": len(rows)}


def exclude(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"collection", "patterns"} -> as `sync` of that collection: what the patterns name leaves the library."""
    one = Collections(shop.paths.collections).exclude(spec["collection"], list(spec["patterns"]))
    return sync(shop, {"only": [str(Path(f).expanduser().absolute()) for f in one.folders]}, report=report, check=check)


def read_new_renders(shop: Workshop, check: Check) -> None:
    """Notes about new renders enter before a question is answered; skipped while another writes."""
    if not shop.paths.memory.exists():
        return
    known = shop.library.manifest()
    notes = [p for p in shop.paths.memory.rglob("*.md") if str(p) not in known]
    if not notes:
        return
    with contextlib.suppress(LibraryBusyError):
        read_in([Source(note, "renders") for note in notes], shop.library, check=check)


def _asked(spec: dict[str, Any], key: str) -> tuple[str, Filter]:
    """The question without its filter words, and the filter of words and options together."""
    text, typed = filters.parse(spec[key])
    given = filters.build(**(spec.get("filter") or {}))
    merged = replace(given, **{name: value for name, value in vars(typed).items() if value})
    return text, merged


def search(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"query", "k", "filter", "explain"} -> {"passages": [...]}."""
    read_new_renders(shop, check)
    query, within = _asked(spec, "query")
    passages = shop.library.search(query, int(spec.get("k", 8)), within)
    return {"passages": [_passage(p, bool(spec.get("explain"))) for p in passages]}


def _passage(passage: Passage, explain: bool) -> dict[str, Any]:
    names = ("path", "title", "heading", "line_start", "line_end", "page", "score", "text")
    shown = {name: getattr(passage, name) for name in names}
    if explain:
        shown["signals"] = dict(passage.signals)
    return shown


def ask(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"question", "conversation", "filter", "quotes_only"} -> an answer (Answer.to_json) with "conversation", "turn".

    `conversation` is a number, "new", or nothing where the question is not to be kept.
    """
    kept = Conversations(shop.paths.conversations)
    conversation, turn, before = _open_turn(kept, spec)
    read_new_renders(shop, check)
    text, within = _asked(spec, "question")
    asked = standalone(text, [one.question for one in before])
    if asked != text:
        report({"kind": "note", "message": f"understood as: {asked}"})
    evidence = shop.library.evidence(asked, shop.settings["library.passages"], within)
    check()
    model = None
    if not evidence.refused and not spec.get("quotes_only") and shop.settings["library.answers"] != "quotes":
        model, reason = shop.language_model_or_none()
        if model is None and reason:
            report({"kind": "note", "message": reason})
    found: Answer = answer(
        evidence,
        model,
        question=spec["question"],
        before=before,
        conflicts=[] if evidence.refused else _conflicts(shop, asked, evidence.passages),
        stale=_stale(shop),
        more=lambda passage: _with_neighbours(shop, passage),
        report=report,
        check=check,
    )
    result = found.to_json()
    if found.refused:
        kept.not_answered(asked, found.score, [f"{c.path}:{c.line_start}" for c in found.nearest])
    else:
        kept.now_answered(asked)
    if turn is not None:
        kept.answered(turn, result)
    return {**result, "conversation": conversation, "turn": turn}


def _open_turn(kept: Conversations, spec: dict[str, Any]) -> tuple[int | None, int | None, list[Turn]]:
    wanted = spec.get("conversation")
    if wanted is None:
        return None, None, []
    number = kept.begin(spec["question"]) if wanted == "new" else int(wanted)
    before = [
        Turn(str(t.result.get("asked") or t.question), str(t.result.get("answer", "")))
        for t in kept.turns(number)
        if t.result is not None
    ]
    return number, kept.ask(number, spec["question"]), before


def _stale(shop: Workshop) -> Callable[[str], bool]:
    """Whether a file is no longer as it was read; looked up once a path."""
    known: dict[str, bool] = {}

    def stale(path: str) -> bool:
        if path not in known:
            row = shop.library.document(path)
            try:
                state = Path(path).stat()
            except OSError:
                known[path] = True
            else:
                known[path] = row is not None and (row.mtime_ns, row.size) != (state.st_mtime_ns, state.st_size)
        return known[path]

    return stale


def _with_neighbours(shop: Workshop, passage: Passage) -> str:
    """The passage between the chunks before and after it; lines do not tell the order, as a long one holds many."""
    chunks = shop.library.chunks(passage.path) if shop.library.document(passage.path) else []
    own = (passage.line_start, passage.line_end, passage.page, passage.text)
    for at, chunk in enumerate(chunks):
        if (chunk.line_start, chunk.line_end, chunk.page, chunk.text) == own:
            around = chunks[max(0, at - 1) : at + 2]
            return "\n".join(one.text for one in around if one.page == passage.page)
    return passage.text


def _conflicts(shop: Workshop, question: str, passages: tuple[Passage, ...]) -> list[dict[str, Any]]:
    return [
        {
            "why": one.why,
            "statements": [
                {"path": s.passage.path, "line": s.line, "page": s.passage.page, "text": s.text}
                for s in (one.one, one.other)
            ],
        }
        for one in shop.library.conflicts(question, passages)
    ]


def brief(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"topic", "filter"} -> {"topic", "refused", "score", "sources": [{"path", "title", "quotes"}], "conflicts"}: what
    the notes say about a subject, by document.
    """
    topic, within = _asked(spec, "topic")
    k = shop.settings["library.passages"] * _WIDE
    evidence = shop.library.evidence(topic, k, within, most=_BRIEF_QUOTES)
    stale = _stale(shop)
    sources: dict[str, dict[str, Any]] = {}
    for quote in evidence.quotes:
        one = cited_passage(quote.n, quote.passage, stale).to_json()
        one |= {"quote": quote.text, "line_start": quote.line_start, "line_end": quote.line_end}
        home = sources.setdefault(
            quote.passage.path, {"path": quote.passage.path, "title": quote.passage.title, "quotes": []}
        )
        home["quotes"].append(one)
    nearest = [cited_passage(n, p, stale).to_json() for n, p in enumerate(evidence.passages[:3], 1)]
    return {
        "topic": topic,
        "refused": evidence.refused,
        "score": evidence.score,
        "sources": list(sources.values()),
        "conflicts": _conflicts(shop, topic, evidence.passages),
        "nearest": nearest if evidence.refused else [],
    }


def summarise(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"path", "sentences"} -> {"path", "title", "lines": [...], "backlinks": [...]}."""
    path = _known(shop, spec["path"])
    row = shop.library.document(path)
    lines = shop.library.summary(path, int(spec.get("sentences", 7)), check)
    links = [{"path": p, "line": line, "heading": heading} for p, line, heading in shop.library.backlinks(path)]
    return {
        "path": path,
        "title": row.title if row else path,
        "lines": [line.to_json() for line in lines],
        "backlinks": links,
    }


def compare(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"one", "other", "sentences"} -> {"one", "other", "both": [[line, line]..], "only_one", "only_other"}."""
    one, other = _known(shop, spec["one"]), _known(shop, spec["other"])
    found = shop.library.comparison(one, other, int(spec.get("sentences", 5)), check)
    return {
        "one": one,
        "other": other,
        "both": [[line.to_json() for line in pair] for pair in found["both"]],
        "only_one": [line.to_json() for line in found["only_one"]],
        "only_other": [line.to_json() for line in found["only_other"]],
    }


def _known(shop: Workshop, name: str) -> str:
    """A document's path, by path, file name or title."""
    path = str(Path(name).expanduser().absolute())
    rows = shop.library.documents()
    if any(row.path == path for row in rows):
        return path
    named = [r.path for r in rows if name.casefold() in (Path(r.path).name.casefold(), r.title.casefold())]
    if len(named) > 1:
        raise BadArgument(f'"{name}" names {len(named)} documents', f"Give the path: {named[0]} or {named[1]}.")
    return named[0] if named else path


def documents(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{} -> {"documents": [...], "collections": [...], "health": {...}}."""
    rows = shop.library.documents()
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.collection] = counts.get(row.collection, 0) + 1
    collections = [
        {**one.to_json(), "documents": counts.get(one.name, 0)} for one in Collections(shop.paths.collections)
    ]
    return {
        "documents": [row.to_json() for row in rows],
        "collections": collections,
        "health": shop.library.health(),
    }


def duplicates(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{} -> {"pairs": [{"one", "other", "share"}]}: documents that repeat each other."""
    return {
        "pairs": [{"one": one, "other": other, "share": share} for one, other, share in shop.library.duplicates(check)]
    }


def rebuild(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """Make the index again from the store, embed anew where the embedder is another; {} -> the library's health."""
    shop.library.rebuild(report=report, check=check)
    return {"health": shop.library.health()}

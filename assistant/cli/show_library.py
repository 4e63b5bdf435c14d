"""The library's results as text for a person. Each function takes what its command returned.

What stands in notes, names and models is put on a terminal without escapes and control characters.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from assistant.cli.show import wrap
from knowledge.screen import shown


def _harmless(value: Any) -> Any:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {_harmless(key): _harmless(one) for key, one in value.items()}
    return [_harmless(one) for one in value] if isinstance(value, (list, tuple)) else value


def _safe(show: Callable[[dict[str, Any]], str]) -> Callable[[dict[str, Any]], str]:
    @wraps(show)
    def safe(result: dict[str, Any]) -> str:
        return show(_harmless(result))

    return safe


def place(item: dict[str, Any]) -> str:
    """`path:line`, with the page of a PDF."""
    page = f" page {item['page']}" if item.get("page") else ""
    return f"{item['path']}:{item['line_start']}{page}"


@_safe
def ingest(result: dict[str, Any]) -> str:
    lines = []
    counts: dict[str, int] = {}
    for document in result["documents"]:
        counts[document["status"]] = counts.get(document["status"], 0) + 1
        if document["status"] != "unchanged":
            reason = f"  ({document['reason']})" if document["reason"] else ""
            lines.append(f"{document['status']:<9} {document['chunks']:>4} chunks  {document['path']}{reason}")
    summary = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    lines.append(f"{summary or 'nothing to read'} in {result['seconds']:.1f} s")
    return "\n".join(lines)


@_safe
def search(result: dict[str, Any]) -> str:
    lines = []
    for n, passage in enumerate(result["passages"], 1):
        heading = f"  {passage['heading']}" if passage["heading"] else ""
        lines.append(f"[{n}] {passage['score']:.3f}  {place(passage)}{heading}")
        if "signals" in passage:
            lines.append("      " + _signals(passage["signals"]))
        lines.append(wrap(passage["text"], "    "))
    return "\n".join(lines) or "Nothing found. `atelier ingest PATH` adds notes."


def _signals(signals: dict[str, Any]) -> str:
    """`full text 12.4 (rank 1)  meaning 0.52 (rank 3)  links 0.06  by chroma`."""

    def ranked(name: str, shown: str) -> str:
        rank = signals[f"{name}_rank"]
        return f"{shown} {signals[name]:.3g} ({f'rank {rank}' if rank else 'not in its list'})"

    parts = [ranked("bm25", "full text"), ranked("dense", "meaning"), f"links {signals['links']:.3g}"]
    if "rerank" in signals:
        parts.append(f"cross-encoder {signals['rerank']:.3g}")
    return "  ".join([*parts, f"by {signals['index']}"])


@_safe
def ask(result: dict[str, Any]) -> str:
    lines = []
    if result["asked"] != result["question"]:
        lines += [f"(understood as: {result['asked']})", ""]
    lines += [wrap(result["answer"], ""), ""]
    for citation in result["citations"]:
        lines.append(f"[{citation['n']}] {_cited(citation)}")
    if result["refused"] and result["nearest"]:
        lines.append("The nearest passages are:")
        lines += [f"  {_cited(c)}" for c in result["nearest"]]
    lines += _conflicts(result["conflicts"])
    if dropped := result["context"].get("dropped"):
        numbers = ", ".join(f"[{n}]" for n in dropped)
        lines.append(f"The model was not given {numbers}: its context has no room (llm.context).")
    return "\n".join(lines).rstrip()


def _cited(citation: dict[str, Any]) -> str:
    marks = "  (changed since it was read)" if citation.get("stale") else ""
    marks += f"\n    picture {citation['picture']}" if citation.get("picture") else ""
    return f"{place(citation)}  {citation['heading'] or citation['title']}{marks}"


def _conflicts(conflicts: list[dict[str, Any]]) -> list[str]:
    lines = []
    for conflict in conflicts:
        lines.append(f"These do not agree ({conflict['why']}):")
        for statement in conflict["statements"]:
            lines.append(wrap(f"“{' '.join(statement['text'].split())}”", "  "))
            lines.append(f"    {statement['path']}:{statement['line']}")
    return lines


@_safe
def brief(result: dict[str, Any]) -> str:
    if result["refused"]:
        nearest = [f"  {_cited(c)}" for c in result["nearest"]]
        return "\n".join(
            ["Your notes say nothing about this.", *(["The nearest passages are:", *nearest] if nearest else [])]
        )
    lines = [f"What your notes say about: {result['topic']}", ""]
    for source in result["sources"]:
        lines.append(f"{source['title']}  ({source['path']})")
        for quote in source["quotes"]:
            stale = "  (changed since it was read)" if quote["stale"] else ""
            lines.append(wrap(f"[{quote['n']}] {' '.join(quote['quote'].split())}", "  "))
            lines.append(f"      {place(quote)}{stale}")
        lines.append("")
    return "\n".join([*lines, *_conflicts(result["conflicts"])]).rstrip()


@_safe
def summarise(result: dict[str, Any]) -> str:
    lines = [f"{result['title']}  ({result['path']})", ""]
    lines += [_line(line) for line in result["lines"]]
    if result["backlinks"]:
        lines += ["", "Linked from:"]
        lines += [f"  {link['path']}:{link['line']}  {link['heading']}" for link in result["backlinks"]]
    return "\n".join(lines)


def _line(line: dict[str, Any], indent: str = "  ") -> str:
    where = f"page {line['page']}" if line["page"] else f"line {line['line']}"
    return wrap(f"{' '.join(line['text'].split())} ({where})", indent)


@_safe
def compare(result: dict[str, Any]) -> str:
    lines = [f"A  {result['one']}", f"B  {result['other']}", "", "Both speak of:"]
    for one, other in result["both"]:
        lines += [_line(one, "  A "), _line(other, "  B "), ""]
    if not result["both"]:
        lines += ["  nothing in common was found", ""]
    for name, letter in (("only_one", "A"), ("only_other", "B")):
        lines.append(f"Only {letter}:")
        lines += [_line(line) for line in result[name]] or ["  nothing of its own was found"]
        lines.append("")
    return "\n".join(lines).rstrip()


@_safe
def documents(result: dict[str, Any]) -> str:
    lines = []
    for document in result["documents"]:
        reason = f"  ({document['reason']})" if document["reason"] else ""
        home = document["collection"] or "-"
        lines.append(f"{document['status']:<8} {document['chunks']:>4}  {home:<12} {document['path']}{reason}")
    lines += [f"problem: {problem}" for problem in result["health"]["problems"]]
    health = result["health"]
    lines.append(
        f"{health['documents']} documents, {health['chunks']} passages, embedder {health['embedder'] or 'none yet'}"
    )
    return "\n".join(lines)


@_safe
def collections(result: dict[str, Any]) -> str:
    lines = []
    for one in result["collections"]:
        lines.append(one["name"])
        lines += [f"  {folder}" for folder in one["folders"]]
        if one["exclude"]:
            lines.append(f"  without {', '.join(one['exclude'])}")
    return "\n".join(lines) or "No collections yet. `atelier ingest FOLDER` keeps one."


@_safe
def removed(result: dict[str, Any]) -> str:
    one = result["collection"]
    return f"{one['name']} is kept no longer: {result['removed']} documents left the library; the files are untouched."


@_safe
def duplicates(result: dict[str, Any]) -> str:
    lines = [f"{pair['share']:>4.0%}  {pair['one']}\n      {pair['other']}" for pair in result["pairs"]]
    return "\n".join(lines) or "No document repeats another."


@_safe
def unanswered(result: dict[str, Any]) -> str:
    lines = []
    for one in result["questions"]:
        times = f", {one['times']} times" if one["times"] > 1 else ""
        lines.append(f"{one['latest'][:16].replace('T', ' ')}  {one['question']}{times}")
        lines += [f"    near: {near}" for near in one["nearest"][:2]]
    return "\n".join(lines) or "Every question was answered."


@_safe
def conversations(result: dict[str, Any]) -> str:
    lines = [
        f"{one['id']:>4}  {one['changed'][:16].replace('T', ' ')}  {one['turns']:>3} asked  {one['title']}"
        for one in result["conversations"]
    ]
    return "\n".join(lines) or "No conversations. `atelier chat` begins one."


@_safe
def conversation(result: dict[str, Any]) -> str:
    lines = [result["title"], ""]
    for turn in result["turns"]:
        lines.append(f"> {turn['question']}")
        lines += [ask(turn["result"]) if turn["result"] else "(no answer)", ""]
    return "\n".join(lines).rstrip()


@_safe
def renamed(result: dict[str, Any]) -> str:
    return f"{result['id']}  {result['title']}"


@_safe
def deleted(result: dict[str, Any]) -> str:
    return f"Deleted: {result['deleted']['title']}"


@_safe
def exported(result: dict[str, Any]) -> str:
    return str(result.get("text") or result["path"])


@_safe
def eval_answers(result: dict[str, Any]) -> str:
    names = {
        "answered": "answered, of all questions",
        "refused": "refused, of all questions",
        "answer_recall": "the answer stands in the quotes, of answerable questions",
        "citation_precision": "quotes that belong to an answer, of all shown for answerable questions",
        "false_refusals": "refused, of answerable questions",
        "false_answers": "answered, of unanswerable questions",
        "verbatim": "quotes that stand in the notes letter by letter",
    }
    return "\n".join([f"{result['questions']} questions", *(f"{result[k]:>7.1%}  {text}" for k, text in names.items())])


@_safe
def llm_list(result: dict[str, Any]) -> str:
    lines = []
    for model in result["models"]:
        mark = "*" if model["chosen"] else " "
        if model["problem"]:
            lines.append(f"{mark} {model['path']}  ({model['problem']})")
            continue
        fit = "fits" if model["fits"] else "does not fit now"
        lines.append(
            f"{mark} {model['name']}  {model['size'] / 1e9:.2f} GB, context {model['context']}, "
            f"needs about {model['needs'] / 1e9:.1f} GB: {fit}\n    {model['path']}"
        )
    return "\n".join(lines) or "No model found. Put GGUF files into a folder of llm.models."


@_safe
def llm_use(result: dict[str, Any]) -> str:
    model = result["model"]
    fit = "" if model["fits"] else "  (more memory than is free now)"
    return f"{model['name']} answers from now on{fit}"


@_safe
def eval_retrieval(result: dict[str, Any]) -> str:
    def row(name: str, scores: dict[str, Any]) -> str:
        cells = " ".join(f"{k} {v:.4f}" for k, v in scores.items() if isinstance(v, (int, float)))
        return f"{name:<7} {cells}"

    whole = {k: v for k, v in result.items() if k != "by"}
    return "\n".join([row("hybrid", whole), *(row(n, s) for n, s in result["by"].items())])

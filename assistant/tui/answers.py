"""What the library answered, as text for the conversation pane and as sources for the list beside it.

Everything that comes out of a note goes through `shown` and into `Text`, never through markup: a note cannot draw on
the screen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.text import Text

from knowledge.screen import shown

Sources = list[dict[str, Any]]
HEADING = 72  # characters


def answer(result: dict[str, Any]) -> tuple[Text, Sources]:
    """An `ask` result: the answer, how it was understood, who wrote it, what does not agree."""
    text = Text()
    asked = result.get("asked", "")
    if asked and asked != result.get("question", asked):
        text.append(f"understood as: {shown(asked)}\n", "dim")
    body = Text(shown(result["answer"]))
    body.highlight_regex(r"\[\d+\]", "bold yellow")
    text.append_text(body)
    if result["refused"] and result["nearest"]:
        text.append("\nThe nearest passages stand among the sources.", "dim")
    elif result["model"] != "extractive":
        text.append(f"\n{shown(result['model'])}, each sentence held against its quote", "dim")
    context = result.get("context") or {}
    if context.get("dropped"):
        numbers = ", ".join(f"[{n}]" for n in context["dropped"])
        text.append(f"\nNot given to the model, its context is full: {numbers}", "dim")
    if any(citation.get("stale") for citation in result["citations"]):
        text.append("\nA source has changed since it was read; Ctrl+B reads the notes again.", "yellow")
    _disagreements(text, result.get("conflicts", []))
    return text, result["citations"] or result["nearest"]


def _disagreements(text: Text, conflicts: list[dict[str, Any]]) -> None:
    for conflict in conflicts:
        text.append(f"\nYour notes do not agree here ({conflict['why']}):", "bold")
        for statement in conflict["statements"]:
            text.append(f"\n  {_flat(statement['text'])}", "italic")
            text.append(f"  {Path(statement['path']).name}:{statement['line']}", "dim")


def _flat(text: str) -> str:
    return " ".join(shown(text).split())


def brief(result: dict[str, Any]) -> tuple[Text, Sources]:
    """A `brief` result: quotes under their documents."""
    if result["refused"]:
        return Text("Your notes say nothing about this. The nearest passages stand among the sources."), result[
            "nearest"
        ]
    text = Text()
    sources: Sources = []
    for source in result["sources"]:
        text.append(("\n" if sources else "") + shown(source["title"]) + "\n", "bold")
        for quote in source["quotes"]:
            text.append(f"  [{quote['n']}] ", "bold yellow").append(_flat(quote["quote"]) + "\n")
            sources.append(quote)
    text.rstrip()
    _disagreements(text, result["conflicts"])
    return text, sorted(sources, key=lambda quote: quote["n"])


def _line(n: int, line: dict[str, Any], title: str = "") -> dict[str, Any]:
    last = line["line"] + line["text"].count("\n")
    return {
        "n": n, "path": line["path"], "title": title or Path(line["path"]).name, "heading": line["heading"],
        "line_start": line["line"], "line_end": last, "page": line["page"], "quote": line["text"],
    }  # fmt: skip


def summary(result: dict[str, Any]) -> tuple[Text, Sources]:
    """A `summarise` result: the document's own sentences, and who links to it."""
    text = Text().append(shown(result["title"]), "bold")
    sources = [_line(n, line) for n, line in enumerate(result["lines"], 1)]
    for source in sources:
        text.append(f"\n  [{source['n']}] ", "bold yellow").append(_flat(source["quote"]))
    for link in result["backlinks"]:
        sources.append(
            _line(len(sources) + 1, {**link, "text": "", "page": None}, "links here")
        )  # fmt: skip
    if result["backlinks"]:
        text.append(f"\n{len(result['backlinks'])} passages link to it; they stand among the sources.", "dim")
    return text, sources


def comparison(result: dict[str, Any]) -> tuple[Text, Sources]:
    """A `compare` result: pairs side by side, then what each has alone."""
    text = Text()
    sources: Sources = []

    def add(line: dict[str, Any], mark: str) -> None:
        sources.append(_line(len(sources) + 1, line))
        text.append(f"\n  {mark} ", "bold").append(f"[{len(sources)}] ", "bold yellow").append(_flat(line["text"]))

    text.append(f"A {Path(result['one']).name}   B {Path(result['other']).name}", "bold")
    text.append("\nBoth speak of:", "bold")
    for one, other in result["both"]:
        add(one, "A")
        add(other, "B")
    if not result["both"]:
        text.append(" nothing in common was found")
    for name, letter in (("only_one", "A"), ("only_other", "B")):
        text.append(f"\nOnly {letter}:", "bold")
        for line in result[name]:
            add(line, letter)
        if not result[name]:
            text.append(" nothing of its own was found")
    return text, sources


def passages(result: dict[str, Any]) -> tuple[Text, Sources]:
    """A `search` result: the beginnings of the passages."""
    text = Text()
    sources: Sources = []
    for n, passage in enumerate(result["passages"], 1):
        sources.append({**passage, "n": n, "quote": passage["text"]})
        flat = _flat(passage["text"])
        text.append(f"[{n}] ", "bold yellow").append(flat[:160] + ("…" if len(flat) > 160 else "") + "\n")
    text.rstrip()
    return text or Text("Nothing was found."), sources


def source_label(source: dict[str, Any]) -> Text:
    """Two lines in the list of sources."""
    label = Text(overflow="ellipsis", no_wrap=True)
    label.append(f"[{source['n']}] ", "bold yellow")
    label.append(f"{shown(Path(source['path']).name)}:{source['line_start']}", "bold")
    if source["page"]:
        label.append(f" p. {source['page']}")
    if source.get("picture"):
        label.append(" picture", "cyan")
    if source.get("stale"):
        label.append(" changed since", "yellow")
    heading = shown(source["heading"] or source["title"])
    # The end of the path says most; the list wraps, and a long path would crowd out the next source.
    label.append(f"\n    {heading if len(heading) <= HEADING else '…' + heading[1 - HEADING :]}", "dim")
    return label

"""A conversation as a file: Markdown, Logseq blocks or JSON, each with its citations; BibTeX of what it cites."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assistant.conversations import Conversation, Exchange
from assistant.errors import BadArgument, nearest
from assistant.writing import write_whole

FORMATS = {"markdown": ".md", "logseq": ".md", "json": ".json", "bibtex": ".bib"}


def exported(conversation: Conversation, turns: Sequence[Exchange], form: str) -> str:
    """The conversation as text. Raises `BadArgument` for an unknown form."""
    if form not in FORMATS:
        raise BadArgument(f'"{form}" is no form to export to', nearest(form, FORMATS))
    if form == "json":
        whole = {**conversation.to_json(), "turns": [turn.to_json() for turn in turns]}
        return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"
    return {"markdown": _markdown, "logseq": _logseq, "bibtex": _bibtex}[form](conversation, turns)


def _place(citation: dict[str, Any]) -> str:
    page = f", page {citation['page']}" if citation.get("page") else ""
    return f"{citation['path']}:{citation['line_start']}{page}"


def _markdown(conversation: Conversation, turns: Sequence[Exchange]) -> str:
    out = ["---", f"title: {json.dumps(conversation.title, ensure_ascii=False)}", f"date: {conversation.created[:10]}"]
    out += ["---", "", f"# {conversation.title}", ""]
    for number, turn in enumerate(turns, 1):
        result = turn.result or {}
        # Marks become footnotes, so that any reader of Markdown follows them.
        marked = _footnotes(result.get("answer", "(no answer)"), result.get("citations", []), number)
        out += [f"## {_one(turn.question)}", "", marked, ""]
        for citation in result.get("citations", []):
            quote = " ".join(citation["quote"].split())
            out.append(f"[^{number}-{citation['n']}]: “{quote}” — {_place(citation)}")
        if result.get("citations"):
            out.append("")
    return "\n".join(out).rstrip() + "\n"


def _logseq(conversation: Conversation, turns: Sequence[Exchange]) -> str:
    out = [f"title:: {conversation.title}", f"date:: {conversation.created[:10]}", "tags:: atelier, conversation", ""]
    for turn in turns:
        result = turn.result or {}
        out.append(f"- {_one(turn.question)}")
        out.append(f"\t- {_one(result.get('answer', '(no answer)'))}")
        for citation in result.get("citations", []):
            out.append(f"\t\t- [{citation['n']}] > {_one(citation['quote'])}")
            out.append(f"\t\t  source:: {_place(citation)}")
    return "\n".join(out) + "\n"


def _bibtex(conversation: Conversation, turns: Sequence[Exchange]) -> str:
    """One @misc entry a cited file, its lines in the note."""
    cited: dict[str, tuple[str, list[str]]] = {}
    for turn in turns:
        for citation in (turn.result or {}).get("citations", []):
            lines = f"p. {citation['page']}" if citation.get("page") else f"l. {citation['line_start']}"
            places = cited.setdefault(citation["path"], (citation["title"], []))[1]
            if lines not in places:
                places.append(lines)
    out = []
    for number, (path, (title, places)) in enumerate(cited.items(), 1):
        key = re.sub(r"[^A-Za-z0-9]+", "", Path(path).stem) or "note"
        fields = {"title": title or Path(path).name, "howpublished": path, "note": ", ".join(places)}
        body = ",\n".join(f"  {name} = {{{_tex(value)}}}" for name, value in fields.items())
        out.append(f"@misc{{{key}{number},\n{body}\n}}\n")
    return "\n".join(out) or f"% {_one(conversation.title)}: nothing was cited\n"


def _tex(text: str) -> str:
    return re.sub(r"([#$%&_])", r"\\\1", re.sub(r"[{}\\]", " ", _one(text)))


def _one(text: str) -> str:
    return " ".join(text.split())


def _footnotes(text: str, citations: Sequence[dict[str, Any]], turn: int) -> str:
    """The marks [1] as footnotes; what looks like a mark inside a quote is the note's own and stays."""
    quotes = [(f"“{_one(c['quote'])}”", c["n"]) for c in citations]
    end = "\n\n".join(f"{quote} [{n}]" for quote, n in quotes)
    if not text.endswith(end):
        quotes, end = [], ""
    head = text.removesuffix(end)
    for citation in citations:
        head = head.replace(f"[{citation['n']}]", f"[^{turn}-{citation['n']}]")
    return head + "\n\n".join(f"{quote} [^{turn}-{n}]" for quote, n in quotes)


def write(path: Path, data: str | bytes) -> Path:
    """Write a file the person named; raises `BadArgument` where that cannot be."""
    try:
        return write_whole(path, data)
    except OSError as error:
        raise BadArgument(f"{path} cannot be written: {error.strerror or error}", "Choose another file.") from error

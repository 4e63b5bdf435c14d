"""Scores answers over the library as it stands: what was answered, what refused, and whether the quotes hold it.

A question file has one JSON object a line: {"question", "answers": [texts, any of which answers], "unanswerable"}.
Answers are the librarian's quotes; no language model takes part, so the figures are those of the extraction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import BadArgument
from knowledge.language import fold
from knowledge.library import Library
from knowledge.records import Evidence


@dataclass(frozen=True)
class Question:
    """`answers` are texts, any of which inside a quote answers the question."""

    text: str
    answers: tuple[str, ...]
    unanswerable: bool


def load(path: Path) -> list[Question]:
    """Raises `BadArgument` naming the line that cannot be used."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadArgument(f"{path} cannot be read", "Give a file with one JSON object a line.") from error
    questions = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            answers, text = row.get("answers") or [], row["question"]
            if not isinstance(answers, list) or not isinstance(text, str) or not text.strip():
                raise TypeError
            texts = tuple(str(answer) for answer in answers)
            questions.append(Question(text, texts, bool(row.get("unanswerable", not texts))))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise BadArgument(
                f"{path}, line {number} is no question", 'Write {"question": "...", "answers": ["..."]}.'
            ) from error
    if not questions:
        raise BadArgument(f"{path} holds no question", "Give a file with one JSON object a line.")
    return questions


def evaluate(
    questions: Sequence[Question],
    library: Library,
    *,
    k: int = 8,
    report: Callable[[dict[str, Any]], None] = lambda event: None,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Shares in 0..1 of the questions they speak of:

    answered, refused: of all; citation_precision: quotes of answered answerable questions that stand verbatim where
    they say and belong to an answer (a quote of a question whose quotes hold no answer counts as wrong);
    answer_recall: answerable questions whose quotes hold an answer; false_refusals: of answerable ones;
    false_answers: of unanswerable ones; verbatim: quotes that are in their passage, letter by letter.
    """
    rows = []
    for number, question in enumerate(questions, 1):
        check()
        rows.append((question, library.evidence(question.text, k)))
        report({"kind": "progress", "stage": "questions", "done": number, "total": len(questions)})
    own = [(q, e) for q, e in rows if not q.unanswerable]
    other = [(q, e) for q, e in rows if q.unanswerable]
    right = [holds(question, evidence) for question, evidence in own]
    quotes = [quote for _, evidence in rows for quote in evidence.quotes]
    cited = sum(len(evidence.quotes) for _, evidence in own)
    good = sum(len(evidence.quotes) for (_, evidence), held in zip(own, right, strict=True) if held)
    return {
        "questions": len(rows),
        "answered": _share(not evidence.refused for _, evidence in rows),
        "refused": _share(evidence.refused for _, evidence in rows),
        "citation_precision": round(good / cited, 4) if cited else 0.0,
        "answer_recall": _share(right),
        "false_refusals": _share(evidence.refused for _, evidence in own),
        "false_answers": _share(not evidence.refused for _, evidence in other),
        "verbatim": _share(quote.text in quote.passage.text for quote in quotes) if quotes else 1.0,
    }


def holds(question: Question, evidence: Evidence) -> bool:
    """Whether any of the answers stands in any of the quotes, case, accents and line breaks aside."""
    shown = [_flat(quote.text) for quote in evidence.quotes]
    return any(_flat(answer) in text for answer in question.answers for text in shown)


def _flat(text: str) -> str:
    return " ".join(fold(text).split())


def _share(values: Any) -> float:
    flags = [bool(value) for value in values]
    return round(sum(flags) / len(flags), 4) if flags else 0.0

"""The figures of `atelier eval answers`: what a file must hold, by hand, and over a person's real notes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assistant_checks import write

from assistant.answer_evaluation import Question, evaluate, holds, load
from assistant.errors import BadArgument
from ingest.pipeline import ingest
from knowledge.embedders import load_embedder
from knowledge.library import Library
from knowledge.records import Evidence, Passage, Quote

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        '"text"',
        "{}",
        '{"answers": ["x"]}',
        '{"question": ""}',
        '{"question": null, "answers": ["x"]}',
        '{"question": "q", "answers": "a text and no list"}',
        '{"question": "q", "answers": 3}',
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "q.jsonl", f'{{"question": "good", "answers": ["x"]}}\n\n{line}\n')
    with pytest.raises(BadArgument, match="line 3"):
        load(path)


def test_files_without_questions_are_named(tmp_path: Path) -> None:
    for path in (write(tmp_path / "empty.jsonl", "\n\n"), tmp_path / "missing.jsonl", tmp_path):
        with pytest.raises(BadArgument, match=path.name):
            load(path)
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(BadArgument, match="cannot be read"):
        load(tmp_path / "bytes.jsonl")


def test_a_question_without_answers_is_unanswerable(tmp_path: Path) -> None:
    text = '{"question": "a", "answers": ["x", "y"]}\n{"question": "b"}\n{"question": "c", "unanswerable": false}\n'
    assert load(write(tmp_path / "q.jsonl", text)) == [
        Question("a", ("x", "y"), False),
        Question("b", (), True),
        Question("c", (), False),
    ]


def evidence(question: str, *quotes: str, passage: str = "") -> Evidence:
    one = Passage(1, "/n.md", "n", "n", 1, 1, None, 0.9, passage or " ".join(quotes), {})
    return Evidence(
        question, tuple(Quote(n, one, q, 1, 1, 0.9) for n, q in enumerate(quotes, 1)), (one,), 0.5, not quotes
    )


class Answers(Library):
    """A library that has one evidence for each question."""

    def __init__(self, found: Sequence[Evidence]) -> None:
        self.found = {one.question: one for one in found}

    def evidence(self, question: str, *options: object, **more: object) -> Evidence:
        return self.found[question]


def test_the_figures_of_a_case_made_by_hand() -> None:
    library = Answers(
        [
            evidence("right", "It needs 20 steps.", "And a seed."),  # the answer is in one of two quotes
            evidence("wrong", "It needs 30 steps."),
            evidence("refused"),
            evidence("rightly refused"),
            evidence("invented", "Mars is red.", passage="Mars is big."),  # and not verbatim
        ]
    )
    questions = [
        Question("right", ("20 STEPS",), False),
        Question("wrong", ("20 steps",), False),
        Question("refused", ("20 steps",), False),
        Question("rightly refused", (), True),
        Question("invented", (), True),
    ]
    events: list[dict[str, object]] = []
    assert evaluate(questions, library, report=events.append) == {
        "questions": 5,
        "answered": 0.6,
        "refused": 0.4,
        "citation_precision": 0.6667,  # 2 of the 3 quotes of answerable questions
        "answer_recall": 0.3333,
        "false_refusals": 0.3333,
        "false_answers": 0.5,
        "verbatim": 0.75,
    }
    assert [(event["done"], event["total"]) for event in events] == [(n, 5) for n in range(1, 6)]


@pytest.mark.parametrize(
    ("answer", "quote", "held"),
    [
        ("20 steps", "needs 20\n   steps", True),
        ("café", "A CAFE", True),
        ("ещё", "Еще раз", True),
        ("20 steps", "120 step", False),
        ("20 steps", "20", False),
    ],
)
def test_case_accents_and_line_breaks_do_not_count(answer: str, quote: str, held: bool) -> None:
    assert holds(Question("q", (answer,), False), evidence("q", quote)) is held


def test_a_cancellation_stops_between_questions() -> None:
    class Stop(Exception):
        pass

    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise Stop

    with pytest.raises(Stop):
        evaluate([Question("q", ("x",), False)] * 5, Answers([evidence("q", "x")]), check=check)
    assert asked == 2


# Over the notes of the user


class Remembering:
    """An embedder that reads no text twice: the same sentences are candidates for many questions."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._known: dict[tuple[str, bool], Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def encode(self, texts: Sequence[str], *, query: bool = False, check: Callable[[], None] | None = None) -> Any:
        new = [text for text in dict.fromkeys(texts) if (text, query) not in self._known]
        if new:
            vectors = self._inner.encode(new, query=query, check=check)
            self._known |= {(text, query): vector for text, vector in zip(new, vectors, strict=True)}
        return np.stack([self._known[text, query] for text in texts])


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    shared = Path(os.environ.get("ATELIER_SHARED", HERE.parent.parent.parent / "shared"))
    folder = shared / "notes-of-the-user"
    if not folder.is_dir():
        pytest.skip("the notes of the user are not here (ATELIER_SHARED)")
    embedder: Any = Remembering(load_embedder("all-MiniLM-L6-v2"))
    with Library(tmp_path_factory.mktemp("library"), embedder=embedder, writable=True) as library:
        assert {outcome.status for outcome in ingest([folder], library)} == {"indexed"}
        yield library


def test_the_notes_of_the_user_are_answered_from(notes: Library) -> None:
    questions = load(HERE / "notes_questions.jsonl")
    found = evaluate(questions, notes)
    own = sum(not question.unanswerable for question in questions)
    held = round(found["answer_recall"] * own)
    assert (found["questions"], own) == (48, 40)
    assert found["verbatim"] == 1.0
    assert found["answer_recall"] >= 0.65
    assert held >= 30, f"answers that stand in the quotes: {held} of {own}"
    assert found["false_refusals"] <= 0.2

"""Conversations kept, found again, exported and read back, and the list of what the notes lack."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from assistant_checks import do, workshop, write

from assistant.conversations import TITLE, Conversations
from assistant.errors import BadArgument
from assistant.export import exported
from assistant.export import write as write_export
from assistant.jobs.workshop import Workshop
from ingest.parsed import Node
from ingest.readers import kind_of, logseq, markdown

ROOT = Path(__file__).parent.parent.parent


def nothing() -> None:
    pass


def result(answer: str, *quotes: str, path: str = "/notes/cfg.md", page: int | None = None) -> dict[str, Any]:
    citations = [
        {"n": n, "path": path, "line_start": 10 + n, "line_end": 10 + n, "page": page, "quote": quote}
        for n, quote in enumerate(quotes, 1)
    ]
    return {"answer": answer, "refused": not quotes, "citations": citations}


@pytest.fixture
def kept(tmp_path: Path) -> Conversations:
    return Conversations(tmp_path / "data" / "conversations.sqlite3")


def test_nothing_is_written_before_the_first_conversation(kept: Conversations) -> None:
    assert kept.listed() == kept.unanswered() == []
    with pytest.raises(BadArgument, match="no conversation 1"):
        kept.get(1)
    assert not kept.path.exists()


def test_questions_and_answers_come_back_as_they_were(kept: Conversations) -> None:
    number = kept.begin("What is CFG?")
    first = kept.ask(number, "What is CFG?")
    kept.answered(first, result("Руководство “—” [1]", "x"))
    kept.ask(number, "Why?")
    one, two = kept.turns(number)
    assert (one.question, one.result) == ("What is CFG?", result("Руководство “—” [1]", "x"))
    assert (two.question, two.result) == ("Why?", None)
    assert (kept.get(number).title, kept.get(number).turns) == ("What is CFG?", 2)


KILLED = """
import os, sys
from pathlib import Path
from assistant.conversations import Conversations
kept = Conversations(Path(sys.argv[1]))
kept.ask(kept.begin("t"), "Will this be kept?")
os._exit(9)
"""


def test_a_question_survives_a_process_that_ends_before_the_answer(kept: Conversations) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(kept.path)], check=False, cwd=ROOT)
    assert done.returncode == 9
    (one,) = kept.listed()
    assert [(turn.question, turn.result) for turn in kept.turns(one.id)] == [("Will this be kept?", None)]
    kept.answered(kept.turns(one.id)[0].id, result("Yes."))
    assert kept.turns(one.id)[0].result == result("Yes.")


def test_the_latest_conversation_stands_first(kept: Conversations, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(f"2024-01-01T00:00:0{n}.000+00:00" for n in range(9))
    monkeypatch.setattr("assistant.conversations._now", lambda: next(times))
    one, two = kept.begin("one"), kept.begin("two")
    assert [c.id for c in kept.listed()] == [two, one]
    kept.ask(one, "again")
    assert [c.id for c in kept.listed()] == [one, two]


def test_a_query_looks_into_titles_questions_and_answers(kept: Conversations) -> None:
    lens, bread = kept.begin("Lenses"), kept.begin("Bread")
    kept.answered(kept.ask(lens, "Which aperture?"), result("A wide ДИАФРАГМА."))
    kept.ask(bread, "Which flour?")
    found = {
        query: [c.title for c in kept.listed(query)]
        for query in ("lens", "aperture", "диафрагма", "which", "which flour", "flour lens", "100%", "  ")
    }
    assert found == {
        "lens": ["Lenses"],
        "aperture": ["Lenses"],
        "диафрагма": ["Lenses"],
        "which": ["Bread", "Lenses"],
        "which flour": ["Bread"],
        "flour lens": [],
        "100%": [],
        "  ": ["Bread", "Lenses"],
    }


def test_titles_are_short_and_clean(kept: Conversations) -> None:
    number = kept.begin("a\x1b[31m\nb " + "word " * 40)
    title = kept.get(number).title
    assert title.startswith("a[31m b word")
    assert len(title) <= TITLE
    assert title.endswith("…")
    assert kept.rename(number, "  Short\tone ").title == "Short one"
    with pytest.raises(BadArgument, match="empty"):
        kept.rename(number, " \n")
    with pytest.raises(BadArgument, match="no conversation 99"):
        kept.rename(99, "x")


def test_deleting_takes_the_turns_along(kept: Conversations) -> None:
    number, other = kept.begin("gone"), kept.begin("stays")
    kept.ask(number, "q")
    kept.ask(other, "r")
    assert kept.delete(number).title == "gone"
    assert [c.title for c in kept.listed()] == ["stays"]
    assert sqlite3.connect(kept.path).execute("SELECT question FROM turns").fetchall() == [("r",)]
    for act in (kept.delete, kept.get, lambda n: kept.ask(n, "x")):
        with pytest.raises(BadArgument):
            act(number)
    assert kept.begin("new") not in (number, other)  # numbers are not given twice


def test_a_file_that_is_no_database_is_named(kept: Conversations) -> None:
    write(kept.path, "not a database, but long enough to be read as the header of one" * 20)
    with pytest.raises(BadArgument, match=r"conversations\.sqlite3"):
        kept.begin("x")


def test_unanswered_questions_are_counted_and_leave_when_answered(kept: Conversations) -> None:
    kept.not_answered("What is  a LoRA?", 0.2, ["/a.md:1"])
    kept.not_answered("What is a LoRA? ", 0.3, ["/b.md:2"])
    kept.not_answered("Another?", 0.1, [])
    rows = {row["question"]: row for row in kept.unanswered()}
    assert set(rows) == {"What is a LoRA?", "Another?"}
    one = rows["What is a LoRA?"]
    assert (one["times"], one["score"], one["nearest"]) == (2, 0.3, ["/b.md:2"])
    assert one["first"] <= one["latest"]
    kept.now_answered("What is a\nLoRA?")
    assert [row["question"] for row in kept.unanswered()] == ["Another?"]


# Exporting

TURNS = (
    (
        "What does CFG do?",
        result(
            "It pulls. [1]\n\n“CFG pulls [2] hard.” [1]\n\n“More: 7-12.” [2]", "CFG pulls [2]\nhard.", "More: 7-12."
        ),
    ),
    ("Сколько шагов?\nА для SDXL?", result("“20 шагов” [1]", "20 шагов", path="/notes/шаги.pdf", page=3)),
    ("Unknown?", result("Your notes do not answer this.")),
    ("Never answered?", None),
)


@pytest.fixture
def told(kept: Conversations) -> tuple[Any, Any]:
    number = kept.begin('A "quoted": title')
    for question, answer in TURNS:
        turn = kept.ask(number, question)
        if answer is not None:
            kept.answered(turn, answer)
    return kept.get(number), kept.turns(number)


def outline(node: Node, lines: tuple[str, ...]) -> tuple[str, list[Any]]:
    own = " / ".join(line.strip().removeprefix("- ") for line in lines[node.line_start - 1 : node.line_end])
    return own, [outline(child, lines) for child in node.children]


def test_a_logseq_export_is_read_back_as_an_outline(told: tuple[Any, Any], tmp_path: Path) -> None:
    path = write_export(tmp_path / "out" / "conversation.md", exported(*told, "logseq"))
    assert kind_of(path) == "logseq"
    parsed = logseq.read(path, check=nothing)
    assert parsed.title == 'A "quoted": title'
    assert parsed.tags == ("atelier", "conversation")
    page = parsed.pages[0]
    tree = [outline(node, page.lines) for node in page.nodes if not page.lines[node.line_start - 1].startswith("title")]
    assert tree == [
        (
            "What does CFG do?",
            [
                (
                    "It pulls. [1] “CFG pulls [2] hard.” [1] “More: 7-12.” [2]",
                    [
                        ("[1] > CFG pulls [2] hard. / source:: /notes/cfg.md:11", []),
                        ("[2] > More: 7-12. / source:: /notes/cfg.md:12", []),
                    ],
                )
            ],
        ),
        (
            "Сколько шагов? А для SDXL?",
            [("“20 шагов” [1]", [("[1] > 20 шагов / source:: /notes/шаги.pdf:11, page 3", [])])],
        ),
        ("Unknown?", [("Your notes do not answer this.", [])]),
        ("Never answered?", [("(no answer)", [])]),
    ]


def test_a_markdown_export_is_read_back_with_a_heading_for_each_question(told: tuple[Any, Any], tmp_path: Path) -> None:
    text = exported(*told, "markdown")
    path = write_export(tmp_path / "c.md", text)
    assert kind_of(path) == "markdown"
    parsed = markdown.read(path, check=nothing)
    assert parsed.title == 'A "quoted": title'
    top = parsed.pages[0].nodes[0]
    assert [node.label for node in top.children if node.label] == [
        "What does CFG do?",
        "Сколько шагов? А для SDXL?",
        "Unknown?",
        "Never answered?",
    ]
    # The note's own [2] inside a quote is no mark of ours.
    assert "It pulls. [^1-1]\n\n“CFG pulls [2] hard.” [^1-1]\n\n“More: 7-12.” [^1-2]" in text
    assert "[^1-1]: “CFG pulls [2] hard.” — /notes/cfg.md:11\n" in text
    assert "[^1-2]: “More: 7-12.” — /notes/cfg.md:12\n" in text
    assert "[^2-1]: “20 шагов” — /notes/шаги.pdf:11, page 3\n" in text
    assert text.count("]: “") == 3


def test_a_bibtex_export_has_one_entry_a_file_with_its_places(kept: Conversations) -> None:
    number = kept.begin("Sources & more")
    for lines in (("a", "b"), ("a",)):
        kept.answered(kept.ask(number, "?"), {**result("x", *lines), "question": "?"})
    for turn in kept.turns(number):
        assert turn.result is not None
        for citation in turn.result["citations"]:
            citation["title"] = "CFG_scale {50%}"
        kept.answered(turn.id, turn.result)
    text = exported(kept.get(number), kept.turns(number), "bibtex")
    assert text.count("@misc{") == 1
    assert r"title = {CFG\_scale 50\% }" in text.replace("  ", " ")
    assert "l. 11, l. 12" in text
    assert text.count("{") == text.count("}")


def test_a_json_export_holds_everything(told: tuple[Any, Any]) -> None:
    whole = json.loads(exported(*told, "json"))
    assert whole["title"] == 'A "quoted": title'
    assert [(turn["question"], turn["result"]) for turn in whole["turns"]] == list(TURNS)


def test_an_unknown_form_and_an_unwritable_place_are_named(told: tuple[Any, Any], tmp_path: Path) -> None:
    with pytest.raises(BadArgument) as form:
        exported(*told, "markdwn")
    assert 'Did you mean "markdown"?' in form.value.hint
    with pytest.raises(BadArgument, match="cannot be written"):
        write_export(write(tmp_path / "file", "x") / "c.md", "text")


# Through the jobs

NOTES = (
    "# Upscaling\n\nThe tile ControlNet keeps the composition while upscaling the picture.\n\n"
    "# Portraits\n\nThe denoising strength for portraits is 0.35 while upscaling.\n"
)


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    write(tmp_path / "notes" / "upscaling.md", NOTES)
    shop = workshop(tmp_path / "home")
    do("ingest", shop, paths=[str(tmp_path / "notes")])
    return shop


def test_a_follow_up_takes_the_former_subject_over(shop: Workshop) -> None:
    first = do("ask", shop, question="What keeps the composition while upscaling the picture?", conversation="new")
    assert not first["refused"]
    number = first["conversation"]
    second = do("ask", shop, question="And for portraits?", conversation=number)
    assert second["question"] == "And for portraits?"
    assert "upscaling" in second["asked"]
    assert {"kind": "note", "message": f"understood as: {second['asked']}"} in second["events"]
    assert "0.35" in second["answer"]
    third = do("ask", shop, question="Why?", conversation=number)
    assert "upscaling" in third["asked"]  # the former question is taken as it was understood
    turns = Conversations(shop.paths.conversations).turns(number)
    assert [turn.question for turn in turns] == [
        "What keeps the composition while upscaling the picture?",
        "And for portraits?",
        "Why?",
    ]
    assert [turn.id for turn in turns] == [first["turn"], second["turn"], third["turn"]]
    assert turns[1].result is not None
    assert turns[1].result["citations"] == second["citations"]


def test_without_a_conversation_nothing_leans_and_nothing_is_kept(shop: Workshop) -> None:
    do("ask", shop, question="What keeps the composition while upscaling the picture?", conversation="new")
    alone = do("ask", shop, question="And for portraits?")
    assert (alone["conversation"], alone["turn"], alone["asked"]) == (None, None, "And for portraits?")
    assert [c.turns for c in Conversations(shop.paths.conversations).listed()] == [1]


def test_a_conversation_that_is_none_is_refused(shop: Workshop) -> None:
    with pytest.raises(BadArgument, match="no conversation 7"):
        do("ask", shop, question="What keeps the composition?", conversation=7)


def test_a_question_stopped_in_the_middle_is_kept(shop: Workshop) -> None:
    from assistant.jobs import library

    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    spec = {"question": "What keeps the composition while upscaling?", "conversation": "new"}
    with pytest.raises(Stop):
        library.ask(shop, spec, report=lambda event: None, check=stop)
    kept = Conversations(shop.paths.conversations)
    (only,) = kept.turns(kept.listed()[0].id)
    assert (only.question, only.result) == (spec["question"], None)
    assert kept.unanswered() == []


def test_a_refusal_is_listed_until_the_notes_know(shop: Workshop, tmp_path: Path) -> None:
    kept = Conversations(shop.paths.conversations)
    question = "Who invented the zeppelin airship?"
    for _ in range(2):
        assert do("ask", shop, question=question)["refused"]
    (row,) = kept.unanswered()
    assert (row["question"], row["times"]) == (question, 2)
    write(tmp_path / "notes" / "zeppelin.md", "# Zeppelin\n\nCount Zeppelin invented the zeppelin airship in 1900.\n")
    do("sync", shop)
    assert "Count Zeppelin" in do("ask", shop, question=question)["answer"]
    assert kept.unanswered() == []


def test_a_refused_follow_up_is_listed_as_it_was_understood(shop: Workshop) -> None:
    first = do("ask", shop, question="Who invented the zeppelin airship?", conversation="new")
    second = do("ask", shop, question="And when?", conversation=first["conversation"])
    assert (first["refused"], second["refused"]) == (True, True)
    listed = {row["question"] for row in Conversations(shop.paths.conversations).unanswered()}
    assert listed == {"Who invented the zeppelin airship?", second["asked"]}
    assert "zeppelin" in second["asked"]

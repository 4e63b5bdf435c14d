"""The Library's screens by their keys: conversations, files, the model picker, typed commands, watching."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from test_rooms import Recorder
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, OptionList, Static, TextArea

from assistant.collections import Collections
from assistant.conversations import Conversations
from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.app import Atelier
from assistant.tui.archive import Archive
from assistant.tui.passage import PassageView
from assistant.tui.shelf import Shelf
from assistant.tui.watching import Watcher, watched_folders

CITATION: dict[str, Any] = {
    "n": 1, "path": "/notes/lens.md", "title": "Lens", "heading": "Lens", "line_start": 2, "line_end": 2, "page": None,
    "quote": "A long lens flattens the face.", "picture": "", "stale": False,
}  # fmt: skip
RESULT: dict[str, Any] = {
    "question": "What does a long lens do?", "asked": "What does a long lens do?", "refused": False, "score": 0.9,
    "answer": "“A long lens flattens the face.” [1]", "citations": [CITATION], "model": "extractive", "nearest": [],
    "conflicts": [], "context": {},
}  # fmt: skip
DOCUMENTS = [
    {"path": "/notes/lens.md", "sha256": "", "size": 9, "mtime_ns": 1, "kind": "markdown", "title": "Lens",
     "properties": {}, "tags": ["optics"], "status": "indexed", "reason": "", "chunks": 3, "collection": "notes",
     "date": "2024-05-01"},
    {"path": "/notes/scan.pdf", "sha256": "", "size": 9, "mtime_ns": 1, "kind": "pdf", "title": "scan",
     "properties": {}, "tags": [], "status": "skipped", "reason": "no text layer (scanned)", "chunks": 0,
     "collection": "notes", "date": "2024-05-02"},
    {"path": "/x/[bold]evil\x1b[31m.md", "sha256": "", "size": 9, "mtime_ns": 1, "kind": "markdown", "title": "e",
     "properties": {}, "tags": [], "status": "failed", "reason": "permission denied", "chunks": 0, "collection": "",
     "date": "2024-05-02"},
]  # fmt: skip
LISTED = {"documents": DOCUMENTS, "collections": [], "health": {"documents": 1, "chunks": 3, "problems": []}}


@pytest.fixture
def app(paths: Paths, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Atelier:
    monkeypatch.setattr(TextArea, "cursor_blink", False)
    monkeypatch.setattr(Input, "cursor_blink", False, raising=False)
    return Atelier(paths, settings, work=False)


@pytest.fixture
def kept(paths: Paths) -> Conversations:
    kept = Conversations(paths.conversations)
    for title in ("Lenses", "Samplers"):
        number = kept.begin(title)
        turn = kept.ask(number, f"What about {title.lower()}?")
        kept.answered(turn, RESULT)
    return kept


async def settle(pilot: Pilot[Any]) -> None:
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def test_a_conversation_is_found_and_gone_on_with(app: Atelier, kept: Conversations) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("f7")
        await settle(pilot)
        assert isinstance(app.screen, Archive)
        app.screen.query_one(Input).focus()
        await pilot.press(*"lens", "enter")
        await settle(pilot)
        assert app.screen.query_one(OptionList).option_count == 2  # both answers speak of a lens
        app.screen.query_one(Input).value = "lenses"
        await settle(pilot)
        assert app.screen.query_one(OptionList).option_count == 1
        await pilot.press("enter")
        await settle(pilot)
        room = app.room("library")
        assert room.conversation == 1
        assert "flattens the face" in str(list(app.query(".answer").results(Static))[-1].render())
        await pilot.press(*"and a short one?", "enter")
        assert recorder.asked == [("ask", {"question": "and a short one?", "conversation": 1})]


async def test_a_conversation_is_renamed_written_and_deleted(app: Atelier, kept: Conversations, tmp_path: Path) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("f7")
        await settle(pilot)
        await pilot.press("r")
        await pilot.pause()
        app.screen.query_one(Input).value = "About samplers"
        await pilot.press("enter")
        await settle(pilot)
        assert next(one.title for one in kept.listed()) == "About samplers"
        await pilot.press("l")
        await pilot.pause()
        app.screen.query_one(Input).value = str(tmp_path / "out.md")
        await pilot.press("enter")
        await settle(pilot)
        assert "source:: /notes/lens.md:2" in (tmp_path / "out.md").read_text("utf-8")
        await pilot.press("x")
        await pilot.pause()
        await pilot.press("y")
        await settle(pilot)
        assert [one.title for one in kept.listed()] == ["Lenses"]


async def test_files_show_their_status_and_a_filter_finds_a_reason(app: Atelier, paths: Paths) -> None:
    recorder = Recorder(app)
    Collections(paths.collections).add(Path("/notes"), "notes")
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("f9")
        await settle(pilot)
        assert isinstance(app.screen, Shelf)
        recorder.answer(1, kind="done", result=LISTED)
        await settle(pilot)
        table = app.screen.query_one(DataTable)
        assert table.row_count == 3
        app.screen.query_one("#shelf-query", Input).value = "text layer"
        await settle(pilot)
        assert table.row_count == 1
        assert "scan.pdf" in str(app.screen.query_one("#shelf-detail", Static).render())
        table.focus()
        await pilot.press("e")
        await pilot.pause()
        app.screen.query_one(Input).value = "*.bak; drafts/*"
        await pilot.press("enter")
        await settle(pilot)
        assert recorder.asked[-1] == ("exclude", {"collection": "notes", "patterns": ["*.bak", "drafts/*"]})


async def test_forgetting_a_collection_is_asked_first(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("f9")
        await settle(pilot)
        recorder.answer(1, kind="done", result=LISTED)
        await settle(pilot)
        await pilot.press("x")
        await pilot.pause()
        assert len(recorder.asked) == 1
        await pilot.press("y")
        await settle(pilot)
        assert recorder.asked[-1] == ("forget", {"collection": "notes"})


@pytest.mark.parametrize(
    ("typed", "kind", "spec"),
    [
        ("/brief LoRA training", "brief", {"topic": "LoRA training"}),
        ("/summary guide.md", "summarise", {"path": "guide.md"}),
        ("/compare a b.md | c.md", "compare", {"one": "a b.md", "other": "c.md"}),
        ("/search tag:lens blur", "search", {"query": "tag:lens blur"}),
    ],
)
async def test_typed_commands_ask_for_their_job(app: Atelier, typed: str, kind: str, spec: dict[str, Any]) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 30)) as pilot:
        app.room("library").enter()
        app.query_one("#question", TextArea).text = typed
        await pilot.press("enter")
        assert recorder.asked == [(kind, spec)]


async def test_an_unknown_command_asks_for_nothing_and_says_what_there_is(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(100, 30)) as pilot:
        app.room("library").enter()
        app.query_one("#question", TextArea).text = "/delete everything"
        await pilot.press("enter")
        await pilot.pause()
        assert recorder.asked == []
        assert any("/brief" in note.message for note in app._notifications)
        assert app.query_one("#question", TextArea).text == "/delete everything"


async def test_a_stopped_answer_keeps_the_quotes_it_had(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(80, 24)) as pilot:
        app.room("library").enter()
        await pilot.press(*"lens?", "enter")
        recorder.answer(1, kind="text", text="“A long lens flattens the face.” [1]")
        recorder.answer(1, kind="cancelled")
        await pilot.pause()
        text = str(list(app.query(".answer").results(Static))[-1].render())
        assert "flattens the face" in text and "stopped" in text


async def test_an_answer_shows_stale_sources_conflicts_and_how_it_was_understood(app: Atelier) -> None:
    recorder = Recorder(app)
    statements = [
        {"path": "/notes/a.md", "line": 3, "page": None, "text": "Use 7 steps."},
        {"path": "/notes/b.md", "line": 9, "page": None, "text": "Use 20 steps."},
    ]
    result = {
        **RESULT, "asked": "and a short one (long lens)?", "citations": [{**CITATION, "stale": True}],
        "conflicts": [{"why": "numbers", "statements": statements}],
    }  # fmt: skip
    async with app.run_test(size=(140, 40)) as pilot:
        app.room("library").enter()
        await pilot.press(*"and a short one?", "enter")
        recorder.answer(1, kind="done", result={**result, "conversation": 5})
        await pilot.pause()
        text = str(list(app.query(".answer").results(Static))[-1].render())
        for part in ("understood as", "has changed since", "do not agree", "Use 7 steps.", "b.md:9"):
            assert part in text
        assert app.room("library").conversation == 5
        await pilot.press("ctrl+l")
        assert app.room("library").conversation == "new"


async def test_another_embedders_library_is_offered_to_be_made_anew(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(80, 24)) as pilot:
        app.room("library").enter()
        await pilot.press(*"lens?", "enter")
        recorder.answer(1, kind="failed", message="other embedder", hint="", error="EmbedderChangedError")
        await pilot.pause()
        await pilot.press("y")
        await pilot.pause()
        assert recorder.asked[-1] == ("rebuild", {})


async def test_a_passage_of_an_extracted_kind_shows_its_quote_and_a_note_its_lines(
    app: Atelier, tmp_path: Path
) -> None:
    note = tmp_path / "lens.md"
    note.write_text("# Lens\nA long lens \x1b[31mflattens the face.\n", "utf-8")
    async with app.run_test(size=(100, 30)) as pilot:
        app.push_screen(PassageView({**CITATION, "path": str(note)}))
        await settle(pilot)
        text = str(app.screen.query_one("#passage-text", Static).render())
        assert "# Lens" in text and "\x1b" not in text
        await pilot.press("escape")
        app.push_screen(PassageView({**CITATION, "path": str(tmp_path / "page.html")}))
        await settle(pilot)
        assert "flattens the face" in str(app.screen.query_one("#passage-text", Static).render())


async def test_the_model_picker_lists_files_with_their_problem(app: Atelier, tmp_path: Path) -> None:
    (tmp_path / "gguf").mkdir()
    (tmp_path / "gguf" / "broken.gguf").write_bytes(b"GGUF\x03")
    app.settings["llm.models"] = [str(tmp_path / "gguf")]
    async with app.run_test(size=(100, 30)) as pilot:
        app.action_models()
        await settle(pilot)
        options = app.screen.query_one("#models", OptionList)
        shown = [str(options.get_option_at_index(n).prompt) for n in range(options.option_count)]
        assert any("broken" in text and "cut short" in text for text in shown)


def test_a_change_in_a_collection_is_told_once_and_stopping_ends_the_thread(tmp_path: Path, paths: Paths) -> None:
    folder = tmp_path / "watched"
    folder.mkdir()
    Collections(paths.collections).add(folder, "watched")
    assert watched_folders(paths) == [str(folder)]
    told: list[set[str]] = []
    watcher = Watcher([str(folder)], told.append)
    deadline = time.monotonic() + 20
    while not told and time.monotonic() < deadline:
        (folder / "a.md").write_text(f"# A\n{time.monotonic()}\n", "utf-8")
        time.sleep(0.3)
        if time.monotonic() > deadline - 15:
            time.sleep(2)  # quiet: the burst is over
    watcher.stop()
    watcher._thread.join(10)
    assert not watcher._thread.is_alive()
    assert told and str(folder / "a.md") in told[0]


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (140, 40)])
def test_files_look(snap_compare: Any, app: Atelier, size: tuple[int, int]) -> None:
    recorder = Recorder(app)

    async def show(pilot: Pilot[Any]) -> None:
        await pilot.press("f9")
        await settle(pilot)
        recorder.answer(1, kind="done", result=LISTED)
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=show)

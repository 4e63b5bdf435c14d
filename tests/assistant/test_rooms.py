"""The rooms by their keys, at the three sizes, without workers: fakes of events answer what is typed."""

from __future__ import annotations

from typing import Any

import pytest
from textual.widgets import ContentSwitcher, Input, Static, TextArea

from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.app import Atelier
from assistant.tui.keys import KEYS, bindings
from assistant.tui.prompt_area import PromptArea

SIZES = [(60, 20), (80, 24), (140, 40)]


class Recorder:
    """Stands where the runner's submit is; keeps what was asked and lets a test answer."""

    def __init__(self, app: Atelier) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.stopped: list[int] = []
        self._receivers: dict[int, Any] = {}
        app.submit = self.submit  # type: ignore[method-assign]
        app.stop = self.stopped.append  # type: ignore[method-assign]

    def submit(self, kind: str, spec: dict[str, Any], receiver: Any) -> int:
        self.asked.append((kind, spec))
        number = len(self.asked)
        self._receivers[number] = receiver
        return number

    def answer(self, number: int, **event: Any) -> None:
        self._receivers[number](number, event)


@pytest.fixture
def app(paths: Paths, settings: Settings) -> Atelier:
    settings["look.preview"] = "halfcell"
    return Atelier(paths, settings, work=False)


def text_of(app: Atelier, selector: str) -> str:
    return str(app.query_one(selector, Static).render())


@pytest.mark.parametrize("size", SIZES)
async def test_every_room_opens_by_its_key_and_fits(app: Atelier, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        for key, room in (
            ("f3", "draft"),
            ("f4", "studio"),
            ("f6", "jobs"),
            ("f1", "help"),
            ("f2", "library"),
        ):
            await pilot.press(key)
            await pilot.pause()
            assert app.query_one("#rooms", ContentSwitcher).current == room
            widget = app.room(room)
            assert widget.region.width == size[0]
            assert widget.region.height >= size[1] - 3


async def test_a_question_is_sent_by_enter_and_its_answer_shows_its_sources(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(80, 24)) as pilot:
        app.room("library").enter()
        await pilot.press(*"why?", "enter")
        assert recorder.asked == [("ask", {"question": "why?", "conversation": "new"})]
        citation = {
            "n": 1, "path": "/notes/a[b].md", "title": "A", "heading": "A > [b]", "line_start": 3, "line_end": 3,
            "page": None, "quote": "Because [so].",
        }  # fmt: skip
        result = {
            "answer": "“Because [so].” [1]", "refused": False, "citations": [citation], "nearest": [],
            "model": "extractive",
        }  # fmt: skip
        recorder.answer(1, kind="text", text="“Because [so].” [1]")
        recorder.answer(1, kind="done", result=result)
        await pilot.pause()
        assert app.query_one("#sources").option_count == 1  # type: ignore[attr-defined]
        answers = list(app.query(".answer").results(Static))
        assert "Because [so]." in str(answers[-1].render())


async def test_ctrl_j_is_a_new_line_and_esc_stops_the_answer(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(80, 24)) as pilot:
        app.room("library").enter()
        await pilot.press("a", "ctrl+j", "b")
        assert app.query_one("#question", TextArea).text == "a\nb"
        await pilot.press("enter", "escape")
        assert recorder.stopped == [1]
        recorder.answer(1, kind="cancelled")
        await pilot.pause()
        assert "stopped" in str(list(app.query(".answer").results(Static))[-1].render())


async def test_the_meter_counts_chunks_while_typing(app: Atelier) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f3")
        await pilot.pause()
        await app.workers.wait_for_complete()
        app.room("draft").fill("cat " * 80, "")
        await pilot.pause()
        meter = text_of(app, "#meter")
        assert "75/75" in meter
        assert "5/75" in meter


async def test_an_expansion_is_shown_as_a_difference_and_taken_only_by_key(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f3")
        await pilot.pause()
        await pilot.press(*"a fox", "ctrl+g")
        kind, asked = recorder.asked[-1]
        assert (kind, asked["idea"], asked["seed"], asked["strength"]) == ("expand", "a fox", 0, 0.7)
        draft = {
            "prompt": "a fox, rim light", "negative": "blurry", "sources": [], "model": "vocabulary",
        }  # fmt: skip
        recorder.answer(1, kind="done", result=draft)
        await pilot.pause()
        assert app.room("draft").prompt == "a fox"
        assert "rim light" in text_of(app, "#proposal-text")
        await pilot.press("ctrl+t")
        assert app.room("draft").prompt == "a fox, rim light"
        assert app.room("draft").negative == "blurry"


async def test_ctrl_up_raises_the_weight_of_the_word_at_the_cursor(app: Atelier) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f3")
        await pilot.pause()
        await pilot.press(*"blue fox", "ctrl+up", "ctrl+up")
        assert app.room("draft").prompt == "blue (fox:1.2)"
        await pilot.press("ctrl+down", "ctrl+down")
        assert app.room("draft").prompt == "blue fox"


async def test_f5_renders_the_draft_with_the_form_and_esc_cancels(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("f3")
        await pilot.pause()
        await pilot.press(*"a fox", "f5")
        await pilot.pause()
        await pilot.pause()
        kind, job = recorder.asked[-1]
        assert (kind, job["spec"]["prompt"]) == ("render", "a fox")
        recorder.answer(1, kind="started")
        recorder.answer(1, kind="progress", stage="denoising", done=3, total=20)
        await pilot.pause()
        assert "step 3 of 20" in text_of(app, "#render-state")
        await pilot.press("escape")
        assert recorder.stopped == [1]
        recorder.answer(1, kind="cancelled")
        await pilot.pause()
        assert "nothing was written" in text_of(app, "#render-state")


async def test_a_wrong_number_is_said_beside_the_form_and_nothing_is_queued(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("f3")
        await pilot.pause()
        await pilot.press(*"a fox", "f4")
        await pilot.pause()
        app.query_one("#width", Input).value = "100"
        await pilot.press("f5")
        await pilot.pause()
        assert recorder.asked == []
        assert "multiple of 8" in text_of(app, "#form-problem")


async def test_a_failed_render_is_told_in_one_line(app: Atelier) -> None:
    recorder = Recorder(app)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f3")
        await pilot.pause()
        await pilot.press(*"fox", "ctrl+r")
        await pilot.pause()
        await pilot.pause()
        recorder.answer(1, kind="failed", message="[x] broke", hint="Mend [it].")
        await pilot.pause()
        assert "[x] broke. Mend [it]." in text_of(app, "#render-state")


async def test_settings_save_and_refuse_in_place(app: Atelier) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f8")
        await pilot.pause()
        field = app.screen.query_one("#library-passages", Input)
        field.focus()
        field.value = "many"
        await pilot.press("enter")
        await pilot.pause()
        assert "cannot be" in str(app.screen.query_one("#library-passages-help", Static).render())
        assert app.settings["library.passages"] == 8
        field.value = "5"
        await pilot.press("enter")
        assert Settings(app.paths.settings)["library.passages"] == 5
        await pilot.press("escape")
        assert len(app.screen_stack) == 1


def test_no_key_is_one_a_terminal_cannot_tell_from_another() -> None:
    keys = {part for key in KEYS for part in key.keys.split(",")}
    assert not keys & {"ctrl+h", "ctrl+i", "ctrl+m", "ctrl+left_square_bracket"}
    assert {key.where for key in KEYS} == {
        "attachments",
        "everywhere",
        "form",
        "gallery",
        "library",
        "mask",
        "mask screen",
        "picture",
        "recipe",
        "merge",
        "result",
        "slider",
        "source",
        "versions",
        "conversations",
        "files",
        "draft",
        "kept",
        "studio",
        "jobs",
        "training",
        "animation",
        "video",
        "moving clip",
        "stage kinds",
        "captions",
        "caption text",
        "character",
    }
    assert all(bindings(key.where) for key in KEYS)


async def test_weights_networks_and_traps_are_coloured(app: Atelier) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f3")
        await pilot.pause()
        app.room("draft").fill("ё (blue:1.3) <lora:x:1>\n(fog:0.7) [a:0.5]", "")
        await pilot.pause()
        area = app.query_one("#prompt", PromptArea)
        lines = [line.encode() for line in area.text.split("\n")]
        found = {
            (lines[n][first:last].decode(), name)
            for n, marks in area._highlights.items()
            for first, last, name in marks
        }
        assert {("blue", "strong"), ("<lora:x:1>", "network"), ("fog", "weak"), ("[a:0.5]", "editing")} <= found


async def test_a_prompt_is_kept_found_again_and_taken(app: Atelier) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("f3")
        await pilot.pause()
        await app.workers.wait_for_complete()
        app.room("draft").fill("a (fox:1.2) in snow", "blurry")
        await pilot.press("ctrl+s")
        await app.workers.wait_for_complete()
        await pilot.pause()
        app.room("draft").fill("", "")
        await pilot.press("ctrl+o")
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert (app.room("draft").prompt, app.room("draft").negative) == ("a (fox:1.2) in snow", "blurry")


async def test_contradictions_are_told_and_shortening_is_a_proposal(app: Atelier) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("f3")
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
        room = app.room("draft")
        long = "a fox, " + ", ".join(f"very long phrase number {n} of many" for n in range(20))
        room.fill(long, "a fox")
        await pilot.pause()
        assert "work against each other" in text_of(app, "#meter")
        room.action_shorten()
        await pilot.pause()
        assert room.prompt == long
        await pilot.press("ctrl+t")
        assert len(room.prompt) < len(long)
        assert room.prompt.startswith("a fox")

"""The Library room: questions and answers, their sources, and what is indexed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from assistant.tui.keys import bindings
from assistant.tui.prompt_area import SendArea


class Turn(Static):
    """One question or one answer; filled while it streams."""


class Sources(OptionList):
    """The sources of the latest answer; Enter opens the passage, E the editor."""

    BINDINGS = bindings("source")  # type: ignore[assignment]

    def action_open(self) -> None:
        self.action_select()

    def action_edit(self) -> None:
        if self.highlighted is not None:
            cast(LibraryRoom, self.app.current_room).edit_source(self.highlighted)  # type: ignore[attr-defined]


class LibraryRoom(Vertical):
    """Asks the library lane; shows quotes as soon as they are found, the model's sentence when it has passed."""

    BINDINGS = bindings("library")[2:]  # type: ignore[assignment]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._asking: int | None = None
        self._reading: int | None = None
        self._answer: Turn | None = None
        self._citations: list[dict[str, Any]] = []

    def compose(self) -> ComposeResult:
        with Horizontal(id="library-body"):
            with VerticalScroll(id="conversation"):
                yield Static(
                    Text.assemble(
                        ("Ask your notes.\n", "bold"),
                        "Every answer quotes them and says where. The sample notes are ready: try\n",
                        ("  What does the CFG scale do?\n", "italic"),
                        "Ctrl+N adds a folder of your own notes; F3 drafts a picture.",
                    ),
                    classes="hint",
                )
            yield Sources(id="sources")
        yield Static("", id="library-state", markup=False)
        yield SendArea(id="question", placeholder="A question to your notes; Enter asks")

    def begin(self) -> None:
        """At the start of the program: bring the library up to date in the background."""
        self.enter()
        self._read("sync", {})

    def enter(self) -> None:
        self.query_one("#question").focus()

    def cancel(self) -> bool:
        """Esc: stop the answer, else the reading; False when there is nothing to stop."""
        for number in (self._asking, self._reading):
            if number is not None:
                self.app.stop(number)  # type: ignore[attr-defined]
                return True
        return False

    # Asking

    def on_send_area_sent(self, event: SendArea.Sent) -> None:
        event.stop()
        if self._asking is not None:
            self.notify("Wait for the answer, or press Esc to stop it.", markup=False)
            return
        self._asking = self.app.submit("ask", {"question": event.text}, self._on_ask)  # type: ignore[attr-defined]
        if self._asking is None:
            return
        self.query_one("#question", SendArea).clear()
        self._say(Turn(Text(event.text), classes="question"))
        self._answer = Turn(Text("looking ...", "dim"), classes="answer")
        self._say(self._answer)

    def _say(self, turn: Turn) -> None:
        conversation = self.query_one("#conversation")
        for hint in conversation.query(".hint"):
            hint.remove()
        conversation.mount(turn)
        conversation.anchor()

    def _on_ask(self, number: int, event: dict[str, Any]) -> None:
        assert self._answer is not None
        match event["kind"]:
            case "text":
                self._answer.update(Text(event["text"]))
            case "note":
                self._state(event["message"])
            case "done":
                self._asking = None
                self._show(event["result"])
            case "failed":
                self._asking = None
                self._answer.update(Text(f"{event['message']}. {event['hint']}".strip(), "red"))
            case "cancelled":
                self._asking = None
                self._answer.update(Text("stopped", "dim"))

    def _show(self, result: dict[str, Any]) -> None:
        assert self._answer is not None
        self._citations = result["citations"] or result["nearest"]
        text = Text(result["answer"])
        text.highlight_regex(r"\[\d+\]", "bold yellow")
        if result["refused"] and result["nearest"]:
            text.append("\nThe nearest passages stand among the sources.", "dim")
        elif result["model"] != "extractive":
            text.append(f"\n{result['model']}, each sentence held against its quote", "dim")
        self._answer.update(text)
        sources = self.query_one("#sources", Sources)
        sources.clear_options()
        for citation in self._citations:
            label = Text(overflow="ellipsis", no_wrap=True)
            label.append(f"[{citation['n']}] ", "bold yellow")
            label.append(f"{Path(citation['path']).name}:{citation['line_start']}", "bold")
            if citation["page"]:
                label.append(f" p. {citation['page']}")
            label.append(f"\n    {citation['heading'] or citation['title']}", "dim")
            sources.add_option(Option(label))
        sources.set_class(bool(self._citations), "-filled")

    # Sources

    def action_open_citation(self) -> None:
        if self._citations:
            sources = self.query_one("#sources", Sources)
            sources.focus()
            sources.highlighted = 0
        else:
            self.notify("The next answer brings sources.", markup=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        from assistant.tui.dialogs import PassageView

        c = self._citations[event.option_index]
        self.app.push_screen(PassageView(c["path"], c["line_start"], c["line_end"], c["page"], c["quote"]))

    def edit_source(self, index: int) -> None:
        from assistant.tui.opening import edit

        edit(self.app, self._citations[index]["path"], self._citations[index]["line_start"])

    # Notes

    def action_add_notes(self) -> None:
        from assistant.tui.dialogs import Ask

        self.app.push_screen(
            Ask("Folder or file of notes to read and keep in step:", placeholder="~/notes"),
            self._add,
        )

    def _add(self, text: str | None) -> None:
        if not text:
            return
        path = Path(text).expanduser().absolute()
        if not path.exists():
            self.notify(f"There is no {path}.", severity="error", markup=False)
            return
        settings = self.app.settings  # type: ignore[attr-defined]
        known = list(settings["library.collections"])
        if str(path) not in known:
            settings["library.collections"] = [*known, str(path)]
        self._read("ingest", {"paths": [str(path)]})

    def _read(self, kind: str, spec: dict[str, Any]) -> None:
        number = self.app.submit(kind, spec, partial(self._on_read, kind))  # type: ignore[attr-defined]
        if number is not None:
            self._reading = number
            self._state("reading notes ...")

    def _on_read(self, kind: str, number: int, event: dict[str, Any]) -> None:
        match event["kind"]:
            case "progress":
                total = f"/{event['total']}" if event.get("total") else ""
                self._state(f"{event['stage']} {event['done']}{total}  {event.get('message', '')}")
            case "note":
                self.notify(event["message"], markup=False)
            case "done":
                self._reading = None
                self._summary(event["result"]["documents"])
            case "failed":
                self._reading = None
                self._state(f"{event['message']}. {event['hint']}".strip())
            case "cancelled":
                self._reading = None
                self._state("reading stopped; what was read stays")

    def _summary(self, documents: list[dict[str, Any]]) -> None:
        failed = [d for d in documents if d["status"] == "failed"]
        fresh = sum(d["status"] == "indexed" for d in documents)
        chunks = sum(d["chunks"] for d in documents)
        text = f"{len(documents)} notes, {chunks} passages"
        if fresh:
            text += f", {fresh} newly read"
        if failed:
            text += f"; {len(failed)} failed: {Path(failed[0]['path']).name}: {failed[0]['reason']}"
        self._state(text)

    def _state(self, text: str) -> None:
        self.query_one("#library-state", Static).update(text)

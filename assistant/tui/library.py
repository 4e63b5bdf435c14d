"""The Library room: questions and answers, their sources, and the reading of notes.

Conversations and files have screens of their own (`archive`, `shelf`); what a result looks like is in `answers`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from assistant.pace import Estimate, eta
from assistant.tui import answers
from assistant.tui.keys import bindings
from assistant.tui.send_area import SendArea

WELCOME = Text.assemble(
    ("Ask your notes.\n", "bold"),
    "Every answer quotes them and says where. The sample notes are ready: try\n",
    ("  What does the CFG scale do?\n", "italic"),
    "Ctrl+N adds a folder of your own notes, F9 shows every file, F7 former conversations; F3 drafts a picture.\n",
    ("tag:lens  collection:guides  since:2024-05", "italic"),
    " in a question confine it.  ",
    ("/brief  /summary  /compare  /search", "italic"),
    " do more.",
)


def _subject(rest: str) -> dict[str, Any]:
    return {"topic": rest}


def _file(rest: str) -> dict[str, Any]:
    return {"path": rest}


def _two(rest: str) -> dict[str, Any]:
    one, _, other = rest.partition("|") if "|" in rest else rest.partition(" ")
    return {"one": one.strip(), "other": other.strip()} if one.strip() and other.strip() else {}


def _query(rest: str) -> dict[str, Any]:
    return {"query": rest}


# Typed command -> (kind of job, its spec from the rest of the line, how it is shown, usage).
Slash = tuple[str, Callable[[str], dict[str, Any]], Callable[[dict[str, Any]], tuple[Text, answers.Sources]], str]
SLASH: dict[str, Slash] = {
    "/brief": ("brief", _subject, answers.brief, "/brief SUBJECT: what your notes say about it, by document"),
    "/summary": ("summarise", _file, answers.summary, "/summary FILE: a document in its own sentences"),
    "/compare": ("compare", _two, answers.comparison, "/compare FILE | FILE: what two documents share"),
    "/search": ("search", _query, answers.passages, "/search WORDS: passages alone"),
}


class Turn(Static):
    """One question or one answer; filled while it streams."""


class Sources(OptionList):
    """The sources of the latest answer; Enter opens the passage, E the editor, O its picture."""

    BINDINGS = bindings("source")  # type: ignore[assignment]

    def action_open(self) -> None:
        self.action_select()

    def action_edit(self) -> None:
        if self.highlighted is not None:
            cast(LibraryRoom, self.app.current_room).edit_source(self.highlighted)  # type: ignore[attr-defined]

    def action_picture(self) -> None:
        if self.highlighted is not None:
            cast(LibraryRoom, self.app.current_room).open_picture(self.highlighted)  # type: ignore[attr-defined]


class LibraryRoom(Vertical):
    """Asks the library lane; shows quotes as soon as they are found, the model's sentences as they pass."""

    BINDINGS = bindings("library")[2:]  # type: ignore[assignment]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.conversation: int | str = "new"
        self.quotes_only = False
        self._asking: int | None = None
        self._reading: int | None = None
        self._answer: Turn | None = None
        self._streamed = ""
        self._sources: answers.Sources = []
        self._changed: set[str] = set()
        self._estimate = Estimate()
        self._watcher: Any = None

    def compose(self) -> ComposeResult:
        with Horizontal(id="library-body"):
            with VerticalScroll(id="conversation"):
                yield Static(WELCOME, classes="hint")
            yield Sources(id="sources")
        yield Static("", id="library-state", markup=False)
        yield SendArea(id="question", placeholder="A question to your notes; Enter asks")

    def begin(self) -> None:
        """At the start of the program: bring the library up to date in the background, then keep watch."""
        self.enter()
        self.read("sync", {})

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
        if event.text.startswith("/"):
            self._command(event.text)
            return
        spec: dict[str, Any] = {"question": event.text, "conversation": self.conversation}
        if self.quotes_only:
            spec["quotes_only"] = True
        self._submit("ask", spec, event.text, answers.answer)

    def _command(self, text: str) -> None:
        name, _, rest = text.partition(" ")
        known = SLASH.get(name)
        spec = known[1](rest.strip()) if known and rest.strip() else {}
        if known is None or not spec:
            usage = [known[3]] if known else [one[3] for one in SLASH.values()]
            self.notify("\n".join(usage), title="Commands of this field", markup=False)
            return
        self._submit(known[0], spec, text, known[2])

    def _submit(self, kind: str, spec: dict[str, Any], text: str, show: Any) -> None:
        self._asking = self.app.submit(kind, spec, partial(self._on_answer, show))  # type: ignore[attr-defined]
        if self._asking is None:
            return
        self.query_one("#question", SendArea).clear()
        self._say(Turn(Text(text), classes="question"))
        self._answer = Turn(Text("looking ...", "dim"), classes="answer")
        self._streamed = ""
        self._say(self._answer)

    def _say(self, turn: Turn) -> None:
        conversation = self.query_one("#conversation")
        for hint in conversation.query(".hint"):
            hint.remove()
        conversation.mount(turn)
        conversation.anchor()

    def _on_answer(self, show: Any, number: int, event: dict[str, Any]) -> None:
        assert self._answer is not None
        match event["kind"]:
            case "text":
                self._streamed = answers.shown(event["text"])
                self._answer.update(Text(self._streamed))
            case "note":
                self._state(event["message"])
            case "done":
                self._asking = None
                self._show(show, event["result"])
            case "failed":
                self._asking = None
                self._answer.update(Text(f"{event['message']}. {event['hint']}".strip(), "red"))
                self.app.offer_reembedding(event)  # type: ignore[attr-defined]
            case "cancelled":
                self._asking = None
                kept = Text(f"{self._streamed}\n" if self._streamed else "")
                self._answer.update(kept.append("stopped", "dim"))

    def _show(self, show: Any, result: dict[str, Any]) -> None:
        assert self._answer is not None
        if result.get("conversation"):
            self.conversation = int(result["conversation"])
        text, self._sources = show(result)
        self._answer.update(text)
        self._list_sources()

    def _list_sources(self) -> None:
        sources = self.query_one("#sources", Sources)
        sources.clear_options()
        for source in self._sources:
            sources.add_option(Option(answers.source_label(source)))
        sources.set_class(bool(self._sources), "-filled")

    # Conversations

    def action_conversations(self) -> None:
        from assistant.tui.archive import Archive

        self.app.push_screen(Archive(self.app.paths.conversations), self._resume)  # type: ignore[attr-defined]

    def action_new_conversation(self) -> None:
        self._clear("new")
        self.query_one("#conversation").mount(Static(WELCOME, classes="hint"))
        self.enter()

    def _clear(self, conversation: int | str) -> None:
        self.conversation = conversation
        self.query_one("#conversation").remove_children()
        self._sources = []
        self._list_sources()

    def _resume(self, number: int | None) -> None:
        if number is None:
            return
        if self._asking is not None:
            self.notify("Wait for the answer, or press Esc to stop it.", markup=False)
            return
        self._clear(number)
        self._load(number)

    @work(thread=True, exclusive=True, group="resume", exit_on_error=False)
    def _load(self, number: int) -> None:
        from assistant.conversations import Conversations

        turns = Conversations(self.app.paths.conversations).turns(number)  # type: ignore[attr-defined]
        self.app.call_from_thread(self._fill, turns)

    def _fill(self, turns: list[Any]) -> None:
        for turn in turns:
            self._say(Turn(Text(turn.question), classes="question"))
            if turn.result is None:
                self._say(Turn(Text("no answer came", "dim"), classes="answer"))
                continue
            text, self._sources = answers.answer(turn.result)
            self._say(Turn(text, classes="answer"))
        self._list_sources()
        self._state(f"{len(turns)} so far; the next one goes on from here, Ctrl+L begins anew")
        self.enter()

    # Sources

    def action_open_citation(self) -> None:
        if self._sources:
            sources = self.query_one("#sources", Sources)
            sources.focus()
            sources.highlighted = 0
        else:
            self.notify("The next answer brings sources.", markup=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        from assistant.tui.passage import PassageView

        self.app.push_screen(PassageView(self._sources[event.option_index]))

    def edit_source(self, index: int) -> None:
        from assistant.tui.opening import edit

        edit(self.app, self._sources[index]["path"], self._sources[index]["line_start"])

    def open_picture(self, index: int) -> None:
        from assistant.tui.opening import view

        picture = self._sources[index].get("picture")
        if picture:
            view(self.app, picture)
        else:
            self.notify("This passage shows no picture.", markup=False)

    # Notes

    def action_shelf(self) -> None:
        from assistant.tui.shelf import Shelf

        self.app.push_screen(Shelf())

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
        self.read("ingest", {"paths": [str(path)]})

    def action_read_again(self) -> None:
        self.read("sync", {})

    def read(self, kind: str, spec: dict[str, Any]) -> None:
        """Have notes read: `ingest`, `sync`, `forget`, `exclude` or `rebuild`."""
        number = self.app.submit(kind, spec, partial(self._on_read, kind))  # type: ignore[attr-defined]
        if number is not None:
            self._reading = number
            self._estimate = Estimate()
            self._state("reading notes ...")

    def _on_read(self, kind: str, number: int, event: dict[str, Any]) -> None:
        match event["kind"]:
            case "progress":
                total = f"/{event['total']}" if event.get("total") else ""
                left = self._estimate.update(event["stage"], event["done"], event.get("total"))
                about = f", {eta(left)} left" if left and left > 2 else ""
                self._state(f"{event['stage']} {event['done']}{total}{about}  {event.get('message', '')}")
            case "note":
                self.notify(event["message"], markup=False)
            case "done":
                self._reading = None
                self._summary(event["result"])
                self._watch()
                self._catch_up()
            case "failed":
                self._reading = None
                self._state(f"{event['message']}. {event['hint']}".strip())
                self.app.offer_reembedding(event)  # type: ignore[attr-defined]
            case "cancelled":
                self._reading = None
                self._state("reading stopped; what was read stays")

    def _summary(self, result: dict[str, Any]) -> None:
        if "documents" not in result:
            self._state(f"{result['removed']} documents left the library" if "removed" in result else "done")
            return
        documents = result["documents"]
        failed = [d for d in documents if d["status"] == "failed"]
        counts = {word: sum(d["status"] == word for d in documents) for word in ("indexed", "removed", "skipped")}
        chunks = sum(d["chunks"] for d in documents)
        text = f"{len(documents) - counts['removed']} files, {chunks} passages"
        if counts["indexed"]:
            text += f", {counts['indexed']} newly read"
        if counts["removed"]:
            text += f", {counts['removed']} gone"
        if counts["skipped"]:
            text += f", {counts['skipped']} with nothing to read (F9 says why)"
        if failed:
            text += f"; {len(failed)} failed: {Path(failed[0]['path']).name}: {failed[0]['reason']}"
        self._state(text)

    def _state(self, text: str) -> None:
        self.query_one("#library-state", Static).update(answers.shown(text))

    # Keeping watch

    def _watch(self) -> None:
        """Watch the collections' folders from the first complete reading on; again when they changed."""
        from assistant.tui.watching import watched_folders

        if not self.app.settings["library.watch"] or self.app.runner is None:  # type: ignore[attr-defined]
            return
        folders = watched_folders(self.app.paths)  # type: ignore[attr-defined]
        if self._watcher is not None and self._watcher.folders == folders:
            return
        self._stop_watching()
        if folders:
            from assistant.tui.watching import Watcher

            self._watcher = Watcher(folders, lambda paths: self.app.call_from_thread(self._on_change, paths))

    def _stop_watching(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None

    def on_unmount(self) -> None:
        self._stop_watching()

    def _on_change(self, paths: set[str]) -> None:
        self._changed |= paths
        self._catch_up()

    def _catch_up(self) -> None:
        """Read what changed, unless a reading is under way: then after it."""
        if self._changed and self._reading is None:
            only, self._changed = sorted(self._changed), set()
            self.read("sync", {"only": only})

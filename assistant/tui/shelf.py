"""Every file of the library with its status and the reason for it; collections, copies, open questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Input, Label, Static

from assistant.collections import BUILT_IN, Collections
from assistant.errors import AssistantError
from assistant.tui.dialogs import Ask, Confirm
from assistant.tui.keys import bindings
from knowledge.screen import shown

STYLES = {"indexed": "green", "skipped": "dim", "failed": "red"}
MOST_ROWS = 2000  # the table stays quick; the filter finds the rest


class Reading(ModalScreen[None]):
    """Some text to read through."""

    BINDINGS = [("escape,q", "dismiss", "Close")]  # noqa: RUF012

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage"):
            yield Label(self._title, markup=False, classes="passage-title")
            with VerticalScroll():
                yield Static(self._text)
            yield Label("Esc close", classes="passage-keys")


class Shelf(ModalScreen[None]):
    """The files as the library's worker lists them."""

    BINDINGS = bindings("files")  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self._all: list[dict[str, Any]] = []
        self._shown: list[dict[str, Any]] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage"):
            yield Label("Files of the library", classes="passage-title", id="shelf-title", markup=False)
            yield Input(
                placeholder="Part of a path, a collection, a status or a reason", id="shelf-query", compact=True
            )
            table: DataTable[Any] = DataTable(id="shelf-table", cursor_type="row", zebra_stripes=True)
            for name in ("Status", "Parts", "Collection", "File", "Reason"):
                table.add_column(name, key=name)
            yield table
            yield Static("", id="shelf-detail", markup=False)
            yield Label(
                "A add  R read again  E exclude  X forget  D copies  U unanswered  Enter edit  Esc close",
                classes="passage-keys",
            )

    def on_mount(self) -> None:
        self.query_one("#shelf-table").focus()
        self.refresh_files()

    def refresh_files(self) -> None:
        self.app.submit("documents", {}, self._on_documents)  # type: ignore[attr-defined]

    def _on_documents(self, number: int, event: dict[str, Any]) -> None:
        if not self.is_mounted:
            return
        if event["kind"] == "failed":
            self.query_one("#shelf-detail", Static).update(f"{event['message']}. {event['hint']}")
        elif event["kind"] == "done":
            self._all = event["result"]["documents"]
            health = event["result"]["health"]
            size = f"{health['documents']} documents, {health['chunks']} passages"
            trouble = f"; {health['problems'][0]}" if health["problems"] else ""
            self.query_one("#shelf-title", Label).update(f"Files of the library: {size}{trouble}")
            self._fill()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._fill()

    def on_input_submitted(self) -> None:
        self.query_one("#shelf-table").focus()

    def _fill(self) -> None:
        words = self.query_one("#shelf-query", Input).value.casefold().split()
        table = self.query_one("#shelf-table", DataTable)
        row = table.cursor_row
        table.clear()
        self._shown = [
            d
            for d in self._all
            if all(w in f"{d['path']} {d['collection']} {d['status']} {d['reason']}".casefold() for w in words)
        ][:MOST_ROWS]
        table.add_rows(
            (
                Text(d["status"], STYLES.get(d["status"], "")),
                str(d["chunks"]),
                Text(shown(d["collection"] or "-")),
                Text(shown(Path(d["path"]).name)),
                Text(shown(d["reason"])),
            )
            for d in self._shown
        )
        if self._shown:
            table.move_cursor(row=min(max(row, 0), len(self._shown) - 1))
        self._detail()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        self._detail()

    def _chosen(self) -> dict[str, Any] | None:
        row = self.query_one("#shelf-table", DataTable).cursor_row
        return self._shown[row] if 0 <= row < len(self._shown) else None

    def _detail(self) -> None:
        one = self._chosen()
        text = "Nothing here. A adds a folder of notes."
        if one is not None:
            tags = f"  #{' #'.join(one['tags'][:6])}" if one["tags"] else ""
            text = f"{one['path']}\n{one['kind']}, {one['date']}{tags}  {one['reason']}"
        self.query_one("#shelf-detail", Static).update(shown(text))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        from assistant.tui.opening import edit

        one = self._chosen()
        if one is not None:
            edit(self.app, one["path"], 1)

    # Changes are the Library room's work: it shows their progress.

    def _have_read(self, kind: str, spec: dict[str, Any]) -> None:
        self.app.room("library").read(kind, spec)  # type: ignore[attr-defined]
        self.dismiss()

    def action_add(self) -> None:
        self.dismiss()
        self.app.room("library").action_add_notes()  # type: ignore[attr-defined]

    def action_read_again(self) -> None:
        self._have_read("sync", {})

    def _collection(self) -> str | None:
        one = self._chosen()
        name = one["collection"] if one else ""
        if not name or name in BUILT_IN:
            self.notify(
                "This file belongs to no collection of yours."
                if name not in BUILT_IN
                else f"{name} is kept by Atelier itself; the setting library.samples switches the samples off.",
                markup=False,
            )
            return None
        return str(name)

    def action_forget(self) -> None:
        if (name := self._collection()) is not None:
            question = f"Keep “{name}” no longer? Its documents leave the library; the files stay as they are."
            self.app.push_screen(
                Confirm(question, "Forget", "Keep"),
                lambda yes: self._have_read("forget", {"collection": name}) if yes else None,
            )

    def action_exclude(self) -> None:
        if (name := self._collection()) is None:
            return
        try:
            now = Collections(self.app.paths.collections)[name].exclude  # type: ignore[attr-defined]
        except AssistantError as error:
            self.notify(f"{error.message}. {error.hint}", severity="error", markup=False)
            return

        def changed(text: str | None) -> None:
            if text is not None:
                patterns = [part.strip() for part in text.split(";") if part.strip()]
                self._have_read("exclude", {"collection": name, "patterns": patterns})

        self.app.push_screen(
            Ask(f"Patterns of “{name}” that are not read, separated by semicolons:", "; ".join(now), "*.bak; drafts/*"),
            changed,
        )

    def action_duplicates(self) -> None:
        self.query_one("#shelf-detail", Static).update("looking for copies ...")
        self.app.submit("duplicates", {}, self._on_duplicates)  # type: ignore[attr-defined]

    def _on_duplicates(self, number: int, event: dict[str, Any]) -> None:
        if event["kind"] == "failed":
            self.notify(f"{event['message']}. {event['hint']}", severity="error", markup=False)
        elif event["kind"] == "done" and self.is_mounted:
            self._detail()
            text = Text()
            for pair in event["result"]["pairs"]:
                text.append(f"{pair['share']:.0%}  ", "bold yellow").append(f"{shown(pair['one'])}\n")
                text.append(f"      {shown(pair['other'])}\n\n", "dim")
            self.app.push_screen(
                Reading("Documents that repeat each other", text or Text("No document repeats another."))
            )

    @work(thread=True, exclusive=True, group="unanswered", exit_on_error=False)
    def action_unanswered(self) -> None:
        from assistant.conversations import Conversations

        rows = Conversations(self.app.paths.conversations).unanswered()  # type: ignore[attr-defined]
        text = Text()
        for row in rows:
            text.append(f"{row['latest'][:16].replace('T', ' ')}  ", "dim").append(shown(row["question"]), "bold")
            text.append(f"  {row['times']} times\n" if row["times"] > 1 else "\n", "dim")
            text.append("".join(f"    near: {shown(near)}\n" for near in row["nearest"][:2]), "dim")
        screen = Reading("Questions your notes did not answer", text or Text("Every question was answered."))
        self.app.call_from_thread(self.app.push_screen, screen)

    def action_close(self) -> None:
        self.dismiss()

    def action_cursor_down(self) -> None:
        self.query_one("#shelf-table", DataTable).action_cursor_down()

    def action_cursor_up(self) -> None:
        self.query_one("#shelf-table", DataTable).action_cursor_up()

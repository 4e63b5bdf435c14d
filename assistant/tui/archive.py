"""Former conversations: found, gone on with, renamed, written to a file, deleted."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from assistant.conversations import Conversation, Conversations
from assistant.errors import AssistantError
from assistant.export import FORMATS, exported, write
from assistant.tui.dialogs import Ask, Confirm
from assistant.tui.keys import bindings


class Archive(ModalScreen[int]):
    """Closes with the number of the conversation to go on with, or with none."""

    BINDINGS = bindings("conversations")  # type: ignore[assignment]

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._kept = Conversations(path)
        self._shown: list[Conversation] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage"):
            yield Label("Conversations", classes="passage-title")
            yield Input(placeholder="Words to find in questions and answers", id="archive-query", compact=True)
            yield OptionList(id="archive-list")
            yield Label("Enter go on   R rename   M Markdown   L Logseq   S JSON   B BibTeX   X delete   Esc close",
                        classes="passage-keys")  # fmt: skip

    def on_mount(self) -> None:
        self._find("")
        self.query_one("#archive-list").focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._find(event.value)

    def on_input_submitted(self) -> None:
        self.query_one("#archive-list").focus()

    @work(thread=True, exclusive=True, group="archive", exit_on_error=False)
    def _find(self, query: str) -> None:
        try:
            found = self._kept.listed(query)
        except AssistantError as error:
            self.app.call_from_thread(self.notify, f"{error.message}. {error.hint}", severity="error", markup=False)
            return
        self.app.call_from_thread(self._fill, found)

    def _fill(self, found: list[Conversation]) -> None:
        self._shown = found
        options = self.query_one("#archive-list", OptionList)
        at = options.highlighted or 0
        options.clear_options()
        for one in found:
            label = Text(no_wrap=True, overflow="ellipsis")
            count = f"{one.turns} question{'s' if one.turns != 1 else ''}"
            label.append(f"{one.changed[:16].replace('T', ' ')}  ", "dim").append(one.title)
            label.append(f"  {count}", "dim")
            options.add_option(Option(label))
        if found:
            options.highlighted = min(at, len(found) - 1)
        else:
            options.add_option(Option(Text("nothing here yet", "dim"), disabled=True))

    def _chosen(self) -> Conversation | None:
        row = self.query_one("#archive-list", OptionList).highlighted
        return self._shown[row] if row is not None and row < len(self._shown) else None

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_index < len(self._shown):
            self.dismiss(self._shown[event.option_index].id)

    def action_rename(self) -> None:
        one = self._chosen()
        if one is not None:
            self.app.push_screen(
                Ask("A new title:", value=one.title), lambda title: self._rename(one.id, title)
            )  # fmt: skip

    def _rename(self, number: int, title: str | None) -> None:
        if title:
            self._kept.rename(number, title)
            self._find(self.query_one("#archive-query", Input).value)

    def action_delete(self) -> None:
        one = self._chosen()
        if one is not None:
            self.app.push_screen(
                Confirm(f"Delete “{one.title}”?", "Delete", "Keep"), lambda yes: self._delete(one.id, yes)
            )

    def _delete(self, number: int, yes: bool | None) -> None:
        if yes:
            self._kept.delete(number)
            self._find(self.query_one("#archive-query", Input).value)

    def action_export(self, form: str) -> None:
        one = self._chosen()
        if one is not None:
            name = Path.home() / f"conversation-{one.id}{FORMATS[form]}"
            self.app.push_screen(
                Ask(f"File to write ({form}):", value=str(name)), lambda path: self._export(one, form, path)
            )

    def _export(self, one: Conversation, form: str, path: str | None) -> None:
        if not path:
            return
        try:
            place = write(Path(path).expanduser().absolute(), exported(one, self._kept.turns(one.id), form))
        except AssistantError as error:
            self.notify(f"{error.message}. {error.hint}", severity="error", markup=False)
            return
        self.notify(f"Written: {place}", markup=False)

    def action_close(self) -> None:
        self.dismiss(None)

    def action_cursor_down(self) -> None:
        self.query_one("#archive-list", OptionList).action_cursor_down()

    def action_cursor_up(self) -> None:
        self.query_one("#archive-list", OptionList).action_cursor_up()

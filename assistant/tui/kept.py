"""The prompts that were kept: found, taken into the editor, starred, taken off the shelf."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from assistant.errors import AssistantError
from assistant.prompt_shelf import Kept, Shelf
from assistant.tui.dialogs import Confirm
from assistant.tui.keys import bindings
from knowledge.screen import shown


class KeptPrompts(ModalScreen[tuple[str, str]]):
    """Closes with (positive, negative) of the chosen prompt, or with nothing."""

    BINDINGS = bindings("kept")  # type: ignore[assignment]

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._shelf = Shelf(path)
        self._shown: list[Kept] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage"):
            yield Label("Prompts you kept", classes="passage-title")
            yield Input(placeholder="Words, or #tag", id="kept-query", compact=True)
            yield OptionList(id="kept-list")
            yield Label("Enter take it   F star   X take off   U most used   Esc close", classes="passage-keys")

    def on_mount(self) -> None:
        self._find("")
        self.query_one("#kept-list").focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._find(event.value)

    def on_input_submitted(self) -> None:
        self.query_one("#kept-list").focus()

    @work(thread=True, exclusive=True, group="kept", exit_on_error=False)
    def _find(self, text: str) -> None:
        tags = [word[1:] for word in text.split() if word.startswith("#") and len(word) > 1]
        words = " ".join(word for word in text.split() if not word.startswith("#"))
        try:
            found = self._shelf.find(words, tags[0] if tags else "")
        except AssistantError as error:
            self.app.call_from_thread(self.notify, f"{error.message}. {error.hint}", severity="error", markup=False)
            return
        self.app.call_from_thread(self._fill, found)

    def _fill(self, found: list[Kept]) -> None:
        self._shown = found
        options = self.query_one("#kept-list", OptionList)
        at = options.highlighted or 0
        options.clear_options()
        for one in found:
            label = Text(no_wrap=True, overflow="ellipsis")
            label.append("* " if one.favourite else "  ", "bold yellow").append(shown(one.name), "bold")
            label.append("".join(f"  #{tag}" for tag in one.tags), "cyan")
            label.append(f"\n    {shown(' '.join(one.positive.split()))[:160]}", "dim")
            options.add_option(Option(label))
        if found:
            options.highlighted = min(at, len(found) - 1)
        else:
            options.add_option(Option(Text("Nothing here. Ctrl+S in the Draft keeps a prompt.", "dim"), disabled=True))

    def _chosen(self) -> Kept | None:
        row = self.query_one("#kept-list", OptionList).highlighted
        return self._shown[row] if row is not None and row < len(self._shown) else None

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        one = self._chosen()
        if one is not None:
            self._shelf.use(one.id)
            self.dismiss((one.positive, one.negative))

    def action_star(self) -> None:
        one = self._chosen()
        if one is not None:
            self._shelf.favourite(one.id, not one.favourite)
            self._find(self.query_one("#kept-query", Input).value)

    def action_remove(self) -> None:
        one = self._chosen()
        if one is not None:
            self.app.push_screen(
                Confirm(f"Take “{one.name}” off the shelf?", "Take off", "Keep"), lambda yes: self._remove(one.id, yes)
            )

    def _remove(self, number: int, yes: bool | None) -> None:
        if yes:
            self._shelf.delete(number)
            self._find(self.query_one("#kept-query", Input).value)

    @work(thread=True, exclusive=True, group="used", exit_on_error=False)
    def action_used(self) -> None:
        """The phrases of most prompts kept, to read."""
        from assistant.tui.shelf import Reading

        try:
            counted = self._shelf.frequent()
        except AssistantError as error:
            self.app.call_from_thread(self.notify, f"{error.message}. {error.hint}", severity="error", markup=False)
            return
        text = Text()
        for title, pairs in zip(("In prompts", "In negatives"), counted, strict=True):
            text.append(f"{title}\n", "bold")
            text.append("".join(f"{count:>4}  {shown(phrase)}\n" for phrase, count in pairs) or "    none yet\n", "")
        self.app.call_from_thread(self.app.push_screen, Reading("What you use most", text))

    def action_close(self) -> None:
        self.dismiss(None)

    def action_cursor_down(self) -> None:
        self.query_one("#kept-list", OptionList).action_cursor_down()

    def action_cursor_up(self) -> None:
        self.query_one("#kept-list", OptionList).action_cursor_up()

"""Small questions over a room: yes or no, one line of text, a passage in its file."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static


class Confirm(ModalScreen[bool]):
    """Yes or no; Enter takes the focused button, Esc means no."""

    def __init__(self, question: str, yes: str, no: str) -> None:
        super().__init__()
        self._question, self._yes, self._no = question, yes, no

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._question, markup=False)
            with Horizontal(classes="buttons"):
                yield Button(self._yes, id="yes", variant="warning")
                yield Button(self._no, id="no", variant="primary")

    def on_mount(self) -> None:
        self.query_one("#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def key_y(self) -> None:
        self.dismiss(True)

    def key_n(self) -> None:
        self.dismiss(False)


class Ask(ModalScreen[str]):
    """One line of text; Enter takes it, Esc closes without."""

    def __init__(self, question: str, value: str = "", placeholder: str = "") -> None:
        super().__init__()
        self._question, self._value, self._placeholder = question, value, placeholder

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._question, markup=False)
            yield Input(self._value, placeholder=self._placeholder)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())


class PassageView(ModalScreen[None]):
    """A passage where it stands: the file's lines around it, its own lines marked.

    `text` is shown instead for files that have no lines of their own (PDF), or that cannot be read any more.
    """

    BINDINGS = [("e", "edit", "Editor"), ("q", "app.cancel", "Close")]  # noqa: RUF012
    AROUND = 40

    def __init__(self, path: str, start: int, end: int, page: int | None, quote: str) -> None:
        super().__init__()
        self._path, self._start, self._end, self._page, self._quote = path, start, end, page, quote

    def compose(self) -> ComposeResult:
        where = f"page {self._page}" if self._page else f"line {self._start}"
        with Vertical(classes="passage"):
            yield Label(f"{self._path}, {where}", markup=False, classes="passage-title")
            with VerticalScroll():
                yield Static(self._content(), id="passage-text")
            yield Label("E editor   Esc close", classes="passage-keys")

    def on_mount(self) -> None:
        scroll = self.query_one(VerticalScroll)
        first = max(1, self._start - self.AROUND)
        self.call_after_refresh(scroll.scroll_to, y=max(0, self._start - first - 4), animate=False)

    def _content(self) -> Text:
        if self._page is not None:
            return Text(self._quote)
        try:
            # Notes are small; what is shown never exceeds 2 x AROUND lines around the passage.
            with Path(self._path).open(encoding="utf-8", errors="replace") as file:
                lines = file.read(4_000_000).split("\n")
        except OSError as error:
            return Text(f"{self._quote}\n\n(the file cannot be read now: {error.strerror})")
        first = max(1, self._start - self.AROUND)
        out = Text()
        for number, line in enumerate(lines[first - 1 : self._end + self.AROUND], first):
            inside = self._start <= number <= self._end
            shown = "".join(c if c.isprintable() or c == "\t" else "·" for c in line.rstrip("\r"))
            out.append(f"{number:>5} ", "dim")
            out.append(shown.expandtabs(4), "bold" if inside else "dim")
            out.append("\n")
        return out

    def action_edit(self) -> None:
        from assistant.tui.opening import edit

        edit(self.app, self._path, self._start)

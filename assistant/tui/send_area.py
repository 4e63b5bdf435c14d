"""A text field that sends on Enter; Ctrl+J is a new line."""

from __future__ import annotations

from textual.binding import Binding
from textual.events import Key
from textual.message import Message
from textual.widgets import TextArea


class SendArea(TextArea):
    """Enter sends, Ctrl+J is a new line; grows no wider than its place."""

    class Sent(Message):
        """The person pressed Enter on a text that is not empty."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    BINDINGS = [Binding("ctrl+j", "newline", "New line", show=False)]  # noqa: RUF012

    def __init__(self, *, id: str, placeholder: str) -> None:
        super().__init__(id=id, soft_wrap=True, show_line_numbers=False, placeholder=placeholder)

    async def _on_key(self, event: Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            if self.text.strip():
                self.post_message(self.Sent(self.text.strip()))
            return
        await super()._on_key(event)

    def action_newline(self) -> None:
        self.insert("\n")

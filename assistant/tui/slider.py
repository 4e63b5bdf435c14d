"""A number between two bounds, moved by the arrow keys or a click."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget

from assistant.tui.keys import bindings

WIDTH = 10


class Slider(Widget, can_focus=True):
    """One line: the label, the bar, the value. `step` is what one key moves."""

    BINDINGS = bindings("slider")  # type: ignore[assignment]
    DEFAULT_CSS = "Slider { height: 1; width: auto; } Slider:focus { text-style: bold; background: $panel; }"

    class Changed(Message):
        """The value was moved by the person."""

        def __init__(self, slider: Slider, value: float) -> None:
            super().__init__()
            self.slider, self.value = slider, value

    def __init__(
        self, label: str, value: float, *, low: float = 0.0, high: float = 1.0, step: float = 0.1, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self._label, self._low, self._high, self._step = label, low, high, step
        self._value = value

    @property
    def value(self) -> float:
        return self._value

    @value.setter
    def value(self, value: float) -> None:
        self._value = round(min(max(value, self._low), self._high), 4)
        self.refresh()

    def render(self) -> Text:
        filled = round(WIDTH * (self._value - self._low) / (self._high - self._low))
        text = Text(no_wrap=True).append(f"{self._label} ", "dim").append("━" * filled, "bold cyan")
        return text.append("━" * (WIDTH - filled), "dim").append(f" {self._value:.2g}")

    def get_content_width(self, container: object, viewport: object) -> int:
        return len(self._label) + WIDTH + 6

    def action_move(self, by: int) -> None:
        self._moved(self._value + by * self._step)

    def on_click(self, event: events.Click) -> None:
        at = event.x - len(self._label) - 1
        if 0 <= at <= WIDTH:
            self._moved(self._low + (self._high - self._low) * at / WIDTH)

    def _moved(self, value: float) -> None:
        before = self._value
        self.value = value
        if self._value != before:
            self.post_message(self.Changed(self, self._value))

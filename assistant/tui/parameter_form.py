"""Fields of a form made from parameters, and what was typed into them read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Checkbox, Input, Label, Select, Static

from assistant.tui.keys import bindings
from generation.errors import GenerationError
from generation.parameters import Parameter, checked

Table = Sequence[Parameter]


def field(parameter: Parameter, value: Any, prefix: str) -> Widget:
    """A line of a form for one parameter; what takes the value has the id `<prefix>-<name>`."""
    name = f"{prefix}-{parameter.name}"
    made: Widget
    if parameter.kind == "flag":
        made = Checkbox(parameter.label, bool(value), id=name, compact=True)
        made.tooltip = parameter.help
        return made
    if parameter.kind == "choice":
        made = Select([(c, c) for c in parameter.choices], value=value, allow_blank=False, compact=True, id=name)
    else:
        text = f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)
        kinds = {"integer": "integer", "number": "number"}
        made = Input(text, id=name, type=kinds.get(parameter.kind, "text"), compact=True)  # type: ignore[arg-type]
    made.tooltip = parameter.help
    label = Label(parameter.label, classes="field")
    if parameter.kind in {"integer", "number"}:
        return Horizontal(label, made, classes="number")
    return Vertical(label, made, classes="own-long")


def values(form: Any, table: Table, prefix: str) -> dict[str, Any]:
    """What the fields hold; an empty one is left out. Raises `BadSpec`."""
    found: dict[str, Any] = {}
    for parameter in table:
        one = form.query_one(f"#{prefix}-{parameter.name}")
        if isinstance(one, Checkbox):
            found[parameter.name] = one.value
        elif isinstance(one, Select):
            found[parameter.name] = str(one.value)
        elif isinstance(one, Input) and one.value.strip():
            text = one.value.strip()
            # What begins with @ is made on the way.
            file = parameter.kind == "file" and not text.startswith("@")
            path = str(Path(text).expanduser().absolute()) if file else text
            found[parameter.name] = parameter.parsed(path)
    return found


class ParameterForm(ModalScreen[dict[str, Any]]):
    """A form of its own over the room; closes with checked values, or with nothing.

    `wrong(values)` says what else is wrong with them, "" for nothing; `at` is the parameter that is gone to.
    """

    BINDINGS = bindings("form")  # type: ignore[assignment]

    def __init__(
        self,
        title: str,
        table: Table,
        now: Mapping[str, Any],
        wrong: Callable[[dict[str, Any]], str] = lambda found: "",
        at: str = "",
    ) -> None:
        super().__init__()
        self._title, self._table, self._now, self._wrong, self._at = title, table, now, wrong, at

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage parameters"):
            yield Label(self._title, classes="passage-title", markup=False)
            with VerticalScroll():
                for parameter in self._table:
                    yield field(parameter, self._now.get(parameter.name, parameter.default), "form")
                    yield Label(parameter.help, classes="parameter-help", markup=False)
            yield Static("", id="parameter-problem", markup=False)
            yield Label("Enter or Ctrl+S takes it   Esc close", classes="passage-keys")

    def on_mount(self) -> None:
        if self._at in {parameter.name for parameter in self._table}:
            self.query_one(f"#form-{self._at}").focus()

    def on_input_submitted(self) -> None:
        self.action_take()

    def action_take(self) -> None:
        try:
            found = checked(values(self, self._table, "form"), self._table, self._title.lower())
            problem = self._wrong(found)
        except GenerationError as error:
            problem = f"{error.message}. {error.hint}"
        if problem:
            self.query_one("#parameter-problem", Static).update(problem)
        else:
            self.dismiss(found)

    def action_close(self) -> None:
        self.dismiss(None)

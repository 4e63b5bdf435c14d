"""Two pictures side by side, with what differs in their settings and their prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Label, Static

from assistant.tui.picture import Picture
from assistant.versions import side_by_side
from generation.errors import GenerationError
from generation.metadata import read
from knowledge.screen import shown

TEXTS = ("prompt", "negative", "idea", "expansion")


class Compare(ModalScreen[None]):
    """Closes with nothing."""

    BINDINGS = [("escape,q", "dismiss", "Close")]  # noqa: RUF012

    def __init__(self, one: Path, other: Path) -> None:
        super().__init__()
        self._paths = (one, other)

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage"):
            with Horizontal(id="compare-pictures"):
                for number, path in enumerate(self._paths):
                    with Vertical(classes="compared"):
                        yield Label(shown(path.name), markup=False, classes="passage-title")
                        yield Picture(id=f"compared-{number}")
            with VerticalScroll(id="compare-texts"):
                yield Static("", id="differences")
            yield Label("Esc close", classes="passage-keys")

    def on_mount(self) -> None:
        for number, path in enumerate(self._paths):
            self.query_one(f"#compared-{number}", Picture).show(path)
        self._look()

    @work(thread=True, exclusive=True, group="compare", exit_on_error=False)
    def _look(self) -> None:
        specs: list[dict[str, Any]] = []
        for path in self._paths:
            try:
                specs.append(read(path).spec() or {})
            except GenerationError:
                specs.append({})
        self.app.call_from_thread(self.query_one("#differences", Static).update, differences(*specs))


def differences(one: dict[str, Any], other: dict[str, Any]) -> Text:
    """The settings that differ, then the prompts in two lines with what differs in them marked."""
    out = Text()
    if not one or not other:
        return out.append("One of the pictures carries no settings.", "dim")
    left, right = _flat(one), _flat(other)
    for name in dict.fromkeys([*left, *right]):
        if name not in TEXTS and left.get(name) != right.get(name):
            out.append(f"{name.replace('_', ' ')}  ", "bold")
            out.append(f"{_short(left.get(name))}", "red").append("  ").append(f"{_short(right.get(name))}\n", "green")
    for name in ("prompt", "negative"):
        a, b = str(one.get(name, "")), str(other.get(name, ""))
        if a == b:
            out.append(f"{name}  ", "bold").append("the same in both\n", "dim")
            continue
        for stretches, style in zip(side_by_side(a, b), ("red", "green"), strict=True):
            out.append(f"{name}  ", "bold")
            for text, changed in stretches:
                out.append(shown(text), style if changed else "")
            out.append("\n")
    return out


def _flat(spec: dict[str, Any]) -> dict[str, Any]:
    """The fields with the operation's options among them."""
    options = spec.get("options") or {}
    return {**{name: value for name, value in spec.items() if name != "options"}, **options}


def _short(value: Any) -> str:
    return "none" if value in (None, "") else f"{value:g}" if isinstance(value, float) else shown(str(value))[:60]

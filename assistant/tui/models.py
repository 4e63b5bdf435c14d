"""Choosing the language model: every GGUF file that is known, its size, its context and whether it fits."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option


class ModelPicker(ModalScreen[None]):
    """Enter chooses; the next answer loads it."""

    BINDINGS = [("escape,q", "dismiss", "Close"), ("j", "down"), ("k", "up")]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self._models: list[Any] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage"):
            yield Label("Language models   Enter chooses, Esc closes", classes="passage-title")
            yield OptionList(id="models")
            yield Label("Folders with GGUF files: setting llm.models (F8). A server: llm.backend and llm.url.",
                        classes="passage-keys")  # fmt: skip

    def on_mount(self) -> None:
        self._look()

    @work(thread=True, exclusive=True, group="models", exit_on_error=False)
    def _look(self) -> None:
        from assistant.llm.gguf import available

        models = available(self.app.paths, self.app.settings)  # type: ignore[attr-defined]
        self.app.call_from_thread(self._fill, models)

    def _fill(self, models: list[Any]) -> None:
        self._models = models
        options = self.query_one("#models", OptionList)
        for model in models:
            label = Text(no_wrap=True, overflow="ellipsis")
            label.append("* " if model.chosen else "  ", "bold yellow").append(model.name, "bold")
            if model.problem:
                label.append(f"  {model.problem}", "red")
            else:
                label.append(
                    f"  {model.size / 1e9:.2f} GB, context {model.context}, needs {model.needs / 1e9:.1f} GB  ",
                    "not bold",
                )
                label.append("fits" if model.fits else "does not fit in free memory", "green" if model.fits else "red")
            label.append(f"\n    {model.path}", "dim")
            options.add_option(Option(label, disabled=bool(model.problem)))
        if not models:
            options.add_option(Option(Text("No GGUF file was found.", "dim"), disabled=True))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        model = self._models[event.option_index]
        settings = self.app.settings  # type: ignore[attr-defined]
        settings["llm.model"] = "" if model.bundled else model.path
        settings["llm.backend"] = "llama.cpp"
        self.app.notify(f"{model.name} answers from now on.", markup=False)
        self.dismiss()

    def action_down(self) -> None:
        self.query_one("#models", OptionList).action_cursor_down()

    def action_up(self) -> None:
        self.query_one("#models", OptionList).action_cursor_up()

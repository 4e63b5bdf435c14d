"""Running a recipe: its file, its stages switched on and off, and how far it has come."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, ProgressBar, Static
from textual.widgets.option_list import Option

from assistant.tui.keys import bindings
from generation.errors import GenerationError
from knowledge.screen import shown

if TYPE_CHECKING:
    from generation.recipes import Recipe


class RecipeScreen(ModalScreen[None]):
    """The job goes on when the screen is closed; Jobs shows it too."""

    BINDINGS = bindings("recipe")  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self._recipe: Recipe | None = None
        self._off: set[str] = set()
        self._number: int | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage"):
            yield Label("Run a recipe", classes="passage-title")
            yield Input(placeholder="A YAML file", id="recipe-file", compact=True)
            yield Input(placeholder="Other pictures or folders, separated by ;", id="recipe-inputs", compact=True)
            yield OptionList(id="recipe-stages")
            yield ProgressBar(id="recipe-progress", show_eta=True)
            yield Static("", id="recipe-state", markup=False)
            yield Label("Enter read it  Space switch a stage  F5 run  Esc close", classes="passage-keys")

    def on_mount(self) -> None:
        self.query_one("#recipe-progress").display = False
        self.query_one("#recipe-file").focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input.id == "recipe-file":
            self._read(Path(event.value.strip()).expanduser())

    @work(thread=True, exclusive=True, group="recipe", exit_on_error=False)
    def _read(self, path: Path) -> None:
        from generation.recipes.reading import read

        try:
            recipe = read(path)
        except GenerationError as error:
            self.app.call_from_thread(self._say, f"{error.message}. {error.hint}".strip())
            return
        self.app.call_from_thread(self._show, recipe)

    def _show(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._off = {step.id for step in recipe.steps if not step.on}
        self._fill()
        self._say(f"{shown(recipe.name)}: {len(recipe.steps)} stages; F5 runs it")
        self.query_one("#recipe-stages").focus()

    def _fill(self) -> None:
        stages = self.query_one("#recipe-stages", OptionList)
        at = stages.highlighted or 0
        stages.clear_options()
        assert self._recipe is not None
        for step in self._recipe.steps:
            off = step.id in self._off
            label = Text(no_wrap=True, overflow="ellipsis")
            label.append("  off " if off else "  on  ", "dim" if off else "green")
            label.append(shown(step.id), "" if off else "bold").append(f"  {shown(step.do)}", "dim")
            stages.add_option(Option(label))
        stages.highlighted = min(at, len(self._recipe.steps) - 1) if self._recipe.steps else None

    def action_switch(self) -> None:
        stages = self.query_one("#recipe-stages", OptionList)
        if self._recipe is None or stages.highlighted is None:
            return
        self._off ^= {self._recipe.steps[stages.highlighted].id}
        self._fill()

    def action_run(self) -> None:
        path = self.query_one("#recipe-file", Input).value.strip()
        if self._recipe is None:
            if path:
                self._read(Path(path).expanduser())
            self._say("Name a recipe and press Enter first.")
            return
        if self._number is not None:
            self._say("It runs already; Esc closes this and it goes on.")
            return
        inputs = [part.strip() for part in self.query_one("#recipe-inputs", Input).value.split(";") if part.strip()]
        spec = {
            "recipe": str(Path(path).expanduser().absolute()),
            "inputs": [str(Path(one).expanduser().absolute()) for one in inputs],
            "off": sorted(self._off),
            "set": {f"{step.id}.on": "true" for step in self._recipe.steps if not step.on and step.id not in self._off},
            "output": "",
            "cluster": 0,
        }
        self._number = self.app.submit("recipe", spec, self._on_run)  # type: ignore[attr-defined]

    def _on_run(self, number: int, event: dict[str, Any]) -> None:
        if event["kind"] in {"done", "failed", "cancelled"}:
            self._number = None
        if not self.is_attached:
            self._tell_elsewhere(event)
            return
        bar = self.query_one("#recipe-progress", ProgressBar)
        match event["kind"]:
            case "progress":
                bar.display = True
                bar.update(total=event.get("total"), progress=event["done"])
                self._say(f"{event['stage']} {shown(str(event.get('message', '')))}")
            case "note":
                self._say(event["message"])
            case "done":
                bar.display = False
                self._say(_told(event["result"]))
            case "failed":
                bar.display = False
                self._say(f"{event['message']}. {event['hint']}".strip())
            case "cancelled":
                bar.display = False
                self._say("cancelled; what was made is kept, and running it again goes on")

    def _tell_elsewhere(self, event: dict[str, Any]) -> None:
        if event["kind"] == "done":
            self.app.notify(_told(event["result"]), markup=False)
        elif event["kind"] == "failed":
            self.app.notify(f"{event['message']}. {event['hint']}".strip(), severity="error", markup=False)

    def _say(self, text: str) -> None:
        self.query_one("#recipe-state", Static).update(text)

    def action_close(self) -> None:
        self.dismiss()


def _told(result: dict[str, Any]) -> str:
    failed = f", {result['failed']} failed" if result["failed"] else ""
    return f"{result['recipe']}: {result['made']} made, {result['cached']} were there{failed}; {result['path']}"

"""A merge on the screen: the recipe typed, what it would give told from headers, then made and checked.

The plan reads headers alone, off the screen's thread; the merge is a job and goes on when the screen is closed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, ProgressBar, Static
from textual.widgets.option_list import Option

from assistant.tui.keys import bindings
from generation.catalogue import Catalogue
from generation.errors import GenerationError
from generation.merging import METHODS, WEIGHTED, Method
from knowledge.screen import shown

LISTED = 4  # tensors that are named
RANK = 16


class MergeScreen(ModalScreen[None]):
    """A line to type, the methods to begin from, and what came of it."""

    BINDINGS = bindings("merge")  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self._spec: dict[str, Any] | None = None
        self._text = ""
        self._ending = ""
        self._number: int | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage merge"):
            yield Label("Merge weights", classes="passage-title")
            yield Input(placeholder='weighted_sum("a", "b", alpha=0.3), a file, or a merge to repeat',
                        id="merge-recipe", compact=True)  # fmt: skip
            yield Input(
                placeholder="The file to write; none: merged, among your models", id="merge-output", compact=True
            )
            yield OptionList(
                *[Option(f"{call(name)}\n    {one.help}") for name, one in METHODS.items()], id="merge-methods"
            )
            yield Static("", id="merge-state", markup=False)
            yield ProgressBar(id="merge-progress", show_eta=True)
            yield Label("Enter look  F5 merge  Shift+F5 stop  Esc close", classes="passage-keys")

    def on_mount(self) -> None:
        self.query_one("#merge-progress").display = False
        self.query_one("#merge-recipe").focus()
        self._say("Type a recipe and press Enter, or choose a method below.")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        field = self.query_one("#merge-recipe", Input)
        field.value = call(list(METHODS)[event.option_index])
        field.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._look(self.query_one("#merge-recipe", Input).value.strip())

    @work(thread=True, exclusive=True, group="merge", exit_on_error=False)
    def _look(self, text: str, then: bool = False) -> None:
        from generation.merging.sources import planned, source

        app: Any = self.app
        roots = [app.paths.models, *(Path(p).expanduser() for p in app.settings["studio.models"])]
        try:
            found = source(text)
            plan = planned(found, Catalogue(roots, app.paths.catalogue)).to_json("")
        except GenerationError as error:
            app.call_from_thread(self._say, f"{error.message}. {error.hint}".strip())
            return
        spec = {
            "recipe": found.text,
            "folder": str(found.folder or Path.cwd()),
            "inputs": {name: dict(one) for name, one in found.inputs.items()},
            "precision": "",
            "render": True,
            "force": False,
        }
        app.call_from_thread(self._planned, text, spec, plan, then)

    def _planned(self, text: str, spec: dict[str, Any], plan: dict[str, Any], then: bool) -> None:
        if not self.is_attached:
            return
        self._text, self._spec, self._ending = text, spec, "" if plan["folder"] else ".safetensors"
        if then:
            self._begin()
        else:
            self._say(told(plan))

    def action_run(self) -> None:
        text = self.query_one("#merge-recipe", Input).value.strip()
        if self._number is not None:
            self._say("It runs already; Shift+F5 stops it.")
        elif not text:
            self._say("Type a recipe first.")
        elif self._spec is None or text != self._text:
            self._look(text, True)
        else:
            self._begin()

    def _begin(self) -> None:
        assert self._spec is not None
        spec = {**self._spec, "output": str(self._output())}
        self._number = self.app.submit("merge", spec, self._on_event)  # type: ignore[attr-defined]

    def _output(self) -> Path:
        if typed := self.query_one("#merge-output", Input).value.strip():
            return Path(typed).expanduser().absolute()
        folder = self.app.paths.models  # type: ignore[attr-defined]
        path, number = folder / f"merged{self._ending}", 2
        while path.exists():
            path, number = folder / f"merged-{number}{self._ending}", number + 1
        return Path(path)

    def action_stop(self) -> None:
        if self._number is not None:
            self.app.runner.cancel(self._number)  # type: ignore[attr-defined]

    def _on_event(self, number: int, event: dict[str, Any]) -> None:
        if event["kind"] in {"done", "failed", "cancelled"}:
            self._number = None
        if not self.is_attached:
            if event["kind"] == "done":
                self.app.notify(f"merged: {event['result']['path']}", markup=False)
            return
        bar = self.query_one("#merge-progress", ProgressBar)
        bar.display = event["kind"] == "progress"
        match event["kind"]:
            case "progress":
                bar.update(total=event.get("total"), progress=event["done"])
                self._say(f"{event['stage']} {shown(str(event.get('message', '')))}")
            case "note":
                self._say(event["message"])
            case "failed":
                self._say(f"{event['message']}. {event['hint']}".strip())
            case "cancelled":
                self._say("stopped; nothing was written")
            case "done":
                result = event["result"]
                checked = result["verified"]
                self._say(
                    f"{result['path']}\n{result['tensors']:,} tensors, {result['bytes'] / 1e6:,.1f} MB; checked: "
                    f"{checked['sampled']} sampled, largest error {checked['largest_error']:.2g}"
                )

    def _say(self, text: str) -> None:
        self.query_one("#merge-state", Static).update(shown(text))

    def action_close(self) -> None:
        self.dismiss()


def call(name: str) -> str:
    """How a method is written, with its defaults."""
    method: Method = METHODS[name]
    given = [f'"{letter}"' for letter, _ in zip("abcdef", method.takes, strict=False)]
    values = {p.name: p.default for p in method.parameters if p.default is not None}
    if {"rank", "keep"} <= values.keys():  # one of the two must be said
        values = {name: value for name, value in values.items() if name != "keep"} | {"rank": RANK}
    given += [f"{key}={_written(value)}" for key, value in values.items()]
    if name in WEIGHTED:
        given.append("weights=[1, 1]")
    return f"{name}({', '.join(given)})"


def _written(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"


def told(plan: dict[str, Any]) -> str:
    """What a recipe would give, in a few lines."""
    size = f"{plan['tensors']:,} tensors, {plan['bytes'] / 1e6:,.1f} MB" if plan["tensors"] else "a network"
    lines = [f"{plan['method']}: {size}, {plan['dtype']}, family {plan['family']}; F5 merges"]
    for what, word in (("missing", "missing in"), ("extra", "only in")):
        found = plan[what]
        lines += [f"{one['tensor']}: {word} {one['model']}" for one in found[:LISTED]]
        lines += [f"and {len(found) - LISTED} more"] if len(found) > LISTED else []
    return "\n".join(lines)

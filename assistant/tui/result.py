"""The picture beside the text it is made from: previews while it comes, then the result with its letters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import ProgressBar, Static

from assistant.tui.keys import bindings
from assistant.tui.picture import Picture
from assistant.tui.picture_actions import PictureActions

LETTERS = "Ctrl+B: M more like it  L lock seed  I img2img  P inpaint  C compare  R texts  O open"


class Result(PictureActions, Vertical, can_focus=True):
    """What the last render made; of several, N shows one after the other."""

    BINDINGS = bindings("picture") + bindings("result")  # type: ignore[assignment]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._paths: list[Path] = []
        self._chosen_number = 0

    def compose(self) -> ComposeResult:
        yield Picture(id="result-picture")
        yield Static("", id="result-state")
        yield ProgressBar(id="result-progress", show_eta=True)

    def on_mount(self) -> None:
        self.query_one("#result-progress").display = False

    def chosen_picture(self) -> Path | None:
        return self._paths[max(self._chosen_number - 1, 0)] if self._paths else None

    def on_render(self, number: int, event: dict[str, Any]) -> None:
        """An event of the render that was asked for."""
        bar = self.query_one("#result-progress", ProgressBar)
        match event["kind"]:
            case "started":
                bar.update(total=None, progress=0)
                bar.display = True
            case "progress":
                bar.update(total=event.get("total"), progress=event["done"])
                self.say(Text(f"{event['stage']} {event.get('message', '')}  Esc cancels", "dim"))
            case "preview":
                self.query_one("#result-picture", Picture).show(event["path"])
            case "done":
                bar.display = False
                self._done(event["result"])
            case "failed":
                bar.display = False
                self.say(Text(f"{event['message']}. {event['hint']}".strip(), "red"))
            case "cancelled":
                bar.display = False
                self.say(Text("cancelled; nothing was written", "dim"))

    def _done(self, result: dict[str, Any]) -> None:
        self._paths = [Path(path) for path in result.get("paths") or [result["path"]]]
        self._chosen_number = 0
        self.query_one("#result-picture", Picture).show(*self._paths)
        text = Text(f"{result['seconds']:.1f} s, seed {result['seed']}", "")
        if len(self._paths) > 1:
            text.append(f"; N shows the {len(self._paths)} one by one", "dim")
        self.say(text.append(f"\n{LETTERS}", "dim"))

    def say(self, text: Text) -> None:
        self.query_one("#result-state", Static).update(text)

    def action_next_picture(self) -> None:
        if len(self._paths) > 1:
            self._chosen_number = (self._chosen_number + 1) % (len(self._paths) + 1)
            number = self._chosen_number
            self.query_one("#result-picture", Picture).show(*([self._paths[number - 1]] if number else self._paths))

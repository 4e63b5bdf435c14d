"""The Help room: every key, from the table of keys, and where to read on."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from assistant.tui.keys import KEYS

TITLES = {
    "everywhere": "Everywhere", "library": "Library", "source": "Sources of an answer",
    "conversations": "Conversations (F7)", "files": "Files (F9)", "draft": "Draft", "slider": "Sliders",
    "versions": "Versions of the draft (F10)", "kept": "Kept prompts", "studio": "Studio",
    "picture": "A picture, beside the text or in the gallery", "result": "The picture beside the text",
    "gallery": "Gallery", "attachments": "Hung onto a render (Ctrl+K)", "form": "Forms", "recipe": "Running a recipe",
    "character": "Weighing a character", "merge": "Merging",
    "training": "Training", "animation": "Animating", "video": "Video to video",
    "moving clip": "A clip that moves by itself", "stage kinds": "Adding a stage",
    "captions": "Captions of a dataset", "caption text": "A caption",
    "mask": "Drawing a mask", "mask screen": "The mask as a whole", "jobs": "Jobs",
}  # fmt: skip


class HelpRoom(VerticalScroll):
    """Scrolls; has no work to cancel."""

    def compose(self) -> ComposeResult:
        yield Static(
            Text.assemble(
                ("Atelier\n", "bold"),
                "Ask your notes (F2), draft a prompt (F3), render it with F5 and look at it (F4). ",
                "Everything stays on this machine. Esc cancels, then leaves a field; Ctrl+P finds any action.\n",
            )
        )
        for where, title in TITLES.items():
            yield Static(title, classes="help-title")
            table = Table.grid(padding=(0, 2))
            table.add_column(style="bold", no_wrap=True)
            table.add_column()
            for key in KEYS:
                if key.where == where:
                    table.add_row(key.shown, key.help)
            yield Static(table)

    def enter(self) -> None:
        self.focus()

    def cancel(self) -> bool:
        return False

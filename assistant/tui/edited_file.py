"""A file as a screen edits it: saved where it came from, and never lost or written over unasked.

Leaves what the file holds to what is edited.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from assistant.tui.dialogs import Ask, Confirm


class Edited(Protocol):
    """What is edited: `content` tells whether it changed, `write` raises OSError."""

    @property
    def content(self) -> Any: ...

    def write(self, path: Path) -> None: ...


class EditedFile:
    """`path` is None for what was never saved. `say` shows one line; `what` is edited, `usual` its name otherwise."""

    def __init__(self, app: Any, say: Callable[[str], None], what: str, usual: str) -> None:
        self._app, self._say, self._what, self.usual = app, say, what, usual
        self.path: Path | None = None
        self._kept = False  # what is there would be lost by saving over it
        self._saved: Any = None

    @property
    def name(self) -> str:
        """What the video is called by."""
        return self.path.stem if self.path else ""

    def at(self, path: Path | None, edited: Edited, *, kept: bool = False) -> None:
        """What is edited is what `path` holds; a file that is `kept` is not written over."""
        self.path, self._kept, self._saved = path, kept, edited.content

    def unless_lost(self, edited: Edited, what: str, then: Callable[[], Any]) -> None:
        """Go on at once where all is saved, else ask first; `what` is on the button."""
        if edited.content == self._saved:
            then()
            return
        question = f"The {self._what} were changed and not saved. They are lost when you go on."
        self._app.push_screen(Confirm(question, what, "Stay"), lambda yes: then() if yes else None)

    def save(self, edited: Edited, folder: Path, saved: Callable[[], None]) -> None:
        """Write it where it came from, or ask where to; `saved` is called when it is written."""
        if self.path is not None and not self._kept:
            self._write(edited, self.path, saved)
            return
        usual = Path(self.usual)
        proposed = (self.path.parent if self.path else folder) / f"{self.name or usual.stem}{usual.suffix}"

        def take(text: str | None) -> None:
            path = Path(text).expanduser().absolute() if text else None
            if path is None or not path.exists():
                if path is not None:
                    self._write(edited, path, saved)
                return
            question = f"{path.name} is there already. Write over it?"
            self._app.push_screen(
                Confirm(question, "Write", "No"), lambda yes: self._write(edited, path, saved) if yes else None
            )

        self._app.push_screen(Ask(f"Save the {self._what} as", str(proposed)), take)

    def _write(self, edited: Edited, path: Path, saved: Callable[[], None]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            edited.write(path)
        except OSError as error:
            self._say(f"{path} cannot be written: {error.strerror}. Choose another place.")
            return
        self.at(path, edited)
        saved()
        self._say(f"saved: {path}")

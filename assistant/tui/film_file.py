"""The settings file of an animation as a screen uses it: opened, saved, and never lost or written over unasked.

Leaves what a file holds to `generation.animation.settings`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.tui.dialogs import Ask, Confirm
from assistant.tui.film import Film
from generation.animation.settings import read
from generation.errors import BadSpec


class FilmFile:
    """`path` is None for an animation that was never saved. `say` shows one line to the person."""

    def __init__(self, app: Any, say: Callable[[str], None]) -> None:
        self._app, self._say = app, say
        self.path: Path | None = None
        self._guide = False  # a guide's text would be lost by saving over it
        self._saved: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """What the video is called by."""
        return self.path.stem if self.path else ""

    def at(self, path: Path | None, film: Film, *, guide: bool = False) -> None:
        """The film is what `path` holds."""
        self.path, self._guide, self._saved = path, guide, film.settings.to_json()

    def unless_lost(self, film: Film, what: str, then: Callable[[], Any]) -> None:
        """Go on at once where all is saved, else ask first; `what` is on the button."""
        if film.settings.to_json() == self._saved:
            then()
            return
        question = "The settings were changed and not saved. They are lost when you go on."
        self._app.push_screen(Confirm(question, what, "Stay"), lambda yes: then() if yes else None)

    def save(self, film: Film, folder: Path, saved: Callable[[], None]) -> None:
        """Write the film where it came from, or ask where to; `saved` is called when it is written."""
        if self.path is not None and not self._guide:
            self._write(film, self.path, saved)
            return
        usual = (self.path.parent if self.path else folder) / f"{self.name or 'animation'}.json"

        def take(text: str | None) -> None:
            path = Path(text).expanduser().absolute() if text else None
            if path is None or not path.exists():
                if path is not None:
                    self._write(film, path, saved)
                return
            question = f"{path.name} is there already. Write over it?"
            self._app.push_screen(
                Confirm(question, "Write", "No"), lambda yes: self._write(film, path, saved) if yes else None
            )

        self._app.push_screen(Ask("Save the settings as", str(usual)), take)

    def _write(self, film: Film, path: Path, saved: Callable[[], None]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            film.settings.write(path)
        except OSError as error:
            self._say(f"{path} cannot be written: {error.strerror}. Choose another place.")
            return
        self.at(path, film)
        saved()
        self._say(f"saved: {path}")


def opened(path: Path) -> tuple[Film, bool]:
    """The film of a settings file, and whether that is a guide's text. Raises `BadSpec`, `BadSchedule`."""
    film = Film(read(path))
    try:
        with path.open(encoding="utf-8-sig") as file:
            guide = not file.read(1000).lstrip().startswith("{")
        for name in film.names:
            film.keys(name)
    except OSError as error:
        raise BadSpec(f"{path} cannot be read: {error.strerror}", "Choose another file.") from error
    return film, guide

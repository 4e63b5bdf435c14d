"""The gallery: the pictures that were made, searched, rated, chosen. What a choice means is the room's matter."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from assistant.errors import AssistantError
from assistant.gallery import BEST, GalleryIndex, Shot
from assistant.tui.keys import bindings
from assistant.tui.picture_actions import PictureActions
from knowledge.screen import shown

SHOWN = 60  # pictures in the list; the search finds the rest


class Pictures(PictureActions, OptionList):
    """The list itself, the newest first."""

    BINDINGS = bindings("gallery") + bindings("picture")  # type: ignore[assignment]

    def chosen_picture(self) -> Path | None:
        return self.screen.query_one(Gallery).chosen

    def action_rate(self, by: int) -> None:
        if (path := self._chosen()) is not None:
            self.screen.query_one(Gallery).rate(path, by)

    def action_search(self) -> None:
        self.screen.query_one("#gallery-query").focus()

    def action_reuse(self) -> None:
        self.action_select()


class Gallery(Vertical):
    """A field to search by and the list."""

    class Looked(Message):
        """A picture is looked at (`taken` is False) or its settings are wanted. The first one comes by itself."""

        def __init__(self, path: Path, *, taken: bool) -> None:
            super().__init__()
            self.path, self.taken = path, taken

    class Said(Message):
        """A line for the person."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._paths: list[Path] = []
        self._ratings: dict[Path, int] = {}
        self._writing = Lock()
        self._begun = False

    def compose(self) -> ComposeResult:
        yield Input(placeholder="Words, model:x, seed:5, rating:>=3", id="gallery-query", compact=True)
        yield Pictures(id="gallery")

    @property
    def _index(self) -> GalleryIndex:
        app: Any = self.app
        chosen = app.settings["studio.output"]
        return GalleryIndex(app.paths.gallery, [Path(chosen).expanduser() if chosen else app.paths.output])

    @property
    def chosen(self) -> Path | None:
        at = self.query_one("#gallery", Pictures).highlighted
        return self._paths[at] if at is not None and at < len(self._paths) else None

    @work(thread=True, exclusive=True, group="gallery-refresh", exit_on_error=False)
    def look_around(self) -> None:
        """Bring the index up to date with the folder, then list."""
        try:
            self._index.refresh()
        except AssistantError as error:
            self.app.call_from_thread(self.post_message, self.Said(f"{error.message}. {error.hint}"))
        self.app.call_from_thread(self._find)

    @work(thread=True, exclusive=True, group="gallery", exit_on_error=False)
    def _find(self) -> None:
        """The pictures that fit what is typed."""
        try:
            found = self._index.find(self.query_one("#gallery-query", Input).value, SHOWN)
        except AssistantError as error:
            self.app.call_from_thread(self.post_message, self.Said(f"{error.message}. {error.hint}"))
            return
        self.app.call_from_thread(self._show, found)

    def _show(self, shots: list[Shot]) -> None:
        pictures = self.query_one("#gallery", Pictures)
        at, before = pictures.highlighted, self.chosen
        self._paths = [Path(shot.path) for shot in shots]
        for shot in shots:
            # What was rated here stands: a list read before that may come after it.
            self._ratings.setdefault(Path(shot.path), shot.rating)
        pictures.clear_options()
        pictures.add_options([Option(_caption(shot)) for shot in shots])
        if before in self._paths:
            pictures.highlighted = self._paths.index(before)
        elif at is not None and shots:
            pictures.highlighted = min(at, len(shots) - 1)
        if self._paths and not self._begun:
            self._begun = True
            self.post_message(self.Looked(self._paths[0], taken=False))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._find()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one("#gallery").focus()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option_list.has_focus:
            self.post_message(self.Looked(self._paths[event.option_index], taken=False))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Looked(self._paths[event.option_index], taken=True))

    def rate(self, path: Path, by: int) -> None:
        """Raise or lower a picture's rating."""
        rating = min(max(self._ratings.get(path, 0) + by, 0), BEST)
        self._ratings[path] = rating
        self.post_message(self.Said(f"{path.name}: {stars(rating) or 'no rating'}"))
        self._keep_rating(path)

    @work(thread=True, group="rate", exit_on_error=False)
    def _keep_rating(self, path: Path) -> None:
        """Write the rating as it stands when its turn comes: of several quick keys the last one counts."""
        try:
            with self._writing:
                self._index.rate(path, self._ratings[path])
        except AssistantError as error:
            self.app.call_from_thread(self.post_message, self.Said(f"{error.message}. {error.hint}"))
        self.app.call_from_thread(self._find)


def stars(rating: int) -> str:
    return "★" * rating


def _caption(shot: Shot) -> Text:
    """`15:30 ★★★ a blue alien`: when, how good, what."""
    text = Text(no_wrap=True, overflow="ellipsis")
    made = datetime.fromtimestamp(shot.mtime / 1e9)
    text.append(f"{made:%m-%d %H:%M} " if made.date() != datetime.now().date() else f"{made:%H:%M} ", "dim")
    text.append(f"{stars(shot.rating)} " if shot.rating else "", "yellow")
    return text.append(shown(" ".join(shot.prompt.split())) or Path(shot.path).stem)

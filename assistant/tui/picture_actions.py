"""What can be done with a picture that was made, wherever it is shown: the same letters in the gallery and beside the
text.

Leaves rendering to the Studio and the texts to the Draft.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from generation.errors import GenerationError
from generation.metadata import read

MORE = 4  # pictures of "more like this"
FAR = 0.35  # how far they may go


class PictureActions:
    """Mixed into a widget that knows its `chosen_picture()`."""

    app: Any
    notify: Any
    # The picture that waits to be compared with another, in any place.
    marked: Path | None = None

    def chosen_picture(self) -> Path | None:
        raise NotImplementedError

    def _chosen(self) -> Path | None:
        path = self.chosen_picture()
        if path is None or not path.is_file():
            self.notify("There is no picture yet; F5 renders one.", markup=False)
            return None
        return path

    def _settings(self, path: Path) -> dict[str, Any] | None:
        try:
            spec = read(path).spec()
        except GenerationError as error:
            self.notify(f"{error.message}. {error.hint}", severity="error", markup=False)
            return None
        if spec is None:
            self.notify(f"{path.name} carries no settings.", markup=False)
        return spec

    def action_open_picture(self) -> None:
        from assistant.tui.opening import view

        if (path := self._chosen()) is not None:
            view(self.app, str(path))

    async def action_more_like_this(self) -> None:
        if (path := self._chosen()) is None:
            return
        studio = await self.app.ensure("studio")
        options = {"image": str(path), "strength": FAR}
        spec = {"prompt": "", "model": studio.model, "operation": "variation", "options": options, "batch": MORE}
        studio.submit(spec)
        self.notify(f"Rendering {MORE} variations of {path.name}.", markup=False)

    async def action_lock_seed(self) -> None:
        if (path := self._chosen()) is None or (spec := self._settings(path)) is None:
            return
        studio = await self.app.ensure("studio")
        if studio.lock_seed(spec.get("seed")):
            self.notify(
                f"Every render takes the seed {spec.get('seed')} now; the same key draws one again.", markup=False
            )
        else:
            self.notify("The seed is drawn anew each time.", markup=False)

    async def action_send(self, operation: str) -> None:
        if (path := self._chosen()) is None:
            return
        await self.app.action_room("studio")
        await self.app.room("studio").begin(operation, path)

    def action_compare(self) -> None:
        if (path := self._chosen()) is None:
            return
        marked = PictureActions.marked
        if marked is None or marked == path or not marked.is_file():
            PictureActions.marked = path
            self.notify(f"{path.name} is marked; the same key on another picture compares both.", markup=False)
            return
        from assistant.tui.compare import Compare

        PictureActions.marked = None
        self.app.push_screen(Compare(marked, path))

    def action_restore(self) -> None:
        """Choose which of its texts comes back: idea, expansion or the text it was rendered from."""
        if (path := self._chosen()) is None or (spec := self._settings(path)) is None:
            return
        from assistant.tui.restore import Restore

        async def take(text: str | None) -> None:
            if text is not None:
                await self.app.action_room("draft")
                self.app.room("draft").restore(text, str(spec.get("negative", "")), spec)

        self.app.push_screen(Restore(path, spec), take)

"""What the screens of animations and of videos share: the playhead, the picture, and the job watched and paused.

How a job stands is `animation_run`'s matter; a screen may be closed and opened again while it works.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, ProgressBar, Static

from assistant.tui.animation_queue import AnimationQueue
from assistant.tui.animation_run import AnimationRun
from assistant.tui.dialogs import Ask, Confirm
from assistant.tui.edited_file import EditedFile
from assistant.tui.long_run import STOPPED
from assistant.tui.picture import Picture

UNKNOWN = 10**9  # frames, where they were not counted yet


class FilmScreen(ModalScreen[None]):
    """A screen composes what has the ids `anim-file`, `anim-rows` (the chosen one is edited), `anim-picture`,
    `anim-here`, `anim-problem`, `anim-state` and `anim-progress`; `file` is what it edits.
    """

    file: EditedFile

    def __init__(self) -> None:
        super().__init__()
        self.frame = 0

    @property
    def frames(self) -> int:
        """How many there are."""
        raise NotImplementedError

    def look(self) -> None:
        """Draw everything that depends on the playhead or the chosen row."""
        raise NotImplementedError

    def output(self) -> Path:
        """The video that is made."""
        raise NotImplementedError

    def begin_watching(self, nothing_yet: str) -> None:
        """Called when the screen is there; `nothing_yet` stands where the picture will."""
        self.query_one("#anim-progress").display = False
        self.query_one("#anim-problem").display = False
        self.picture.query_one("#no-picture", Static).update(nothing_yet)
        self.queue.watch(self.show_run)

    def on_unmount(self) -> None:
        self.queue.leave(self.show_run)

    @property
    def picture(self) -> Picture:
        return self.query_one("#anim-picture", Picture)

    @property
    def listed(self) -> OptionList:
        return self.query_one("#anim-rows", OptionList)

    # The playhead

    def seek(self, frame: int) -> None:
        self.frame = min(max(frame, 0), self.frames - 1)
        self.look()

    def action_step(self, by: int) -> None:
        self.seek(self.frame + by)

    def action_go(self) -> None:
        def take(text: str | None) -> None:
            if text and text.isdecimal():
                self.seek(int(text[:9]))
            elif text:
                self.wrong(f'"{text[:40]}" is no frame. Give 0 to {self.frames - 1}.')

        bounds = f", 0 to {self.frames - 1}" if self.frames < UNKNOWN else ""
        self.app.push_screen(Ask(f"Go to frame{bounds}"), take)

    # The job

    @cached_property
    def queue(self) -> AnimationQueue:
        """The program's: it outlives this screen."""
        app: Any = self.app
        if app.animations is None:
            app.animations = AnimationQueue()
        found: AnimationQueue = app.animations
        return found

    def folder(self) -> Path:
        """Where videos are put."""
        app: Any = self.app
        chosen = app.settings["studio.output"]
        return (Path(chosen).expanduser() if chosen else Path(app.paths.output)) / "animations"

    def run_shown(self) -> AnimationRun | None:
        """The latest run of what is shown."""
        return self.queue.of(self.output())

    def begin(self, run: AnimationRun) -> bool:
        """Make it, unless it is being made; whether it was taken."""
        now = self.queue.of(run.output)
        if now is not None and now.alive:
            self.say("It is being made already; P pauses it, X stops it.")
            return False
        run.changed = self.show_run
        if not self.queue.add(self.app, run):
            return False
        self.show_run()
        return True

    def action_pause(self) -> None:
        if (run := self.run_shown()) is not None:
            run.pause(self.app)

    def action_stop(self) -> None:
        if (run := self.run_shown()) is not None:
            run.stop(self.app)

    def show_run(self) -> None:
        """How the job stands: its lines, its bar, its newest frame."""
        if not self.is_attached:
            return
        run = self.run_shown()
        bar = self.query_one("#anim-progress", ProgressBar)
        bar.display = run is not None and run.alive
        if run is None:
            return
        self.say("\n".join([run.told(), *self.queue.lines(but=run)]))
        done, total = run.bar
        bar.update(total=total or None, progress=done)
        self.show_newest(run)

    def show_newest(self, run: AnimationRun) -> None:
        """The picture of a run, behind everything it says."""
        if run.newest:
            self.picture.show(run.newest)

    def offer_fresh(self, run: AnimationRun) -> None:
        """Frames of former settings are there: they are thrown away only when the person says so."""
        question = f"{run.name} has frames of other settings. Throw them away and make all anew?"

        def take(yes: bool | None) -> None:
            if yes:
                run.begin(self.app, fresh=True)
            else:
                run.message, run.state = "its former frames are kept; S saves under another name", STOPPED
                self.say(run.message)

        if run.others and run.result is None and not isinstance(self.app.screen, Confirm):
            self.app.push_screen(Confirm(question, "Make anew", "Keep them"), take)

    # The rest

    def say(self, text: str) -> None:
        if self.is_attached:
            self.query_one("#anim-state", Static).update(text)

    def wrong(self, text: str) -> None:
        if not self.is_attached:
            return
        field = self.query_one("#anim-problem", Static)
        field.update(text)
        field.display = bool(text)

    def action_view(self) -> None:
        """Where there is room for one of both: the list, or the picture."""
        self.toggle_class("-picture")

    def action_cursor_down(self) -> None:
        self.listed.action_cursor_down()

    def action_cursor_up(self) -> None:
        self.listed.action_cursor_up()

    def action_close(self) -> None:
        if isinstance(self.focused, Input):
            self.listed.focus()
            self.look()
        else:
            self.close()

    def close(self) -> None:
        """Leave, unless something would be lost."""
        raise NotImplementedError

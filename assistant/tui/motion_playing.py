"""The frames of a clip that was made: its strip, one after the other by keys, or played.

Which run they are of is the screen's matter.
"""

from __future__ import annotations

from pathlib import Path

from textual.timer import Timer
from textual.widgets import Static

from assistant.tui.animation_run import AnimationRun
from assistant.tui.film_screen import FilmScreen

FASTEST = 8  # pictures a second: a terminal draws no more of them whole
FPS = 8.0  # until the job says it


class MotionPlaying(FilmScreen):
    """`run` is the clip that is shown, None for none; `flipping` shows its frames in place of its strip."""

    def __init__(self) -> None:
        super().__init__()
        self.run: AnimationRun | None = None
        self.flipping = False
        self._timer: Timer | None = None
        self._at = 0.0

    def on_unmount(self) -> None:
        self.stop_playing()

    def run_shown(self) -> AnimationRun | None:
        return self.run

    # What there is

    @property
    def frames(self) -> int:
        run = self.run
        if run is None or run.alive:
            return 0
        return int(run.result["frames"]) if run.result else run.done

    @property
    def fps(self) -> float:
        return float(self.run.result["fps"]) if self.run is not None and self.run.result else FPS

    def _frame(self) -> Path:
        assert self.run is not None
        return self.run.output.with_name(f"{self.run.name}.frames") / f"{self.frame:06d}.png"

    # Showing

    def look(self) -> None:
        if self.run is not None:
            self.show_newest(self.run)

    def show_newest(self, run: AnimationRun) -> None:
        """While it is made the newest picture, then the strip, or the frame that was gone to."""
        here = ""
        if self.frames:
            self.frame = min(self.frame, self.frames - 1)
            here = f"{self.frames} frames at {self.fps:g} a second  (Space plays, ← → one by one)"
        if self.frames and self.flipping:
            here = f"frame {self.frame} of {self.frames}, {self.frame / self.fps:.2f} s"
            self.picture.show(self._frame())
        else:
            super().show_newest(run)
        self.query_one("#anim-here", Static).update(here)

    def seek(self, frame: int) -> None:
        """Go to a frame of the clip, if there is one."""
        self.stop_playing()
        if not self.frames:
            self.say("There are no frames yet; F5 makes the clip.")
            return
        self.flipping = True
        self.frame = min(max(frame, 0), self.frames - 1)
        self.look()

    def action_go(self) -> None:
        if self.frames:
            super().action_go()
        else:
            self.seek(0)

    def action_step(self, by: int) -> None:
        if self.flipping:
            self.seek(self.frame + by)
        else:
            self.seek(0 if by > 0 else self.frames - 1)

    def action_strip(self) -> None:
        """The frames beside each other again."""
        self.stop_playing()
        self.flipping = False
        self.look()

    # Playing

    def action_play(self) -> None:
        """Play the frames over and over, or stop."""
        if self._timer is not None:
            self.stop_playing()
        elif self.frames < 2:
            self.say("There is nothing to play yet; F5 makes the clip.")
        else:
            self._at = float(self.frame if self.flipping else 0)
            self.flipping = True
            self._timer = self.set_interval(1 / min(self.fps, FASTEST), self.next_frame)

    def next_frame(self) -> None:
        """The picture that is due: where a clip is faster than a terminal, some are left out."""
        if self.frames < 2:
            self.stop_playing()
            return
        self._at = (self._at + self.fps / min(self.fps, FASTEST)) % self.frames
        self.frame = int(self._at)
        self.look()

    def stop_playing(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

"""A film made over on the screen: its stages switched, moved, set; any frame behind any of them looked at; the run.

What a file of stages says is `video_stages`' matter; the playhead and the job are `film_screen`'s. A frame is looked at
through the job that makes the video, and is there for it afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Label, ProgressBar, Static

from assistant.jobs.videos import named
from assistant.tui.animation_run import AnimationRun
from assistant.tui.edited_file import EditedFile
from assistant.tui.film import problem
from assistant.tui.film_screen import UNKNOWN
from assistant.tui.keys import bindings
from assistant.tui.picture import Picture
from assistant.tui.stage_editing import NOTHING, StageEditing
from assistant.tui.video_frames import Frames
from assistant.tui.video_rows import VideoRows
from assistant.tui.video_stages import Stages, begun, opened
from generation.errors import GenerationError
from knowledge.screen import shown

KEYS = (
    "Space on/off  Enter settings  F frame  ← → frame  A add  D remove  - + move  C controls  T film  U undo  S save  "
    "F5 make  P pause  X stop  V picture  Esc close"
)
FILES = frozenset({".yaml", ".yml"})


class VideoScreen(StageEditing):
    """The list holds the film and its stages; the picture is the playhead's frame behind the chosen one."""

    BINDINGS = bindings("video")  # type: ignore[assignment]

    @cached_property
    def file(self) -> EditedFile:  # type: ignore[override]
        return EditedFile(self.app, self.say, "stages", "stages.yaml")

    @cached_property
    def made(self) -> Frames:
        return Frames(self.app, self.say, self._frame_made)

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage animation"):
            yield Input(placeholder="A film, or a YAML file of stages; Enter opens it", id="anim-file", compact=True)
            with Horizontal(id="anim-views"):
                yield VideoRows(id="anim-rows")
                yield Picture(id="anim-picture")
            yield Static("", id="anim-here", markup=False)
            yield Static("", id="anim-problem", markup=False)
            yield Static("", id="anim-state", markup=False)
            yield ProgressBar(id="anim-progress", show_eta=False)
            yield Label(KEYS, classes="passage-keys")

    def on_mount(self) -> None:
        self.begin_watching("F shows the playhead's frame behind the chosen stage.")
        run = self.queue.latest("vid2vid")
        if run is not None and isinstance(run.edited, Stages):
            self._opened(run.edited, run.file)
            self.show_run()
        else:
            self.look()
            self.query_one("#anim-file").focus()
            self.say(NOTHING)

    # The file

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if text := event.value.strip():
            path = Path(text).expanduser().absolute()
            self._unless_lost("Open it", lambda: self._open(path))

    def _unless_lost(self, what: str, then: Callable[[], Any]) -> None:
        if self.stages is None:
            then()
        else:
            self.file.unless_lost(self.stages, what, then)

    def _open(self, path: Path) -> None:
        if path.suffix.lower() in FILES:
            self._read(path)
        elif path.exists():
            self._opened(begun(path, self._prompt()), "")
            self.say(f"A chain of stages for {shown(path.name)}; Space switches them, F5 makes the video.")
        else:
            self.wrong(f"there is no film {shown(str(path))}. Check the path.")

    @work(thread=True, exclusive=True, group="stages", exit_on_error=False)
    def _read(self, path: Path) -> None:
        try:
            found = opened(path)
        except GenerationError as error:
            self.app.call_from_thread(self.wrong, problem(error))
            return
        self.app.call_from_thread(self._opened, found, str(path))

    def _opened(self, stages: Stages, file: str) -> None:
        if not self.is_attached:
            return
        self.stages, self.before, self.frame = stages, [], 0
        self.file.at(Path(file) if file else None, stages)
        self.query_one("#anim-file", Input).value = file
        self.rows.show(stages, -1)
        self.listed.focus()
        self.say(f"{len(stages.rows)} stages; F5 makes the video" if stages.input else "T names the film.")
        self.look()

    def _prompt(self) -> str:
        """The draft's; a Draft that was never entered holds nothing."""
        return next((str(room.prompt).strip() for room in self.app.query("DraftRoom")), "")  # type: ignore[attr-defined]

    def action_save(self) -> None:
        if self.stages is None:
            return

        def saved() -> None:
            assert self.stages is not None and self.file.path is not None
            self.stages = self.stages.at(self.file.path)
            self.query_one("#anim-file", Input).value = str(self.file.path)
            self.look()

        self.file.save(self.stages, self.folder(), saved)

    # Frames

    @property
    def frames(self) -> int:
        if self.stages is None:
            return 1
        return self.made.count(self.stages, self._stage) or int(self.stages.about()["frames"]) or UNKNOWN

    @property
    def _stage(self) -> str:
        """The stage whose frames are looked at."""
        number = self.rows.chosen
        return self.stages.rows[number].id if self.stages is not None and number >= 0 else "input"

    @property
    def _on(self) -> bool:
        number = self.rows.chosen
        return self.stages is not None and (number < 0 or self.stages.rows[number].on)

    def look(self) -> None:
        self.rows.show(self.stages)
        here = self.query_one("#anim-here", Static)
        if self.stages is None:
            here.update("")
            return
        count = self.made.count(self.stages, self._stage)
        if count:
            self.frame = min(self.frame, count - 1)
        place = f"frame {self.frame}" + (f" of {count}" if count else "")
        seconds = f", {self.made.seconds(self.stages, self._stage, self.frame):.2f} s" if count else ""
        behind = "of the film" if self._stage == "input" else f"behind {shown(self._stage)}"
        path = self.made.path(self.stages, self._stage, self.frame)
        missing = "" if path else "  (F makes it)" if self._on else "  (off)"
        here.update(f"{place}{seconds}  {behind}{missing}")
        self.wrong(self.stages.problem)
        run = self.run_shown()
        if run is not None and run.alive and run.newest:
            self.picture.show(run.newest)
        elif path is not None:
            self.picture.show(path)

    def _ready(self) -> dict[str, Any] | None:
        """The job of what is shown; None, with the reason said, where it cannot be."""
        if self.stages is None:
            self.say(NOTHING)
        elif (pipeline := self.stages.pipeline) is None:
            self.wrong(self.stages.problem)
        elif not pipeline.input:
            self.wrong("there is no film yet. T names one.")
        else:
            return {"pipeline": pipeline.to_json(), "video": pipeline.input, "output": str(self.output())}
        return None

    def action_frame(self) -> None:
        """Make the playhead's frame behind the chosen stage, and show it."""
        job = self._ready()
        if job is None or self.stages is None:
            return
        if not self._on:
            self.say(f"{shown(self._stage)} is off; Space switches it on.")
        elif self.queue.alive:
            self.say("A video is being made; single frames come when it is paused.")
        elif self.made.busy:
            self.say("One moment, the frame before it is made; X stops it.")
        else:
            self.made.ask(self.stages, job, self._stage, self.frame)

    def _frame_made(self, path: str) -> None:
        if self.is_attached:
            self.look()
            self.picture.show(path)

    # The video

    def output(self) -> Path:
        """Named as the shell names it, so that both find the same frames."""
        film, name = (self.stages.input, self.stages.name) if self.stages is not None else ("", "")
        return self.folder() / f"{named(film, name)}.mp4"

    def action_make(self) -> None:
        if (job := self._ready()) is not None:
            spec = {**job, "measure": True, "clip": ""}
            self.begin(AnimationRun(spec=spec, kind="vid2vid", file=str(self.file.path or ""), edited=self.stages))

    def action_stop(self) -> None:
        if self.made.busy:
            self.made.stop()
        else:
            super().action_stop()

    def show_run(self) -> None:
        super().show_run()
        run = self.run_shown() if self.is_attached else None
        if run is not None and run.result is not None and isinstance(run.edited, Stages):
            self.made.ended(run.edited, run.result)

    def close(self) -> None:
        self._unless_lost("Close", self.dismiss)

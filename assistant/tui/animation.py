"""Animations from the screen: a timeline of prompts and schedules, any frame looked at, the job watched and paused.

What changes at a frame is `film`'s matter; the playhead and the job are `film_screen`'s.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Label, OptionList, ProgressBar, Static

from assistant.tui.animation_run import AnimationRun
from assistant.tui.edited_file import EditedFile
from assistant.tui.film import PROMPTS, TABLE, Film, begun, opened, problem, shown_value
from assistant.tui.film_rows import FilmRows
from assistant.tui.film_screen import FilmScreen
from assistant.tui.keys import bindings
from assistant.tui.parameter_form import ParameterForm
from assistant.tui.picture import Picture
from assistant.tui.timeline_plot import Shown, TimelinePlot
from assistant.writing import stem_of
from generation.animation.settings import of
from generation.errors import GenerationError
from knowledge.screen import shown

KEYS = (
    "← → frame  Shift+← → key  G go  Enter value  Del remove  Space still  T settings  S save  F5 animate  "
    "P pause  X stop  M clip  O video to video  V picture  Esc close"
)
UNTITLED = "animation"


class AnimationScreen(FilmScreen):
    """The list on the left chooses what is edited, the curve below shows it, the picture is the playhead's frame."""

    BINDINGS = bindings("animation")  # type: ignore[assignment]

    def __init__(self, prompt: str = "", negative: str = "") -> None:
        super().__init__()
        self.film = begun(prompt or "a picture", negative)
        self._asked = -1
        self._still: int | None = None
        self._untitled = ""

    @cached_property
    def file(self) -> EditedFile:  # type: ignore[override]
        return EditedFile(self.app, self.say, "settings", f"{UNTITLED}.json")

    @property
    def frames(self) -> int:
        return self.film.frames

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage animation"):
            yield Input(placeholder="A Deforum settings file, or one to be written; Enter opens it",
                        id="anim-file", compact=True)  # fmt: skip
            with Horizontal(id="anim-views"):
                yield FilmRows(id="anim-rows")
                yield Picture(id="anim-picture")
            yield TimelinePlot(id="anim-plot")
            yield Static("", id="anim-here", markup=False)
            yield Input(id="anim-value", compact=True)
            yield Static("", id="anim-problem", markup=False)
            yield Static("", id="anim-state", markup=False)
            yield ProgressBar(id="anim-progress", show_eta=False)
            yield Label(KEYS, classes="passage-keys")

    def on_mount(self) -> None:
        self.begin_watching("Space renders the frame's prompt as a still.")
        run = self.queue.latest("animate")
        if run is not None:
            self.query_one("#anim-file", Input).value = run.file
            self.film = Film(of(run.spec["settings"]))
            self._untitled = "" if run.file else run.name
        self.file.at(Path(run.file) if run is not None and run.file else None, self.film)
        self._take(self.film)
        self.listed.focus()
        self.show_run()
        if run is None:
            self.say("A new animation; F5 makes it, a file's name above opens one.")

    # The file

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input.id == "anim-value":
            self._set(event.value)
        elif text := event.value.strip():
            path = Path(text).expanduser().absolute()
            self.file.unless_lost(self.film, "Open it", lambda: self._open(path))

    def _open(self, path: Path) -> None:
        if path.exists():
            self._read(path)
        else:
            self.listed.focus()
            self.file.at(path, self.film)
            self.say(f"{shown(path.name)} is not there yet: S writes it.")
            self.look()

    @work(thread=True, exclusive=True, group="animation", exit_on_error=False)
    def _read(self, path: Path) -> None:
        try:
            film, guide = opened(path)
        except GenerationError as error:
            self.app.call_from_thread(self.say, problem(error))
            return
        self.app.call_from_thread(self._opened, path, film, guide)

    def _opened(self, path: Path, film: Film, guide: bool) -> None:
        if not self.is_attached:
            return
        self.frame = 0
        self.file.at(path, film, kept=guide)
        notes = f"; {film.settings.notes[0]}" if film.settings.notes else ""
        self.say(f"{shown(path.name)}: {film.frames} frames{notes}")
        self._take(film)
        self.listed.focus()

    def action_save(self) -> None:
        def saved() -> None:
            self.query_one("#anim-file", Input).value = str(self.file.path)
            self.look()

        self.file.save(self.film, self.folder(), saved)

    # What is edited

    @property
    def chosen(self) -> str:
        """The schedule that is edited, or the prompts."""
        return self.query_one("#anim-rows", FilmRows).chosen

    def _take(self, film: Film) -> None:
        """Show other settings and ask for their values."""
        self.film = film
        self.frame = min(self.frame, film.frames - 1)
        self.look()
        number = self.app.submit(  # type: ignore[attr-defined]
            "timeline", {"settings": film.settings.to_json()}, self._on_values
        )
        self._asked = number if number is not None else -1

    def _on_values(self, number: int, event: dict[str, Any]) -> None:
        if not self.is_attached or number != self._asked:
            return
        if event["kind"] == "failed":
            self.wrong(f"{event['message']}. {event['hint']}".strip())
        elif event["kind"] == "done":
            self.film = self.film.told(event["result"])
            self.look()
            if warnings := event["result"]["warnings"]:
                self.say(f"note: {warnings[0]}" + (f" (and {len(warnings) - 1} more)" if len(warnings) > 1 else ""))

    def look(self) -> None:
        """Everything that depends on the playhead or the chosen row."""
        self.query_one("#anim-rows", FilmRows).show(self.film, self.frame)
        film, name = self.film, self.chosen
        prompts = [(key.frame, shown(key.value)) for key in film.keys(PROMPTS)]
        keys = [key.frame for key in film.keys(name)]
        made = self._made()
        plot = Shown(film.frames, self.frame, film.curve(name), keys, prompts, made)
        self.query_one("#anim-plot", TimelinePlot).show(plot)
        seconds = self.frame / float(film.settings["fps"])
        here = f"frame {self.frame} of {film.frames}, {seconds:.2f} s"
        value = shown(shown_value(film.value(name, self.frame)))
        self.query_one("#anim-here", Static).update(f"{here}  {name} {value}".rstrip())
        field = self.query_one("#anim-value", Input)
        key = film.key(name, self.frame)
        field.value = key.value if key else ""
        what = "the prompt from here on" if name == PROMPTS else f"a key of {name} here, as 1.05 or 1.05:ease-in"
        field.placeholder = f"Enter: {what}"
        self.wrong("")
        self._picture()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self.look()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_edit()

    def action_edit(self) -> None:
        """Go to the field that holds the key, or the value where there is none yet."""
        field = self.query_one("#anim-value", Input)
        if not field.value:
            field.value = shown_value(self.film.value(self.chosen, self.frame))
        field.focus()

    def _set(self, typed: str) -> None:
        """Write what was typed as the key at the playhead."""
        name = self.chosen
        was = self.film.acts(name)
        try:
            film = self.film.with_key(name, self.frame, typed)
        except GenerationError as error:
            self.wrong(problem(error))
            return
        self._take(film)
        self.listed.focus()
        switched = "" if was or not film.acts(name) else f"; {name} is switched on"
        self.say(f"{name} at frame {self.frame} is set{switched}")

    def action_remove(self) -> None:
        try:
            film = self.film.without_key(self.chosen, self.frame)
        except GenerationError as error:
            self.wrong(problem(error))
            return
        self._take(film)
        self.say(f"{self.chosen} has no key at frame {self.frame} any more")

    def action_settings(self) -> None:
        now = self.film.settings.values

        def take(found: dict[str, Any] | None) -> None:
            changes = {name: value for name, value in (found or {}).items() if value != now[name]}
            if changes:
                try:
                    self._take(self.film.changed(changes))
                except GenerationError as error:
                    self.wrong(problem(error))

        self.app.push_screen(ParameterForm("Animation", TABLE, now), take)

    # The playhead

    def on_timeline_plot_sought(self, message: TimelinePlot.Sought) -> None:
        message.stop()
        self.seek(message.frame)

    def action_key(self, by: int) -> None:
        self.seek(self.film.neighbour(self.chosen, self.frame, by))

    def _picture(self) -> None:
        """The playhead's frame where it is made; while an animation is made, its newest."""
        run = self.run_shown()
        if run is not None and run.alive and run.newest:
            self.picture.show(run.newest)
            return
        path = self._frames() / f"{self.frame:06d}.png"
        if path.is_file():
            self.picture.show(path)

    def action_still(self) -> None:
        """Render the prompt of the playhead by itself."""
        if self.queue.alive:
            self.say("An animation is being made; stills come when it is paused.")
        elif self._still is not None:
            self.say("One moment, the still before it is rendered.")
        elif not self.film.values:
            self.say("The values are not known yet.")
        else:
            try:
                spec = self.film.still(self.frame, self.app.settings["studio.model"])  # type: ignore[attr-defined]
            except GenerationError as error:
                self.wrong(problem(error))
                return
            # Looked at, then written over.
            output = str(self.app.paths.previews / "still.png")  # type: ignore[attr-defined]
            job = {"spec": spec, "output": output, "preview": "animation", "remember": False}
            self._still = self.app.submit("render", job, self._on_still)  # type: ignore[attr-defined]

    def _on_still(self, number: int, event: dict[str, Any]) -> None:
        if event["kind"] in {"done", "failed", "cancelled"}:
            self._still = None
        if not self.is_attached:
            return
        match event["kind"]:
            case "progress":
                total = f" of {event['total']}" if event.get("total") else ""
                self.say(f"still: {event['stage']} {event['done']}{total}")
            case "preview":
                self.picture.show(event["path"])
            case "failed":
                self.say(f"{event['message']}. {event['hint']}".strip())
            case "done":
                result = event["result"]
                self.picture.show(result["path"])
                self.say(f"a still of frame {self.frame}, seed {result['seed']}: {result['spec']['prompt'][:80]}")

    # The animation

    def output(self) -> Path:
        """Of the file's name, so that the same settings find their frames; else a name that is free."""
        name = self.file.name or self.film.settings["batch_name"] or self._free()
        return self.folder() / f"{stem_of(name, UNTITLED)}.mp4"

    def _free(self) -> str:
        """What an animation without a file is called as long as this screen is open."""
        if not self._untitled:
            self._untitled, number = UNTITLED, 2
            while any(self.folder().glob(f"{self._untitled}.*")):
                self._untitled, number = f"{UNTITLED}-{number}", number + 1
        return self._untitled

    def _frames(self) -> Path:
        output = self.output()
        return output.with_name(f"{output.stem}.frames")

    def _made(self) -> int:
        run = self.run_shown()
        return min(run.done, self.film.frames) if run is not None else 0

    def action_animate(self) -> None:
        output = self.output()
        spec = {
            "do": "deforum",
            "settings": self.film.settings.to_json(),
            "name": output.stem,
            "output": str(output),
            "measure": True,
            "clip": "",
        }
        self.begin(AnimationRun(spec=spec, file=str(self.file.path or ""), total=self.film.frames))

    def show_run(self) -> None:
        super().show_run()
        run = self.run_shown() if self.is_attached else None
        if run is None:
            return
        plot = self.query_one("#anim-plot", TimelinePlot)
        plot.show(Shown(**{**vars(plot.shown), "made": self._made()}))
        self.offer_fresh(run)

    # The rest

    def action_moving(self) -> None:
        """Go on to a clip that moves by itself."""

        def go() -> None:
            from assistant.tui.motion import MotionScreen

            self.app.switch_screen(MotionScreen())

        self.file.unless_lost(self.film, "Go on", go)

    def action_over(self) -> None:
        """Go on to a film that is made over by stages."""

        def go() -> None:
            from assistant.tui.video import VideoScreen

            self.app.switch_screen(VideoScreen())

        self.file.unless_lost(self.film, "Go on", go)

    def close(self) -> None:
        self.file.unless_lost(self.film, "Close", self.dismiss)

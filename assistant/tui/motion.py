"""A clip that moves by itself, from the screen: what is seen, by which model, the job watched, its frames played.

What a clip is told is `motion_clip`'s matter, how its job stands `motion_run`'s; the playhead and the picture are
`film_screen`'s.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Label, OptionList, ProgressBar, Select, Static

from assistant.tui.animation_run import AnimationRun
from assistant.tui.attachments import Attachments
from assistant.tui.dialogs import Confirm
from assistant.tui.edited_file import EditedFile
from assistant.tui.film import problem
from assistant.tui.keys import bindings
from assistant.tui.long_run import DONE
from assistant.tui.motion_clip import FIELDS, MovingClip, begun, opened, table
from assistant.tui.motion_playing import MotionPlaying
from assistant.tui.motion_rows import HUNG, MotionRows
from assistant.tui.motion_run import MotionRun
from assistant.tui.parameter_form import ParameterForm
from assistant.tui.picture import Picture
from assistant.writing import stem_of
from generation.animation.motion_models import finding
from generation.attachments import FRAME
from generation.catalogue import Catalogue, ModelEntry
from generation.errors import GenerationError
from knowledge.screen import shown

KEYS = (
    "F5 make  T settings  C controls  S save  N anew  ← → frame  Space play  F strip  P pause  X cancel  V picture  "
    "Esc close"
)
FITTING = "the module that fits"
NO_PROMPT = "there is no prompt. Write what is to be seen, and how it moves."
PLACEHOLDERS = {
    "prompt": "What is to be seen, and how it moves; {0: first, 8: second} from frame to frame",
    "negative": "What is not to be seen",
    "loras": "Motion LoRAs, such as v2_lora_PanLeft:0.8, ...",
}


class MotionScreen(MotionPlaying):
    """The fields above say what is seen, the list holds the settings, the picture is the clip as it comes."""

    BINDINGS = bindings("moving clip")  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.clip = MovingClip({})
        self._model: ModelEntry | None = None

    @cached_property
    def file(self) -> EditedFile:  # type: ignore[override]
        return EditedFile(self.app, self.say, "settings", "clip.yaml")

    def compose(self) -> ComposeResult:
        model = self.app.settings["studio.model"]  # type: ignore[attr-defined]
        with Vertical(classes="passage animation motion"):
            yield Input(placeholder="A YAML file of a clip, or one to be written; Enter opens it",
                        id="anim-file", compact=True)  # fmt: skip
            for name in FIELDS:
                yield Input(placeholder=PLACEHOLDERS[name], id=f"motion-{name}", compact=True)
            with Horizontal(id="motion-choices"):
                yield Select([(model, model)], value=model, allow_blank=False, compact=True, id="motion-model")
                yield Select([(FITTING, "")], value="", allow_blank=False, compact=True, id="motion-motion")
            yield Static("", id="anim-problem", markup=False)
            with Horizontal(id="anim-views"):
                yield MotionRows(id="anim-rows")
                yield Picture(id="anim-picture")
            yield Static("", id="anim-here", markup=False)
            yield Static("", id="anim-state", markup=False)
            yield ProgressBar(id="anim-progress", show_eta=False)
            yield Label(KEYS, classes="passage-keys")

    def on_mount(self) -> None:
        self.begin_watching("F5 makes the clip.")
        run = self.queue.latest("motion")
        if run is not None and isinstance(run.edited, MovingClip):
            self.run = run
            self._show(run.edited, Path(run.file) if run.file else None)
            self.show_run()
        else:
            self._begin()

    # What is edited

    def _begin(self) -> None:
        """Begin with what the Draft and the Studio hold; one that was never entered holds nothing."""
        app: Any = self.app
        prompt, negative = next(((one.prompt, one.negative) for one in app.query("DraftRoom")), ("", ""))
        model, seed = app.settings["studio.model"], ""
        for studio in app.query("StudioRoom"):
            model, seed = studio.model, studio.query_one("#seed", Input).value
        try:
            clip = begun(prompt.strip(), negative.strip(), model, seed.strip())
        except GenerationError as error:
            clip = begun("", "", model, "")
            self.notify(problem(error), severity="warning", markup=False)
        self._show(clip, None)
        if not clip.field("prompt"):
            self.query_one("#motion-prompt").focus()
        self.say("A new clip; F5 makes it, a file's name above opens one.")

    def _show(self, clip: MovingClip, path: Path | None) -> None:
        """Show another clip in every field."""
        self.clip = clip
        self.file.at(path, clip)
        self.query_one("#anim-file", Input).value = str(path or "")
        for name in FIELDS:
            self.query_one(f"#motion-{name}", Input).value = clip.field(name)
        self._choose("model", [self._named], self._named)
        self._choose("motion", [""], clip.field("motion"))
        self._model = None
        self._look_up(self._named)
        self.listed.focus()
        self.look()

    @property
    def _named(self) -> str:
        """The model's name, that of the settings where the clip says none."""
        return self.clip.field("model") or str(self.app.settings["studio.model"])  # type: ignore[attr-defined]

    def _choose(self, name: str, choices: list[str], now: str) -> None:
        """Put choices into a list, with the one of now among them."""
        select = self.query_one(f"#motion-{name}", Select)
        choices = choices if now in choices else [*choices, now]
        with self.prevent(Select.Changed):
            select.set_options([(shown(one) or FITTING, one) for one in choices])
            select.value = now

    @work(thread=True, exclusive=True, group="models", exit_on_error=False)
    def _look_up(self, named: str) -> None:
        """The models there are, and the modules that fit this one, read off the screen's thread."""
        app: Any = self.app
        roots = [app.paths.models, *(Path(one).expanduser() for one in app.settings["studio.models"])]
        catalogue = Catalogue(roots, app.paths.catalogue)
        models = [one.name for one in catalogue.entries() if one.kind in {"checkpoint", "video"} and not one.problem]
        try:
            model = catalogue.find(named)
            modules = finding.able(catalogue, model) if model.kind == "checkpoint" else []
        except GenerationError:
            model, modules = None, []
        app.call_from_thread(self._found, named, models, model, [one.name for one in modules])

    def _found(self, named: str, models: list[str], model: ModelEntry | None, modules: list[str]) -> None:
        if not self.is_attached or named != self._named:
            return
        self._model = model
        self._choose("model", models, self._named)
        self._choose("motion", ["", *modules], self.clip.field("motion"))
        if model is None:
            self.wrong(f'there is no model "{shown(named)}". Choose another.')
        elif model.kind == "checkpoint" and not modules and not self.clip.field("motion"):
            self.wrong(f"there is no motion module for {shown(named)}. {finding.PROVIDE}")
        self.look()

    def taken(self) -> bool:
        """Take what the fields hold; False where that cannot be, which is said and gone to."""
        for name in FIELDS:
            field = self.query_one(f"#motion-{name}", Input)
            try:
                self.clip = self.clip.with_field(name, field.value)
            except GenerationError as error:
                self.wrong(problem(error))
                field.focus()
                return False
        for name, now in (("model", self._named), ("motion", self.clip.field("motion"))):
            chosen = str(self.query_one(f"#motion-{name}", Select).value)
            if chosen != now:
                self.clip = self.clip.with_field(name, chosen)
        self.wrong("")
        return True

    def on_select_changed(self, event: Select.Changed) -> None:
        event.stop()
        before = self._named
        if self.taken() and self._named != before:
            self._model = None
            self._look_up(self._named)
        self.look()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input.id != "anim-file":
            if self.taken():
                self.listed.focus()
                self.look()
        elif text := event.value.strip():
            path = Path(text).expanduser().absolute()
            if path.exists():
                self._unless_lost("Open it", lambda: self._read(path))
            elif self.taken():
                self.listed.focus()
                self.file.at(path, MovingClip({}))  # closing asks: nothing is written yet
                self.say(f"{shown(path.name)} is not there yet: S writes it.")
                self.look()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_edit()

    def action_edit(self) -> None:
        if self.rows.chosen == HUNG:
            self.action_hang()
        else:
            self.action_settings()

    def action_settings(self) -> None:
        """The form of all settings, at the chosen one."""
        if not self.taken():
            return
        clip, parameters = self.clip, table(self._model)

        def take(found: dict[str, Any] | None) -> None:
            if found is not None:
                self.clip = clip.with_form(found)
                self.look()

        def wrong(found: dict[str, Any]) -> str:
            clip.with_form(found)
            return ""

        form = ParameterForm("The clip", parameters, clip.values(parameters), wrong, at=self.rows.chosen)
        self.app.push_screen(form, take)

    def action_hang(self) -> None:
        """Controls, references, regions and modifiers of every frame."""
        if not self.taken():
            return
        clip = self.clip

        def take(found: dict[str, Any] | None) -> None:
            if found is None or found == clip.hung():
                return
            try:
                self.clip = clip.with_hung(found)
                self.look()
            except GenerationError as error:
                self.wrong(problem(error))

        self.app.push_screen(Attachments(clip.hung(), FRAME if clip.settings["video"] else ""), take)

    # The file

    def _unless_lost(self, what: str, then: Any) -> None:
        if self.taken():
            self.file.unless_lost(self.clip, what, then)
            return
        question = "What stands in the fields cannot be, and is lost when you go on."
        self.app.push_screen(Confirm(question, what, "Stay"), lambda yes: then() if yes else None)

    @work(thread=True, exclusive=True, group="clip", exit_on_error=False)
    def _read(self, path: Path) -> None:
        try:
            clip = opened(path)
        except GenerationError as error:
            self.app.call_from_thread(self.wrong, problem(error))
            return
        self.app.call_from_thread(self._opened, clip)

    def _opened(self, clip: MovingClip) -> None:
        if self.is_attached and clip.path is not None:
            self.run = self.queue.of(self.folder() / f"{stem_of(clip.path.stem, 'clip')}.mp4")
            self.say(f"{shown(clip.path.name)} is read; F5 makes it.")
            self._show(clip, clip.path)
            self.show_run()

    def action_save(self) -> None:
        def saved() -> None:
            assert self.file.path is not None
            self.clip = self.clip.at(self.file.path)
            self.query_one("#anim-file", Input).value = str(self.file.path)
            self.look()

        if self.taken():
            run = self._run_of_this()
            self.file.usual = f"{(run.output if run is not None else self.output()).stem}.yaml"
            self.file.save(self.clip, self.folder(), saved)

    def action_anew(self) -> None:
        """Begin a new clip with the draft."""

        def begin() -> None:
            self.run = None
            self.query_one("#anim-progress").display = False
            self._begin()

        self._unless_lost("Begin anew", begin)

    # The clip

    def output(self) -> Path:
        """Of the file's name, as the shell names it, so that both find the same frames; else of the prompt.

        The same settings find what they made before, unless each making draws another seed.
        """
        if self.file.name:
            return self.folder() / f"{stem_of(self.file.name, 'clip')}.mp4"
        run = self._run_of_this()
        if run is not None and (run.state != DONE or not self.clip.drawn):
            return run.output
        stem = name = self.clip.name
        number = 2
        while any(self.folder().glob(f"{name}.*")) or self.queue.of(self.folder() / f"{name}.mp4"):
            name, number = f"{stem}-{number}", number + 1
        return self.folder() / f"{name}.mp4"

    def _run_of_this(self) -> AnimationRun | None:
        """The run that is shown, where it makes these very settings without a file."""
        run = self.run
        return run if run is not None and not run.file and run.edited.content == self.clip.content else None

    def action_make(self) -> None:
        if not self.taken():
            return
        film = self._model is not None and self._model.kind == "video"
        if not self.clip.settings.spec().prompt and not film:
            self.wrong(NO_PROMPT)
            self.query_one("#motion-prompt").focus()
            return
        output, path = self.output(), self.file.path
        spec = {
            "settings": self.clip.told(path.stem if path else output.stem),
            "name": output.stem,
            "output": str(output),
            "measure": True,
            "clip": "",
        }
        run = MotionRun(spec=spec, file=str(path or ""), edited=self.clip, keeps=not film)
        if self.begin(run):
            self.stop_playing()
            self.run, self.flipping = run, False
            if path is None:
                self.file.at(None, self.clip)  # its job keeps it
            self.add_class("-picture")
            self.listed.focus()
            self.show_run()

    def show_run(self) -> None:
        super().show_run()
        run: AnimationRun | None = self.run if self.is_attached else None
        if run is not None:
            self.offer_fresh(run)

    # The rest

    @property
    def rows(self) -> MotionRows:
        return self.query_one("#anim-rows", MotionRows)

    def look(self) -> None:
        self.rows.show(self.clip, table(self._model))
        super().look()

    def close(self) -> None:
        self._unless_lost("Close", self.dismiss)

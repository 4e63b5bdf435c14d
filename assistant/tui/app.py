"""The program's frame: rooms, the work they ask for, and quitting.

A room is mounted when it is first entered, so that the first paint waits for one only. Events of jobs go to whoever
asked for them; nothing here knows what a job does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from textual import work
from textual.app import App, ComposeResult, SystemCommand
from textual.containers import Horizontal
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Footer, Static

from assistant.paths import Paths
from assistant.settings import Settings
from assistant.tui.events import JobEvent
from assistant.tui.keys import bindings
from assistant.tui.themes import THEMES

if TYPE_CHECKING:
    from assistant.jobs.runner import Runner
    from assistant.tui.animation_queue import AnimationQueue
    from assistant.tui.training_run import TrainingRun

Receiver = Callable[[int, dict[str, Any]], None]

ROOMS: dict[str, tuple[str, str]] = {
    "library": ("Library", "assistant.tui.library:LibraryRoom"),
    "draft": ("Draft", "assistant.tui.draft:DraftRoom"),
    "studio": ("Studio", "assistant.tui.studio:StudioRoom"),
    "jobs": ("Jobs", "assistant.tui.jobs:JobsRoom"),
    "help": ("Help", "assistant.tui.help:HelpRoom"),
}
ROOM_KEYS = {"library": "F2", "draft": "F3", "studio": "F4", "jobs": "F6", "help": "F1"}


class Door(Static):
    """A room's name in the top line; a click enters it."""

    def __init__(self, room: str) -> None:
        super().__init__(f"{ROOM_KEYS[room]} {ROOMS[room][0]}", id=f"door-{room}", markup=False)
        self.room = room

    async def on_click(self) -> None:
        await cast(Atelier, self.app).action_room(self.room)


class Atelier(App[None]):
    """The terminal program. `work=False` starts no workers: tests and the first-paint bench use it."""

    CSS_PATH = "atelier.tcss"
    TITLE = "Atelier"
    BINDINGS = bindings("everywhere")  # type: ignore[assignment]
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (76, "-normal"), (110, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-tall")]  # noqa: RUF012

    def __init__(self, paths: Paths, settings: Settings, *, home: str | None = None, work: bool = True) -> None:
        super().__init__()
        self.paths = paths
        self.settings = settings
        self._receivers: dict[int, Receiver] = {}
        self._leaving = False
        self._home = home
        self._work = work
        self.runner: Runner | None = None  # made after the first paint
        self.training: TrainingRun | None = None
        self.animations: AnimationQueue | None = None  # made by the screen that fills it
        self.caption_lock = Lock()  # a dataset's captions are written by one thread at a time
        for theme in THEMES:
            self.register_theme(theme)
        wanted = settings["look.theme"]
        self.theme = wanted if wanted in self.available_themes else THEMES[0].name

    @classmethod
    def for_home(cls, home: str | Path, *, work: bool = True) -> Atelier:
        """The program over one folder."""
        paths = Paths.find(home).make()
        return cls(paths, Settings(paths.settings), home=str(home), work=work)

    def compose(self) -> ComposeResult:
        with Horizontal(id="doors"):
            for room in ROOMS:
                yield Door(room)
            yield Static("", id="status", markup=False)
        with ContentSwitcher(id="rooms", initial="library"):
            yield self._make_room("library")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._mark_door("library")
        self.theme_changed_signal.subscribe(self, self._keep_theme)
        self.call_after_refresh(self._read_styles)
        if self._work:
            self.call_after_refresh(self._begin)

    def _read_styles(self) -> None:
        """The styles of what is not on the first screen: parsing them would delay it by a tenth."""
        self.stylesheet.read(Path(__file__).with_name("rooms.tcss"))
        self.stylesheet.parse()
        self.refresh_css(animate=False)

    def _begin(self) -> None:
        """What the first paint does not wait for: the lanes of work, and the library's first reading."""
        from assistant.jobs.runner import Runner

        self.runner = Runner(self.paths, self._home, self._from_lane)
        self.runner.share_memory(self.settings["llm.share"])
        if self.runner.interrupted:
            self.notify(
                f"{self.runner.interrupted} job(s) were cut short when the program last ended. "
                "They can be run again in Jobs.",
                markup=False,
            )
        self.room("library").begin()

    # Rooms

    def _make_room(self, name: str) -> Widget:
        module, attribute = ROOMS[name][1].split(":")
        return cast(Widget, getattr(import_module(module), attribute)(id=name))

    def room(self, name: str) -> Any:
        """The room's widget. Raises `NoMatches` while it has not been entered."""
        return self.query_one("#rooms", ContentSwitcher).get_child_by_id(name)

    async def ensure(self, name: str) -> Any:
        """The room's widget, mounted with all its parts when it was not yet."""
        try:
            return self.room(name)
        except NoMatches:
            room = self._make_room(name)
            room.display = False
            await self.query_one("#rooms", ContentSwitcher).mount(room)
            return room

    async def action_room(self, name: str) -> None:
        if len(self.screen_stack) > 1:
            return
        room = await self.ensure(name)
        self.query_one("#rooms", ContentSwitcher).current = name
        self._mark_door(name)
        self.call_after_refresh(room.enter)

    def _mark_door(self, name: str) -> None:
        for door in self.query(Door):
            door.set_class(door.room == name, "-here")

    @property
    def current_room(self) -> Any:
        switcher = self.query_one("#rooms", ContentSwitcher)
        return switcher.visible_content

    # Work

    def submit(self, kind: str, spec: dict[str, Any], receiver: Receiver) -> int | None:
        """Ask for work; `receiver(number, event)` is called here, on the screen's own thread."""
        if self.runner is None:
            self.notify(
                "This Atelier was opened without workers." if not self._work else "One moment, it is starting.",
                severity="warning",
            )
            return None
        number = self.runner.submit(kind, spec)
        self._receivers[number] = receiver
        self._show_status()
        return number

    def stop(self, number: int) -> None:
        if self.runner is not None:
            self.runner.cancel(number)

    def _from_lane(self, number: int, event: dict[str, Any]) -> None:
        """On a lane's thread: hand over, nothing else."""
        if not self._leaving:
            self.post_message(JobEvent(number, event))

    def on_job_event(self, message: JobEvent) -> None:
        receiver = self._receivers.get(message.number)
        if message.event["kind"] in {"done", "failed", "cancelled"}:
            self._receivers.pop(message.number, None)
            if self.runner is not None:
                self.runner.forget(message.number)
        if receiver is not None:
            receiver(message.number, message.event)
        self._show_status(message.event)
        for room in self.query("JobsRoom"):
            cast(Any, room).on_work(message.number, message.event)

    def _show_status(self, event: dict[str, Any] | None = None) -> None:
        running = len(self._receivers)
        text = ""
        if running:
            text = f"{running} running"
            if event and event["kind"] == "progress":
                total = f"/{event['total']}" if event.get("total") else ""
                text = f"{event['stage']} {event['done']}{total}"
        self.query_one("#status", Static).update(text)

    # Actions

    def action_cancel(self) -> None:
        """Esc: close a dialog; else cancel the room's work; else leave the field."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif not self.current_room.cancel():
            self.set_focus(None)

    def offer_reembedding(self, event: dict[str, Any]) -> None:
        """After a failure: where the library's vectors are another embedder's, ask whether to make them anew."""
        if event.get("error") != "EmbedderChangedError" or len(self.screen_stack) > 1:
            return
        from assistant.tui.dialogs import Confirm

        self.push_screen(
            Confirm("The library was embedded by another model. Embed all of it anew now?", "Embed", "Not now"),
            lambda yes: self.room("library").read("rebuild", {}) if yes else None,
        )

    async def action_library(self, what: str) -> None:
        """Open the conversations or the files, from any room."""
        if len(self.screen_stack) == 1:
            await self.action_room("library")
            getattr(self.room("library"), f"action_{what}")()

    def action_models(self) -> None:
        from assistant.tui.models import ModelPicker

        self.push_screen(ModelPicker())

    def action_quotes_only(self) -> None:
        room = self.room("library")
        room.quotes_only = not room.quotes_only
        self.notify("Quotes alone." if room.quotes_only else "The language model may add to the quotes.", markup=False)

    def action_settings(self) -> None:
        from assistant.tui.settings import SettingsScreen

        if len(self.screen_stack) == 1:
            self.push_screen(SettingsScreen(self.settings))

    def _keep_theme(self, theme: Any) -> None:
        if self.settings["look.theme"] != theme.name:
            self.settings["look.theme"] = theme.name

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        for room, (title, _) in ROOMS.items():
            yield SystemCommand(f"Go to {title}", f"{ROOM_KEYS[room]}", partial(self.action_room, room))
        yield SystemCommand("Settings", "Change the settings (F8)", self.action_settings)
        yield SystemCommand("Add notes", "Read a folder or file into the library", self.action_add_notes)
        room = self.room("library")
        yield SystemCommand("Conversations", "Find former conversations (F7)", room.action_conversations)
        yield SystemCommand("New conversation", "Begin anew (Ctrl+L)", room.action_new_conversation)
        yield SystemCommand("Files", "Every file of the library and its status (F9)", room.action_shelf)
        yield SystemCommand("Read notes again", "Read what changed in your notes (Ctrl+B)", room.action_read_again)
        yield SystemCommand("Quotes alone", "Answer with or without the language model", self.action_quotes_only)
        yield SystemCommand("Language model", "Choose the GGUF model that answers", self.action_models)
        yield SystemCommand("Shorten the prompt", "Propose it within 75 tokens", partial(self._on_draft, "shorten"))
        yield SystemCommand("Explain the prompt", "Say what each part does", partial(self._on_draft, "explain"))
        yield SystemCommand(
            "Kept prompts", "Find a prompt you kept (Ctrl+O in the Draft)", partial(self._on_draft, "kept")
        )
        yield SystemCommand("Render", "Render the prompt of the draft (F5)", self.action_render_draft)
        yield SystemCommand("Draft's versions", "Former texts, side by side (F10)", partial(self._on_draft, "versions"))
        yield SystemCommand("Four seeds", "Render the draft with four seeds (Shift+F5)", self._four_seeds)
        yield SystemCommand(
            "Attach",
            "Controls, references, regions, modifiers (Ctrl+K)",
            partial(self._in_studio, "attach"),
        )
        yield SystemCommand(
            "Draw a mask",
            "Paint where an inpainting changes (Ctrl+D)",
            partial(self._in_studio, "draw_mask"),
        )
        yield SystemCommand("Run a recipe", "Work through a YAML file of stages", partial(self._in_studio, "recipe"))
        yield SystemCommand("Train", "Plan a training and run it (Ctrl+T)", partial(self._in_studio, "train"))
        yield SystemCommand(
            "Animate", "Prompts and schedules on a timeline (Ctrl+Y)", partial(self._in_studio, "animate")
        )
        yield SystemCommand("Moving clip", "A clip by a motion model", partial(self._in_studio, "motion"))
        yield SystemCommand("Video to video", "Make a film over by stages", partial(self._in_studio, "video"))
        yield SystemCommand(
            "Weigh a character", "Sliders over a tree of networks", partial(self._in_studio, "character")
        )
        yield SystemCommand("Merge weights", "Checkpoints and networks by a recipe", partial(self._in_studio, "merge"))
        yield SystemCommand("Captions", "Edit the captions of a dataset", partial(self._in_studio, "captions"))
        yield SystemCommand("Theme", "Choose the colours", self.action_change_theme)
        yield SystemCommand("Screenshot", "Save the screen as SVG", self.deliver_screenshot)
        yield SystemCommand("Quit", "Leave Atelier (Ctrl+Q)", self.action_leave)

    async def action_add_notes(self) -> None:
        await self.action_room("library")
        self.room("library").action_add_notes()

    async def _on_draft(self, what: str) -> None:
        await self.action_room("draft")
        getattr(self.room("draft"), f"action_{what}")()

    async def _four_seeds(self) -> None:
        await self.action_room("draft")
        await self.room("draft").action_render_four()

    async def _in_studio(self, what: str) -> None:
        await self.action_room("studio")
        getattr(self.room("studio"), f"action_{what}")()

    async def action_render_draft(self) -> None:
        await self.action_room("draft")
        await self.room("draft").action_render()

    def action_leave(self) -> None:
        from assistant.tui.dialogs import Confirm

        if self.runner is not None and any(n > 0 for n in self._receivers):
            self.push_screen(
                Confirm("Work is running. Quit and cancel it?", "Quit", "Stay"),
                self._leave_if,
            )
        else:
            self._leave()

    def _leave_if(self, yes: bool | None) -> None:
        if yes:
            self._leave()

    @work(thread=True, group="leave", exit_on_error=False)
    def _leave(self) -> None:
        self._leaving = True
        if self.runner is not None:
            self.runner.close()
        self.call_from_thread(self.exit)

    async def action_quit(self) -> None:
        """Textual's own quit (its palette and Ctrl+C hint) goes the same way."""
        self.action_leave()

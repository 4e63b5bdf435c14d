"""The Studio room: settings of a render, the picture as it comes, and the gallery of what was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, Label, OptionList, ProgressBar, Select, Static
from textual.widgets.option_list import Option

from assistant.tui.keys import bindings
from assistant.tui.picture import Picture
from generation import samplers
from generation.catalogue import Catalogue, ModelEntry
from generation.errors import GenerationError
from generation.metadata import read
from generation.specs import RenderSpec

# Field -> (label, type); an empty field leaves the choice to the model.
FIELDS: dict[str, tuple[str, type]] = {
    "steps": ("Steps", int),
    "cfg": ("CFG", float),
    "width": ("Width", int),
    "height": ("Height", int),
    "seed": ("Seed", int),
    "batch": ("Batch", int),
}
SHOWN = 60  # pictures in the gallery


class Gallery(OptionList):
    """Pictures that were made, the newest first."""

    BINDINGS = bindings("studio")[3:] + bindings("studio")[1:3]  # type: ignore[assignment]

    def action_reuse(self) -> None:
        self.action_select()


class StudioRoom(Vertical):
    """Renders the draft in the studio lane."""

    BINDINGS = bindings("studio")[:1] + bindings("studio")[2:3]  # type: ignore[assignment]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._rendering: list[int] = []
        self._gallery: list[Path] = []
        self._models: list[ModelEntry] = []

    def compose(self) -> ComposeResult:
        settings = self.app.settings  # type: ignore[attr-defined]
        with Horizontal(id="studio-body"):
            with VerticalScroll(id="form"):
                yield Label("Model", classes="field")
                yield Select(
                    [(settings["studio.model"], settings["studio.model"])],
                    value=settings["studio.model"],
                    allow_blank=False,
                    compact=True,
                    id="model",
                )
                yield Label("Sampler", classes="field")
                yield Select(
                    [(name, name) for name in samplers.names()],
                    prompt="model's own",
                    compact=True,
                    id="sampler",
                )
                with Vertical(id="numbers"):
                    for name, (label, kind) in FIELDS.items():
                        with Horizontal(classes="number"):
                            yield Label(label, classes="field")
                            yield Input(
                                id=name,
                                type="integer" if kind is int else "number",
                                placeholder="random" if name == "seed" else "auto",
                                compact=True,
                            )
                yield Static("", id="form-problem", markup=False)
            with Vertical(id="stage"):
                yield Picture(id="picture")
                yield Static("", id="render-state", markup=False)
                yield ProgressBar(id="render-progress", show_eta=True)
            yield Gallery(id="gallery")

    def on_mount(self) -> None:
        self.query_one("#render-progress").display = False
        self._look_around()

    def enter(self) -> None:
        if self.app.focused is None or self.app.focused.id not in FIELDS:
            self.query_one("#gallery").focus()

    def cancel(self) -> bool:
        for number in self._rendering:
            self.app.stop(number)  # type: ignore[attr-defined]
        return bool(self._rendering)

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _look_around(self) -> None:
        """Models and pictures, read off the screen's thread."""
        app: Any = self.app
        roots = [app.paths.models, *(Path(p).expanduser() for p in app.settings["studio.models"])]
        models = [e for e in Catalogue(roots).entries() if e.kind == "checkpoint" and not e.problem]
        chosen = app.settings["studio.output"]
        folder = Path(chosen).expanduser() if chosen else app.paths.output
        pictures = sorted(folder.glob("*/*.png"), key=lambda p: p.stat().st_mtime, reverse=True)
        app.call_from_thread(self._list, models, pictures[:SHOWN])

    def _list(self, models: list[ModelEntry], pictures: list[Path]) -> None:
        self._models = models
        select = self.query_one("#model", Select)
        current = select.value
        names = [entry.name for entry in models]
        if current not in names:
            names.insert(0, str(current))
        select.set_options([(name, name) for name in names])
        select.value = current
        self._gallery = pictures
        gallery = self.query_one("#gallery", Gallery)
        gallery.clear_options()
        gallery.add_options([Option(_caption(path)) for path in pictures])
        if pictures:
            self.query_one("#picture", Picture).show(pictures[0])

    # Settings

    async def spec(self) -> dict[str, Any]:
        """The form and the draft as a spec. Raises `GenerationError` for what cannot be."""
        draft = await self.app.ensure("draft")  # type: ignore[attr-defined]
        settings = self.app.settings  # type: ignore[attr-defined]
        spec: dict[str, Any] = {
            "prompt": draft.prompt.strip(),
            "negative": draft.negative.strip(),
            "model": str(self.query_one("#model", Select).value),
        }
        for name in ("steps", "cfg", "sampler"):
            if settings[f"studio.{name}"]:
                spec[name] = settings[f"studio.{name}"]
        sampler = self.query_one("#sampler", Select).value
        if isinstance(sampler, str):
            spec["sampler"] = sampler
        for name, (label, kind) in FIELDS.items():
            text = self.query_one(f"#{name}", Input).value.strip()
            if text:
                try:
                    spec[name] = kind(text)
                except ValueError as error:
                    raise GenerationError(f"{label} cannot be {text}", "Give a number.") from error
        return RenderSpec.from_json(spec).to_json()

    async def fill(self, spec: dict[str, Any]) -> None:
        """Take the settings of a picture."""
        draft = await self.app.ensure("draft")  # type: ignore[attr-defined]
        draft.fill(spec.get("prompt", ""), spec.get("negative", ""))
        for name in FIELDS:
            value = spec.get(name)
            self.query_one(f"#{name}", Input).value = (
                "" if value is None else f"{value:g}" if name == "cfg" else str(value)
            )
        sampler = spec.get("sampler")
        if sampler in samplers.names():
            self.query_one("#sampler", Select).value = sampler
        model = spec.get("model")
        if model in [entry.name for entry in self._models]:
            self.query_one("#model", Select).value = model

    # Rendering

    async def action_render(self) -> None:
        problem = self.query_one("#form-problem", Static)
        try:
            spec = await self.spec()
        except GenerationError as error:
            problem.update(f"{error.message}. {error.hint}")
            self.notify(error.message, severity="error", markup=False)
            return
        problem.update("")
        if not spec["prompt"]:
            self.notify("The prompt is empty; F3 leads to it.", markup=False)
            return
        job = {"spec": spec, "output": "", "preview": "studio"}
        number = self.app.submit("render", job, self._on_render)  # type: ignore[attr-defined]
        if number is not None:
            self._rendering.append(number)
            waiting = len(self._rendering) - 1
            self._state(f"{waiting} before it in the queue" if waiting else "getting ready ...")

    def _on_render(self, number: int, event: dict[str, Any]) -> None:
        bar = self.query_one("#render-progress", ProgressBar)
        match event["kind"]:
            case "started":
                bar.update(total=None, progress=0)
                bar.display = True
            case "progress":
                if event["stage"] == "denoising":
                    bar.update(total=event["total"], progress=event["done"])
                    self._state(f"step {event['done']} of {event['total']}   Esc cancels")
                else:
                    self._state(f"{event['stage']} {event.get('message', '')}")
            case "preview":
                self.query_one("#picture", Picture).show(event["path"])
            case "note":
                self.notify(event["message"], severity="warning", markup=False)
            case "done":
                self._end(number)
                result = event["result"]
                self.query_one("#picture", Picture).show(result["path"])
                spec = result["spec"]
                self._state(
                    f"{result['seconds']:.1f} s, seed {result['seed']}, {spec['sampler']}, "
                    f"{spec['steps']} steps, CFG {spec['cfg']:g}\n{result['path']}"
                )
                self._look_around()
            case "failed":
                self._end(number)
                self._state(f"{event['message']}. {event['hint']}".strip())
            case "cancelled":
                self._end(number)
                self._state("cancelled; nothing was written")

    def _end(self, number: int) -> None:
        self._rendering = [n for n in self._rendering if n != number]
        if not self._rendering:
            self.query_one("#render-progress").display = False

    def _state(self, text: str) -> None:
        self.query_one("#render-state", Static).update(text)

    # Gallery

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if not self._rendering and event.option_list.has_focus:
            self.query_one("#picture", Picture).show(self._gallery[event.option_index])

    async def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        path = self._gallery[event.option_index]
        self.query_one("#picture", Picture).show(path)
        try:
            spec = read(path).spec()
        except GenerationError as error:
            self.notify(f"{error.message}. {error.hint}", severity="error", markup=False)
            return
        if spec:
            await self.fill(spec)
            self._state(f"settings of {path.name} taken; F5 renders them again")
        else:
            self._state(f"{path.name} carries no settings")

    def action_open_picture(self) -> None:
        from assistant.tui.opening import view

        gallery = self.query_one("#gallery", Gallery)
        if gallery.highlighted is not None:
            view(self.app, str(self._gallery[gallery.highlighted]))


def _caption(path: Path) -> Text:
    """`15:30 blue alien`, from the name the program gave."""
    time, _, words = path.stem.partition("-")
    text = Text(no_wrap=True, overflow="ellipsis")
    if len(time) == 6 and time.isdigit():
        text.append(f"{time[:2]}:{time[2:4]} ", "dim")
        text.append(words.replace("-", " "))
    else:
        text.append(path.stem)
    return text

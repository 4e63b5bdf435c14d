"""The Studio room: settings of a render, the picture as it comes, and the gallery of what was made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, Label, ProgressBar, Select, Static

from assistant.tui.gallery import Gallery
from assistant.tui.keys import bindings
from assistant.tui.parameter_form import field, values
from assistant.tui.picture import Picture
from generation import samplers
from generation.attachments import PARTS
from generation.catalogue import Catalogue, ModelEntry
from generation.errors import GenerationError
from generation.metadata import read
from generation.operations import OPERATIONS
from generation.specs import WEIGHTINGS, RenderSpec

# Field -> (label, type); an empty field leaves the choice to the model.
FIELDS: dict[str, tuple[str, type]] = {
    "steps": ("Steps", int),
    "cfg": ("CFG", float),
    "width": ("Width", int),
    "height": ("Height", int),
    "seed": ("Seed", int),
    "batch": ("Batch", int),
}


class StudioRoom(Vertical):
    """Renders the draft in the studio lane."""

    BINDINGS = bindings("studio")  # type: ignore[assignment]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._rendering: list[int] = []
        self._models: list[ModelEntry] = []
        self._watchers: dict[int, Any] = {}
        self._hung: dict[str, Any] = {}
        self._operation = "txt2img"

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
                yield Label("Weights by", classes="field")
                yield Select(
                    [(name, name) for name in WEIGHTINGS],
                    value="compel",
                    allow_blank=False,
                    compact=True,
                    id="weighting",
                )
                yield Label("Operation", classes="field")
                yield Select(
                    [(name, name) for name in OPERATIONS],
                    value="txt2img",
                    allow_blank=False,
                    compact=True,
                    id="operation",
                )
                yield Vertical(id="own")
                yield Label("Hung onto it", classes="field")
                yield Static("nothing; Ctrl+K adds", id="attached", markup=False)
                yield Label("Grid: X, Y, Z", classes="field")
                for name, example in (("x", "cfg=3,5,7"), ("y", "steps=10-30 (+10)"), ("z", "")):
                    yield Input(id=f"grid-{name}", placeholder=example, compact=True, classes="grid-axis")
                yield Static("", id="form-problem", markup=False)
            with Vertical(id="stage"):
                yield Picture(id="picture")
                yield Static("", id="render-state", markup=False)
                yield ProgressBar(id="render-progress", show_eta=True)
            yield Gallery(id="gallery-side")

    async def on_mount(self) -> None:
        self.query_one("#render-progress").display = False
        await self._show_options("txt2img", {})
        self._find_models()
        self.query_one(Gallery).look_around()

    def enter(self) -> None:
        if self.app.focused is None or self.app.focused.id not in FIELDS:
            self.query_one("#gallery").focus()

    def cancel(self) -> bool:
        for number in self._rendering:
            self.app.stop(number)  # type: ignore[attr-defined]
        return bool(self._rendering)

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _find_models(self) -> None:
        """The checkpoints there are, read off the screen's thread."""
        app: Any = self.app
        roots = [app.paths.models, *(Path(p).expanduser() for p in app.settings["studio.models"])]
        models = [
            e for e in Catalogue(roots, app.paths.catalogue).entries() if e.kind == "checkpoint" and not e.problem
        ]
        app.call_from_thread(self._list_models, models)

    def _list_models(self, models: list[ModelEntry]) -> None:
        self._models = models
        select = self.query_one("#model", Select)
        current = select.value
        names = [entry.name for entry in models]
        if current not in names:
            names.insert(0, str(current))
        select.set_options([(name, name) for name in names])
        select.value = current

    @property
    def family(self) -> str:
        """Of the chosen model, "" while it is not known."""
        return next((entry.family for entry in self._models if entry.name == self.model), "")

    # Settings

    @property
    def model(self) -> str:
        return str(self.query_one("#model", Select).value)

    async def _show_options(self, operation: str, now: dict[str, Any]) -> None:
        """The fields of an operation's own parameters, filled with `now`."""
        self._operation = operation
        own = self.query_one("#own", Vertical)
        await own.remove_children()
        await own.mount(*[field(p, now.get(p.name, p.default), "own") for p in OPERATIONS[operation].parameters])

    async def on_select_changed(self, event: Select.Changed) -> None:
        if event.select.id == "operation" and event.value != self._operation:
            kept = {}
            # A picture chosen for one operation serves the next.
            if (image := self.query("#own-image")) and any(
                p.name == "image" for p in OPERATIONS[str(event.value)].parameters
            ):
                kept["image"] = image.first(Input).value
            await self._show_options(str(event.value), kept)

    async def begin(self, operation: str, picture: Path) -> None:
        """Get ready to work on a picture."""
        await self._show_options(operation, {"image": str(picture)})
        self.query_one("#operation", Select).value = operation
        missing = next(
            (p.name for p in OPERATIONS[operation].parameters if p.required and p.name != "image"), "strength"
        )
        if fields := self.query(f"#own-{missing}"):
            fields.first().focus()
        self._state(f"{operation} of {picture.name}; F5 renders it")

    def action_draw_mask(self) -> None:
        """Paint the mask of the picture in the form; it goes into the form's field."""
        image, mask = self.query("#own-image"), self.query("#own-mask")
        if not mask or not image or not image.first(Input).value.strip():
            self.notify("Choose the operation inpaint and a picture first; P on a picture does both.", markup=False)
            return
        from assistant.tui.mask_drawing import MaskDrawing

        field = mask.first(Input)
        former = Path(field.value).expanduser() if field.value.strip() else None

        def take(path: Path | None) -> None:
            if path is not None:
                field.value = str(path)
                self._state(f"{path.name} is the mask; F5 renders")

        picture = Path(image.first(Input).value).expanduser()
        self.app.push_screen(MaskDrawing(picture, self.app.paths.masks, former), take)  # type: ignore[attr-defined]

    def lock_seed(self, seed: Any) -> bool:
        """Put a seed into the form; the same one again frees it. Whether it is locked now."""
        field = self.query_one("#seed", Input)
        locked = field.value != str(seed)
        field.value = str(seed) if locked else ""
        return locked

    def action_recipe(self) -> None:
        from assistant.tui.recipe import RecipeScreen

        self.app.push_screen(RecipeScreen())

    def action_merge(self) -> None:
        from assistant.tui.merge import MergeScreen

        self.app.push_screen(MergeScreen())

    def action_character(self) -> None:
        from assistant.tui.character import CharacterScreen

        self.app.push_screen(CharacterScreen())

    def action_train(self) -> None:
        from assistant.tui.training import TrainingScreen

        self.app.push_screen(TrainingScreen(self.app.training))  # type: ignore[attr-defined]

    def action_animate(self) -> None:
        from assistant.tui.animation import AnimationScreen

        # A Draft that was never entered holds nothing.
        texts = [(room.prompt.strip(), room.negative.strip()) for room in self.app.query("DraftRoom")]  # type: ignore[attr-defined]
        self.app.push_screen(AnimationScreen(*(texts[0] if texts else ())))

    def action_video(self) -> None:
        from assistant.tui.video import VideoScreen

        self.app.push_screen(VideoScreen())

    def action_motion(self) -> None:
        from assistant.tui.motion import MotionScreen

        self.app.push_screen(MotionScreen())

    def action_captions(self) -> None:
        from assistant.tui.caption_editor import CaptionEditor

        self.app.push_screen(CaptionEditor())

    def action_attach(self) -> None:
        """Controls, references, regions and modifiers of the next renders."""
        from assistant.tui.attachments import Attachments

        def take(found: dict[str, Any] | None) -> None:
            if found is not None:
                self._hang(found)

        self.app.push_screen(Attachments(self._hung), take)

    def _hang(self, found: dict[str, Any]) -> None:
        self._hung = {name: value for name, value in found.items() if value}
        counts = [f"{len(value)} {name if len(value) > 1 else name.rstrip('s')}" for name, value in self._hung.items()]
        self.query_one("#attached", Static).update(", ".join(counts) or "nothing; Ctrl+K adds")

    async def spec(self) -> dict[str, Any]:
        """The form and the draft as a spec. Raises `GenerationError` for what cannot be."""
        draft = await self.app.ensure("draft")  # type: ignore[attr-defined]
        settings = self.app.settings  # type: ignore[attr-defined]
        spec: dict[str, Any] = {
            "prompt": draft.prompt.strip(),
            "negative": draft.negative.strip(),
            **draft.origin(),
            "model": self.model,
            "operation": self._operation,
            "options": values(self, OPERATIONS[self._operation].parameters, "own"),
            **self._hung,
            "weighting": str(self.query_one("#weighting", Select).value),
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

    async def fill(self, spec: dict[str, Any], *, texts: bool = True) -> None:
        """Take the settings of a picture, with `texts` its prompts too."""
        if texts:
            draft = await self.app.ensure("draft")  # type: ignore[attr-defined]
            draft.restore(str(spec.get("prompt", "")), str(spec.get("negative", "")), spec)
        for name in FIELDS:
            value = spec.get(name)
            self.query_one(f"#{name}", Input).value = (
                "" if value is None else f"{value:g}" if name == "cfg" else str(value)
            )
        operation = spec.get("operation") if spec.get("operation") in OPERATIONS else "txt2img"
        await self._show_options(str(operation), spec.get("options") or {})
        self._hang({name: spec.get(name) for name in (*PARTS, "modifiers")})
        for name, known in (
            ("operation", list(OPERATIONS)), ("sampler", samplers.names()), ("weighting", list(WEIGHTINGS)),
            ("model", [entry.name for entry in self._models]),
        ):  # fmt: skip
            if spec.get(name) in known:
                self.query_one(f"#{name}", Select).value = spec[name]

    # Rendering

    async def action_render(self) -> None:
        await self.render_draft()

    async def action_render_four(self) -> None:
        await self.render_draft(batch=4)

    async def render_draft(self, *, batch: int | None = None, watcher: Any = None) -> bool:
        """Ask for the render of the draft with the form; `watcher(number, event)` is told as well."""
        problem = self.query_one("#form-problem", Static)
        try:
            spec = await self.spec()
        except GenerationError as error:
            problem.update(f"{error.message}. {error.hint}")
            self.notify(f"{error.message}. {error.hint}", severity="error", markup=False)
            return False
        problem.update("")
        operation = OPERATIONS[spec["operation"]]
        if not spec["prompt"] and operation.prompted and operation.prompt != "none" and not operation.rewrites:
            self.notify("The prompt is empty; F3 leads to it.", markup=False)
            return False
        if batch:
            spec["batch"] = batch
        return self.submit(spec, watcher, axes=[] if batch else self._axes())

    def _axes(self) -> list[str]:
        return [text for name in "xyz" if (text := self.query_one(f"#grid-{name}", Input).value.strip())]

    def submit(self, spec: dict[str, Any], watcher: Any = None, *, axes: Sequence[str] = ()) -> bool:
        """Put a spec into the queue of renders, or with axes a grid of it."""
        job = {"spec": spec, "output": "", "preview": "studio"} | ({"axes": list(axes)} if axes else {})
        kind = "grid" if axes else "render"
        number = self.app.submit(kind, job, self._on_render)  # type: ignore[attr-defined]
        if number is None:
            return False
        self._rendering.append(number)
        if watcher is not None:
            self._watchers[number] = watcher
        waiting = len(self._rendering) - 1
        self._state(f"{waiting} before it in the queue" if waiting else "getting ready ...")
        return True

    def _on_render(self, number: int, event: dict[str, Any]) -> None:
        watcher = self._watchers.get(number)
        if watcher is not None:
            watcher(number, event)
        bar = self.query_one("#render-progress", ProgressBar)
        match event["kind"]:
            case "started":
                bar.update(total=None, progress=0)
                bar.display = True
            case "progress":
                if event.get("total"):
                    bar.update(total=event["total"], progress=event["done"])
                    what = "" if event["stage"] == "denoising" else f" of the {event['stage']}"
                    self._state(f"step {event['done']} of {event['total']}{what}   Esc cancels")
                else:
                    self._state(f"{event['stage']} {event.get('message', '')}")
            case "preview":
                self.query_one("#picture", Picture).show(event["path"])
            case "note":
                self.notify(event["message"], severity="warning", markup=False)
            case "done":
                self._end(number)
                result = event["result"]
                self.query_one("#picture", Picture).show(*(result.get("paths") or [result["path"]]))
                spec = result["spec"]
                how = (
                    f"{len(result['cells'])} cells"
                    if "cells" in result
                    else (f"{spec['sampler']}, {spec['steps']} steps, CFG {spec['cfg']:g}")
                )
                self._state(f"{result['seconds']:.1f} s, seed {result['seed']}, {how}\n{result['path']}")
                self.query_one(Gallery).look_around()
            case "failed":
                self._end(number)
                self._state(f"{event['message']}. {event['hint']}".strip())
            case "cancelled":
                self._end(number)
                self._state("cancelled; nothing was written")

    def _end(self, number: int) -> None:
        self._watchers.pop(number, None)
        self._rendering = [n for n in self._rendering if n != number]
        if not self._rendering:
            self.query_one("#render-progress").display = False

    def _state(self, text: str) -> None:
        self.query_one("#render-state", Static).update(text)

    # Gallery

    def on_gallery_said(self, message: Gallery.Said) -> None:
        self._state(message.text)

    async def on_gallery_looked(self, message: Gallery.Looked) -> None:
        if self._rendering and not message.taken:
            return
        self.query_one("#picture", Picture).show(message.path)
        if not message.taken:
            return
        try:
            spec = read(message.path).spec()
        except GenerationError as error:
            self.notify(f"{error.message}. {error.hint}", severity="error", markup=False)
            return
        if spec:
            await self.fill(spec)
            self._state(f"settings of {message.path.name} taken; F5 renders them again")
        else:
            self._state(f"{message.path.name} carries no settings")

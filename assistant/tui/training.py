"""Training from the screen: a dataset planned, its settings changed, the job watched, paused and gone on with.

What is planned and trained is the workers' matter; how a training stands is kept by `training_run`, so that this screen
may be closed and opened again.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import ContentSwitcher, Input, Label, OptionList, ProgressBar, Select, Static
from textual.widgets.option_list import Option

from assistant.tui.keys import bindings
from assistant.tui.loss_plot import LossPlot
from assistant.tui.parameter_form import ParameterForm
from assistant.tui.picture import Picture
from assistant.tui.training_plan import Row, rows, summary, unplanned
from assistant.tui.training_run import TrainingRun
from generation.catalogue import Catalogue
from generation.errors import GenerationError
from generation.training.presets import KINDS, MEMORIES, SUBJECTS
from generation.training.settings import TABLES, table

DATASET = "A folder of pictures or clips, or a JSONL file"
HERE = "here"  # the memory of this machine


class TrainingScreen(ModalScreen[None]):
    """Two views of one screen: the plan, and the training as it goes. The job goes on when it is closed."""

    BINDINGS = bindings("training")  # type: ignore[assignment]

    def __init__(self, run: TrainingRun | None = None, dataset: str = "") -> None:
        super().__init__()
        self.run_shown = run
        self._dataset = dataset or (str(run.spec["dataset"]) if run else "")
        self._plan: dict[str, Any] | None = None
        self._given: dict[str, Any] = {}
        self._rows: list[Row] = []
        self._asked = 0

    def compose(self) -> ComposeResult:
        settings = self.app.settings  # type: ignore[attr-defined]
        model = self.run_shown.spec["model"] if self.run_shown else settings["studio.model"]
        kind = self.run_shown.kind if self.run_shown else "lora"
        with Vertical(classes="passage training"):
            yield Input(self._dataset, placeholder=DATASET, id="train-dataset", compact=True)
            with Horizontal(id="train-choices"):
                yield _select("train-kind", list(TABLES), kind)
                yield _select("train-preset", list(SUBJECTS), SUBJECTS[0])
                yield _select("train-model", [model], model)
                memories = [(f"{size} GB", str(size)) for size in MEMORIES]
                yield Select([(HERE, HERE), *memories], value=HERE, allow_blank=False, compact=True, id="train-memory")
            yield Input(placeholder="The file to write; none: the dataset's name, among your models",
                        id="train-output", compact=True)  # fmt: skip
            yield Static("", id="train-summary", markup=False)
            with ContentSwitcher(initial="train-plan", id="train-views"):
                with Horizontal(id="train-plan"):
                    yield OptionList(id="train-rows")
                    yield Picture(id="train-picture")
                with Horizontal(id="train-run"):
                    yield LossPlot(id="train-plot")
                    yield Picture(id="train-sample")
            yield Static("", id="train-state", markup=False)
            yield ProgressBar(id="train-progress", show_eta=False)
            yield Label("F5 train  S settings  C captions  P pause  X stop  V view  Esc close", classes="passage-keys")

    def on_mount(self) -> None:
        self.query_one("#train-progress").display = False
        for name, text in (("train-picture", "What is cropped off comes here."),
                           ("train-sample", "Pictures made on the way come here.")):  # fmt: skip
            self.query_one(f"#{name}", Picture).query_one("#no-picture", Static).update(text)
        self._find_models()
        if self.run_shown is not None:
            self.run_shown.changed = self._show_run
            self._view("train-run")
            self._show_run()
        else:
            self.query_one("#train-dataset").focus()
            self._say("Name a dataset and press Enter.")
            if self._dataset:
                self.plan()

    def on_unmount(self) -> None:
        if self.run_shown is not None:
            self.run_shown.changed = lambda: None

    @work(thread=True, exclusive=True, group="models", exit_on_error=False)
    def _find_models(self) -> None:
        app: Any = self.app
        roots = [app.paths.models, *(Path(p).expanduser() for p in app.settings["studio.models"])]
        entries = Catalogue(roots, app.paths.catalogue).entries()
        app.call_from_thread(self._list_models, [e.name for e in entries if e.kind == "checkpoint" and not e.problem])

    def _list_models(self, names: list[str]) -> None:
        select = self.query_one("#train-model", Select)
        now = str(select.value)
        with self.prevent(Select.Changed):
            select.set_options([(name, name) for name in ([] if now in names else [now]) + names])
            select.value = now

    # The plan

    @property
    def kind(self) -> str:
        return self._chosen("kind")

    def _chosen(self, name: str) -> str:
        return str(self.query_one(f"#train-{name}", Select).value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.plan()

    def on_select_changed(self, event: Select.Changed) -> None:
        event.stop()
        if event.select.id == "train-kind":
            # Settings of another kind may not exist here.
            known = {parameter.name for parameter in table(self.kind)}
            self._given = {name: value for name, value in self._given.items() if name in known}
        if self._plan is not None or self._asked:
            self.plan()

    def plan(self) -> None:
        """Ask for a plan of what the form says; only the latest is shown."""
        text = self.query_one("#train-dataset", Input).value.strip()
        if not text:
            self._say("Name a folder of pictures or a JSONL file first.")
            return
        dataset = str(Path(text).expanduser().absolute())
        if self.kind not in KINDS:
            self._asked = 0  # a plan that still comes is of another kind
            self._plan = unplanned(self.kind, dataset, self._chosen("model"), self._given)
            self._fill(self._plan)
            return
        memory = self._chosen("memory")
        spec = {
            "dataset": dataset,
            "model": self._chosen("model"),
            "kind": self.kind,
            "preset": self._chosen("preset"),
            "settings": self._given,
            "regularisation": "",
            "memory_gb": None if memory == HERE else float(memory),
            "look": True,
            "contact": "",
        }
        number = self.app.submit("plan-training", spec, self._on_plan)  # type: ignore[attr-defined]
        if number is not None:
            self._asked = number
            self._plan = None
            self._say("looks at the pictures ...")

    def _on_plan(self, number: int, event: dict[str, Any]) -> None:
        if not self.is_attached or number != self._asked:
            return
        match event["kind"]:
            case "progress":
                total = f" of {event['total']}" if event.get("total") else ""
                self._say(f"{event['stage']} {event['done']}{total}")
            case "failed":
                self._say(f"{event['message']}. {event['hint']}".strip())
            case "done":
                self._plan = event["result"]
                self._fill(self._plan)

    def _fill(self, plan: dict[str, Any]) -> None:
        options = self.query_one("#train-rows", OptionList)
        options.clear_options()
        self._rows = rows(plan)
        options.add_options([Option(row.text, disabled=not row.picture) for row in self._rows])
        self.query_one("#train-summary", Static).update(summary(plan))
        self._view("train-plan")
        if first := next(iter(plan["pictures"]), None):
            self._show_crop(first["path"], first["bucket"], plan["settings"])
        if self.focused is None or self.focused.id == "train-dataset":
            options.focus()
        changed = f"{len(self._given)} settings are yours; " if self._given else ""
        self._say(
            f"{changed}F5 trains, S changes the settings"
            if plan["fits"]
            else f"{changed}it does not fit: S, or another memory"
        )

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        row = self._rows[event.option_index] if event.option_index < len(self._rows) else None
        if row is None or not row.picture or self._plan is None:
            return
        known = next((one for one in self._plan["pictures"] if one["path"] == row.picture), None)
        self._show_crop(row.picture, known["bucket"] if known else None, self._plan["settings"])

    @work(thread=True, exclusive=True, group="crop", exit_on_error=False)
    def _show_crop(self, path: str, bucket: list[int] | None, settings: dict[str, Any]) -> None:
        """The picture with its crop, drawn off the screen's thread."""
        from generation.pictures import read, write_png
        from generation.training.buckets import place
        from generation.training.contact import cropped
        from generation.training.plan import rules_of

        app: Any = self.app
        try:
            image = read(path)
            placed = place(image.width, image.height, rules_of(settings)) if bucket else None
            image.thumbnail((768, 768))
            app.paths.previews.mkdir(parents=True, exist_ok=True)
            shown = write_png(cropped(image, placed), app.paths.previews / "crop.png")
        except (GenerationError, OSError):
            return
        app.call_from_thread(self._crop_drawn, shown)

    def _crop_drawn(self, path: Path) -> None:
        if self.is_attached:
            self.query_one("#train-picture", Picture).show(path)

    def action_settings(self) -> None:
        if self._plan is None:
            self._say("Plan it first: Enter behind the dataset.")
            return
        planned = self._plan["settings"]

        def take(found: dict[str, Any] | None) -> None:
            if found is not None:
                changed = {name: value for name, value in found.items() if value != planned[name]}
                if changed:
                    self._given |= changed
                    self.plan()

        self.app.push_screen(ParameterForm(f"Training a {self.kind}", table(self.kind), planned), take)

    def action_captions(self) -> None:
        if self.kind not in KINDS:
            self._say("The captions of clips are text files beside them: cat.txt for cat.mp4.")
            return
        from assistant.tui.caption_editor import CaptionEditor

        text = self.query_one("#train-dataset", Input).value.strip()
        self.app.push_screen(CaptionEditor(text), lambda changed: self.plan() if changed else None)

    # The training

    def action_train(self) -> None:
        run = self.run_shown
        if run is not None and run.alive:
            self._say("It trains already; P pauses it, X stops it.")
        elif self._plan is None:
            self.plan()
        elif not self._plan["fits"]:
            self._say("It does not fit into the memory: S changes the settings; a smaller resolution takes less.")
        else:
            self._begin(self._plan)

    def _begin(self, plan: dict[str, Any]) -> None:
        spec = {
            "kind": plan["kind"],
            "dataset": plan["dataset"],
            "output": str(self._output(plan)),
            "model": plan["model"],
            "settings": plan["settings"],
            "regularisation": "",
        }
        if self.run_shown is not None:
            self.run_shown.changed = lambda: None
        run = TrainingRun(kind=plan["kind"], spec=spec, total=plan["steps"])
        run.changed = self._show_run
        if run.begin(self.app):
            self.run_shown = run
            self.app.training = run  # type: ignore[attr-defined]
            self._view("train-run")
            self._show_run()

    def _output(self, plan: dict[str, Any]) -> Path:
        """The file that is named, else one of the dataset's name that is not there yet."""
        if text := self.query_one("#train-output", Input).value.strip():
            return Path(text).expanduser().absolute()
        stem = re.sub(r"[^\w.-]+", "-", Path(plan["dataset"]).stem) or "trained"
        folder = self.app.paths.models  # type: ignore[attr-defined]
        # A training that stopped left its state beside its output, and goes on from it.
        path, number = folder / f"{stem}.safetensors", 2
        while path.exists() or path.with_suffix("").exists():
            path, number = folder / f"{stem}-{number}.safetensors", number + 1
        return Path(path)

    def _show_run(self) -> None:
        run = self.run_shown
        if run is None or not self.is_attached:
            return
        self._say(run.told())
        bar = self.query_one("#train-progress", ProgressBar)
        bar.display = run.alive
        bar.update(total=run.total if run.done else None, progress=run.done)
        self.query_one("#train-plot", LossPlot).show(run.loss, run.aside)
        if run.newest:
            self.query_one("#train-sample", Picture).show(run.newest)

    def action_pause(self) -> None:
        if self.run_shown is not None:
            self.run_shown.pause(self.app)

    def action_stop(self) -> None:
        if self.run_shown is not None:
            self.run_shown.stop(self.app)

    def action_view(self) -> None:
        now = self.query_one("#train-views", ContentSwitcher).current
        self._view("train-run" if now == "train-plan" else "train-plan")

    def _view(self, name: str) -> None:
        self.query_one("#train-views", ContentSwitcher).current = name

    def _say(self, text: str) -> None:
        self.query_one("#train-state", Static).update(text)

    def action_cursor_down(self) -> None:
        self.query_one("#train-rows", OptionList).action_cursor_down()

    def action_cursor_up(self) -> None:
        self.query_one("#train-rows", OptionList).action_cursor_up()

    def action_close(self) -> None:
        self.dismiss()


def _select(id: str, names: list[str], value: str) -> Select[str]:
    return Select([(name, name) for name in names], value=value, allow_blank=False, compact=True, id=id)

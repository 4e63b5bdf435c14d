"""A character on the screen: a slider for every part, rendered anew when one was moved, presets, one LoRA of it.

The tree is read here, which is light; networks and pictures are the workers'. Weights that were moved stay with the
screen: the file is the person's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Input, Label, Select, Static

from assistant.tui.keys import bindings
from assistant.tui.picture import Picture
from assistant.tui.slider import Slider
from generation.errors import GenerationError
from knowledge.screen import shown

if TYPE_CHECKING:
    from generation.characters.trees import Tree

SETTLED = 0.6  # seconds after the last move at which a picture is made
OWN = "own"  # the file's weights
STEP = 0.1


class CharacterScreen(ModalScreen[None]):
    """Sliders on the left, the picture on the right. Where constraints do not hold nothing is rendered."""

    BINDINGS = bindings("character")  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self._tree: Tree | None = None
        self._moved: dict[str, float] = {}
        self._waiting: Timer | None = None
        self._number: int | None = None
        self._again = False
        self._seed = 1

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage character"):
            yield Input(placeholder="A character's YAML file", id="character-file", compact=True)
            yield Input(placeholder="Prompt; none: the file's own", id="character-prompt", compact=True)
            yield Select([(OWN, OWN)], value=OWN, allow_blank=False, compact=True, id="character-preset")
            with Horizontal(id="character-views"):
                yield VerticalScroll(id="character-sliders")
                yield Picture(id="character-picture")
            yield Static("", id="character-state", markup=False)
            yield Label("Tab and ← → weigh  F5 render  N another seed  E one LoRA  Esc close", classes="passage-keys")

    def on_mount(self) -> None:
        picture = self.query_one("#character-picture", Picture)
        picture.query_one("#no-picture", Static).update("The character comes here.")
        self.query_one("#character-file").focus()
        self._say("Name a file and press Enter.")

    def on_unmount(self) -> None:
        if self._waiting is not None:
            self._waiting.stop()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input.id == "character-file":
            self._read(Path(event.value.strip()).expanduser())
        else:
            self.action_render()

    @work(thread=True, exclusive=True, group="character", exit_on_error=False)
    def _read(self, path: Path) -> None:
        from generation.characters import trees

        try:
            tree = trees.read(path)
        except GenerationError as error:
            self.app.call_from_thread(self._say, f"{error.message}. {error.hint}".strip())
            return
        self.app.call_from_thread(self.call_later, self._show, tree)

    async def _show(self, tree: Tree) -> None:
        self._tree, self._moved = tree, {}
        select = self.query_one("#character-preset", Select)
        with self.prevent(Select.Changed):
            select.set_options([(OWN, OWN), *((shown(name), name) for name in tree.presets)])
            select.value = OWN
        sliders = self.query_one("#character-sliders", VerticalScroll)
        await sliders.remove_children()
        wide = max(len(_label(part.path)) for part in tree.walk())
        await sliders.mount_all(
            PartSlider(part.path, _label(part.path).ljust(wide), part.weight, part.low, part.high)
            for part in tree.walk()
        )
        if not self.query_one("#character-prompt", Input).value:
            self.query_one("#character-prompt", Input).placeholder = tree.prompt or "Prompt"
        sliders.query(PartSlider).first().focus()
        self._say(f"{shown(tree.name)}: {len(list(sliders.query(PartSlider)))} parts; a move renders it")

    @property
    def weighed(self) -> Tree | None:
        """The tree with the sliders' weights."""
        return self._tree.set(self._moved) if self._tree is not None else None

    def on_slider_changed(self, event: Slider.Changed) -> None:
        event.stop()
        if isinstance(event.slider, PartSlider):
            self._moved[event.slider.path] = event.value
            self._settle()

    def on_select_changed(self, event: Select.Changed) -> None:
        event.stop()
        if self._tree is None:
            return
        name = str(event.value)
        self._moved = {} if name == OWN else dict(self._tree.presets[name])
        weights = self._tree.set(self._moved).weights
        for slider in self.query(PartSlider):
            slider.value = weights[slider.path]
        self._settle()

    def _settle(self) -> None:
        """Render when nothing has moved for a moment; say at once what does not hold."""
        tree = self.weighed
        assert tree is not None
        if self._waiting is not None:
            self._waiting.stop()
        if broken := tree.broken():
            self._say(f"does not hold: {'; '.join(broken)}")
            return
        acting = ", ".join(f"{one.part.name} {one.weight:.2g}" for one in tree.leaves())
        self._say(acting or "nothing acts")
        self._waiting = self.set_timer(SETTLED, self.action_render)

    def action_render(self) -> None:
        tree = self.weighed
        if tree is None:
            self._say("Name a file and press Enter first.")
            return
        if broken := tree.broken():
            self._say(f"does not hold: {'; '.join(broken)}")
            return
        if self._number is not None:
            # The one that runs is of other weights: when it ends, these come.
            self._again = True
            return
        self._submit({"seed": self._seed}, "")

    def action_seed(self) -> None:
        self._seed += 1
        self.action_render()

    def action_export(self) -> None:
        tree = self.weighed
        if tree is None or self._number is not None:
            self._say("Name a file first." if tree is None else "Wait for the picture, then once more.")
            return
        folder = self.app.paths.models  # type: ignore[attr-defined]
        path, number = folder / f"{tree.name}.safetensors", 2
        while path.exists():
            path, number = folder / f"{tree.name}-{number}.safetensors", number + 1
        self._submit(None, str(path))

    def _submit(self, fields: dict[str, Any] | None, export: str) -> None:
        assert self._tree is not None
        output = ""
        if fields is not None:
            # Looked at, then written over: pictures worth keeping are rendered from the prompt.
            output = str(self.app.paths.previews / "character.png")  # type: ignore[attr-defined]
        spec = {
            "tree": str(self._tree.file),
            "preset": "",
            "set": self._moved,
            "prompt": self.query_one("#character-prompt", Input).value.strip(),
            "render": fields,
            "output": output,
            "export": export,
            "keep": False,
        }
        self._number = self.app.submit("character", spec, self._on_event)  # type: ignore[attr-defined]

    def _on_event(self, number: int, event: dict[str, Any]) -> None:
        ended = event["kind"] in {"done", "failed", "cancelled"}
        if ended:
            self._number = None
        if not self.is_attached:
            return
        match event["kind"]:
            case "progress":
                total = f" of {event['total']}" if event.get("total") else ""
                self._say(f"{event['stage']} {event['done']}{total}")
            case "note":
                self._say(event["message"])
            case "failed":
                self._say(f"{event['message']}. {event['hint']}".strip())
            case "done":
                result = event["result"]
                if result["render"]:
                    self.query_one("#character-picture", Picture).show(Path(result["render"]["path"]))
                    self._say(result["prompt"])
                elif result["export"]:
                    self._say(f"one LoRA: {result['export']['path']}")
        if ended and self._again:
            self._again = False
            self.action_render()

    def _say(self, text: str) -> None:
        self.query_one("#character-state", Static).update(text)

    def action_close(self) -> None:
        self.dismiss()


class PartSlider(Slider):
    """The slider of a part; `path` is the part's."""

    def __init__(self, path: str, label: str, value: float, low: float, high: float) -> None:
        super().__init__(label, value, low=low, high=high, step=STEP)
        self.path = path


def _label(path: str) -> str:
    """The part's name, further in the deeper it lies."""
    return "  " * path.count(".") + path.rpartition(".")[2]

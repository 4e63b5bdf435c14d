"""Drawing a mask over a picture in the terminal, by mouse or by keys.

The mask has the picture's own resolution; what is seen is both brought to two pixels a cell. Leaves what a mask does to
the operations.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.segment import Segment
from rich.style import Style
from textual import events, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Label, Static

from assistant.tui.keys import bindings
from knowledge.screen import shown

if TYPE_CHECKING:
    from PIL.Image import Image

UNDOS = 20
TINT = (255, 40, 80)


class MaskCanvas(Widget, can_focus=True):
    """The picture with the mask tinted over it. Sizes of the brush are radii in cells."""

    BINDINGS = bindings("mask")  # type: ignore[assignment]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.mask: Image | None = None
        self._picture: Image | None = None
        self._seen: tuple[Any, Any] | None = None
        self._undo: list[Image] = []
        self._cursor = (0, 0)  # in half cells: column, half row
        self._brush = 1.5
        self._erasing = False
        self._drawing: tuple[float, float] | None = None

    def open(self, picture: Image, mask: Image) -> None:
        self._picture, self.mask = picture, mask
        self._cursor = (self.cells[0] // 2, self.cells[1] // 2)
        self._again()

    @property
    def cells(self) -> tuple[int, int]:
        """(columns, half rows) that the picture takes in this place, in its proportions."""
        if self._picture is None:
            return (1, 1)
        width, height = self._picture.size
        scale = min(self.size.width / width, self.size.height * 2 / height)
        return max(1, round(width * scale)), max(2, round(height * scale))

    def on_resize(self) -> None:
        self._again()

    def _again(self) -> None:
        self._seen = None
        self.refresh()

    def render_line(self, y: int) -> Strip:
        if self._picture is None or self.mask is None:
            return Strip.blank(self.size.width)
        columns, rows = self.cells
        if self._seen is None:
            size = (columns, rows)
            self._seen = (self._picture.resize(size).load(), self.mask.resize(size).load())
        picture: Any
        mask: Any
        picture, mask = self._seen
        segments = []
        for x in range(columns):
            colours = []
            for half in (2 * y, 2 * y + 1):
                if half >= rows:
                    colours.append("default")
                    continue
                colour = picture[x, half]
                if mask[x, half] >= 128:
                    colour = tuple((one + 2 * other) // 3 for one, other in zip(colour, TINT, strict=True))
                colours.append("rgb({},{},{})".format(*colour))
            here = (x, y) == (self._cursor[0], self._cursor[1] // 2) and self.has_focus
            letter = "┼" if here else "▀"
            style = Style(color="white", bgcolor=colours[1]) if here else Style(color=colours[0], bgcolor=colours[1])
            segments.append(Segment(letter, style))
        return Strip(segments).adjust_cell_length(self.size.width)

    # Painting

    def stroke(self, start: tuple[float, float], end: tuple[float, float], *, erase: bool = False) -> None:
        """Paint a line between two places in half cells (column, half row) with the brush."""
        if self.mask is None:
            return
        from PIL import ImageDraw

        columns, rows = self.cells
        across, down = self.mask.width / columns, self.mask.height / rows
        points = [((x + 0.5) * across, (y + 0.5) * down) for x, y in (start, end)]
        radius = self._brush * across
        pen = ImageDraw.Draw(self.mask)
        colour = 0 if erase or self._erasing else 255
        if points[0] != points[1]:
            pen.line(points, fill=colour, width=max(1, round(2 * radius)))
        for x, y in points:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        self._again()

    def _keep(self) -> None:
        if self.mask is not None:
            self._undo = [*self._undo[-UNDOS + 1 :], self.mask.copy()]

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.capture_mouse()
        self._keep()
        self._drawing = (event.x, event.y * 2 + 0.5)
        self._cursor = (event.x, event.y * 2)
        self.stroke(self._drawing, self._drawing, erase=event.button == 3)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._drawing is not None:
            place = (event.x, event.y * 2 + 0.5)
            self.stroke(self._drawing, place, erase=event.button == 3)
            self._drawing = place

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self._drawing = None
        self.release_mouse()

    def action_step(self, across: int, down: int) -> None:
        columns, rows = self.cells
        self._cursor = (
            min(max(self._cursor[0] + across, 0), columns - 1),
            min(max(self._cursor[1] + 2 * down, 0), rows - 1),
        )
        self.refresh()

    def action_paint(self) -> None:
        self._keep()
        place = (float(self._cursor[0]), self._cursor[1] // 2 * 2 + 0.5)
        self.stroke(place, place)

    def action_erase(self) -> None:
        self._erasing = not self._erasing
        self.screen.say()  # type: ignore[attr-defined]

    def action_brush(self, by: int) -> None:
        self._brush = min(max(self._brush + by, 0.5), 20.5)
        self.screen.say()  # type: ignore[attr-defined]

    def action_invert(self) -> None:
        if self.mask is not None:
            self._keep()
            self.mask = self.mask.point(lambda value: 255 - value)
            self._again()

    def action_undo(self) -> None:
        if self._undo:
            self.mask = self._undo.pop()
            self._again()

    @property
    def state(self) -> str:
        return f"{'erases' if self._erasing else 'paints'}, brush {2 * self._brush:g}"


class MaskDrawing(ModalScreen[Path]):
    """Closes with the file the mask was written to, or with nothing. White in it is what changes."""

    BINDINGS = bindings("mask screen")  # type: ignore[assignment]

    def __init__(self, picture: Path, folder: Path, mask: Path | None = None) -> None:
        super().__init__()
        self._path, self._folder, self._former = picture, folder, mask

    def compose(self) -> ComposeResult:
        with Vertical(classes="passage"):
            yield Label(f"Mask of {shown(self._path.name)}", classes="passage-title", markup=False)
            yield MaskCanvas(id="mask-canvas")
            yield Static("", id="mask-state", markup=False)
            yield Label(
                "Mouse or arrows and Space paint  E erase  + - brush  I invert  U undo  Enter save  Esc close",
                classes="passage-keys",
            )

    def on_mount(self) -> None:
        self.query_one(MaskCanvas).focus()
        self._open()

    @work(thread=True, exclusive=True, group="mask", exit_on_error=False)
    def _open(self) -> None:
        """Decode the picture, and the mask that is gone on from, off the screen's thread."""
        from PIL import Image

        try:
            picture = Image.open(self._path).convert("RGB")
            mask = Image.new("L", picture.size, 0)
            if self._former is not None and self._former.is_file():
                mask = Image.open(self._former).convert("L").resize(picture.size, Image.Resampling.NEAREST)
        except (OSError, ValueError, SyntaxError):
            self.app.call_from_thread(self.notify, f"{self._path} is no picture that can be read", severity="error")
            self.app.call_from_thread(self.dismiss, None)
            return
        self.app.call_from_thread(self._ready, picture, mask)

    def _ready(self, picture: Image, mask: Image) -> None:
        self.query_one(MaskCanvas).open(picture, mask)
        self.say()

    def say(self) -> None:
        self.query_one("#mask-state", Static).update(self.query_one(MaskCanvas).state)

    def action_save(self) -> None:
        mask = self.query_one(MaskCanvas).mask
        if mask is None or mask.getbbox() is None:
            self.notify("Nothing is painted yet.", markup=False)
            return
        self._write(mask)

    @work(thread=True, exclusive=True, group="mask", exit_on_error=False)
    def _write(self, mask: Image) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while (path := self._folder / f"{self._path.stem}-mask-{number}.png").exists():
            number += 1
        temporary = path.with_name(f".{path.name}.part")
        try:
            mask.save(temporary, "PNG")
            temporary.replace(path)
        except OSError as error:
            said = f"{path} cannot be written: {error.strerror or error}"
            self.app.call_from_thread(self.notify, said, severity="error", markup=False)
            return
        finally:
            temporary.unlink(missing_ok=True)
        self.app.call_from_thread(self.dismiss, path)

    def action_close(self) -> None:
        self.dismiss(None)

"""A picture in the terminal, by the best protocol it speaks. Decoding happens off the screen's thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual import work
from textual.app import ComposeResult
from textual.containers import Container
from textual.widget import Widget
from textual.widgets import Static

LARGEST = 768  # pixels a side that are sent to the terminal


class Picture(Container):
    """Shows one PNG, or a sheet of some, fitted to its place; `look.preview` says how."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._paths: tuple[Path, ...] = ()
        self._shown: Widget | None = None
        self._picture: Any = None

    def on_resize(self) -> None:
        """A picture that came while its room was not seen had no place to be fitted to."""
        if self._picture is not None:
            self._fit(self._picture)

    def compose(self) -> ComposeResult:
        yield Static("No picture yet. F5 renders the draft.", id="no-picture", markup=False)

    def show(self, *paths: str | Path) -> None:
        """Load and show a picture, or several as one sheet; the latest call wins."""
        self._paths = tuple(Path(path) for path in paths)
        self._load(self._paths)

    @work(thread=True, exclusive=True, group="picture", exit_on_error=False)
    def _load(self, paths: tuple[Path, ...]) -> None:
        from PIL import Image, UnidentifiedImageError

        pictures = []
        try:
            for path in paths:
                with Image.open(path) as opened:
                    opened.thumbnail((LARGEST, LARGEST))
                    pictures.append(opened.convert("RGB"))
        except (OSError, UnidentifiedImageError, ValueError):
            # A preview may be replaced between two looks at it; the next one comes in a moment.
            return
        if paths == self._paths and pictures:
            picture = pictures[0] if len(pictures) == 1 else sheet(pictures)
            # Small pictures are drawn at their whole multiple, so that pixels stay square and sharp.
            factor = max(1, 256 // max(picture.size))
            if factor > 1:
                picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
            self.app.call_from_thread(self._display, picture)

    def _display(self, picture: Any) -> None:
        kind = getattr(self.app, "settings", {"look.preview": "halfcell"})["look.preview"]
        if kind == "off":
            self.query_one("#no-picture", Static).update(", ".join(path.name for path in self._paths))
            return
        if self._shown is None:
            self.query_one("#no-picture").display = False
            self._shown = _widget(kind)(picture)
            self.mount(self._shown)
        else:
            self._shown.image = picture  # type: ignore[attr-defined]
        self._picture = picture
        self._fit(picture)

    def _fit(self, picture: Any) -> None:
        """Width and height in cells that keep the proportions: a cell is twice as high as wide."""
        if self._shown is None:
            return
        width, height = max(self.size.width, 2), max(self.size.height, 1)
        ratio = picture.width / picture.height * 2
        cells = min(width, round(height * ratio))
        self._shown.styles.width = cells
        self._shown.styles.height = max(1, min(height, round(cells / ratio)))


def sheet(pictures: list[Any]) -> Any:
    """Pictures side by side in rows, in a grid as square as can be, each fitted into the first one's size."""
    from PIL import Image, ImageOps

    columns = round(len(pictures) ** 0.5 + 0.49)
    rows = -(-len(pictures) // columns)
    width, height = pictures[0].size
    found = Image.new("RGB", (columns * width, rows * height))
    for number, picture in enumerate(pictures):
        place = (number % columns * width, number // columns * height)
        found.paste(ImageOps.pad(picture, (width, height)), place)
    return found


def _widget(kind: str) -> Any:
    from textual_image import widget

    return {
        "sixel": widget.SixelImage,
        "kitty": widget.TGPImage,
        "halfcell": widget.HalfcellImage,
    }.get(kind, widget.Image)

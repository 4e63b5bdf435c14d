"""The pictures of a plan on one sheet, what is cropped off dimmed, each with its name, bucket and loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from generation import sheets
from generation.errors import BadImage
from generation.pictures import read
from generation.training.buckets import Placed
from generation.training.datasets import Picture

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
SIDE = 224  # pixels of a cell
LETTERS = 13
MOST = 400  # pictures on a sheet; those that lose most come first


def sheet(
    pictures: Sequence[Picture],
    placed: Sequence[Placed | None],
    marks: Mapping[str, Sequence[str]],
    *,
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> Image.Image:
    """The sheet; `marks` are words by path (the kinds of its remarks) that stand under a picture in red.

    Pictures with marks come first, then those that lose most.
    """

    def first(number: int) -> tuple[bool, float]:
        one = placed[number]
        return not marks.get(str(pictures[number].path)), -(one.loss if one else 1.0)

    order = sorted(range(len(pictures)), key=first)[:MOST]
    cells: list[Image.Image | None] = []
    for done, number in enumerate(order):
        check()
        report({"kind": "progress", "stage": "sheet", "done": done, "total": len(order)})
        cells.append(_cell(pictures[number], placed[number], marks.get(str(pictures[number].path), ())))
    columns = min(max(round(len(cells) ** 0.5 * 1.3), 1), 12)
    rows = [cells[begin : begin + columns] for begin in range(0, len(cells), columns)]
    return sheets.grid(rows, [""] * columns, [""] * len(rows))


def _cell(picture: Picture, placed: Placed | None, marks: Sequence[str]) -> Image.Image:
    font = ImageFont.load_default(size=LETTERS)
    cell = Image.new("RGB", (SIDE, SIDE + 4 * (LETTERS + 3)), "white")
    pen = ImageDraw.Draw(cell)
    try:
        shown = cropped(read(picture.path), placed)
        shown.thumbnail((SIDE, SIDE))
        cell.paste(shown, ((SIDE - shown.width) // 2, (SIDE - shown.height) // 2))
    except BadImage:
        pen.rectangle((0, 0, SIDE - 1, SIDE - 1), outline="red")
        pen.text((SIDE / 2, SIDE / 2), "cannot be read", "red", font, anchor="mm")
    size = f"{picture.width}x{picture.height}"
    told = (
        f"{size} -> {placed.bucket[0]}x{placed.bucket[1]}, loses {placed.loss:.1%}" if placed else f"{size}: left out"
    )
    lines = [(picture.path.name, "black"), (told, "black"), (", ".join(marks), "red")]
    line = 0
    for text, colour in lines:
        for part in sheets.wrapped(text, font, SIDE, pen)[:2]:
            pen.text((0, SIDE + line * (LETTERS + 3)), part, colour, font)
            line += 1
    return cell


def cropped(image: Image.Image, placed: Placed | None) -> Image.Image:
    """The picture with the crop framed and what is left out dimmed, all of it without a bucket."""
    dim = Image.blend(image, Image.new("RGB", image.size, "white"), 0.7)
    if placed is None:
        return dim
    scale = image.width / placed.resized[0]
    width, height = min(placed.bucket[0] * scale, image.width), min(placed.bucket[1] * scale, image.height)
    left, top = (image.width - width) / 2, (image.height - height) / 2
    box = (round(left), round(top), round(left + width), round(top + height))
    dim.paste(image.crop(box), box[:2])
    thick = max(round(max(image.size) / SIDE), 1)
    ImageDraw.Draw(dim).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=(220, 40, 40), width=thick)
    return dim

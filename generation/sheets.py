"""Sheets of pictures in rows and columns, with their labels. Pixels only; what the cells are is the caller's matter."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

GAP = 4
LARGEST = 16384  # pixels a side; beyond it many programs open no picture


def grid(pictures: Sequence[Sequence[Image.Image | None]], columns: Sequence[str], rows: Sequence[str]) -> Image.Image:
    """A sheet of pictures[row][column] with labels above the columns and left of the rows; None leaves a place empty.

    Labels that are all "" take no room. Shrunk as a whole where it would be larger than `LARGEST`.
    """
    there = [picture for row in pictures for picture in row if picture is not None]
    width = max((picture.width for picture in there), default=64)
    height = max((picture.height for picture in there), default=64)
    letters = max(10, min(28, width // 12))
    font = ImageFont.load_default(size=letters)
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    line = round(letters * 1.35)
    above = [wrapped(label, font, width, pen) for label in columns]
    left = [wrapped(label, font, max(width // 2, 60), pen) for label in rows]
    top = max((len(lines) for lines in above if any(lines)), default=0) * line + (GAP if any(columns) else 0)
    side = max((round(pen.textlength(text, font)) for lines in left for text in lines), default=0)
    side += 3 * GAP if any(rows) else 0
    size = (
        side + len(columns) * (width + GAP) - GAP,
        top + len(rows) * (height + GAP) - GAP,
    )
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for x, lines in enumerate(above):
        for n, text in enumerate(lines):
            pen.text((side + x * (width + GAP) + width / 2, n * line), text, "black", font, anchor="ma")
    for y, lines in enumerate(left):
        middle = top + y * (height + GAP) + (height - len(lines) * line) / 2
        for n, text in enumerate(lines):
            pen.text((GAP, middle + n * line), text, "black", font)
    for y, row in enumerate(pictures):
        for x, picture in enumerate(row):
            if picture is not None:
                sheet.paste(picture, (side + x * (width + GAP), top + y * (height + GAP)))
    if max(sheet.size) > LARGEST:
        sheet.thumbnail((LARGEST, LARGEST))
    return sheet


def wrapped(
    text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int, pen: ImageDraw.ImageDraw
) -> list[str]:
    """The text in lines of at most `width` pixels, four at most; a word longer than that is cut."""
    lines: list[str] = []
    for word in text.split():
        while pen.textlength(word, font) > width and len(word) > 1:
            word = word[:-2] + "…"
        if lines and pen.textlength(f"{lines[-1]} {word}", font) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [*lines[:3], f"{lines[3]}…"] if len(lines) > 4 else lines

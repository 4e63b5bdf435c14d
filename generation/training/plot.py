"""The losses of a training as a picture: the smooth training loss as a line, validation as points with a line.

Drawn with PIL alone. Axes begin where the curves do, since a loss near 0 is not what is looked for; the best step is
marked. Leaves drawing in the terminal to the screens.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from generation.training.watch import Watch

SIZE = (960, 540)
LEFT, TOP, RIGHT, BOTTOM = 80, 48, 24, 56
PAPER, INK, GRID = (250, 250, 248), (40, 42, 46), (222, 222, 218)
TRAIN, HELD, MARK = (46, 110, 180), (208, 96, 32), (60, 150, 80)
LINES = 5


def draw(watch: Watch, title: str) -> Image.Image:
    """[960 x 540] RGB."""
    image = Image.new("RGB", SIZE, PAPER)
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(15)
    values = [loss for _, loss in (*watch.losses, *watch.validations)]
    last = max([step for step, _ in (*watch.losses, *watch.validations)], default=1) or 1
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = (high - low) * 0.08 or max(high * 0.1, 1e-6)
    low, high = max(low - room, 0.0), high + room

    def at(step: float, loss: float) -> tuple[float, float]:
        x = LEFT + (SIZE[0] - LEFT - RIGHT) * step / last
        return x, TOP + (SIZE[1] - TOP - BOTTOM) * (high - loss) / (high - low)

    for n in range(LINES + 1):
        loss, step = low + (high - low) * n / LINES, last * n / LINES
        _, y = at(0, loss)
        x, _ = at(step, low)
        pen.line((LEFT, y, SIZE[0] - RIGHT, y), GRID)
        pen.text((LEFT - 8, y), f"{loss:.4f}", INK, font, anchor="rm")
        pen.text((x, SIZE[1] - BOTTOM + 8), f"{step:.0f}", INK, font, anchor="ma")
    if watch.best > 0:
        x, _ = at(watch.best, low)
        pen.line((x, TOP, x, SIZE[1] - BOTTOM), MARK)
        pen.text((x + 4, TOP + 2), f"best: {watch.best}", MARK, font)
    _line(pen, [at(*point) for point in watch.losses], TRAIN)
    points = [at(*point) for point in watch.validations]
    _line(pen, points, HELD)
    for x, y in points:
        pen.ellipse((x - 3, y - 3, x + 3, y + 3), HELD)
    pen.text((LEFT, 16), title[:90], INK, font)
    pen.text((SIZE[0] - RIGHT, 16), "training", TRAIN, font, anchor="ra")
    if points:
        pen.text((SIZE[0] - RIGHT - 80, 16), "kept aside", HELD, font, anchor="ra")
    pen.text((SIZE[0] / 2, SIZE[1] - 8), "step", INK, font, anchor="mb")
    return image


def _line(pen: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], colour: tuple[int, int, int]) -> None:
    if len(points) > 1:
        pen.line(list(points), colour, 2, joint="curve")

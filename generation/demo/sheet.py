"""A contact sheet with captions: what the checkpoint draws for prompts it has not seen."""

from __future__ import annotations

import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from generation.demo.evaluate import Studio, spread_scenes, words

COLUMNS, ROWS, TILE, LABEL = 8, 5, 128, 44


def sheet(folder: Path, target: Path, device: str = "cpu") -> None:
    """Render COLUMNS x ROWS held-out prompts, twice enlarged, captions below, and save a PNG."""
    chosen = spread_scenes(COLUMNS * ROWS)
    studio = Studio(folder, device)
    prompts = [words(scene) for scene in chosen]
    pictures = studio.render(prompts, list(range(len(prompts))))
    page = Image.new("RGB", (COLUMNS * (TILE + 8) + 8, ROWS * (TILE + LABEL) + 8), (24, 26, 29))
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(10)
    for number, (picture, prompt) in enumerate(zip(pictures, prompts)):
        x, y = 8 + number % COLUMNS * (TILE + 8), 8 + number // COLUMNS * (TILE + LABEL)
        tile = Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.LANCZOS)
        page.paste(tile, (x, y))
        draw.text((x, y + TILE + 2), textwrap.fill(prompt, 25), (222, 214, 200), font=font)
    target.parent.mkdir(parents=True, exist_ok=True)
    page.save(target)

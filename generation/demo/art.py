"""Openly licensed emoji art: where its SVG lies and how it becomes pixels.

The one module that needs resvg-py (the `demo` extra): measuring and rendering do without. Leaves names to `subjects`,
scenes and captions to `scenes`.
"""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

from generation.demo.subjects import STYLES, SUBJECTS
from generation.errors import GenerationError

PACKAGES = tuple(f"@iconify-json/{name}" for name in STYLES.values())


@cache
def _set(folder: Path, name: str) -> dict[str, object]:
    path = folder / "@iconify-json" / name / "icons.json"
    if not path.is_file():
        raise GenerationError(
            f"the icon set {path} is not there",
            f"Run: npm install {' '.join(PACKAGES)}, and give its node_modules folder with --icons.",
        )
    found: dict[str, object] = json.loads(path.read_text("utf-8"))
    return found


def svg(folder: Path, style: str, subject: str) -> str:
    """The SVG document of `subject` in `style`; `folder` is a node_modules with the Iconify packages."""
    icons = _set(folder, STYLES[style])
    name = SUBJECTS[subject]
    table: dict = icons["icons"]  # type: ignore[assignment,type-arg]
    aliases: dict = icons.get("aliases", {})  # type: ignore[assignment,type-arg]
    icon = table[name if name in table else aliases[name]["parent"]]
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}" '
        f'width="{width}" height="{height}">{icon["body"]}</svg>'
    )


def raster(folder: Path, style: str, subject: str, size: int = 128) -> np.ndarray:
    """RGBA picture [size, size, 4] uint8, cropped to what is drawn and centred in a square."""
    data = bytes(resvg_py.svg_to_bytes(svg_string=svg(folder, style, subject), width=256, height=256))
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    box = picture.getchannel("A").point(lambda a: 255 if a > 8 else 0).getbbox()
    drawn = picture.crop(box)
    side = max(drawn.size)
    square = Image.new("RGBA", (side, side))
    square.paste(drawn, ((side - drawn.width) // 2, (side - drawn.height) // 2))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


def load_art(icons: Path) -> dict[tuple[str, str], np.ndarray]:
    """(style, subject) -> RGBA [128, 128, 4] uint8 for all of them."""
    return {(style, name): raster(icons, style, name) for style in STYLES for name in SUBJECTS}

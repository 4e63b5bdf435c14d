"""Pictures in and out: files to pixels, pixels to files, sizes, masks.

Knows what a damaged or huge file looks like and how a picture is written whole. Leaves what a file says about its
making to `metadata`, and what is done with pixels to the operations.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from generation import infotext
from generation.errors import BadImage, BadSpec
from generation.specs import RenderSpec

LARGEST = 64_000_000  # pixels of a picture that is read
GRID = 8  # pixels a latent stands for
LANCZOS = Image.Resampling.LANCZOS


def read(path: str | Path) -> Image.Image:
    """The picture as RGB, turned as its EXIF says; what is transparent is white.

    Raises `BadImage` for what is missing, empty, damaged, no picture, or larger than `LARGEST` pixels.
    """
    opened = _opened(Path(path).expanduser())
    if opened.mode in {"RGBA", "LA", "PA"} or "transparency" in opened.info:
        clear = opened.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("RGB")
    return opened.convert("RGB")


def read_mask(path: str | Path) -> Image.Image:
    """A mask [height, width] of 0..255, 255 where the picture changes.

    A picture with transparency gives its opacity where that says anything, any other its brightness.
    """
    opened = _opened(Path(path).expanduser())
    if opened.mode in {"RGBA", "LA", "PA"}:
        opacity = opened.convert("RGBA").getchannel("A")
        if opacity.getextrema() != (255, 255):
            return opacity
    return opened.convert("L")


def _opened(path: Path) -> Image.Image:
    try:
        if not path.exists():
            raise BadImage(f"there is no picture {path}", "Check the path.")
        if path.is_dir():
            raise BadImage(f"{path} is a folder", "Name a picture.")
        if path.stat().st_size == 0:
            raise BadImage(f"{path} is empty (0 bytes)", "Choose another picture.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                if image.width * image.height > LARGEST:
                    raise BadImage(
                        f"{path} has {image.width}x{image.height} pixels, more than {LARGEST // 10**6} million",
                        "Make it smaller first.",
                    )
                image.load()
                return ImageOps.exif_transpose(image)
    except UnidentifiedImageError as error:
        raise BadImage(f"{path} is no picture that can be read", "Choose a PNG, JPEG or WebP.") from error
    except Image.DecompressionBombError as error:
        raise BadImage(f"{path} is far too large", "Make it smaller first.") from error
    # Pillow's decoders answer damage with errors of many kinds.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, MemoryError) as error:
        raise BadImage(f"{path} is damaged or cut short", "Copy it again from where it came.") from error


def size_for(image: Image.Image, width: int | None, height: int | None) -> tuple[int, int]:
    """The size a picture is rendered at: what is given, the other side in proportion, all multiples of 8."""
    own_width, own_height = image.size
    if width is None and height is None:
        width, height = own_width, own_height
    elif width is None:
        width = round(own_width * (height or own_height) / own_height)
    elif height is None:
        height = round(own_height * width / own_width)
    assert width is not None and height is not None
    return tuple(min(max(side // GRID * GRID, 32), 4096) for side in (width, height))  # type: ignore[return-value]


def fitted(image: Image.Image, size: tuple[int, int], how: str = "crop") -> Image.Image:
    """The picture at `size`: stretched, cropped around its middle, or filled up with its own blurred edges."""
    if image.size == size:
        return image
    if how == "stretch":
        return image.resize(size, LANCZOS)
    if how == "crop":
        return ImageOps.fit(image, size, LANCZOS)
    inside = ImageOps.contain(image, size, LANCZOS)
    behind = ImageOps.fit(image, size, LANCZOS).filter(ImageFilter.GaussianBlur(max(size) / 32))
    behind.paste(inside, ((size[0] - inside.width) // 2, (size[1] - inside.height) // 2))
    return behind


def to_array(image: Image.Image) -> np.ndarray:
    """[height, width, 3] float32 in 0..1."""
    return np.asarray(image.convert("RGB"), dtype=np.float32) / 255


def to_image(picture: np.ndarray) -> Image.Image:
    """The picture of [height, width, 3] in 0..1."""
    return Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8))


def target(output: Path) -> Path:
    """`output` as an absolute PNG name whose folder exists. Raises `BadSpec`."""
    output = output.expanduser().absolute()
    if output.is_dir():
        raise BadSpec(f"{output} is a folder", "Name a file, such as picture.png.")
    if output.suffix.lower() != ".png":
        if output.suffix:
            raise BadSpec(f"{output.name} is not a PNG name", "End it in .png.")
        output = output.with_suffix(".png")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadSpec(
            f"the folder {output.parent} cannot be made: {error.strerror}", "Choose another place."
        ) from error
    return output


def numbered(output: Path, number: int) -> Path:
    return output if number == 0 else output.with_stem(f"{output.stem}-{number + 1}")


def save(picture: np.ndarray, path: Path, spec: RenderSpec, *, model_hash: str = "") -> Path:
    """PNG with A1111's `parameters` and the whole spec under `atelier`; written aside, then moved into place."""
    texts = PngInfo()
    shown = spec.to_json()
    texts.add_text("parameters", infotext.write(shown, model_hash=model_hash))
    texts.add_text("atelier", json.dumps(shown, ensure_ascii=False))
    return write_png(to_image(picture), path, texts)


def write_png(image: Image.Image, path: Path, texts: PngInfo | None = None) -> Path:
    """A PNG that is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        image.save(temporary, "PNG", pnginfo=texts)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path

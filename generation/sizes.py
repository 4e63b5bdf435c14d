"""What a size does to a picture: remarks for sizes a model was not made for. Imports nothing heavy.

A UNet learnt what a picture is at the size it was trained at. Larger in both directions, text-to-image fills the room
with the subject again (SD 1.5 beyond 512, SDXL beyond 1024); much smaller, the subject falls apart. One long side is
less harm. Where a picture stands behind the render it holds the composition together, unless most of it is made anew.
"""

from __future__ import annotations

from generation.catalogue import ModelEntry
from generation.specs import RenderSpec

GRID = 8  # pixels a latent stands for
LOOSE = 0.7  # strength from which the picture underneath no longer holds the composition


def remarks(entry: ModelEntry, spec: RenderSpec, source: tuple[int, int] | None = None) -> list[str]:
    """One line for each way in which the size of `spec` (resolved) is not what the model was made for.

    `source` is (width, height) of the picture it starts from.
    """
    found = []
    wide, high = entry.defaults.width, entry.defaults.height
    width, height = spec.width or wide, spec.height or high
    if (
        source is not None
        and spec.operation == "img2img"
        and (width, height) == tuple(side // GRID * GRID for side in source) != source
    ):
        found.append(
            f"the picture of {source[0]}x{source[1]} is made at {width}x{height}: sizes are multiples of {GRID}"
        )
    if spec.operation not in {"txt2img", "img2img"} or spec.options.get("strength", 1.0) < LOOSE:
        return found
    made = f"{entry.name} was made for {wide}x{high}; "
    if width > wide and height > high:
        found.append(made + f"at {width}x{height} it tends to repeat the subject. Use hires_scale or upscale instead")
    elif width < wide and height < high:
        found.append(made + f"{width}x{height} comes out weaker. Render at its size and make it smaller")
    return found

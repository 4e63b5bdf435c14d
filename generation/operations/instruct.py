"""A picture changed by an instruction, with a UNet of eight channels (Brooks et al. 2023, arXiv:2211.09800).

The picture goes in beside the latents, unscaled as its mean stands; guidance has two scales, one for the instruction
and one for the picture.
"""

from __future__ import annotations

import numpy as np

from generation.errors import BadSpec
from generation.pictures import fitted, read, to_array
from generation.prompts.grammar import parse
from generation.stage import Stage

CHANNELS = 4
# What counts the loop's rows in two groups, where there are three here.
TWO_GROUPS = ("refiner",)


def run(stage: Stage) -> np.ndarray:
    """Pictures [batch, height, width, 3] float32 in 0..1, at the spec's size. Raises `BadImage`, `BadSpec`."""
    spec, options = stage.spec, stage.options
    if stage.own_channels != CHANNELS:
        raise BadSpec(
            f"{stage.tools.entry.name} does not follow instructions",
            "Choose an InstructPix2Pix checkpoint: its UNet has eight channels.",
        )
    _refuse("AND", len(parse(spec.prompt).ands) > 1)
    _refuse("a reference picture", bool(spec.references))
    for name in TWO_GROUPS:
        _refuse(f"a {name}", bool(spec.modifiers.get(name)))
    picture = fitted(read(options["image"]), stage.size, options["resize"])
    # What the UNet was trained to see beside the latents are an autoencoder's own means, without their scale.
    seen = stage.encode(to_array(picture)[None]) / stage.tools.autoencoder.vae.config.scaling_factor
    latents = stage.denoise(stage.noise(*stage.size), channels=seen, image_guidance=options["image_cfg"])
    return stage.decode(latents)


def _refuse(what: str, there: bool) -> None:
    if there:
        raise BadSpec(f"instruct does not go together with {what}", "Leave it out.")

"""Another picture like a given one: rewritten as the operation that makes it, so that the result says how it was made.

A picture that carries its settings varies by its seed's noise, any other by its pixels. Imports nothing heavy.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from generation import metadata
from generation.errors import BadSpec
from generation.specs import RenderSpec


def rewritten(spec: RenderSpec) -> RenderSpec:
    """The txt2img spec (by seed) or img2img spec (by image) of a variation. Raises `BadImage`, `BadSpec`."""
    options = spec.options
    picture = Path(options["image"]).expanduser()
    known = metadata.read(picture).spec() or {}
    seeded = known.get("operation", "txt2img") == "txt2img" and isinstance(known.get("seed"), int)
    if options["by"] == "seed" and not seeded:
        raise BadSpec(f"{picture} does not carry the seed it was made from", "Use --by image.")
    if seeded and options["by"] != "image":
        own = RenderSpec.from_json(known)
        changed = {**own.options, "variation_seed": spec.seed, "variation_strength": options["strength"]}
        return dataclasses.replace(
            own,
            prompt=spec.prompt.strip() or own.prompt,
            negative=spec.negative or own.negative,
            model=own.model if known.get("model") else spec.model,
            steps=spec.steps or own.steps,
            sampler=spec.sampler or own.sampler,
            cfg=own.cfg if spec.cfg is None else spec.cfg,
            batch=spec.batch,
            options=changed,
        )
    return dataclasses.replace(
        spec,
        operation="img2img",
        prompt=spec.prompt.strip() or str(known.get("prompt", "")),
        negative=spec.negative or str(known.get("negative", "")),
        options={"image": options["image"], "strength": options["strength"]},
    )

"""A stage that renders each frame: an operation of the Studio with its controls, references and networks.

Knows which files a frame's render looks at and what a frame without a face is. Leaves the render to the engine.
"""

from __future__ import annotations

from pathlib import Path

from generation import pictures
from generation.animation.stages.chain import Work
from generation.animation.stages.reading import spec_of
from generation.errors import BadImage

OF_FACES = ("face_swap", "face_restore")


class Painting:
    """`img2img`, `invert` and the other operations that start from a picture."""

    def __init__(self, work: Work) -> None:
        self._work = work
        if work.settings.get("face"):
            pictures.read(work.settings["face"])  # a damaged one is an error; a frame without a face is not

    def write(self, number: int, path: Path) -> None:
        """Render a frame to `path`. Raises what the engine raises."""
        work = self._work
        source, filmed = work.source_path(number), work.filmed_path(number)
        seed = (work.seed + number * work.settings["seed_step"]) % 2**63
        spec = spec_of(work.step, str(source), str(filmed), seed)
        try:
            work.engine.render(spec, path, report=work.say, check=work.check)
        except BadImage as error:
            if work.step.do not in OF_FACES or "no face" not in error.message:
                raise
            work.say({"kind": "note", "message": f"{work.step.id}: frames in which no face is found stay as they are"})
            pictures.write_png(pictures.read(source), path)

"""What the job of motion models does: a clip made of its settings, a video of it, its measures.

As `handlers`: a function from a warm workshop and a spec (plain JSON) to a result (plain JSON).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.jobs import finishing
from assistant.jobs.workshop import Workshop
from assistant.memory import remember_clip
from assistant.writing import stem_of
from generation.animation.motion_models.settings import MotionSettings, of

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]


def motion(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"settings": a clip's file as data, "name", "output": video or "", "fresh", "measure", "clip"} ->
    {"path", "folder", "frames", "made", "seed", "size", "fps", "seconds", "diffusion", "first", "strip", "sheet",
    "measures", "warnings", and "note" where renders are remembered}.

    The frames lie in <output's stem>.frames beside the video. Stopped after denoising, the same job goes on.
    """
    from generation.animation.frames import known, load
    from generation.animation.motion_models import running

    settings = of(spec["settings"])
    if "model" not in settings.fields:
        settings = settings.changed({"model": str(shop.settings["studio.model"])})
    output = _output(shop, spec, settings)
    folder = output.with_name(f"{output.stem}.frames")
    wanted = int(settings.fields.get("seed", -1))
    if wanted == -1:
        before = None if spec.get("fresh") else known(folder).get("seed")
        wanted = before if isinstance(before, int) else secrets.randbelow(2**32)
    made = running.run(
        settings, folder, shop.engine, seed=wanted, fresh=bool(spec.get("fresh")), report=report, check=check
    )
    fps = running.frame_rate(settings, shop.engine)

    def read(number: int) -> Any:
        return load(made.folder / f"{number:06d}.png")

    measures = finishing.measured(read, made.frames, spec, report, check)
    about = {"kind": "motion", "seed": made.seed, "settings": settings.to_json(), "measures": measures}
    about["made"] = {"frames": made.frames, "fps": fps, "size": list(made.size)}
    texts = finishing.told(about, made.spec.to_json())
    finishing.filmed(read, made.frames, fps, output, texts, report=report, check=check)
    result = {
        "path": str(output),
        "folder": str(made.folder),
        "frames": made.frames,
        "made": made.made,
        "seed": made.seed,
        "size": list(made.size),
        "fps": fps,
        "seconds": round(made.seconds, 3),
        "diffusion": round(made.diffusion, 3),
        "first": str(made.folder / "000000.png"),
        **finishing.pictured(read, made.frames, output, texts, report),
        "measures": measures,
        "warnings": list(made.warnings),
    }
    # Frames that were all there were noted when they were made.
    if shop.settings["studio.remember"] and made.made:
        result["note"] = str(remember_clip(shop.paths.memory, settings.to_json(), made.spec.to_json(), result))
    return result


def _output(shop: Workshop, spec: dict[str, Any], settings: MotionSettings) -> Path:
    """The video's file: the one given, else one by the clip's name, the same each time so that frames are found."""
    from generation.animation.video import target

    if spec.get("output"):
        path = Path(spec["output"]).expanduser()
        return target(path if path.suffix else path.with_suffix(".mp4"))
    stem = stem_of(spec.get("name") or settings.name, "clip")
    return target(shop.output_folder() / "animations" / f"{stem}.mp4")

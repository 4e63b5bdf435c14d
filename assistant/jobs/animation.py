"""What the jobs of animations do: frames made by their settings, a video of them, its measures; a video measured.

As `handlers`: functions from a warm workshop and a spec (plain JSON) to a result (plain JSON).
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.errors import BadArgument
from assistant.jobs import finishing
from assistant.jobs.afterwards import further
from assistant.jobs.workshop import Workshop
from assistant.memory import remember_animation
from assistant.writing import stem_of
from generation.errors import UnknownModel

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
KINDS = ("deforum", "walk", "measure")


def animate(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"do": one of KINDS, ...} -> what that kind gives."""
    do = spec.get("do", "deforum")
    if do not in KINDS:
        raise BadArgument(f'there is no animation "{do}"', f"Choose: {', '.join(KINDS)}.")
    return {"deforum": deforum, "walk": walk, "measure": measured}[do](shop, spec, report=report, check=check)


def deforum(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"settings": a settings file's data, "name", "output": video or "", "fresh", "measure", "clip"} ->
    {"path", "folder", "frames", "made", "denoised", "seed", "size", "fps", "seconds", "diffusion", "first", "strip",
    "sheet", "measures", "warnings", and "note" where renders are remembered}.

    The frames lie in <output's stem>.frames beside the video. Stopped at any moment, the same job goes on with them.
    """
    from generation.animation import deforum as making
    from generation.animation.settings import of

    settings = _with_model(shop, of(spec["settings"]), report)
    output = _output(shop, spec, settings["batch_name"])
    if settings["animation_mode"] == "Interpolation":
        return walk(shop, spec, report=report, check=check)
    folder = output.with_name(f"{output.stem}.frames")
    seed = _seed(settings["seed"], folder, spec)
    made = making.run(
        settings, folder, shop.engine, seed=seed, fresh=bool(spec.get("fresh")), report=report, check=check
    )
    return _finished(shop, settings, made, output, spec, "deforum", report, check)


def walk(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """As `deforum`, with the settings of a walk."""
    from generation.animation import walks
    from generation.animation.settings import of

    settings = _with_model(shop, of(spec["settings"]), report)
    output = _output(shop, spec, settings["batch_name"])
    folder = output.with_name(f"{output.stem}.frames")
    seed = _seed(settings["seed"], folder, spec)
    made = walks.run(
        settings, folder, shop.engine, seed=seed, fresh=bool(spec.get("fresh")), report=report, check=check
    )
    return _finished(shop, settings, made, output, spec, "walk", report, check)


def measured(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"video", "source": video or "", "clip": folder or ""} -> {"path", "source", "measures", "notes", "seconds"}."""
    from generation.animation.clips import Clip
    from generation.animation.measures import measure

    began = time.perf_counter()
    video = Clip(spec["video"])
    source = Clip(spec["source"]) if spec.get("source") else None
    report({"kind": "progress", "stage": "measuring", "done": 0, "total": None, "message": video.path.name})
    found = measure(video, source, clip=Path(spec["clip"]) if spec.get("clip") else None, check=check)
    notes = [one.note for one in (video, source) if one is not None and one.note]
    for note in notes:
        report({"kind": "note", "message": note})
    return {
        "path": str(video.path),
        "source": str(source.path) if source is not None else "",
        "measures": found.to_json(),
        "notes": notes,
        "seconds": round(time.perf_counter() - began, 3),
    }


def _finished(
    shop: Workshop,
    settings: Any,
    made: Any,
    output: Path,
    spec: dict[str, Any],
    kind: str,
    report: Report,
    check: Check,
) -> dict[str, Any]:
    """The video of the frames that were made, its pictures and measures."""
    from generation.animation.frames import load

    def read(number: int) -> Any:
        return load(made.folder / f"{number:06d}.png")

    measures = finishing.measured(read, made.frames, spec, report, check)
    about = {"kind": kind, "seed": made.seed, "settings": settings.to_json(), "measures": measures}
    about["made"] = {"frames": made.frames, "fps": settings["fps"], "size": list(made.size)}
    texts = finishing.told(about, made.spec.to_json())
    result = {
        "path": str(made.folder),
        "folder": str(made.folder),
        "frames": made.frames,
        "made": made.made,
        "denoised": made.denoised,
        "seed": made.seed,
        "size": list(made.size),
        "fps": settings["fps"],
        "seconds": round(made.seconds, 3),
        "diffusion": round(made.diffusion, 3),
        "first": str(made.folder / "000000.png"),
        "measures": measures,
        "warnings": list(made.warnings),
    }
    outputs = [] if settings["skip_video_creation"] else [output]
    outputs += [output.with_suffix(".gif")] if settings["make_gif"] and output.suffix.lower() != ".gif" else []
    for path in outputs:
        sound = _sound(settings, kind) if path.suffix.lower() != ".gif" else None
        finishing.filmed(read, made.frames, settings["fps"], path, texts, sound=sound, report=report, check=check)
    if outputs:
        result["path"] = str(outputs[0])
    result |= finishing.pictured(read, made.frames, output, texts, report)
    if not settings["skip_video_creation"] and output.suffix:
        result |= further(shop, settings, made.folder, output, texts, _sound(settings, kind), report, check)
    if settings["delete_imgs"] and outputs:
        shutil.rmtree(made.folder, ignore_errors=True)
        result["folder"], result["first"] = "", result["strip"]
    # Frames that were all there were noted when they were made.
    if shop.settings["studio.remember"] and made.made:
        result["note"] = str(remember_animation(shop.paths.memory, settings.to_json(), result, kind))
    return result


def _sound(settings: Any, kind: str) -> Path | None:
    from generation.animation.sources import local

    if settings["add_soundtrack"] == "File" and settings["soundtrack_path"]:
        return local(settings["soundtrack_path"], "soundtrack_path")
    if kind == "walk" and settings["walk_audio"]:
        return local(settings["walk_audio"], "walk_audio")
    if settings["add_soundtrack"] == "Init Video" and settings["video_init_path"]:
        return local(settings["video_init_path"], "video_init_path")
    return None


def _with_model(shop: Workshop, settings: Any, report: Report) -> Any:
    """The settings with the checkpoint they will be made with: their own, or the setting's with a word about it."""
    named = settings["model"] or settings["sd_model_name"]
    usual = str(shop.settings["studio.model"])
    if not named or settings["model"]:
        return settings.changed({"model": settings["model"] or usual})
    try:
        return settings.changed({"model": shop.catalogue.find(named).name})
    except UnknownModel:
        stem = Path(named).stem
        try:
            return settings.changed({"model": shop.catalogue.find(stem).name})
        except UnknownModel:
            report({"kind": "note", "message": f"the checkpoint {named} is not here; {usual} takes its place"})
    return settings.changed({"model": usual})


def _seed(wanted: int, folder: Path, spec: dict[str, Any]) -> int:
    """The first frame's seed; where it was drawn, the one that frames already there were made with."""
    from generation.animation.frames import known

    if wanted != -1:
        return wanted
    before = None if spec.get("fresh") else known(folder).get("seed")
    return int(before) if isinstance(before, int) else secrets.randbelow(2**32)


def _output(shop: Workshop, spec: dict[str, Any], batch: str) -> Path:
    """The video's file: the one given, else one by the settings' name, the same each time so that frames are found."""
    from generation.animation.video import target

    if spec.get("output"):
        path = Path(spec["output"]).expanduser()
        return target(path if path.suffix else path.with_suffix(".mp4"))
    stem = stem_of(spec.get("name") or batch, "animation")
    return target(shop.output_folder() / "animations" / f"{stem}.mp4")

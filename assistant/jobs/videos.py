"""What the jobs of video to video do: stages run over a video, a video of the frames, its measures beside the input's.

As `handlers`: functions from a warm workshop and a spec (plain JSON) to a result (plain JSON).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from assistant.errors import BadArgument
from assistant.jobs import finishing
from assistant.jobs.workshop import Workshop
from assistant.memory import remember_video
from assistant.writing import stem_of
from generation.animation.stages import Pipeline
from generation.animation.stages.reading import parse, read, with_model

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]


def planned(spec: dict[str, Any]) -> Pipeline:
    """The stages that a job's spec names, checked: those of a file, or given as `pipeline`. Raises `BadSpec`."""
    changes, off = spec.get("set") or {}, tuple(spec.get("off") or ())
    if spec.get("pipeline"):
        found = parse(yaml.safe_dump(spec["pipeline"], allow_unicode=True), None, changes, off)
    else:
        found = read(Path(spec["file"]), changes, off)
    return dataclasses.replace(found, input=spec["video"]) if spec.get("video") else found


def vid2vid(shop: Workshop, spec: dict[str, Any], *, report: Report, check: Check) -> dict[str, Any]:
    """{"file": stages or "pipeline": their data, "video": path or "", "output": path or "", "off": [id],
    "set": {name: text}, "preview": frame or None, "stage": id or "", "fresh", "measure", "clip"} ->
    {"path", "folder", "frames", "size", "fps", "seconds", "stages", "cuts", "seeds", "sound", "first", "strip",
    "sheet", "measures", "source_measures", "notes", and "note" where renders are remembered}, or {"path", "stage",
    "frame", "frames", "fps"} for a preview: the file, and how many frames that stage has.

    Frames lie in <output's stem>.frames beside the video, a folder a stage. Stopped, the same job goes on with them.
    """
    from generation.animation.stages import running

    pipeline = with_model(planned(spec), str(shop.settings["studio.model"]))
    output = _output(shop, spec, pipeline)
    if pipeline.input and output == Path(pipeline.input).expanduser().absolute():
        raise BadArgument(f"{output} would be written over itself", "Give another -o.")
    folder = output.with_name(f"{output.stem}.frames")
    if spec.get("preview") is not None:
        shown = running.preview(
            pipeline, folder, shop.engine, int(spec["preview"]), spec.get("stage") or "", report=report, check=check
        )
        report({"kind": "preview", "path": str(shown.path)})
        return {**shown._asdict(), "path": str(shown.path), "frame": int(spec["preview"])}
    made = running.run(pipeline, folder, shop.engine, fresh=bool(spec.get("fresh")), report=report, check=check)
    result = _finished(pipeline, made, output, spec, report, check)
    # Frames that were all there were noted when they were made.
    if shop.settings["studio.remember"] and any(stage["made"] for stage in made.stages):
        result["note"] = str(remember_video(shop.paths.memory, pipeline.to_json(), result))
    return result


def _finished(
    pipeline: Pipeline, made: Any, output: Path, spec: dict[str, Any], report: Report, check: Check
) -> dict[str, Any]:
    from generation.animation.clips import Clip

    measures, filmed = _measured(made, spec, report, check)
    about: dict[str, Any] = {"kind": "vid2vid", "seeds": made.seeds, "settings": pipeline.to_json()}
    about |= {"measures": measures, "source_measures": filmed}
    about["made"] = {"frames": made.frames, "fps": made.fps, "size": list(made.size)}
    texts = finishing.told(about, made.spec.to_json() if made.spec is not None else None)
    sound, since = _sound(pipeline, output)
    finishing.filmed(
        made.read, made.frames, made.fps, output, texts, sound=sound, since=since, report=report, check=check
    )
    result: dict[str, Any] = {
        "path": str(output),
        "folder": str(made.folder),
        "frames": made.frames,
        "size": list(made.size),
        "fps": made.fps,
        "seconds": round(made.seconds, 3),
        "stages": list(made.stages),
        "cuts": list(made.cuts),
        "seeds": made.seeds,
        "sound": sound is not None and Clip(output).audio,  # a part behind the sound's end has none
        "first": str(made.folder / "000000.png"),
        "measures": measures,
        "source_measures": filmed,
        "notes": [made.note] if made.note else [],
    }
    return result | finishing.pictured(made.read, made.frames, output, texts, report)


def _sound(pipeline: Pipeline, output: Path) -> tuple[Path | None, float]:
    """(the file whose sound is heard, the second its part begins at): what lips were made to say, else the input's."""
    from generation.animation.clips import Clip
    from generation.animation.video import FORMATS

    how, filmed = FORMATS.get(output.suffix.lower()), Clip(pipeline.input)
    if not (pipeline.video["audio"] and how is not None and how.sound and (pipeline.sound or filmed.audio)):
        return None, 0.0
    if pipeline.sound:
        return Path(pipeline.sound), 0.0
    return filmed.path, pipeline.video["first"] / filmed.fps


def _measured(made: Any, spec: dict[str, Any], report: Report, check: Check) -> tuple[dict[str, Any], dict[str, Any]]:
    """(measures of what was made along the filmed motion, those of what was filmed)."""
    from generation.animation.measures import measure

    if not spec.get("measure", True) or min(made.frames, made.filmed_frames) < 2:
        return {}, {}
    report({"kind": "progress", "stage": "measuring", "done": 0, "total": None})
    clip = Path(spec["clip"]) if spec.get("clip") else None
    # Where frames were put in between, the filmed ones are not those beside them: its own motion has to do.
    same = made.frames == made.filmed_frames
    found = measure(made.all(), made.source() if same else None, clip=clip, check=check)
    return found.to_json(), measure(made.source(), clip=clip, check=check).to_json()


def _output(shop: Workshop, spec: dict[str, Any], pipeline: Pipeline) -> Path:
    """The video's file: the one given, else one by names, the same each time so that frames are found."""
    from generation.animation.video import target

    if spec.get("output"):
        path = Path(spec["output"]).expanduser()
        return target(path if path.suffix else path.with_suffix(".mp4"))
    return target(shop.output_folder() / "animations" / f"{named(pipeline.input, pipeline.name)}.mp4")


def named(film: str, name: str) -> str:
    """What the video is called where no output is given: the same each time, so that frames are found again."""
    return stem_of(f"{Path(film).stem}-{name}" if film else name, "video")

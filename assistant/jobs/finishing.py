"""What a job that makes a video ends with: the video, its strip and contact sheet, each with what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from generation import infotext

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
Read = Callable[[int], Any]  # a frame by its number, [h, w, 3] of 0..255


def told(about: Mapping[str, Any], spec: Mapping[str, Any] | None) -> dict[str, Any]:
    """The texts that a video and its pictures carry: `about` the whole, and `spec`, the first frame's render."""
    texts: dict[str, Any] = {"atelier_animation": dict(about)}
    if spec is None:
        return texts
    return {"parameters": infotext.write(dict(spec)), "atelier": dict(spec), **texts}


def filmed(
    read: Read,
    frames: int,
    fps: float,
    output: Path,
    texts: Mapping[str, Any],
    *,
    sound: Path | None = None,
    since: float = 0.0,
    report: Report,
    check: Check,
) -> None:
    """Write the video `output`, there whole or not at all; `sound` is heard from its second `since` on."""
    from generation.animation import video

    report({"kind": "progress", "stage": "video", "done": 0, "total": None, "message": output.name})
    video.write(_all(read, frames), output, fps, texts=dict(texts), sound=sound, since=since, check=check)


def pictured(read: Read, frames: int, output: Path, texts: Mapping[str, Any], report: Report) -> dict[str, str]:
    """{"strip", "sheet"}: the paths of the pictures beside `output`."""
    from generation.animation import filmstrips

    found = {}
    for name, image in (("strip", filmstrips.strip(read, frames)), ("sheet", filmstrips.sheet(read, frames))):
        found[name] = str(filmstrips.write(image, output.with_name(f"{output.stem}.{name}.png"), dict(texts)))
    report({"kind": "preview", "path": found["strip"]})
    return found


def measured(read: Read, frames: int, spec: Mapping[str, Any], report: Report, check: Check) -> dict[str, Any]:
    """How steady the frames are, {} where that is not asked for; `spec` is the job's."""
    from generation.animation.measures import measure

    if not spec.get("measure", True) or frames < 2:
        return {}
    report({"kind": "progress", "stage": "measuring", "done": 0, "total": None})
    clip = Path(spec["clip"]) if spec.get("clip") else None
    return measure(_all(read, frames), clip=clip, check=check).to_json()


def _all(read: Read, frames: int) -> Iterator[Any]:
    return (read(number) for number in range(frames))

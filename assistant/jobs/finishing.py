"""What a job that makes a video ends with: the video, its strip and contact sheet, each with what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from generation import infotext

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]


def finish(
    read: Callable[[int], Any],
    frames: int,
    fps: float,
    output: Path,
    about: Mapping[str, Any],
    spec: Mapping[str, Any] | None,
    *,
    sound: Path | None = None,
    since: float = 0.0,
    report: Report,
    check: Check,
) -> dict[str, str]:
    """{"strip", "sheet"}: paths of the pictures beside the video `output`, which is there whole afterwards.

    `read(number)` gives a frame [h, w, 3] of 0..255; `about` is what `atelier_animation` tells, `spec` is the first
    frame's render. `sound` is heard from its second `since` on.
    """
    from generation.animation import filmstrips, video

    texts: dict[str, Any] = {"atelier_animation": dict(about)}
    if spec is not None:
        texts = {"parameters": infotext.write(dict(spec)), "atelier": dict(spec), **texts}
    report({"kind": "progress", "stage": "video", "done": 0, "total": None, "message": output.name})
    pictures = (read(number) for number in range(frames))
    video.write(pictures, output, fps, texts=texts, sound=sound, since=since, check=check)
    found = {}
    for name, image in (("strip", filmstrips.strip(read, frames)), ("sheet", filmstrips.sheet(read, frames))):
        found[name] = str(filmstrips.write(image, output.with_name(f"{output.stem}.{name}.png"), texts))
    report({"kind": "preview", "path": found["strip"]})
    return found

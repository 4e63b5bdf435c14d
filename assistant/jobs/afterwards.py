"""What Deforum's settings ask for behind an animation: a larger video, one with frames put in between.

Knows which stages that is and how fast the videos are. The stages are those of video to video; what cannot be made is
told and the animation stays as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assistant.jobs.videos import planned
from assistant.jobs.workshop import Workshop

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
MOST = 16  # times as many frames


def further(
    shop: Workshop,
    settings: Any,
    frames: Path,
    output: Path,
    texts: Mapping[str, Any],
    sound: Path | None,
    report: Report,
    check: Check,
) -> dict[str, str]:
    """{"upscaled": path, "interpolated": path}: the videos that were made of a folder of `frames`, beside `output`."""
    from generation.animation import video
    from generation.animation.stages import running
    from generation.animation.stages.reading import with_model
    from generation.errors import GenerationError

    found: dict[str, str] = {}
    folder = output.with_name(f"{output.stem}.further")
    for name, stages in _plans(settings, report).items():
        pipeline = with_model(planned({"pipeline": {"stages": stages}, "video": str(frames)}), settings["model"])
        path = output.with_name(f"{output.stem}.{name}{output.suffix}")
        times = next((one["with"]["factor"] for one in stages if one["do"] == "interpolate"), 1)
        slower = _slower(settings) if name == "interpolated" else 1
        try:
            made = running.run(pipeline, folder, shop.engine, report=report, check=check)
            report({"kind": "progress", "stage": "video", "done": 0, "total": None, "message": path.name})
            heard = sound if slower == 1 else None
            video.write(made.all(), path, settings["fps"] * times / slower, texts=texts, sound=heard, check=check)
        except GenerationError as error:
            report({"kind": "note", "message": f"no {name} video is made: {error.message}. {error.hint}"})
            continue
        found[name] = str(path)
    shutil.rmtree(folder, ignore_errors=True)
    return found


def _slower(settings: Any) -> int:
    return int(settings["frame_interpolation_slow_mo_amount"]) if settings["frame_interpolation_slow_mo_enabled"] else 1


def _plans(settings: Any, report: Report) -> dict[str, list[dict[str, Any]]]:
    """Name of a video -> the stages it is made by."""
    found: dict[str, list[dict[str, Any]]] = {}
    if settings["r_upscale_video"]:
        factor = int(settings["r_upscale_factor"].strip("x"))
        network = settings["r_upscale_model"] or "lanczos"
        network = f"{network}-x{factor}" if network == "realesr-animevideov3" else network
        found["upscaled"] = [{"do": "upscale", "with": {"scale": float(factor), "upscaler": network}}]
    if settings["frame_interpolation_engine"] != "None":
        times = int(settings["frame_interpolation_x_amount"])
        if times > MOST:
            report({"kind": "note", "message": f"{MOST} times as many frames are put in between, not {times}"})
        stage: dict[str, Any] = {"do": "interpolate", "with": {"factor": min(times, MOST)}}
        if settings["frame_interpolation_network"]:
            stage["with"]["network"] = str(Path(settings["frame_interpolation_network"]).expanduser().absolute())
        else:
            engine = settings["frame_interpolation_engine"]
            message = f"DIS flow puts frames in between: {engine} needs its file in frame_interpolation_network"
            report({"kind": "note", "message": message})
        larger = found.get("upscaled", []) if settings["frame_interpolation_use_upscaled"] else []
        found["interpolated"] = [*larger, stage]
    return found

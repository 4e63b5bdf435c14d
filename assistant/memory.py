"""What was rendered, trained, merged or animated, written down as notes, so that the library can answer about it.

One small Markdown file each, in plain sentences: each stands as a quote by itself. The files are read by the
ordinary Markdown reader; nothing here touches the library.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from assistant.writing import write_whole

PROMPTS = 6  # later prompts of an animation that are named
LONG = 200  # characters of a schedule that a sentence holds
# The schedules that people ask about.
MOVING = (
    "zoom", "angle", "translation_x", "translation_y", "translation_z", "rotation_3d_x", "rotation_3d_y",
    "rotation_3d_z", "strength_schedule", "noise_schedule", "cfg_scale_schedule",
)  # fmt: skip
# What a note about a clip of a motion model tells of its settings.
CLIPPED = ("motion", "scale", "free_init", "video", "strength", "image", "motion_bucket")


def remember_render(folder: Path, picture: Path, spec: dict[str, Any], seconds: float) -> Path:
    """Write the note about `picture` into `folder`, atomically; returns the note's path.

    `spec` is the resolved render spec as JSON. The picture is named by its absolute path, so that a citation opens it.
    """
    now = datetime.now().astimezone()
    prompt = " ".join(str(spec["prompt"]).split())
    lines = [
        f"# Picture: {prompt[:120]}",
        "",
        f"On {now:%Y-%m-%d} at {now:%H:%M} Atelier rendered “{prompt}” with the sampler {spec['sampler']}, "
        f"{spec['steps']} steps, CFG scale {spec['cfg']:g} and seed {spec['seed']}, on the model {spec['model']}, "
        f"at {spec['width']}x{spec['height']} pixels, in {seconds:.1f} seconds.",
        "",
    ]
    if spec.get("negative"):
        lines += [f"The negative prompt of “{prompt[:60]}” was “{spec['negative']}”.", ""]
    lines += [f"![{picture.name}]({picture.resolve()})", ""]
    return _noted(folder / "renders" / f"{now:%Y-%m-%d}", picture.stem, lines)


def remember_training(folder: Path, record: dict[str, Any]) -> Path:
    """Write the note about a training into `folder`; `record` is the training's own (generation.training.running)."""
    now = datetime.now().astimezone()
    name = Path(record["path"]).stem
    settings = record["settings"]
    what = {"lora": "LoRA", "dreambooth": "DreamBooth model", "embedding": "embedding", "finetune": "fine-tune",
            "motion": "motion module"}  # fmt: skip
    kind = what.get(record["kind"], record["kind"])
    size = (
        f", rank {settings['rank']} and alpha {settings['alpha'] or settings['rank']:g}" if "rank" in settings else ""
    )
    lines = [
        f"# Training: {name}",
        "",
        f"On {now:%Y-%m-%d} at {now:%H:%M} Atelier trained the {kind} “{name}” on the model {record['model']} with "
        f"{record['pictures']} {'clips' if record['kind'] == 'motion' else 'pictures'} of {record['dataset']}.",
        "",
        f"The training of “{name}” took {record['steps']} steps ({record['epochs']:g} epochs) with batch size "
        f"{settings['batch']}, the optimizer {settings['optimizer']}, learning rate {settings['rate']:g}"
        f"{size}, in {record['seconds']:.0f} seconds.",
        "",
    ]
    if settings["text_rate"]:
        lines += [f"The text encoder of “{name}” was trained with learning rate {settings['text_rate']:g}.", ""]
    if record["loss"] is not None:
        held = f", the validation loss {record['validation']:.4f}" if record["validation"] is not None else ""
        lines += [f"The last training loss of “{name}” was {record['loss']:.4f}{held}.", ""]
    if record["overfit"] is not None:
        lines += [f"“{name}” began to overfit after step {record['best']}, the step of its lowest validation loss.", ""]
    lines += [f"The file of “{name}” is {record['path']}.", ""]
    lines += [f"![{Path(path).name}]({path})" for path in record["samples"][-4:]]
    lines += [f"![loss of {name}]({record['plot']})", ""]
    return _noted(folder / "trainings", name, lines)


def remember_merge(folder: Path, recipe: str, result: dict[str, Any]) -> Path:
    """Write the note about a merge into `folder`; `result` is the merge's own (generation.merging.running)."""
    now = datetime.now().astimezone()
    name = Path(result["path"]).stem
    checked = result["verified"]
    told = " ".join(recipe.split())
    lines = [
        f"# Merge: {name}",
        "",
        f"On {now:%Y-%m-%d} at {now:%H:%M} Atelier merged “{name}” by the method {result['method']} for the family "
        f"{result['family']}, {result['tensors']} tensors in {result['seconds']:.0f} seconds.",
        "",
        f"The recipe of “{name}” is: {told}",
        "",
        f"Of “{name}” {checked['sampled']} tensors were checked against the method's formula, the largest error was "
        f"{checked['largest_error']:.2g}.",
        "",
        f"The file of “{name}” is {result['path']}.",
        "",
    ]
    return _noted(folder / "merges", name, lines)


def remember_animation(folder: Path, settings: dict[str, Any], result: dict[str, Any], kind: str = "deforum") -> Path:
    """Write the note about an animation into `folder`; `settings` are a settings file's, `result` the job's."""
    now = datetime.now().astimezone()
    name = Path(result["path"]).stem
    width, height = result["size"]
    what = "walk between prompts" if kind == "walk" else f"{settings['animation_mode']} animation"
    prompts = {frame: " ".join(prompt.split()) for frame, prompt in settings["prompts"].items()}
    first = next(iter(prompts.values()), "")
    lines = [
        f"# Animation: {name}",
        "",
        f"On {now:%Y-%m-%d} at {now:%H:%M} Atelier made the {what} “{name}” of “{first[:300]}” on the model "
        f"{settings['model']}: {result['frames']} frames of {width}x{height} pixels, {result['fps']:g} a second, seed "
        f"{result['seed']}, in {result['seconds']:.0f} seconds.",
        "",
    ]
    changes = list(prompts.items())[1:]
    told = [f"“{prompt[:120]}” from frame {frame}" for frame, prompt in changes[:PROMPTS]]
    if len(changes) > PROMPTS:
        told.append(f"{len(changes) - PROMPTS} more")
    if told:
        lines += [f"Later prompts of “{name}” are {', '.join(told)}.", ""]
    moved = [
        f"{schedule} {settings[schedule]}"
        for schedule in MOVING
        if settings.get(schedule) and len(settings[schedule]) <= LONG and kind != "walk"
    ]
    if moved:
        lines += [f"The schedules of “{name}” are {'; '.join(moved)}.", ""]
    if result["measures"]:
        lines += [f"Measured of “{name}”: {told_measures(result['measures'])}.", ""]
    lines += [f"The file of “{name}” is {result['path']}.", "", f"![{name}]({result['sheet']})", ""]
    return _noted(folder / "animations", name, lines)


def remember_clip(folder: Path, settings: dict[str, Any], spec: dict[str, Any], result: dict[str, Any]) -> Path:
    """Write the note about a clip of a motion model; `settings` are its file's, `spec` the first frame's render."""
    now = datetime.now().astimezone()
    name = Path(result["path"]).stem
    width, height = result["size"]
    prompt = " ".join(spec["prompt"].split())
    lines = [
        f"# Clip: {name}",
        "",
        f"On {now:%Y-%m-%d} at {now:%H:%M} Atelier made the clip “{name}” of “{prompt[:300]}” on the model "
        f"{spec['model']}: {result['frames']} frames of {width}x{height} pixels, {result['fps']:g} a second, seed "
        f"{result['seed']}, {spec['steps']} steps, CFG {spec['cfg']}, in {result['seconds']:.0f} seconds.",
        "",
    ]
    told = [f"{key.replace('_', ' ')} {settings[key]}" for key in CLIPPED if settings.get(key)]
    told += [f"the motion LoRA {one} at {weight:g}" for one, weight in settings.get("motion_loras", {}).items()]
    later = list(settings.get("prompts", {}).items())[1:]
    told += [f"“{' '.join(text.split())[:120]}” from frame {frame}" for frame, text in later[:PROMPTS]]
    if told:
        lines += [f"The clip “{name}” was made with {', '.join(told)}.", ""]
    if result["measures"]:
        lines += [f"Measured of “{name}”: {told_measures(result['measures'])}.", ""]
    lines += [f"The file of “{name}” is {result['path']}.", "", f"![{name}]({result['sheet']})", ""]
    return _noted(folder / "animations", name, lines)


def remember_video(folder: Path, pipeline: dict[str, Any], result: dict[str, Any]) -> Path:
    """Write the note about a video made over into `folder`; `pipeline` is a file of stages, `result` the job's."""
    now = datetime.now().astimezone()
    name = Path(result["path"]).stem
    width, height = result["size"]
    on = [one for one in pipeline["stages"] if one["on"]]
    lines = [
        f"# Video: {name}",
        "",
        f"On {now:%Y-%m-%d} at {now:%H:%M} Atelier made the video “{name}” over from {pipeline['input']}: "
        f"{result['frames']} frames of {width}x{height} pixels, {result['fps']:g} a second, in {result['seconds']:.0f} "
        "seconds.",
        "",
        f"The stages of the video “{name}” are {', '.join(one['do'] for one in on)}.",
        "",
    ]
    for one in on:
        lines += [_told_stage(name, one, result["seeds"].get(one["id"])), ""]
    if off := [one["id"] for one in pipeline["stages"] if not one["on"]]:
        lines += [f"Switched off in the video “{name}” were the stages {', '.join(off)}.", ""]
    if result["measures"]:
        filmed = told_measures(result["source_measures"])
        lines += [f"Measured of “{name}”: {told_measures(result['measures'])}; of what was filmed: {filmed}.", ""]
    lines += [f"The file of “{name}” is {result['path']}.", "", f"![{name}]({result['sheet']})", ""]
    return _noted(folder / "videos", name, lines)


def _told_stage(name: str, stage: dict[str, Any], seed: int | None) -> str:
    """One sentence about a stage that was on."""
    told = [f"{key.replace('_', ' ')} {value}" for key, value in stage["with"].items() if value not in ("", None)]
    if seed is not None:
        prompt = " ".join(str(stage.get("prompt", "")).split())
        told = [f"the prompt “{prompt[:300]}”" if prompt else "", f"the model {stage['model']}", f"seed {seed}", *told]
        told += [f"{field} {stage[field]}" for field in ("steps", "cfg", "sampler") if stage.get(field)]
        hung = [one.get("preprocessor") or "a model" for one in stage.get("controls") or ()]
        told += [f"controls by {', '.join(hung)}"] if hung else []
    with_ = f" with {', '.join(part for part in told if part)}" if told else ""
    called = "" if stage["id"] == stage["do"] else f", called “{stage['id']}”,"
    return f"The stage {stage['do']}{called} of “{name}” ran{with_}."


def told_measures(measures: dict[str, Any]) -> str:
    """How steady an animation is, in one line; `measures` as `generation.animation.measures` gives them."""
    by = "CLIP" if measures["consistency_by"] == "clip" else "thumbnails, no CLIP given"
    return (
        f"warp error {measures['warp_error']:.1f} (flow of the {measures['flow_of']}), motion "
        f"{measures['motion']:.2f} % of the diagonal a frame, flicker {measures['flicker']:.2f}, consistency "
        f"{measures['consistency']:.4f} ({by})"
    )


def _noted(folder: Path, name: str, lines: list[str]) -> Path:
    """A note of this name, or of the next free one."""
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / f"{name}.md"
    number = 2
    while note.exists():
        note = folder / f"{name}-{number}.md"
        number += 1
    return write_whole(note, "\n".join(lines))

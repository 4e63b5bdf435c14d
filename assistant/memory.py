"""What was rendered, written down as notes, so that the library can answer questions about it.

One small Markdown file a picture, in plain sentences: each stands as a quote by itself. The files are read by the
ordinary Markdown reader; nothing here touches the library.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from assistant.writing import write_whole


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
    day = folder / "renders" / f"{now:%Y-%m-%d}"
    day.mkdir(parents=True, exist_ok=True)
    note = day / f"{picture.stem}.md"
    number = 2
    while note.exists():
        note = day / f"{picture.stem}-{number}.md"
        number += 1
    return write_whole(note, "\n".join(lines))

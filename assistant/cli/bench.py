"""`atelier bench`: what should be fast, measured in this run beside what it is compared with.

Ratios carry over between machines; seconds do not, and are shown for orientation only.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.cli.bench_animation import measure_animation
from assistant.cli.bench_library import measure_library
from assistant.cli.bench_training import measure_training
from assistant.paths import Paths
from assistant.settings import Settings

# A child that runs an app headless until its first paint and prints the seconds from interpreter start.
FIRST_PAINT = """
import time; began = time.perf_counter()
import asyncio, sys
{make}
async def main():
    async with app.run_test(size=(140, 40)):
        print(time.perf_counter() - began)  # entered when the first frame has been drawn
asyncio.run(main())
"""
EMPTY_APP = "from textual.app import App\napp = App()"


def atelier_app(home: str) -> str:
    """The code that makes Atelier's app over `home`, without starting workers."""
    return f"from assistant.tui.app import Atelier\napp = Atelier.for_home({home!r}, work=False)"


def first_paint(make: str) -> float:
    """Seconds from the start of Python's imports to the first paint of the app that `make` makes."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_PAINT.format(make=make)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def _seconds(function: Callable[[], Any], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def measure(paths: Paths, settings: Settings) -> dict[str, Any]:
    """{"measurements": [{"what", "value", "unit", "note"}]}."""
    rows: list[dict[str, Any]] = []

    def row(what: str, value: float, unit: str, note: str = "") -> None:
        rows.append({"what": what, "value": round(value, 4), "unit": unit, "note": note})

    with tempfile.TemporaryDirectory() as home:
        _terminal(row, home)
        _prompts(row)
        measure_library(row, Path(home) / "bench")
        _studio(row, Paths.find(home), settings)
        measure_training(row, Path(home) / "bench-training")
    return {"measurements": rows}


def _terminal(row: Callable[..., None], home: str) -> None:
    mine, empty = [], []
    for _ in range(3):
        empty.append(first_paint(EMPTY_APP))
        mine.append(first_paint(atelier_app(home)))
    ratio = statistics.median(mine) / statistics.median(empty)
    row("first paint, Atelier to an empty Textual app", ratio, "x", "bar: 1.5")
    row("first paint", statistics.median(mine), "s")


def _prompts(row: Callable[..., None]) -> None:
    from generation.prompts.chunks import chunk
    from generation.prompts.tokens import ClipTokenizer

    tokenizer = ClipTokenizer.load()
    prompt = "a (blue alien:1.2), [soft|hard] light, highly detailed, " * 40
    chunk(prompt, tokenizer)
    row(
        "parse and chunk a 2,200-character prompt",
        _seconds(lambda: chunk(prompt, tokenizer), 9),
        "s",
    )


def _bare(engine: Any, spec: Any) -> Callable[[], None]:
    """The same picture by the pipeline of diffusers alone: its tensors, scheduler, steps and seed."""
    import diffusers
    import torch

    from generation import samplers

    loaded = engine.prepare(spec.model)
    told = loaded.conditioner(spec.prompt, "")
    choice = samplers.find(loaded.entry.defaults.sampler)
    scheduler = getattr(diffusers, choice.scheduler_class)
    loaded.pipe.set_progress_bar_config(disable=True)

    def render() -> None:
        loaded.pipe.scheduler = scheduler.from_config(loaded.tools.scheduler, **choice.arguments)
        loaded.pipe(
            prompt_embeds=told.positive,
            negative_prompt_embeds=told.negative,
            width=loaded.entry.defaults.width,
            height=loaded.entry.defaults.height,
            num_inference_steps=spec.steps,
            guidance_scale=loaded.entry.defaults.cfg,
            generator=torch.Generator().manual_seed(spec.seed),
            output_type="np",
        )

    render()
    return render


def _side_by_side(one: Callable[[], None], other: Callable[[], None], times: int = 7) -> tuple[float, float]:
    """The quickest of several runs of each, taken in turns, so that a busy machine is unfair to neither."""
    both: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for run, taken in zip((one, other), both, strict=True):
            began = time.perf_counter()
            run()
            taken.append(time.perf_counter() - began)
    return min(both[0]), min(both[1])


def _studio(row: Callable[..., None], paths: Paths, settings: Settings) -> None:
    from generation.catalogue import Catalogue
    from generation.engine import Engine
    from generation.specs import RenderSpec

    began = time.perf_counter()
    engine = Engine(Catalogue([paths.models]))
    spec = RenderSpec.from_json({"prompt": "a red apple on a blue background", "seed": 1, "steps": 20})
    target = Path(tempfile.mkdtemp(dir=paths.cache)) / "bench.png"

    def render() -> None:
        engine.render(spec, target, report=lambda event: None, check=lambda: None)

    render()
    cold = time.perf_counter() - began
    warm = _seconds(render, 3)
    row("render of the demo checkpoint, cold to warm", cold / warm, "x", f"{cold:.1f} s cold")
    ours, bare = _side_by_side(render, _bare(engine, spec))
    row(
        "warm render beside diffusers' own pipeline",
        ours / bare,
        "x",
        "same texts, steps and decoding; 1.05 is the bar",
    )
    conditioner = engine.prepare(spec.model).conditioner
    known = _seconds(lambda: conditioner.plan(spec.prompt, "", 20), 5)
    conditioner.clear()
    began = time.perf_counter()
    conditioner.plan(spec.prompt, "", 20)
    row("the same prompt again beside encoding it", known / (time.perf_counter() - began), "x")
    row("render of the demo checkpoint, 20 steps, warm", warm, "s")
    measure_animation(row, Path(tempfile.mkdtemp(dir=paths.cache)), engine)

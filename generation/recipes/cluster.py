"""A recipe over many machines: inputs handed out to Ray's workers, each with an engine of its own (extra `cluster`).

The folders of models, inputs and outputs are those of a file system that all machines share. Where RAY_ADDRESS names a
cluster, that is used; else workers of this machine. Ray's own messages go between its processes alone: its usage
statistics are switched off.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from generation.errors import BadSpec
from generation.recipes import Recipe
from generation.recipes.inputs import Input

INSTALL = "Run: pip install 'atelier[cluster]'."
LOOK_EVERY = 0.1  # seconds between looks for a cancellation


def run(
    recipe: Recipe,
    inputs: Sequence[Input],
    output: Path,
    engine: dict[str, Any],
    workers: int = 2,
    *,
    report: Callable[[dict[str, Any]], None] = lambda event: None,
    check: Callable[[], None] = lambda: None,
) -> list[Any]:
    """As `running.run`, with `workers` engines made of `engine`: {"roots", "device", "precision", "offload"}.

    Raises `BadSpec` where Ray is not installed.
    """
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
    except ImportError as error:
        raise BadSpec("--cluster needs the package ray, which is not installed", INSTALL) from error
    began = not ray.is_initialized()
    if began:
        address = os.environ.get("RAY_ADDRESS") or "local"
        local = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
        ray.init(address=address, log_to_driver=False, logging_level="error", **local)
    actors: list[Any] = []
    try:
        needs = {"num_gpus": 1} if ray.cluster_resources().get("GPU", 0) >= workers else {}
        maker = ray.remote(num_cpus=1, **needs)(_Worker)
        actors = [maker.remote(engine) for _ in range(min(workers, max(len(inputs), 1)))]
        waiting = list(enumerate(inputs))
        found: dict[int, list[Any]] = {}
        busy: dict[Any, tuple[int, Any]] = {}
        free = list(actors)
        while waiting or busy:
            while waiting and free:
                number, one = waiting.pop(0)
                actor = free.pop()
                busy[actor.run.remote(recipe, one, str(output))] = (number, actor)
            ready, _ = ray.wait(list(busy), timeout=LOOK_EVERY)
            for task in ready:
                number, actor = busy.pop(task)
                found[number], notes = ray.get(task)
                free.append(actor)
                for note in notes:
                    report(note)
                report({"kind": "progress", "stage": "inputs", "done": len(found), "total": len(inputs)})
            check()
        return [made for number in sorted(found) for made in found[number]]
    finally:
        for actor in actors:
            ray.kill(actor)
        if began:
            ray.shutdown()


class _Worker:
    """One engine in a process of Ray's, kept warm from input to input."""

    def __init__(self, engine: dict[str, Any]) -> None:
        from generation.catalogue import Catalogue
        from generation.engine import Engine

        catalogue = Catalogue([Path(root) for root in engine["roots"]])
        self._engine = Engine(
            catalogue, device=engine["device"], precision=engine["precision"], offload=engine["offload"]
        )

    def run(self, recipe: Recipe, one: Input, output: str) -> tuple[list[Any], list[dict[str, Any]]]:
        """(what was made, the notes)."""
        from generation.recipes.running import run_one

        notes: list[dict[str, Any]] = []

        def keep(event: dict[str, Any]) -> None:
            if event["kind"] == "note":
                notes.append(event)

        return run_one(recipe, one, Path(output), self._engine, report=keep), notes

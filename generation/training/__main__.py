"""`python -m generation.training SPEC.json`: one process of a training, for launchers that start several.

    torchrun --standalone --nproc_per_node 2 -m generation.training spec.json
    accelerate launch --num_processes 2 -m generation.training spec.json

The file holds {"spec": a TrainingSpec, "models": [folders], "device", "gallery", "events", "result"}; events go as JSON
lines into the file "events", the record into "result". SIGTERM saves the state and ends. Leaves starting the processes
to `launching`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from generation.catalogue import Catalogue
from generation.errors import GenerationError
from generation.training.settings import TrainingSpec


class Stopped(BaseException):
    """The launcher asked this process to end."""


def main(arguments: list[str]) -> int:
    """2 for what the person can mend, which "result" then names; 130 where it was stopped."""
    told = json.loads(Path(arguments[0]).read_text("utf-8"))
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True

    def check() -> None:
        if asked:
            raise Stopped

    signal.signal(signal.SIGTERM, ask)
    first = int(os.environ.get("RANK", "0")) == 0
    from generation.training.running import train

    with Path(told["events"]).open("a", encoding="utf-8") as events:

        def report(event: dict[str, Any]) -> None:
            if first:
                events.write(json.dumps(event, ensure_ascii=False) + "\n")
                events.flush()

        try:
            trained = train(
                TrainingSpec.from_json(told["spec"]),
                Catalogue([Path(folder) for folder in told["models"]]),
                device=told["device"],
                gallery=Path(told["gallery"]) if told["gallery"] else None,
                report=report,
                check=check,
            )
        except GenerationError as error:
            _write(told["result"], {"error": error.message, "hint": error.hint})
            return 2
        except Stopped:
            return 130
    if first:
        _write(told["result"], {"record": trained.record})
    return 0


def _write(path: str, result: dict[str, Any]) -> None:
    aside = Path(f"{path}.{os.getpid()}.part")
    aside.write_text(json.dumps(result, ensure_ascii=False), "utf-8")
    aside.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

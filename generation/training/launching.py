"""A training by several processes of this machine: started by torch's launcher, watched through a file of events.

For several machines the same entry is started on each by `accelerate launch` (see `__main__`). Leaves what each process
does to `running`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from generation.training import TrainingFailed
from generation.training.settings import TrainingSpec

Report = Callable[[dict[str, Any]], None]
Check = Callable[[], None]
LOOK = 0.2  # seconds between looks at the events
PATIENCE = 60.0  # seconds that a stopped training has to save its state


def launch(
    spec: TrainingSpec,
    processes: int,
    models: Sequence[Path],
    *,
    device: str | None = None,
    gallery: Path | None = None,
    report: Report = lambda event: None,
    check: Check = lambda: None,
) -> dict[str, Any]:
    """The record of a training by `processes`. Raises `TrainingFailed` with the reason of the first that failed, or
    what `check` raises, the state saved."""
    with tempfile.TemporaryDirectory(prefix="atelier-training-") as name:
        folder = Path(name)
        result, events, log = (folder / one for one in ("result.json", "events.jsonl", "log.txt"))
        told = {
            "spec": spec.to_json(),
            "models": [str(path) for path in models],
            "device": device,
            "gallery": str(gallery) if gallery else "",
            "events": str(events),
            "result": str(result),
        }
        (folder / "spec.json").write_text(json.dumps(told), "utf-8")
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes),
            "-m", "generation.training", str(folder / "spec.json"),
        ]  # fmt: skip
        with log.open("wb") as output:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        heard = 0
        try:
            while child.poll() is None:
                check()
                heard = _heard(events, heard, report)
                time.sleep(LOOK)
        except BaseException:
            _end(child)
            raise
        _heard(events, heard, report)
        found = json.loads(result.read_text("utf-8")) if result.is_file() else {}
        if "record" not in found:
            last = log.read_text("utf-8", "replace").strip().splitlines()[-1:] if log.is_file() else []
            why = found.get("error") or f"a process ended with status {child.returncode}: {''.join(last)[:160]}"
            raise TrainingFailed(why, found.get("hint") or "Train with one process, which says more.")
        record: dict[str, Any] = found["record"]
        return record


def _heard(events: Path, heard: int, report: Report) -> int:
    """Pass on the lines behind byte `heard`; where the next ones begin."""
    if not events.is_file():
        return heard
    with events.open("rb") as file:
        file.seek(heard)
        for line in file:
            if not line.endswith(b"\n"):
                break
            heard += len(line)
            report(json.loads(line))
    return heard


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the processes to save and end; those that do not in time are killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(PATIENCE)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return

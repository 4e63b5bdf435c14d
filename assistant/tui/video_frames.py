"""Single frames behind the stages of a film: asked for, and where those lie that were made, to be shown at once.

The folders depend on all that is said, so that what is known is known of one text. Leaves showing to the screen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.tui.video_stages import Stages
from knowledge.screen import shown


class Frames:
    """`say` shows a line; `show` a picture that was made, if the screen is still there."""

    def __init__(self, app: Any, say: Callable[[str], None], show: Callable[[str], None]) -> None:
        self._app, self._say, self._show = app, say, show
        self._known: dict[tuple[str, str], tuple[Path, int, float]] = {}  # folder, frames, frames a second
        self._number: int | None = None

    # Asking

    @property
    def busy(self) -> bool:
        return self._number is not None

    def ask(self, stages: Stages, job: dict[str, Any], stage: str, frame: int) -> None:
        """Make a frame of a stage, and what it needs."""
        self._number = self._app.submit(
            "video-frame",
            {**job, "preview": frame, "stage": stage},
            lambda number, event: self._on_event(stages, event),
        )
        if self.busy:
            self._say(f"frame {frame} is made ...")

    def stop(self) -> None:
        self._app.stop(self._number)

    def _on_event(self, stages: Stages, event: dict[str, Any]) -> None:
        match event["kind"]:
            case "progress":
                total = f" of {event['total']}" if event.get("total") else ""
                self._say(f"{event['stage']} {event['done']}{total} {event.get('message', '')}".rstrip())
            case "note":
                self._say(event["message"])
            case "failed":
                self._number = None
                self._say(f"{event['message']}. {event['hint']}".strip())
            case "cancelled":
                self._number = None
                self._say("stopped; what was made is kept")
            case "done":
                self._number, result = None, event["result"]
                place = Path(result["path"]).parent, result["frames"], result["fps"]
                self._known[stages.text, result["stage"]] = place
                self._show(result["path"])
                self._say(shown(f"here it lies: {result['path']}"))

    # Knowing

    def ended(self, stages: Stages, result: dict[str, Any]) -> None:
        """What a video that is made tells of all its stages."""
        for stage in result["stages"]:
            self._known[stages.text, stage["id"]] = Path(stage["folder"]), stage["frames"], stage["fps"]

    def count(self, stages: Stages, stage: str) -> int:
        """How many frames a stage has, 0 where that is not known."""
        return self._known.get((stages.text, stage), (Path(), 0, 0.0))[1]

    def seconds(self, stages: Stages, stage: str, frame: int) -> float:
        """The time of a frame of a stage that is known."""
        return frame / self._known[stages.text, stage][2]

    def path(self, stages: Stages, stage: str, frame: int) -> Path | None:
        """A frame that is there."""
        if (stages.text, stage) not in self._known:
            return None
        path = self._known[stages.text, stage][0] / f"{frame:06d}.png"
        return path if path.is_file() else None

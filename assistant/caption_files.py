"""Captions written to their files, and taken back: each edit is kept beside the dataset before anything changes.

Leaves what a caption becomes to `generation.training.caption_edits`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assistant.errors import AssistantError
from assistant.writing import write_whole
from generation.training.caption_edits import files
from generation.training.datasets import Dataset

KEPT = ".atelier-captions.json"
MOST = 20  # edits that can be taken back


class CaptionsChanged(AssistantError):
    """Captions that cannot be taken back: nothing was edited, or what was kept cannot be read."""


def kept(dataset: Path) -> Path:
    """The file that keeps the former captions of a folder or of a JSONL file."""
    return (dataset if dataset.is_dir() else dataset.parent) / KEPT


def write(dataset: Dataset, wanted: Mapping[Path, str]) -> int:
    """Write the captions of pictures; returns how many files changed. What they held is kept first.

    Raises `BadSpec` for a caption's file that is no text, OSError where one cannot be written.
    """
    changes = files(dataset, wanted)
    if not changes:
        return 0
    entry = [{"path": str(path), "before": before, "after": after} for path, (before, after) in changes.items()]
    place = kept(dataset.path)
    edits = [*_edits(place), entry][-MOST:]
    write_whole(place, json.dumps({"edits": edits}, ensure_ascii=False))
    for path, (_, after) in changes.items():
        write_whole(path, after)
    return len(changes)


def undo(dataset: Path) -> tuple[int, list[str]]:
    """Take the last edit back: (files brought back, files left alone because they were changed since).

    Raises `CaptionsChanged` where there is nothing to take back.
    """
    place = kept(dataset.expanduser().absolute())
    edits = _edits(place)
    if not edits:
        raise CaptionsChanged(f"no edit of the captions in {place.parent} is kept", "Nothing was changed.")
    back, left = 0, []
    for change in edits[-1]:
        path = Path(change["path"])
        try:
            now: str | None = path.read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            now = None
        except (OSError, UnicodeDecodeError):
            now = ""
        # An edit that was stopped half-way left some files as they were.
        if now == change["before"]:
            continue
        if now != change["after"]:
            left.append(str(path))
        elif change["before"] is None:
            path.unlink()
            back += 1
        else:
            write_whole(path, change["before"])
            back += 1
    if len(edits) > 1:
        write_whole(place, json.dumps({"edits": edits[:-1]}, ensure_ascii=False))
    else:
        place.unlink(missing_ok=True)
    return back, left


def _edits(place: Path) -> list[list[dict[str, Any]]]:
    """The edits kept, oldest first; [] for a file that is not there. Raises `CaptionsChanged` for a damaged one."""
    try:
        found = json.loads(place.read_text("utf-8"))["edits"]
        if not all(isinstance(change["path"], str) and "after" in change and "before" in change
                   for edit in found for change in edit):  # fmt: skip
            raise ValueError
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CaptionsChanged(f"{place} cannot be read", "Move it away; former captions are in it.") from error
    return list(found)

"""Files written whole or not at all. Everything the program writes for the person goes through here."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path


def write_whole(path: Path, data: str | bytes) -> Path:
    """Write `data` (text as UTF-8) beside `path` and move it into place; returns `path`.

    A link stays one, rights stay as they were, and nothing is left behind when it fails. Raises OSError.
    """
    place = path.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name[:20]}")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode("utf-8") if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            shutil.copymode(place, temporary)
        Path(temporary).replace(place)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    return path


def stem_of(text: str, otherwise: str) -> str:
    """A file's name made of any text: letters, digits, - and _, at most 80; `otherwise` where nothing is left."""
    return re.sub(r"[^\w\-]+", "-", text).strip("-")[:80] or otherwise

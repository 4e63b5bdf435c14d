"""Which files of the named paths are to be read.

Folders are walked whole; hidden files, what programs keep for themselves, excluded patterns and
links are passed over. A link is followed only where the person named it: inside a folder its
target is met anyway, outside it is not part of the collection.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ingest.parsed import IngestError
from ingest.readers import BUILT_IN, Formats
from knowledge.errors import nearest

# Folders that hold copies or machinery, never notes.
_PASSED_OVER = {"__pycache__", "node_modules", "site-packages", "venv"}
_IN_LOGSEQ = {"bak", ".recycle", "version-files"}


@dataclass
class Walk:
    """``files``: to be read, sorted. ``roots``: the folders named. ``unreadable``: folders that
    could not be listed (what is below them is unknown, not gone). ``passed``: path -> reason of
    files that were named or linked and are not read.
    """

    files: list[Path] = field(default_factory=list)
    roots: list[Path] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)
    passed: dict[Path, str] = field(default_factory=dict)


def walk(
    paths: Sequence[str | Path],
    *,
    exclude: Sequence[str] = (),
    formats: Formats = BUILT_IN,
    check: Callable[[], None] = lambda: None,
) -> Walk:
    """Raises IngestError for a path that is not there. ``exclude`` holds shell patterns, matched
    against a file's or folder's name and against its path below the named folder."""
    found = Walk()
    seen: set[Path] = set()
    for path in [_existing(path) for path in paths]:
        if path.is_dir():
            if path not in found.roots:
                found.roots.append(path)
            _folder(path, exclude, formats, check, found, seen)
        elif path not in seen:
            seen.add(path)
            if not path.is_file():
                found.passed[path] = "not a regular file"
            elif formats.reads(path):
                found.files.append(path)
            else:
                found.passed[path] = f"no reader for {path.suffix or 'files without an ending'}"
    found.files.sort()
    return found


def _existing(path: str | Path) -> Path:
    try:
        full = Path(path).expanduser().resolve()
        full.stat()
    except FileNotFoundError as error:
        names = [item.name for item in full.parent.iterdir()] if full.parent.is_dir() else []
        raise IngestError(
            f"There is no file or folder {path}",
            nearest(full.name, names) or "Check the path; it is read from the current folder.",
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path cannot be followed"
        raise IngestError(f"{path} cannot be read: {reason}", "Check its permissions.") from error
    return full


def _folder(
    root: Path,
    exclude: Sequence[str],
    formats: Formats,
    check: Callable[[], None],
    found: Walk,
    seen: set[Path],
) -> None:
    waiting = [root]
    while waiting:
        check()
        here = waiting.pop()
        try:
            with os.scandir(here) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            found.unreadable[here] = (error.strerror or "cannot be listed").lower()
            continue
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith(".") or _excluded(path.relative_to(root), exclude):
                continue
            try:
                if entry.is_symlink():
                    if formats.reads(path) and not _inside(path, root):
                        found.passed[path] = "a link out of the folder"
                elif entry.is_dir(follow_symlinks=False):
                    if not _machinery(path):
                        waiting.append(path)
                elif (
                    formats.reads(path) and path not in seen and stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)
                ):
                    seen.add(path)
                    found.files.append(path)
            except OSError as error:
                found.passed[path] = (error.strerror or "cannot be read").lower()


def _machinery(path: Path) -> bool:
    return path.name in _PASSED_OVER or (path.parent.name == "logseq" and path.name in _IN_LOGSEQ)


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):
        return False


def _excluded(relative: Path, patterns: Sequence[str]) -> bool:
    text = relative.as_posix()
    return any(
        fnmatch.fnmatch(relative.name, pattern.rstrip("/"))
        or fnmatch.fnmatch(text, pattern.rstrip("/"))
        or fnmatch.fnmatch(text, pattern.rstrip("/") + "/*")
        for pattern in patterns
    )

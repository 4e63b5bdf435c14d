"""A thread that tells when files in the collections' folders change (watchfiles: the system's own notification).

What changed is read by the library's worker; nothing is read here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from assistant.collections import Collections
from assistant.errors import BadSetting
from assistant.paths import Paths

QUIET = 1600  # milliseconds: an editor writes a file in several steps


def watched_folders(paths: Paths) -> list[str]:
    """The folders of the person's collections that are there."""
    try:
        kept = Collections(paths.collections)
    except BadSetting:
        return []
    folders = {str(Path(f).expanduser().absolute()) for one in kept for f in one.folders}
    return sorted(folder for folder in folders if Path(folder).is_dir())


class Watcher:
    """Calls `changed(paths)` on its own thread after each burst of changes, until `stop`."""

    def __init__(self, folders: list[str], changed: Callable[[set[str]], None]) -> None:
        self.folders = folders
        self._changed = changed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        from watchfiles import DefaultFilter, watch

        # Logseq rewrites its backups and Obsidian its workspace all the time.
        ignored = (*DefaultFilter.ignore_dirs, ".obsidian", ".trash", "bak", ".recycle", "version-files")
        for polled in (False, True):  # the system may refuse to watch so many folders: then look in turn
            try:
                for changes in watch(
                    *self.folders,
                    watch_filter=DefaultFilter(ignore_dirs=ignored),
                    debounce=QUIET,
                    step=100,
                    stop_event=self._stopping,
                    raise_interrupt=False,
                    force_polling=polled,
                    poll_delay_ms=2000,
                    ignore_permission_denied=True,
                ):
                    if self._stopping.is_set():
                        return
                    try:
                        self._changed({path for _, path in changes})
                    except RuntimeError:
                        return  # the program is closing
                return
            except OSError:
                continue

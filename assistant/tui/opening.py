"""Opening files outside: notes in the person's editor at a line, pictures in the system's viewer."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

# How editors are told a line. Others get the file alone.
PLUS_LINE = {
    "vi",
    "vim",
    "nvim",
    "nano",
    "emacs",
    "emacsclient",
    "micro",
    "kak",
    "joe",
    "ne",
    "view",
}
COLON_LINE = {"code", "codium", "hx", "helix", "subl", "zed"}


def editor_command(setting: str, path: str, line: int) -> list[str]:
    """The command that opens `path` at `line`, by the setting, $VISUAL, $EDITOR, or the first editor found."""
    chosen = setting or os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    if not chosen:
        chosen = next((name for name in ("nano", "vim", "vi") if shutil.which(name)), "")
    command = shlex.split(chosen)
    if not command:
        return []
    name = Path(command[0]).name
    if name in PLUS_LINE:
        return [*command, f"+{line}", path]
    if name in COLON_LINE:
        goto = ["--goto"] if name in {"code", "codium"} else []
        return [*command, *goto, f"{path}:{line}"]
    return [*command, path]


def edit(app: App[Any], path: str, line: int) -> None:
    """Hand the terminal to the editor until it ends."""
    setting = getattr(app, "settings", {"editor": ""})["editor"]
    command = editor_command(setting, path, line)
    if not command or shutil.which(command[0]) is None:
        missing = command[0] if command else "an editor"
        app.notify(
            f"{missing} was not found. Set editor in the settings (F8).",
            severity="error",
            markup=False,
        )
        return
    try:
        with app.suspend():
            subprocess.run(command, check=False)
    except SuspendNotSupported:
        app.notify("This terminal cannot be handed to an editor.", severity="warning")


def view(app: App[Any], path: str) -> None:
    """Open a picture in the system's viewer, without waiting for it."""
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    if shutil.which(opener) is None:
        app.notify(f"{opener} was not found; the picture is {path}", severity="warning", markup=False)
        return
    subprocess.Popen(
        [opener, path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

"""The commands about weights: what there is, all that is known of one, and other tools' folders taken in."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.cli.commands import Result, given
from assistant.cli.progress import Progress
from assistant.errors import BadArgument, nearest
from assistant.paths import Paths
from assistant.settings import Settings

if TYPE_CHECKING:
    from generation.catalogue import Catalogue


def catalogue(paths: Paths, settings: Settings) -> Catalogue:
    """Every folder of models the person keeps, with what was found there last time."""
    from generation.catalogue import Catalogue

    roots = [paths.models, *(Path(p).expanduser() for p in settings["studio.models"])]
    return Catalogue(roots, paths.catalogue)


def models_list(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from generation.architecture import families
    from generation.recognition import KINDS

    entries = catalogue(paths, settings).entries()
    words = [word.casefold() for word in options.words]
    for what, usual in (("kind", KINDS), ("family", families())):
        wanted = getattr(options, what)
        if wanted:
            there = sorted({getattr(entry, what) for entry in entries}.union(usual))
            if wanted not in there:
                hint = nearest(wanted, there) or f"There are: {', '.join(there)}."
                raise BadArgument(f'there are no models of the {what} "{wanted}"', hint)
            entries = [entry for entry in entries if getattr(entry, what) == wanted]
    found = [e for e in entries if all(word in f"{e.path} {' '.join(e.triggers)}".casefold() for word in words)]
    return {"models": [entry.to_json() for entry in found]}, 0


def models_info(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    known = catalogue(paths, settings)
    entry = known.find(given(options.name, "name"))
    hashes = known.known_hashes(entry)
    if options.hash:
        progress = Progress(sys.stderr)
        try:
            hashes = known.hashes(entry, report=progress.report).to_json()
        finally:
            progress.close()
    return {"model": {**entry.to_json(), "hashes": hashes}}, 0


def models_import(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    from generation.places import find_tools

    kept = list(settings["studio.models"])
    have = {Path(folder).expanduser().resolve() for folder in kept}
    found = find_tools(Path.home())
    added = []
    if options.folder:
        folder = Path(options.folder).expanduser().absolute()
        if not folder.is_dir():
            raise BadArgument(f"there is no folder {folder}", "Name the folder of A1111, ComfyUI or InvokeAI.")
        added = [folder]
    elif options.all:
        added = found
    added = [folder for folder in added if folder.resolve() not in have]
    if added:
        settings["studio.models"] = [*kept, *map(str, added)]
    models = 0
    if added:
        inside = tuple(f"{folder}{os.sep}" for folder in added)
        models = sum(entry.path.startswith(inside) for entry in catalogue(paths, settings).entries())
    others = [str(folder) for folder in found if folder.resolve() not in have and folder not in added]
    return {"added": [str(folder) for folder in added], "found": others, "models": models}, 0

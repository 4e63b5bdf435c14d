"""What the commands about the gallery do. Takes (options, paths, settings), returns (plain data, exit status)."""

from __future__ import annotations

import argparse
from pathlib import Path

from assistant.cli.commands import Result
from assistant.gallery import GalleryIndex, chosen
from assistant.paths import Paths
from assistant.settings import Settings


def _index(paths: Paths, settings: Settings) -> GalleryIndex:
    folder = settings["studio.output"]
    index = GalleryIndex(paths.gallery, [Path(folder).expanduser() if folder else paths.output])
    index.refresh()
    return index


def listed(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    shots = _index(paths, settings).find(options.query or "", options.n)
    return {"pictures": [shot.to_json() for shot in shots]}, 0


def rate(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    index = _index(paths, settings)
    shot = chosen(index, options.picture)
    return {"path": shot.path, "rating": index.rate(shot.path, options.rating)}, 0

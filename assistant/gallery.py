"""The pictures that were made, found by what they carry: prompt, model, seed, sampler, and the person's rating.

An index in SQLite that is brought up to date with the folders; the files stay the truth, and the ratings alone are kept
here. Leaves showing pictures to the screens.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.database import opened
from assistant.errors import BadArgument, nearest
from generation import metadata
from generation.errors import GenerationError

_TABLES = """
CREATE TABLE IF NOT EXISTS pictures (
  path TEXT PRIMARY KEY, mtime INTEGER NOT NULL, size INTEGER NOT NULL, prompt TEXT NOT NULL, negative TEXT NOT NULL,
  model TEXT NOT NULL, sampler TEXT NOT NULL, operation TEXT NOT NULL, seed INTEGER, width INTEGER, height INTEGER);
CREATE TABLE IF NOT EXISTS ratings (path TEXT PRIMARY KEY, rating INTEGER NOT NULL);
"""
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
BEST = 5
CELLS = "*-cells"  # folders of a grid's cells: their sheet stands for them
FRAMES = "*.frames"  # folders of an animation's frames, for which its sheet stands as well
STRIP = "*.strip.png"
FIELDS = ("model", "seed", "sampler", "operation", "rating", "negative")
_FIELD = re.compile(rf'({"|".join(FIELDS)}):(>=|<=|>|<|=)?("[^"]*"|\S+)', re.IGNORECASE)
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    ">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, "<": lambda a, b: a < b,
    "": lambda a, b: a == b, "=": lambda a, b: a == b,
}  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """One picture; `rating` is 0 (none) to 5, `mtime` in nanoseconds, width and height in pixels."""

    path: str
    mtime: int
    prompt: str
    negative: str
    model: str
    sampler: str
    operation: str
    seed: int | None
    width: int
    height: int
    rating: int

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


class GalleryIndex:
    """The index in the SQLite file `path` over `folders` of pictures."""

    def __init__(self, path: Path, folders: Sequence[Path]) -> None:
        self.path = path
        self.folders = [Path(folder) for folder in folders]

    def refresh(self, check: Callable[[], None] = lambda: None) -> int:
        """Read what is new or changed, forget what is gone; returns how many were read. A kill loses the last few."""
        there: dict[str, tuple[int, int]] = {}
        for folder in self.folders:
            for path in folder.rglob("*") if folder.is_dir() else ():
                if path.suffix.lower() in SUFFIXES and not _passed_over(path):
                    try:
                        about = path.stat()
                    except OSError:
                        continue
                    there[str(path)] = (about.st_mtime_ns, about.st_size)
        with opened(self.path, _TABLES) as db:
            known = {row["path"]: (row["mtime"], row["size"]) for row in db.execute("SELECT * FROM pictures")}
            db.executemany("DELETE FROM pictures WHERE path = ?", [(path,) for path in known if path not in there])
        fresh = [path for path, stamp in there.items() if known.get(path) != stamp]
        for start in range(0, len(fresh), 100):
            check()
            rows = [_row(path, *there[path]) for path in fresh[start : start + 100]]
            with opened(self.path, _TABLES) as db:
                db.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        return len(fresh)

    def find(self, query: str = "", limit: int = 500) -> list[Shot]:
        """The newest first. Words must stand in prompt or file name; `model:x seed:5 rating:>=4` confine.

        Raises `BadArgument` for a number that is none.
        """
        conditions = [_condition(*match) for match in _FIELD.findall(query)]
        words = _FIELD.sub(" ", query).casefold().split()
        found: list[Shot] = []
        if not self.path.exists():
            return found
        with opened(self.path, _TABLES) as db:
            rows = db.execute(
                "SELECT p.*, coalesce(r.rating, 0) AS rating FROM pictures p LEFT JOIN ratings r USING (path)"
                " ORDER BY mtime DESC, path DESC"
            )
            for row in rows:
                shot = _shot(row)
                text = f"{shot.prompt}\n{Path(shot.path).name}".casefold()
                if all(word in text for word in words) and all(fits(shot) for fits in conditions):
                    found.append(shot)
                    if len(found) == limit:
                        break
        return found

    def rate(self, path: str | Path, rating: int) -> int:
        """Set the rating, 0 takes it away; returns it."""
        if not 0 <= rating <= BEST:
            raise BadArgument(f"a rating of {rating} is out of range", f"Give 0 to {BEST}.")
        with opened(self.path, _TABLES) as db:
            db.execute("DELETE FROM ratings WHERE path = ?", (str(path),))
            if rating:
                db.execute("INSERT INTO ratings VALUES (?, ?)", (str(path), rating))
        return rating

    def rating(self, path: str | Path) -> int:
        with opened(self.path, _TABLES) as db:
            row = db.execute("SELECT rating FROM ratings WHERE path = ?", (str(path),)).fetchone()
        return int(row["rating"]) if row else 0


def _passed_over(path: Path) -> bool:
    """Whether another picture stands for this one, or it is not whole yet."""
    folders = path.parents[:2]  # what was denoised lies in a folder inside the frames'
    of_frames = any(folder.match(FRAMES) for folder in folders)
    return path.name.startswith(".") or path.match(STRIP) or path.parent.match(CELLS) or of_frames


def _row(path: str, mtime: int, size: int) -> tuple[Any, ...]:
    """What a picture says of itself; one that cannot be read has a row that says nothing."""
    try:
        info = metadata.read(Path(path))
    except GenerationError:
        return (path, mtime, size, "", "", "", "", "", None, 0, 0)
    spec = info.spec() or {}
    seed = spec.get("seed")
    texts = [_plain(spec.get(name, "")) for name in ("prompt", "negative", "model", "sampler", "operation")]
    known = isinstance(seed, int) and -(2**63) <= seed < 2**63
    return (path, mtime, size, *texts, seed if known else None, info.width, info.height)


def _plain(value: Any) -> str:
    return str(value or "").encode("utf-8", "replace").decode("utf-8")


def _shot(row: sqlite3.Row) -> Shot:
    return Shot(**{name: row[name] for name in Shot.__dataclass_fields__})


def _condition(field: str, how: str, value: str) -> Callable[[Shot], bool]:
    field, value = field.lower(), value.strip('"')
    if field in {"seed", "rating"}:
        try:
            number = int(value)
        except ValueError as error:
            raise BadArgument(f"{field}:{value} is no number", f"Write {field}:5 or {field}:>=5.") from error
        compare = _COMPARE[how]
        return lambda shot: (own := getattr(shot, field)) is not None and compare(own, number)
    return lambda shot: value.casefold() in getattr(shot, field).casefold()


def chosen(index: GalleryIndex, name: str) -> Shot:
    """The picture of a path or file name. Raises `BadArgument` with the nearest name."""
    shots = index.find(limit=100_000)
    for shot in shots:
        if name in {shot.path, Path(shot.path).name} or str(Path(name).expanduser().absolute()) == shot.path:
            return shot
    raise BadArgument(f"{name} is not in the gallery", nearest(name, [Path(shot.path).name for shot in shots]))

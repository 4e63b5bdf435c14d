"""The folders a person keeps in the library, by name, in a file they can read and mend.

    [guides]
    folders = ["~/guides"]
    exclude = ["*.bak", "drafts/*"]

Reading the files themselves is ingest's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from assistant.errors import BadArgument, BadSetting, nearest
from assistant.writing import write_whole

BUILT_IN = ("samples", "renders")  # kept by the program itself


@dataclass(frozen=True)
class Collection:
    """Folders or files under one name. ``exclude`` holds shell patterns of names and of paths below a folder."""

    name: str
    folders: tuple[str, ...]
    exclude: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "folders": list(self.folders), "exclude": list(self.exclude)}


class Collections:
    """The collections in the file `path`. Raises `BadSetting` where it cannot be understood."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._document = tomlkit.document()
        if path.exists():
            try:
                self._document = tomlkit.parse(path.read_text("utf-8"))
            except (TOMLKitError, UnicodeDecodeError) as error:
                raise BadSetting(f"{path} is not TOML: {error}", "Mend or delete the file.") from error
        self._all = {name: self._read(name, table) for name, table in self._document.unwrap().items()}

    def _read(self, name: str, table: Any) -> Collection:
        known = isinstance(table, dict) and set(table) <= {"folders", "exclude"}
        lists = [table.get(key, []) for key in ("folders", "exclude")] if known else []
        if not known or not all(isinstance(one, list) and all(isinstance(v, str) for v in one) for one in lists):
            raise BadSetting(
                f"{self.path}: [{name}] must hold folders and exclude, lists of texts",
                'Write folders = ["~/notes"] and exclude = ["*.bak"].',
            )
        return Collection(name, tuple(lists[0]), tuple(lists[1]))

    def __iter__(self) -> Iterator[Collection]:
        return iter(self._all.values())

    def __getitem__(self, name: str) -> Collection:
        """Raises `BadArgument` with the nearest name."""
        if name not in self._all:
            raise BadArgument(f'there is no collection "{name}"', nearest(name, self._all) or self._hint())
        return self._all[name]

    def __contains__(self, name: str) -> bool:
        return name in self._all

    def _hint(self) -> str:
        return f"There are: {', '.join(self._all)}." if self._all else "Add one: atelier ingest FOLDER."

    def holding(self, path: Path) -> Collection | None:
        """The collection whose folder `path` is, or lies in; the nearest one."""
        best: tuple[int, Collection] | None = None
        for collection in self:
            for folder in collection.folders:
                place = Path(folder).expanduser().absolute()
                if path.is_relative_to(place) and (best is None or len(str(place)) > best[0]):
                    best = (len(str(place)), collection)
        return best[1] if best else None

    def add(self, folder: Path, name: str = "") -> Collection:
        """Keep a folder; without a name under its collection, or a new one called after it."""
        folder = folder.expanduser().absolute()
        held = self.holding(folder)
        if held is not None and name in ("", held.name):
            return held
        name = name or self._free_name(folder)
        if not re.fullmatch(r"[\w .-]+", name) or not name.strip() or name in BUILT_IN:
            raise BadArgument(f'"{name}" cannot name a collection', "Use letters, digits, spaces, - and _.")
        now = self._all.get(name, Collection(name, ()))
        if str(folder) in now.folders:  # another collection keeps it too
            return now
        return self._put(Collection(name, (*now.folders, str(folder)), now.exclude))

    def _free_name(self, folder: Path) -> str:
        base = re.sub(r"[^\w.-]+", "-", folder.stem or "notes").strip("-") or "notes"
        name, number = base, 2
        while name in self._all or name in BUILT_IN:
            name, number = f"{base}-{number}", number + 1
        return name

    def remove(self, name: str) -> Collection:
        """Keep it no longer; the files themselves are not touched."""
        gone = self[name]
        del self._all[name]
        self._document.remove(name)
        self._save()
        return gone

    def exclude(self, name: str, patterns: list[str]) -> Collection:
        """Replace the patterns of what is not read."""
        return self._put(Collection(name, self[name].folders, tuple(patterns)))

    def _put(self, collection: Collection) -> Collection:
        table: Any = self._document.get(collection.name)
        if table is None:
            table = tomlkit.table()
            self._document[collection.name] = table
        table["folders"] = list(collection.folders)
        if collection.exclude or "exclude" in table:
            table["exclude"] = list(collection.exclude)
        self._all[collection.name] = collection
        self._save()
        return collection

    def _save(self) -> None:
        write_whole(self.path, tomlkit.dumps(self._document))

"""Which weights there are: found by walking folders, told apart by headers, never loaded.

Knows what an entry says and the defaults of each family. Leaves where weights lie to `places`, what names of tensors
mean to `recognition`, what is written about weights to `sidecars`, and loading to `loading`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation import diffusers_folders, hashes, headers, places, recognition, sidecars
from generation.catalogue_cache import Cache
from generation.defaults import defaults_of
from generation.errors import BadWeights, UnknownModel, nearest
from generation.specs import ModelDefaults

BUNDLED = Path(__file__).parent / "weights" / "atelier-demo"
# What used to be said of every pickle, before they were read without being run.
PICKLE = "a pickle, which can run code; convert it to safetensors"
NOT_YET = "its weights are not there yet"


@dataclass(frozen=True)
class ModelEntry:
    """One set of weights. `size` in bytes; `problem` says why it cannot be used ("" when it can).

    `format` tells apart what one kind comes in (a LoRA: kohya, peft, diffusers, lycoris-loha, ...). `triggers` are the
    words that call a network's subject up, `weight` its usual strength (None unsaid), `thumbnail` a picture's path,
    `prediction` "v", "epsilon" or "" (unsaid).
    """

    name: str
    path: str
    kind: str
    family: str
    size: int
    defaults: ModelDefaults
    problem: str = ""
    format: str = ""
    triggers: tuple[str, ...] = ()
    weight: float | None = None
    description: str = ""
    thumbnail: str = ""
    prediction: str = ""

    def to_json(self) -> dict[str, Any]:
        """Every field as plain data."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**found, "triggers": list(self.triggers), "defaults": vars(self.defaults)}


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles: headers are tables without any, and its passes took a quarter of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


# What the cache keeps of an entry, in this order; the path is its key.
KEPT = tuple(f.name for f in dataclasses.fields(ModelEntry) if f.name not in {"path", "defaults"})


class Catalogue:
    """The bundled checkpoint and everything under `roots`; scanned once, from `cache` where that still holds."""

    def __init__(self, roots: Sequence[Path] = (), cache: Path | None = None) -> None:
        self._roots = list(roots)
        self._cache = Cache(cache)
        self._entries: list[ModelEntry] | None = None

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders looked through, for what is no file of weights to the catalogue."""
        return tuple(self._roots)

    def entries(self) -> list[ModelEntry]:
        """The bundled one first, the rest by name. A root that is missing or cannot be read holds nothing."""
        if self._entries is None:
            roots = [*self._roots, *(folder for root in self._roots for folder in places.extra_folders(root))]
            unique: dict[str, ModelEntry] = {}
            with _uncollected():
                for root in roots:
                    for found in places.walk(root) if root.is_dir() else ():
                        # A root inside another one, or given twice, lists its files once.
                        if found.path not in unique and found.path != str(BUNDLED):
                            unique[found.path] = self._look(found)
            self._cache.save(set(unique))
            self._entries = [look(BUNDLED), *sorted(unique.values(), key=lambda e: (e.name.lower(), e.path))]
        return self._entries

    def refresh(self) -> None:
        """Look again at the next question; what has not changed comes from the cache."""
        self._entries = None

    def find(self, name: str) -> ModelEntry:
        """By name, file name, existing path or a hash that was counted. Raises `UnknownModel` with the nearest name.

        Of several with one name, a checkpoint that can be used comes first.
        """
        entries = self.entries()
        kept = self._cache.named(name.lower()) if re.fullmatch(r"[0-9a-fA-F]{8,64}", name) else ""
        named = [
            entry for entry in entries if entry.path in {name, kept} or name in {entry.name, Path(entry.path).name}
        ]
        if named:
            return min(named, key=lambda entry: (entry.kind != "checkpoint", entry.problem != ""))
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # too long, a zero byte, no home
            path = Path(name).expanduser()
            if name and path.exists():
                return look(path.absolute())
        names = [entry.name for entry in entries]
        raise UnknownModel(
            f'there is no model "{name}"',
            nearest(name, names) or "`atelier models list` shows them; studio.models adds folders.",
        )

    def hashes(
        self,
        entry: ModelEntry,
        *,
        report: Callable[[dict[str, Any]], None] = lambda event: None,
        check: Callable[[], None] = lambda: None,
    ) -> hashes.Hashes:
        """The hashes of a file, counted once. Raises `BadWeights` for a folder and for what cannot be read."""
        path = Path(entry.path)
        if path.is_dir():
            raise BadWeights(f"{path} is a folder: hashes are of single files", "Choose a file.")
        with contextlib.suppress(TypeError):
            if kept := self._cache.hashes(path):
                return hashes.Hashes(**kept)
        found = hashes.count(path, report=report, check=check)
        self._cache.put_hashes(path, found.to_json())
        self._cache.save()
        return found

    def known_hashes(self, entry: ModelEntry) -> dict[str, str]:
        """The hashes counted before for a file that has not changed since, {} where none were."""
        return self._cache.hashes(Path(entry.path)) or {}

    def _look(self, found: places.Found) -> ModelEntry:
        row = self._cache.get(found.path, found.stamp)
        if row is not None and len(row) == len(KEPT) + 1:
            with contextlib.suppress(TypeError):
                return _unpacked(found.path, row)
        entry = look(Path(found.path), found.beside)
        usual = defaults_of(entry.family, entry.name if entry.kind == "checkpoint" else "")
        own = None if entry.defaults == usual else vars(entry.defaults)
        self._cache.put(found.path, found.stamp, [*(getattr(entry, name) for name in KEPT), own])
        return entry


def _unpacked(path: str, row: list[Any]) -> ModelEntry:
    values = dict(zip(KEPT, row, strict=False))
    values["triggers"] = tuple(values["triggers"])
    name = values["name"] if values["kind"] == "checkpoint" else ""
    defaults = defaults_of(values["family"], name) if row[-1] is None else ModelDefaults(**row[-1])
    return ModelEntry(path=path, defaults=defaults, **values)


def look(path: Path, beside: frozenset[str] | None = None) -> ModelEntry:
    """The entry of a file or a diffusers folder; never raises for what is damaged. `beside`: the names next to it."""
    suffix, stem = path.suffix.lower(), path.stem
    if not suffix and path == BUNDLED and not (path / "model_index.json").is_file():
        return _bundled_without_weights(path)
    kind, family, form, size, problem = "unknown", "unknown", "", 0, ""
    about = sidecars.About()
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            return _folder(path)
        size = found.st_size
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("no regular file")
        if suffix not in places.SUFFIXES:
            raise ValueError("no file of weights")
        header = headers.load(path)
        kind, family, form = recognition.recognise(header.shapes)
        about = sidecars.about(path, header.texts, places.beside(path) if beside is None else beside)
        # A velocity model of SD 2 has the very tensors of the other; only words beside them tell.
        prediction = about.prediction or ("v" if "v_pred" in header.shapes else "")
    except OSError as error:
        problem, prediction = f"it cannot be read: {error.strerror or error}", ""
    except ValueError as error:
        problem, prediction = str(error), ""
    if kind == "unknown":
        kind = places.kind_by_place(path) if problem or suffix in headers.PICKLES else kind
    if family == "unknown" and kind in {"lora", "embedding", "hypernetwork", "controlnet", "vae"}:
        family = about.family or ("sdxl" if kind == "vae" and re.search(r"xl", stem, re.I) else family)
    if kind == "checkpoint" and family == "sd2":
        # Most SD 2 files trained at 768 pixels predict the velocity, and say the 768 in their name.
        prediction = prediction or ("v" if re.search(r"768|[-_]v([-_.]|$)", stem) else "")
        family = "sd2-v" if prediction == "v" else family
    defaults = defaults_of(family, stem if kind == "checkpoint" else "")
    return ModelEntry(
        stem, str(path), kind, family, size, defaults, problem, form,
        about.triggers, about.weight, about.description, about.thumbnail, prediction,
    )  # fmt: skip


def _folder(path: Path) -> ModelEntry:
    found = diffusers_folders.look(path)
    thumbnail = next((str(path / name) for name in ("preview.png", "thumbnail.png") if (path / name).is_file()), "")
    return ModelEntry(
        found.name, str(path), found.kind, found.family, found.size, found.defaults, found.problem, found.format,
        thumbnail=thumbnail, prediction=found.prediction,
    )  # fmt: skip


def _bundled_without_weights(path: Path) -> ModelEntry:
    """The checkpoint that comes with the program, before its weights are made."""
    about: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        about = json.loads((path / "atelier.json").read_text("utf-8"))
    family = str(about.get("family") or "sd15-small")
    defaults, _ = diffusers_folders.own_defaults(about, family)
    return ModelEntry(str(about.get("name", path.name)), str(path), "checkpoint", family, 0, defaults, NOT_YET)

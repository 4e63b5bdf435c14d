"""`<lora:name:te:unet>` in a prompt -> which file, how strongly. Light: no torch.

Knows A1111's rules of the arguments and how a name finds a file: its stem, with as many folders before it as are
given, else the trainer's own name for it (`ss_output_name`), in any case of letters; or its whole path. Leaves
reading the weights to `files`, and putting them in place to `applied` and `hypernetworks`.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from generation import headers
from generation.catalogue import PICKLE, ModelEntry, look
from generation.errors import BadSpec, UnknownModel, nearest
from generation.prompts.grammar import Network

LORAS = ("lora", "lyco")
HYPERNETWORKS = ("hypernet",)
KINDS = (*LORAS, *HYPERNETWORKS)
# What the catalogue calls the files; a pickle without a telling folder is "unknown".
LORA_FILES = ("lora", "lycoris")
HYPERNETWORK_FILES = ("hypernetwork", "hypernet")
HYPERNETWORK_FOLDER = "hypernetworks"
USABLE = ("", PICKLE)


@dataclass(frozen=True)
class Use:
    """One network as asked for. Strengths have no unit: 1 is as trained, 0 is not at all, below 0 the opposite.

    `text` is for all text encoders. `rank` keeps only a LoRA's first so many directions (A1111's `dyn`), None all.
    """

    entry: ModelEntry
    unet: float = 1.0
    text: float = 1.0
    rank: int | None = None


def resolve(networks: Sequence[Network], entries: Sequence[ModelEntry], family: str = "") -> list[Use]:
    """The `<lora:...>` and `<lyco:...>` of a prompt in their order; `<hypernet:...>` is left to `hypernetworks`.

    Arguments as in A1111: name, strength for the text encoders (1), for the UNet (the same), rank; `te=`, `unet=` and
    `dyn=` name them. Of several files with one name the one of the model's `family` is taken. Raises `UnknownModel`
    with the nearest name, `BadSpec` for a strength that is no number and for an unknown kind of network.
    """
    uses = []
    for network in _known(networks):
        if network.kind not in LORAS:
            continue
        named = dict(network.named)
        text = _number(network, named.get("te", _at(network, 1)), "te", 1.0)
        unet = _number(network, named.get("unet", _at(network, 2)), "unet", text)
        rank = _rank(network, named.get("dyn", _at(network, 3)))
        files = [entry for entry in entries if entry.kind in LORA_FILES]
        uses.append(Use(_find(network, files, family), unet, text, rank))
    return uses


def hypernetworks(
    networks: Sequence[Network], entries: Sequence[ModelEntry], family: str = ""
) -> list[tuple[ModelEntry, float]]:
    """The `<hypernet:name:strength>` of a prompt in their order, strength 1 where it is left out. Raises as `resolve`.

    A hypernetwork is a pickle, which the catalogue may not tell by its content: files of A1111's folder count as well.
    """
    files = [
        entry
        for entry in entries
        if entry.kind in HYPERNETWORK_FILES
        or (entry.kind == "unknown" and HYPERNETWORK_FOLDER in {part.lower() for part in Path(entry.path).parts})
    ]
    return [
        (_find(network, files, family), _number(network, _at(network, 1), "strength", 1.0))
        for network in _known(networks)
        if network.kind in HYPERNETWORKS
    ]


def _known(networks: Iterable[Network]) -> list[Network]:
    networks = list(networks)
    for network in networks:
        if network.kind not in KINDS:
            raise BadSpec(
                f'there is no kind of network "{network.kind}" in {_written(network)}',
                nearest(network.kind, KINDS) or f"Choose {', '.join(KINDS)}, or take the angle brackets away.",
            )
        if not network.name.strip():
            raise BadSpec(f"{_written(network)} names no file", "Write <lora:name:1>.")
    return networks


def _written(network: Network) -> str:
    arguments = [*network.positional, *(f"{name}={value}" for name, value in network.named)]
    return f"<{':'.join([network.kind, *arguments])}>"


def _at(network: Network, place: int) -> str | None:
    return network.positional[place] if len(network.positional) > place else None


def _number(network: Network, text: str | None, name: str, default: float) -> float:
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadSpec(f'{name} in {_written(network)} is no number: "{text}"', "Give one from 0 to 1.")
    return value


def _rank(network: Network, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise BadSpec(
            f'dyn in {_written(network)} is no rank: "{text}"', "Give a whole number from 1, or leave it out."
        )
    return value


def _find(network: Network, files: Sequence[ModelEntry], family: str) -> ModelEntry:
    """The file of that name that suits the model best."""
    wanted = _parts(network.name)
    found = [entry for entry in files if _ends(entry, wanted)]
    if not found:
        found = [entry for entry in files if _folded(_alias(entry)) == _folded(network.name)]
    if found:
        return min(found, key=lambda entry: _rank_of(entry, network.name, family))
    path = Path(network.name)
    if path.is_absolute() and path.is_file():  # a file that is in none of the folders
        return look(path)
    what = "hypernetwork" if network.kind in HYPERNETWORKS else "LoRA"
    known = sorted({entry.name for entry in files} | {alias for entry in files if (alias := _alias(entry))})
    hint = nearest(network.name, known) or (
        "`atelier models list` shows them; studio.models adds folders."
        if known
        else f"There is no {what} at all: studio.models adds folders."
    )
    raise UnknownModel(f'there is no {what} "{network.name}"', hint)


def _rank_of(entry: ModelEntry, name: str, family: str) -> tuple[bool, int, bool, int, str]:
    """Sorts the best first: usable, of the model's family, written the same, highest folder."""
    base, mine = (name.partition("-")[0] for name in (entry.family, family))
    distance = 0 if base == mine else 1 if base == "unknown" else 2
    exact = PurePosixPath(name.replace("\\", "/")).name in {entry.name, Path(entry.path).name}
    return entry.problem not in USABLE, distance, not exact, len(Path(entry.path).parts), entry.path


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _parts(name: str) -> tuple[str, ...]:
    return tuple(_folded(part) for part in name.strip().replace("\\", "/").split("/") if part not in {"", "."})


def _ends(entry: ModelEntry, wanted: tuple[str, ...]) -> bool:
    """Whether the file's path ends in `wanted`, with or without its suffix, or its name in the catalogue is it."""
    path = Path(entry.path)
    if not wanted:
        return False
    if wanted == (_folded(entry.name),):
        return True
    return any(
        tuple(_folded(part) for part in (*path.parts[:-1], last))[-len(wanted) :] == wanted
        for last in (path.stem, path.name)
    )


def _alias(entry: ModelEntry) -> str:
    """The name the trainer gave the weights, "" where the file does not say; read when no file name fits."""
    path = Path(entry.path)
    try:
        about = path.stat()
    except OSError:
        return ""
    return _said(path, about.st_size, about.st_mtime_ns) if path.suffix.lower() == ".safetensors" else ""


@lru_cache(maxsize=8192)
def _said(path: Path, size: int, changed: int) -> str:
    """`ss_output_name` of the file as it was at that size and time."""
    try:
        return headers.read_all(path)[1].get("ss_output_name", "")
    except (OSError, ValueError):
        return ""

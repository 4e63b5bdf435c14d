"""Which GGUF models there are and whether they fit, told from their headers without loading anything.

Knows the GGUF layout (versions 2 and 3: magic, counts, then typed key-value pairs; specified in ggml's docs/gguf.md).
Leaves loading to `llama_cpp`.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from assistant.errors import BadArgument, ModelMissing, nearest
from assistant.llm.llama_cpp import GGUF_MAGIC, bundled
from assistant.paths import Paths
from assistant.settings import Settings

# Value types of the format: struct letters; 8 is a string, 9 an array.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_PAIRS = 10_000
_MOST_PARTS = 1_000
_LONGEST_STRING = 8_000_000
_OVERHEAD = 300_000_000  # bytes of buffers beside weights and cache
_DEEPEST = 4
_PART = re.compile(r"-(\d{5})-of-(\d{5})(?=\.gguf$)")


@dataclass(frozen=True)
class GgufModel:
    """One model. `needs` is the memory in bytes at the context of the settings; `problem` why it cannot be used."""

    name: str
    path: str
    size: int
    architecture: str
    parameters: int
    context: int
    layers: int
    needs: int
    fits: bool
    chosen: bool
    bundled: bool
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def available(paths: Paths, settings: Settings) -> list[GgufModel]:
    """The bundled model, the chosen one, and every .gguf under the folders of `llm.models` and the models' folder."""
    own = bundled()
    wanted = settings["llm.model"]
    found: dict[Path, None] = {}
    if own is not None:
        found[own] = None
    if wanted:
        found[Path(wanted).expanduser()] = None
    for root in (paths.models, *(Path(p).expanduser() for p in settings["llm.models"])):
        for path in _walk(root):
            found.setdefault(path)
    chosen = Path(wanted).expanduser() if wanted else own
    return [look(path, settings["llm.context"], chosen=path == chosen, bundled=path == own) for path in found]


def _walk(root: Path) -> list[Path]:
    """Files by name; of a model in parts (-00001-of-00003) the first one."""
    depth = len(root.parts) + _DEEPEST
    found = []
    for place, folders, files in os.walk(root):
        if len(Path(place).parts) >= depth:
            folders.clear()
        found += [
            Path(place) / name
            for name in sorted(files)
            if name.endswith(".gguf") and ((part := _PART.search(name)) is None or int(part.group(1)) == 1)
        ]
    return sorted(found)


def choose(name: str, models: Sequence[GgufModel]) -> GgufModel:
    """By name, file name or path. Raises `BadArgument` or `ModelMissing`."""
    path = Path(name).expanduser()
    for model in models:
        if name in (model.name, Path(model.path).name, model.path) or Path(model.path) == path.absolute():
            break
    else:
        if not path.is_file():
            names = [Path(model.path).name for model in models]
            raise BadArgument(f'there is no model "{name}"', nearest(name, names) or "Give the path of a GGUF file.")
        model = look(path.absolute(), 4096)
    if model.problem:
        raise ModelMissing(f"{model.path}: {model.problem}", "Choose another GGUF file.")
    return model


def look(path: Path, context: int, *, chosen: bool = False, bundled: bool = False) -> GgufModel:
    """The model of a file; one that cannot be read carries its problem."""
    try:
        size = sum(part.stat().st_size for part in _parts(path))
        about = header(path)
        parameters = _whole(about.get("general.parameter_count"))
    except (OSError, ValueError) as error:
        text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        return GgufModel(path.stem, str(path), 0, "", 0, 0, 0, 0, False, chosen, bundled, text)
    kind = str(about.get("general.architecture", ""))

    def number(key: str) -> int:
        return _whole(about.get(f"{kind}.{key}"))

    layers, width, heads = number("block_count"), number("embedding_length"), number("attention.head_count")
    kv_heads = number("attention.head_count_kv") or heads
    length = number("attention.key_length") or (width // heads if heads else 0)
    trained = number("context_length")
    used = min(context, trained) if trained else context
    cache = 2 * 2 * layers * kv_heads * length * used  # keys and values, 16 bits each
    needs = size + cache + _OVERHEAD
    room = free_memory()
    return GgufModel(
        path.stem, str(path), size, kind, parameters, trained, layers, needs,
        room == 0 or needs <= room, chosen, bundled,
    )  # fmt: skip


def _whole(value: Any) -> int:
    """A count of the header; 0 for what is none (a text, a negative number, infinity)."""
    return int(value) if isinstance(value, (int, float)) and 0 < value < 1 << 62 else 0


def _parts(path: Path) -> list[Path]:
    """All files of a model in parts. Raises ValueError naming the one that is not there."""
    part = _PART.search(path.name)
    if part is None:
        return [path]
    total = int(part.group(2))
    if not 0 < total <= _MOST_PARTS:
        raise ValueError(f"{total} parts are not possible")
    names = [_PART.sub(f"-{n:05}-of-{total:05}", path.name) for n in range(1, total + 1)]
    for name in names:
        if not (path.parent / name).is_file():
            raise ValueError(f"its part {name} is missing")
    return [path.parent / name for name in names]


def free_memory() -> int:
    """Bytes that can be had now (Linux: MemAvailable); 0 where it cannot be told."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0


def header(path: Path) -> dict[str, Any]:
    """The key-value pairs of a GGUF file, arrays left out. Raises ValueError in one line, OSError."""
    with path.open("rb") as file:
        if file.read(4) != GGUF_MAGIC:
            raise ValueError("not a GGUF file")
        try:
            version, _, count = struct.unpack("<IQQ", _take(file, 20))
            if version not in (2, 3):
                raise ValueError(f"GGUF version {version} is not known")
            if count > _MOST_PAIRS:
                raise ValueError("its header is damaged")
            found: dict[str, Any] = {}
            for _ in range(count):
                key = _string(file)
                (kind,) = struct.unpack("<I", _take(file, 4))
                value = _value(file, kind)
                if value is not None:
                    found[key] = value
        except (struct.error, UnicodeDecodeError, EOFError) as error:
            raise ValueError("its header is cut short") from error
    return found


def _take(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _skip(file: IO[bytes], count: int) -> None:
    if count > os.fstat(file.fileno()).st_size - file.tell():
        raise EOFError
    file.seek(count, os.SEEK_CUR)


def _string(file: IO[bytes]) -> str:
    (length,) = struct.unpack("<Q", _take(file, 8))
    if length > _LONGEST_STRING:
        raise ValueError("its header is damaged")
    return _take(file, length).decode("utf-8", "replace")


def _value(file: IO[bytes], kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind in _NUMBERS:
        letter = "<" + _NUMBERS[kind]
        return struct.unpack(letter, _take(file, struct.calcsize(letter)))[0]
    if kind != _ARRAY:
        raise ValueError(f"its header holds an unknown type {kind}")
    inner, count = struct.unpack("<IQ", _take(file, 12))
    if inner in _NUMBERS:
        _skip(file, count * struct.calcsize("<" + _NUMBERS[inner]))
        return None
    if inner != _STRING or count > _LONGEST_STRING:
        raise ValueError("its header is damaged")
    for _ in range(count):
        (length,) = struct.unpack("<Q", _take(file, 8))
        _skip(file, length)
    return None

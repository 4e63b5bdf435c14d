"""The commands that train: `train lora`, `dreambooth`, `embedding`, `finetune`.

Settings come, each over the one before, from the preset, the notes (`--guide`), a file (`--config`) and the options.
Takes (options, paths, settings), returns (plain data, exit status).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from assistant.cli.commands import Result, absolute, do, given
from assistant.errors import BadArgument
from assistant.pace import eta
from assistant.paths import Paths
from assistant.settings import Settings
from generation.training import kohya_settings
from generation.training.settings import table

LARGEST = 1_000_000  # bytes of a file of settings


def train(options: argparse.Namespace, paths: Paths, settings: Settings) -> Result:
    """A model taught; stopped and started again it goes on."""
    kind = options.subcommand
    if not 1 <= options.processes <= 64:
        raise BadArgument(f"{options.processes} processes cannot be", "Give --processes 1 to 64.")
    dataset = str(Path(given(options.dataset, "dataset")).expanduser().absolute())
    filled: list[dict[str, Any]] = []
    values: dict[str, Any] = {}
    if options.guide:
        found = do("guide-settings", {"question": options.guide, "kind": kind}, paths, settings)["settings"]
        if not found:
            raise BadArgument(
                "the notes state no settings for that question",
                "Ask for settings by name: what settings does the LoRA in my guide use?",
            )
        filled += found
        values |= {one["setting"]: one["value"] for one in found if one["setting"]}
    if options.config:
        stated = kohya_settings.parse(_text(Path(options.config).expanduser()), kind)
        if not any(one.setting for one in stated):
            raise BadArgument(
                f"{options.config} states no settings", "Give a file with lines such as max_train_epochs = 10."
            )
        values |= {one.setting: one.value for one in stated if one.setting}
        path = str(Path(options.config).expanduser().absolute())
        filled += [{"setting": one.setting, "value": one.value, "said": one.text, "path": path} for one in stated]
    for parameter in table(kind):
        typed = getattr(options, parameter.name)
        if typed is not None:
            values[parameter.name] = typed if isinstance(typed, bool) else parameter.parsed(str(typed))
    regularisation = getattr(options, "regularisation", None)
    spec = {
        "kind": kind,
        "dataset": dataset,
        "output": str(Path(given(options.output, "output")).expanduser().absolute()),
        "model": options.model or settings["studio.model"],
        "settings": values,
        "regularisation": absolute(regularisation),
        "preset": options.preset,
        "memory_gb": options.memory,
        "processes": options.processes,
    }
    return {**do(f"train-{kind}", spec, paths, settings), "filled": filled}, 0


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise BadArgument(f"{path} is larger than {LARGEST // 1000} kB", "Give the part with the settings.")
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise BadArgument(f"{path} is no text", "Give a TOML or text file.") from error
    except OSError as error:
        raise BadArgument(f"{path} cannot be read: {error.strerror}", "Check the path.") from error


def show_train(result: dict[str, Any]) -> str:
    lines = []
    for one in result["filled"]:
        where = f"{one['path']}:{one['line_start']}" if "line_start" in one else one["path"]
        what = f"{one['setting']} {one['value']}" if one["setting"] else "without effect here"
        lines.append(f"{what:<32} “{one['said']}” ({where})")
    loss = f", loss {result['loss']:.4f}" if result["loss"] is not None else ""
    held = f", validation {result['validation']:.4f}" if result["validation"] is not None else ""
    lines += [
        result["path"],
        f"{result['kind']} on {result['model']}: {result['steps']} steps ({result['epochs']:g} epochs) of "
        f"{result['pictures']} pictures{loss}{held}, {result['bytes'] / 1e6:.1f} MB, {eta(result['seconds'])}",
        f"losses: {result['plot']}",
    ]
    if result["overfit"] is not None:
        lines.append(f"overfitting was seen at step {result['overfit']}; the best was step {result['best']}")
    if result["best_path"]:
        lines.append(f"best: {result['best_path']}")
    lines += [f"sample: {path}" for path in result["samples"][-4:]]
    return "\n".join(lines)

"""The options of `train lora`, `dreambooth`, `embedding` and `finetune`, from the trainings' own settings."""

from __future__ import annotations

from typing import Any

from assistant.cli.picture_table import option
from generation.training.presets import SUBJECTS
from generation.training.settings import PRIOR, table

Arguments = tuple[tuple[str, ...], dict[str, Any]]


def training_arguments(kind: str) -> list[Arguments]:
    """What is taught, where it goes, where settings come from, then every setting."""
    first: list[Arguments] = [
        (("dataset",), {"metavar": "DATASET", "help": "a folder of pictures, kohya's layout, or a JSONL file"}),
        (("-o", "--output"), {"metavar": "FILE", "help": "file to write; the same again goes on where it stopped"}),
        (("--model",), {"metavar": "NAME", "help": "the checkpoint that is trained"}),
        (
            ("--preset",),
            {
                "metavar": "WORD",
                "default": "",
                "help": f"plan what is left open, as `train plan` does: {', '.join(SUBJECTS)}",
            },
        ),
        (("--memory",), {"type": float, "metavar": "GB", "help": "plan for so much memory; none: what is here"}),
        (
            ("--processes",),
            {"type": int, "default": 1, "metavar": "N", "help": "GPUs (or CPU processes) that share the work (1)"},
        ),
        (("--config",), {"metavar": "FILE", "help": "settings as kohya's tools write them, TOML or any text"}),
        (
            ("--guide",),
            {"metavar": "QUESTION", "help": "settings that the library's notes state, with where they stand"},
        ),
    ]
    if any(parameter in table(kind) for parameter in PRIOR):
        first.append(
            (("--regularisation",), {"metavar": "FOLDER", "help": "pictures of the class, to keep it as it is"})
        )
    return [*first, *(option(parameter) for parameter in table(kind))]

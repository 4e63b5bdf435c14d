"""Every command of the shell in one table. Help, README and the parser come from it; listing it loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Argument:
    """One argument as argparse takes it."""

    names: tuple[str, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Command:
    """`run(options, paths, settings) -> (data, status)`; `show(data) -> text`. `light` ones load no model."""

    name: str
    help: str
    arguments: tuple[Argument, ...]
    run: str
    show: str
    light: bool = False


def _a(*names: str, **options: Any) -> Argument:
    return Argument(names, options)


RUN = "assistant.cli.commands:"
SHOW = "assistant.cli.show:"

COMMANDS: tuple[Command, ...] = (
    Command(
        "ingest",
        "Read files and folders of notes into the library",
        (
            _a(
                "paths",
                nargs="*",
                metavar="PATH",
                help="files or folders; none: the collections again",
            ),
        ),
        RUN + "ingest",
        SHOW + "ingest",
    ),
    Command(
        "search",
        "Find passages in the library",
        (
            _a("query", metavar="QUERY"),
            _a("-k", type=int, default=8, help="how many passages (8)"),
            _a("--explain", action="store_true", help="show the signals behind each score"),
        ),
        RUN + "search",
        SHOW + "search",
    ),
    Command(
        "ask",
        "Answer a question from the library, with quotes and where they stand",
        (_a("question", metavar="QUESTION"),),
        RUN + "ask",
        SHOW + "ask",
    ),
    Command("chat", "Ask one question after another", (), RUN + "chat", SHOW + "nothing"),
    Command(
        "prompt parse",
        "Show how a prompt is understood: texts and weights, networks, warnings",
        (_a("text", metavar="TEXT"),),
        RUN + "prompt_parse",
        SHOW + "prompt_parse",
        light=True,
    ),
    Command(
        "prompt chunks",
        "Show the 75-token chunks of a prompt",
        (_a("text", metavar="TEXT"),),
        RUN + "prompt_chunks",
        SHOW + "prompt_chunks",
        light=True,
    ),
    Command(
        "prompt expand",
        "Expand an idea into a prompt, informed by the library",
        (
            _a("idea", metavar="IDEA"),
            _a(
                "--strength",
                type=float,
                default=0.7,
                help="0 adds nothing, 1 fills every slot (0.7)",
            ),
            _a("--chunks", type=int, default=1, help="budget in chunks of 75 tokens (1)"),
            _a("--seed", type=int, default=0),
            _a("--no-notes", action="store_true", help="do not look into the library"),
        ),
        RUN + "prompt_expand",
        SHOW + "prompt_expand",
    ),
    Command(
        "render",
        "Render a prompt to a picture",
        (
            _a("prompt", metavar="PROMPT", nargs="?", help="the prompt; may come from --again"),
            _a(
                "-o",
                "--output",
                metavar="FILE",
                help="PNG to write; none: a new name in the pictures folder",
            ),
            _a("--negative", metavar="TEXT"),
            _a("--steps", type=int),
            _a("--seed", type=int, help="-1 draws one (the default)"),
            _a("--width", type=int),
            _a("--height", type=int),
            _a("--cfg", type=float, help="guidance scale"),
            _a("--sampler", metavar="NAME", help="by its A1111 name"),
            _a("--model", metavar="NAME", help="name in `atelier models list`, or a path"),
            _a("--clip-skip", type=int),
            _a("--batch", type=int, help="pictures in one go, with seeds that follow each other"),
            _a("--again", metavar="PICTURE", help="start from the settings of a picture"),
        ),
        RUN + "render",
        SHOW + "render",
    ),
    Command(
        "image-info",
        "Show the metadata of a picture: A1111, ComfyUI, InvokeAI, Atelier",
        (_a("file", metavar="FILE"),),
        RUN + "image_info",
        SHOW + "image_info",
        light=True,
    ),
    Command(
        "models list",
        "List checkpoints and other weights",
        (),
        RUN + "models_list",
        SHOW + "models_list",
        light=True,
    ),
    Command(
        "jobs",
        "List jobs, or run one again",
        (
            _a("--again", type=int, metavar="ID", help="run job ID once more"),
            _a("-n", type=int, default=20, help="how many (20)"),
        ),
        RUN + "jobs",
        SHOW + "jobs",
    ),
    Command(
        "doctor",
        "Check the installation and the library",
        (
            _a(
                "--rebuild",
                action="store_true",
                help="make the library's index again from its store",
            ),
        ),
        RUN + "doctor",
        SHOW + "doctor",
    ),
    Command("where", "Print every path that is used", (), RUN + "where", SHOW + "where", light=True),
    Command(
        "settings",
        "Show the settings, or set one",
        (_a("name", nargs="?"), _a("value", nargs="?")),
        RUN + "settings",
        SHOW + "settings",
        light=True,
    ),
    Command("bench", "Measure what should be fast, side by side", (), RUN + "bench", SHOW + "bench"),
    Command(
        "eval retrieval",
        "Score retrieval on a folder in BEIR layout",
        (_a("folder", metavar="DIR"),),
        RUN + "eval_retrieval",
        SHOW + "eval_retrieval",
    ),
)

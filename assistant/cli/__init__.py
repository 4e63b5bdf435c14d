"""The shell: one table of commands, one way to print and to fail.

A command's function returns plain data; `--json` prints it as it is, else its `show` function turns it into text.
Exit status: 0 done, 1 done but not all went well, 2 an error that the person can mend, 130 cancelled.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import warnings
from importlib import import_module
from typing import Any, NoReturn

from assistant.cli.table import COMMANDS, Command
from assistant.errors import BadArgument, Cancelled, nearest, one_line
from assistant.paths import Paths
from assistant.settings import Settings


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line with the nearest command."""

    def error(self, message: str) -> NoReturn:
        raise BadArgument(message.replace("\n", " "), f"`{self.prog} --help` shows the usage.")


def build() -> Parser:
    """The parser of every command in the table."""
    common = Parser(add_help=False)
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS,
                        help="print the result as JSON")  # fmt: skip
    common.add_argument("--home", metavar="DIR", default=argparse.SUPPRESS,
                        help="keep everything under DIR (or set ATELIER_HOME)")  # fmt: skip
    parser = Parser(
        prog="atelier",
        parents=[common],
        description="A private librarian, a prompt assistant and an image engine, offline. "
        "Without a command it opens the terminal program.",
    )
    groups: dict[str, Any] = {}
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS:
        first, _, second = command.name.partition(" ")
        if second:
            if first not in groups:
                group = commands.add_parser(first, help=_group_help(first), parents=[common])
                groups[first] = group.add_subparsers(
                    dest="subcommand", metavar="WHAT", required=True, parser_class=Parser
                )
            sub = groups[first].add_parser(second, help=command.help, parents=[common])
        else:
            sub = commands.add_parser(first, help=command.help, parents=[common])
        sub.set_defaults(entry=command)
        for argument in command.arguments:
            sub.add_argument(*argument.names, **argument.options)
    return parser


def _group_help(first: str) -> str:
    return "; ".join(c.help for c in COMMANDS if c.name.startswith(first + " "))


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _check_command(arguments)
        options = build().parse_args(arguments)
        return _run(options)
    except (Cancelled, KeyboardInterrupt):
        print("atelier: cancelled", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`atelier ... | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("ATELIER_TRACEBACK"):
            raise
        print(f"atelier: {one_line(error)}", file=sys.stderr)
        return 2


def _check_command(arguments: list[str]) -> None:
    """argparse lists all choices for a mistyped command; name the nearest instead."""
    names = {command.name.partition(" ")[0] for command in COMMANDS}
    skip = False
    for word in arguments:
        if skip:
            skip = False
        elif word == "--home":
            skip = True
        elif not word.startswith("-"):
            if word not in names:
                raise BadArgument(f'there is no command "{word}"', nearest(word, sorted(names)))
            return


def _run(options: argparse.Namespace) -> int:
    paths = Paths.find(getattr(options, "home", None))
    command: Command | None = getattr(options, "entry", None)
    if command is None:
        from assistant.tui.start import start

        return start(paths, getattr(options, "home", None))
    if not command.light:
        quiet()
    settings = Settings(paths.settings)
    run = _resolve(command.run)
    result, status = run(options, paths.make(), settings)
    if getattr(options, "json", False):
        json.dump(result, sys.stdout, ensure_ascii=False, indent=1)
        sys.stdout.write("\n")
    else:
        text = _resolve(command.show)(result)
        if text:
            print(text)
    return int(status)


def quiet() -> None:
    """Libraries speak through warnings, logs and bars; a person asked for none of it."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")


def _resolve(name: str) -> Any:
    module, attribute = name.split(":")
    return getattr(import_module(module), attribute)

"""Writes the tables of commands, keys and settings into README.md from the tables in the code.

python docs/readme_tables.py          write them
python docs/readme_tables.py --check  fail when README.md says something else
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from assistant.cli.table import COMMANDS
from assistant.settings import SETTINGS
from assistant.tui.keys import KEYS
from generation.animation.motion_models.settings import MOTION

README = Path(__file__).parent.parent / "README.md"


def commands() -> str:
    """One row a command."""
    rows = ["| command | what it does |", "|---|---|"]
    for command in COMMANDS:
        names = [a.options.get("metavar", a.names[0].upper()) for a in command.arguments if a.names[0][0] != "-"]
        rows.append(f"| `atelier {' '.join([command.name, *names])}` | {command.help} |")
    return "\n".join(rows)


def keys() -> str:
    """One row a key."""
    rows = ["| where | key | what it does |", "|---|---|---|"]
    rows += [f"| {key.where} | {key.shown} | {key.help} |" for key in KEYS]
    return "\n".join(rows)


def settings() -> str:
    """One row a setting."""
    rows = ["| setting | default | what it is |", "|---|---|---|"]
    for setting in SETTINGS:
        choices = f" ({', '.join(setting.choices)})" if setting.choices else ""
        rows.append(f"| `{setting.name}` | `{setting.default!r}` | {setting.help}{choices} |")
    return "\n".join(rows)


def motion() -> str:
    """One row a setting of a clip's file."""
    rows = ["| setting | default | what it is |", "|---|---|---|"]
    for parameter in MOTION:
        choices = f" ({', '.join(parameter.choices)})" if parameter.choices else ""
        rows.append(f"| `{parameter.name}` | `{parameter.default!r}` | {parameter.help}{choices} |")
    return "\n".join(rows)


TABLES: dict[str, Callable[[], str]] = {"commands": commands, "keys": keys, "motion": motion, "settings": settings}


def rewritten(text: str) -> str:
    """The README with each table between its two marks made anew."""
    for name, table in TABLES.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        before, after = pattern.search(text).span()  # type: ignore[union-attr]
        text = f"{text[:before]}<!-- {name} -->\n{table()}\n<!-- end -->{text[after:]}"
    return text


def main() -> int:
    """0 when the README is right (now)."""
    text = README.read_text("utf-8")
    made = rewritten(text)
    if "--check" in sys.argv:
        return int(made != text)
    README.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

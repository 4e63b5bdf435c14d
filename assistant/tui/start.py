"""Opening the terminal program: what must happen before Textual takes the terminal."""

from __future__ import annotations

import sys

from assistant.errors import AssistantError
from assistant.paths import Paths
from assistant.settings import Settings


def start(paths: Paths, home: str | None) -> int:
    """Run the program until the person leaves; returns the exit status."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise AssistantError("there is no terminal to open Atelier in", "Use a command: atelier --help.")
    settings = Settings(paths.make().settings)
    if settings["look.preview"] != "off":
        # Asks the terminal for its graphics protocol and cell size, whatever is drawn; once the app reads the keys no
        # answer comes, and its last letter, c, is taken for one.
        import textual_image.renderable  # noqa: F401

    from assistant.tui.app import Atelier

    app = Atelier(paths, settings, home=home)
    app.run()
    return app.return_code or 0

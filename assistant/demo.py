"""`make demo`: the whole main job without a screen, printed as it happens.

Notes in, two questions (one that they answer, one that they do not), an idea expanded, the draft rendered, and a
question about that very render. Everything lands under the folder given with --out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from assistant.cli import quiet, show, show_library
from assistant.cli.progress import Progress
from assistant.errors import one_line
from assistant.jobs import handlers, library
from assistant.jobs.workshop import Workshop
from assistant.paths import Paths
from assistant.settings import Settings

ANSWERABLE = "What does the CFG scale do?"
UNANSWERABLE = "Who won the football world cup in 1998?"
IDEA = "a red apple on a blue background"
ABOUT_THE_RENDER = "Which sampler rendered the red apple on a blue background?"


def main(arguments: list[str] | None = None) -> int:
    """Run it; 0 when every step did what it should, 1 when one did not, 2 on an error."""
    parser = argparse.ArgumentParser(prog="python -m assistant.demo")
    parser.add_argument("--out", type=Path, default=Path("out"))
    options = parser.parse_args(arguments)
    quiet()
    try:
        return run(options.out.absolute())
    except Exception as error:
        print(f"atelier: {one_line(error)}", file=sys.stderr)
        return 2


def run(out: Path) -> int:
    """The five steps, over a home in `out`."""
    paths = Paths.find(out / "home").make()
    shop = Workshop(paths, Settings(paths.settings))
    progress = Progress(sys.stderr)

    def do(handler: Any, spec: dict[str, Any]) -> dict[str, Any]:
        try:
            result: dict[str, Any] = handler(shop, spec, report=progress.report, check=lambda: None)
        finally:
            progress.close()
        return result

    print("1. The sample notes are read.")
    print(show_library.ingest(do(library.sync, {})))

    print(f"\n2. Two questions.\n> {ANSWERABLE}")
    answered = do(library.ask, {"question": ANSWERABLE})
    print(show_library.ask(answered))
    print(f"> {UNANSWERABLE}")
    refused = do(library.ask, {"question": UNANSWERABLE})
    print(show_library.ask(refused))

    print(f"\n3. An idea is expanded.\n> {IDEA}")
    draft = do(handlers.expand, {"idea": IDEA})
    print(show.prompt_expand(draft))

    print("\n4. The draft is rendered.")
    spec = {"prompt": draft["prompt"], "negative": draft["negative"], "seed": 7}
    rendered = do(handlers.render, {"spec": spec, "output": str(out / "demo.png")})
    print(show.render(rendered))

    print(f"\n5. The library knows about it.\n> {ABOUT_THE_RENDER}")
    remembered = do(library.ask, {"question": ABOUT_THE_RENDER})
    print(show_library.ask(remembered))

    right = (
        not answered["refused"]
        and refused["refused"]
        and draft["prompt"].startswith(IDEA)
        and Path(rendered["path"]).is_file()
        and rendered["spec"]["sampler"] in remembered["answer"]
    )
    print("\nEvery step did what it should." if right else "\nA step did not do what it should.")
    return 0 if right else 1


if __name__ == "__main__":
    raise SystemExit(main())

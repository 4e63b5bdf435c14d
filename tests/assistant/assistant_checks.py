"""What the tests of the library's jobs share: a workshop over a home of its own and language models that obey."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from assistant.jobs import library
from assistant.jobs.workshop import Workshop
from assistant.llm import Message
from assistant.paths import Paths
from assistant.settings import Settings


def workshop(home: Path, **chosen: Any) -> Workshop:
    """A library of its own with the embedder that needs no weights; no sample notes, no language model."""
    paths = Paths.find(home).make()
    settings = Settings(paths.settings)
    plain = {"library.embedder": "hashed-words", "library.samples": False, "llm.backend": "off"}
    for name, value in (plain | {k.replace("__", "."): v for k, v in chosen.items()}).items():
        settings[name] = value
    return Workshop(paths, settings)


def do(kind: str, shop: Workshop, **spec: Any) -> dict[str, Any]:
    """One job of the library, its events under "events"."""
    events: list[dict[str, Any]] = []
    result: dict[str, Any] = getattr(library, kind)(shop, spec, report=events.append, check=lambda: None)
    return {**result, "events": events}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def states(result: dict[str, Any]) -> dict[str, str]:
    """File name -> status of an ingest."""
    return {Path(d["path"]).name: d["status"] for d in result["documents"]}


class Fake:
    """A language model that says what `reply` makes of what it is told, in pieces of a few letters."""

    name = "fake"

    def __init__(
        self, reply: str | Callable[[str], str], parameters: int = 135_000_000, *, context: int = 4096, piece: int = 7
    ) -> None:
        self.reply, self.parameters, self.context, self.piece = reply, parameters, context, piece
        self.told: list[Sequence[Message]] = []
        self.given = 0  # pieces that were taken

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        repeat_penalty: float = 1.1,
        grammar: str | None = None,
        stop: Sequence[str] = (),
        seed: int = 0,
        check: Callable[[], None] = lambda: None,
    ) -> Iterator[str]:
        self.told.append(list(messages))
        whole = "\n".join(message.content for message in messages)
        text = self.reply if isinstance(self.reply, str) else self.reply(whole)
        for start in range(0, len(text), self.piece):
            check()
            self.given += 1
            yield text[start : start + self.piece]

    def count(self, text: str) -> int:
        return max(1, len(text) // 4)

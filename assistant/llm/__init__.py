"""Language models: what one is, and the table of those who run it. Choosing one imports it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from assistant.errors import BadSetting, ModelMissing, nearest
from assistant.settings import Settings

BACKENDS: dict[str, str] = {
    "llama.cpp": "assistant.llm.llama_cpp:LlamaCpp",
    "server": "assistant.llm.server:Server",
}
# Below this many weights a model gets one quote and may add one sentence, and chooses phrases instead of writing them:
# with three quotes SmolLM2-135M mixes them, and free phrases turn into tales about the viewer.
SMALL = 700_000_000
# From here a model gets whole passages and the conversation, and may rephrase.
LARGE = 5_000_000_000


@dataclass(frozen=True)
class Message:
    """One turn of a chat. `role` is system, user or assistant."""

    role: str
    content: str


class LanguageModel(Protocol):
    """A chat model. Not safe for two calls at once: one worker owns it.

    `parameters` is the count of weights (0 when unknown), `context` the window in tokens.
    """

    name: str
    parameters: int
    context: int

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
        """Pieces of the reply. `grammar` is GBNF; `check` is called for every token."""
        ...

    def count(self, text: str) -> int:
        """Tokens of `text` in the model's own vocabulary."""
        ...


def load(settings: Settings) -> LanguageModel:
    """The language model the settings ask for.

    Raises `ModelMissing` when it is switched off or not there, with the file or package to provide.
    """
    backend = settings["llm.backend"]
    if backend == "off":
        raise ModelMissing("the language model is switched off", "Set llm.backend to llama.cpp.")
    if backend not in BACKENDS:
        raise BadSetting(f'there is no backend "{backend}"', nearest(backend, BACKENDS))
    module, attribute = BACKENDS[backend].split(":")
    factory: Any = getattr(import_module(module), attribute)
    return cast(LanguageModel, factory.from_settings(settings))

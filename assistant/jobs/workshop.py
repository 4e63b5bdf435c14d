"""What handlers need, made when first asked for and kept warm: library, engine, language model, catalogue.

One of these lives in each worker, and in the shell's process for a single command.
"""

from __future__ import annotations

import gc
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import AssistantError
from assistant.llm import LanguageModel, load
from assistant.paths import Paths
from assistant.settings import Settings
from generation.catalogue import Catalogue

if TYPE_CHECKING:
    from generation.engine import Engine
    from knowledge.library import Library


class Workshop:
    """Warm tools over one set of paths and settings."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self.paths = paths
        self.settings = settings
        self._language_model: tuple[object, LanguageModel] | None = None
        self._stamp = self._settings_stamp()

    def _settings_stamp(self) -> float:
        return self.paths.settings.stat().st_mtime if self.paths.settings.exists() else 0.0

    def refresh(self) -> None:
        """Read the settings again when the file changed; called before each job."""
        stamp = self._settings_stamp()
        if stamp != self._stamp:
            self.settings = Settings(self.paths.settings)
            self._stamp = stamp
            self.__dict__.pop("catalogue", None)
            names = ("library.embedder", "library.reranker", "library.chroma")
            if "library" in self.__dict__ and self._library_key != tuple(self.settings[n] for n in names):
                self.__dict__.pop("library").close()

    @cached_property
    def library(self) -> Library:
        from knowledge.library import Library

        names = ("library.embedder", "library.reranker", "library.chroma")
        self._library_key = tuple(self.settings[name] for name in names)
        return Library(
            self.paths.library,
            embedder=self.settings["library.embedder"],
            reranker=self.settings["library.reranker"],
            server=self.settings["library.chroma"],
            writable=True,
        )

    @cached_property
    def catalogue(self) -> Catalogue:
        roots = [self.paths.models, *(Path(p).expanduser() for p in self.settings["studio.models"])]
        return Catalogue(roots, self.paths.catalogue)

    @cached_property
    def engine(self) -> Engine:
        from generation.engine import Engine

        device = self.settings["studio.device"]
        return Engine(
            self.catalogue,
            device=None if device == "auto" else device,
            precision=self.settings["studio.precision"],
            offload=self.settings["studio.offload"],
        )

    def language_model(self) -> LanguageModel:
        """The model the settings name; loaded again when they name another. Raises `ModelMissing`."""
        names = ("llm.backend", "llm.model", "llm.url", "llm.context", "llm.threads")
        key = tuple(self.settings[name] for name in names)
        if self._language_model is None or self._language_model[0] != key:
            self._language_model = None
            self._language_model = (key, load(self.settings))
        return self._language_model[1]

    def language_model_or_none(self) -> tuple[LanguageModel | None, str]:
        """The model, or None and one line that says why."""
        try:
            return self.language_model(), ""
        except AssistantError as error:
            return None, f"{error.message}. {error.hint}".strip()

    def release(self) -> list[str]:
        """Let go of the language model and the checkpoint; returns the names of what was held."""
        held = []
        if self._language_model is not None:
            held.append(self._language_model[1].name)
            self._language_model = None
        if "engine" in self.__dict__ and (model := self.engine.loaded):
            held.append(model)
            self.engine.unload()
        gc.collect()
        return held

    def output_folder(self) -> Path:
        chosen = self.settings["studio.output"]
        return Path(chosen).expanduser() if chosen else self.paths.output

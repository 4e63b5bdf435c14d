"""Where Atelier keeps things. One object, made once; `--home DIR` puts everything under one folder.

Leaves what stands in the files to their owners.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

APP = "atelier"


@dataclass(frozen=True)
class Paths:
    """Folders the program writes to. None needs to exist: `make()` creates them."""

    config: Path
    data: Path
    state: Path
    cache: Path
    output: Path

    @classmethod
    def find(cls, home: str | Path | None = None) -> Paths:
        """The folders under `home`, or `$ATELIER_HOME`, or the system's usual places."""
        home = home or os.environ.get("ATELIER_HOME")
        if home:
            root = Path(home).expanduser().resolve()
            return cls(root / "config", root / "data", root / "state", root / "cache", root / "pictures")
        return cls(
            platformdirs.user_config_path(APP),
            platformdirs.user_data_path(APP),
            platformdirs.user_state_path(APP),
            platformdirs.user_cache_path(APP),
            platformdirs.user_pictures_path() / "Atelier",
        )

    def make(self) -> Paths:
        """Create the folders (not the pictures' one, which the first render makes)."""
        for folder in (self.config, self.data, self.state, self.cache, self.previews, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        return self

    @property
    def settings(self) -> Path:
        return self.config / "settings.toml"

    @property
    def collections(self) -> Path:
        """The folders of notes the person keeps, by name."""
        return self.config / "collections.toml"

    @property
    def conversations(self) -> Path:
        return self.data / "conversations.sqlite3"

    @property
    def library(self) -> Path:
        return self.data / "library"

    @property
    def memory(self) -> Path:
        """Notes the program writes about renders, for the library to answer from."""
        return self.data / "memory"

    @property
    def prompts(self) -> Path:
        """The shelf of prompts that were kept."""
        return self.data / "prompts.sqlite3"

    @property
    def styles(self) -> Path:
        """Styles in A1111's styles.csv."""
        return self.config / "styles.csv"

    @property
    def templates(self) -> Path:
        """The person's own templates of expansions."""
        return self.config / "templates.toml"

    @property
    def wildcards(self) -> Path:
        return self.data / "wildcards"

    @property
    def models(self) -> Path:
        return self.data / "models"

    @property
    def gallery(self) -> Path:
        """The index of the pictures, and the ratings."""
        return self.data / "gallery.sqlite3"

    @property
    def catalogue(self) -> Path:
        """What was found in the folders of models last time."""
        return self.cache / "catalogue.json"

    @property
    def masks(self) -> Path:
        """Masks that were drawn in the program."""
        return self.data / "masks"

    @property
    def jobs(self) -> Path:
        return self.state / "jobs.sqlite3"

    @property
    def history(self) -> Path:
        """Former versions of the draft."""
        return self.state / "prompts.jsonl"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def previews(self) -> Path:
        return self.cache / "previews"

    @property
    def samples(self) -> Path:
        """The bundled sample notes (read only)."""
        return Path(__file__).parent / "samples"

    def to_json(self) -> dict[str, str]:
        names = (
            "config", "settings", "collections", "data", "library", "conversations", "memory",
            "prompts", "styles", "templates", "wildcards", "models", "output", "gallery", "masks",
            "state", "jobs", "history", "logs", "cache", "previews", "samples",
        )  # fmt: skip
        return {name: str(getattr(self, name)) for name in names}

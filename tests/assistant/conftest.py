"""Programs over a home of their own; nothing here starts a worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant.paths import Paths
from assistant.settings import Settings


@pytest.fixture(autouse=True)
def _no_outside_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ATELIER_HOME", "VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.find(tmp_path).make()


@pytest.fixture
def settings(paths: Paths) -> Settings:
    return Settings(paths.settings)

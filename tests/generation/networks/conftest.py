"""Read networks are kept for the whole process; each test begins with none."""

from __future__ import annotations

import pytest

from generation.networks.files import Files


@pytest.fixture(autouse=True)
def own_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept from one test to the next."""
    monkeypatch.setattr("generation.networks.applied.FILES", Files())

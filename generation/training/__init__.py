"""Training: what a person teaches a model. A module a kind of weights; each saves as it goes and may be killed."""

from __future__ import annotations

from generation.errors import GenerationError


class TrainingFailed(GenerationError):
    """The training began and cannot go on."""

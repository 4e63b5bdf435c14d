"""What a person can cause in this package. Each error says what happened and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GenerationError(Exception):
    """`message` names the file or value; `hint` says what to do. `str()` is the message."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UnknownModel(GenerationError):
    """No model of that name or path."""


class BadSpec(GenerationError):
    """A value of a spec that cannot be."""


class UnknownSampler(BadSpec):
    """No sampler of that name; a spec that names one is a bad spec."""


class BadSchedule(BadSpec):
    """A schedule that cannot be read or evaluated. `column` (from 1) is where its text goes wrong, 0 where unknown."""

    def __init__(self, message: str, hint: str = "", column: int = 0) -> None:
        super().__init__(f"column {column}: {message}" if column else message, hint)
        self.column = column


class BadImage(GenerationError):
    """A file that is no readable picture."""


class BadVideo(GenerationError):
    """A file that is no readable video, or one that cannot be written as asked."""


class BadWeights(GenerationError):
    """Weights that cannot be loaded, or are of another kind than asked for."""


class RenderFailed(GenerationError):
    """The render began and could not end."""


def nearest(value: str, names: Iterable[str]) -> str:
    """`Did you mean "x"?` for the closest of `names`, or "" when none is close."""
    folded = {name.lower(): name for name in names}
    close = difflib.get_close_matches(value.lower(), folded, n=1, cutoff=0.5)
    return f'Did you mean "{folded[close[0]]}"?' if close else ""

"""The errors a person can cause on this side, and how any of them is put into one line.

Knows the roots of the packages below, so that the shell and the screens treat all alike.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from generation.errors import GenerationError
from knowledge.errors import KnowledgeError


class AssistantError(Exception):
    """What happened (`message`, naming the file or value) and what to do about it (`hint`)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadArgument(AssistantError):
    """An argument of the shell that cannot be used."""


class BadSetting(AssistantError):
    """A setting's name or value that does not exist, or a settings file that cannot be read."""


class ModelMissing(AssistantError):
    """The language model's runtime or its weights are not there."""


class ServerProblem(AssistantError):
    """The language-model server the person named did not answer as it should."""


class WorkerDied(AssistantError):
    """A worker process ended in the middle of a job."""


class Cancelled(Exception):
    """The person cancelled; not an error, and never shown as one."""


PERSONAL = (AssistantError, GenerationError, KnowledgeError)


def nearest(value: str, valid: Iterable[str]) -> str:
    """`Did you mean "x"?` for the closest valid name, or the whole choice when it is short."""
    names = list(valid)
    close = difflib.get_close_matches(value, names, n=1, cutoff=0.5)
    if close:
        return f'Did you mean "{close[0]}"?'
    return f"Choose one of: {', '.join(names)}." if names and len(names) <= 12 else ""


def explain(error: BaseException) -> tuple[str, str]:
    """(message, hint) of any exception, in words for a person: never a traceback.

    Unforeseen ones are named by type; the log of the process holds the rest.
    """
    if isinstance(error, PERSONAL):
        return error.message, error.hint
    if isinstance(error, MemoryError):
        return "memory ran out", "Choose a smaller picture or model, or close other programs."
    if isinstance(error, PermissionError):
        return (
            f"no permission for {error.filename}",
            "Change the file's rights or choose another place.",
        )
    if isinstance(error, FileNotFoundError):
        return f"there is no file {error.filename}", "Check the path."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename or 'unnamed file'}", ""
    text = " ".join(str(error).split())[:200]
    return (
        f"unexpected {type(error).__name__}: {text}",
        "`atelier where` names the log that holds more.",
    )


def one_line(error: BaseException) -> str:
    """`message. hint` on one line, as the shell prints it."""
    message, hint = explain(error)
    message = " ".join(message.split())
    return f"{message.rstrip('.')}. {' '.join(hint.split())}".strip()

"""Parameters as data: a name, a type, a range, a default and a sentence of help.

One table serves the check of a spec, the options of the shell and the form of the Studio. Leaves what a parameter does
to the operation that names it. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generation.errors import BadSpec, nearest

KINDS = ("integer", "number", "text", "flag", "choice", "file")


@dataclass(frozen=True)
class Parameter:
    """`kind` is one of `KINDS`; `low` and `high` bound numbers, both included; a file is a path that must be given.

    A `required` parameter has no default. `label` is what a form shows.
    """

    name: str
    kind: str
    default: Any
    help: str
    low: float = float("-inf")
    high: float = float("inf")
    choices: tuple[str, ...] = ()
    required: bool = False

    @property
    def label(self) -> str:
        return self.name.replace("_", " ").capitalize()

    def checked(self, value: Any) -> Any:
        """The value in its type. Raises `BadSpec` with what would do."""
        shown = self.name.replace("_", " ")
        if self.kind == "flag":
            if not isinstance(value, bool):
                raise BadSpec(f"{shown} must be true or false, not {value!r}", "Give true or false.")
            return value
        if self.kind in {"integer", "number"}:
            whole = self.kind == "integer"
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise BadSpec(f"{shown} must be a {'whole ' if whole else ''}number, not {value!r}", self._range())
            # A comparison refuses NaN as well.
            if not self.low <= value <= self.high:
                raise BadSpec(f"{shown} {str(value)[:20]} is out of range", self._range())
            return value if whole else float(value)
        if not isinstance(value, str):
            raise BadSpec(f"{shown} must be text, not {value!r}", "Put it in quotes.")
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise BadSpec(f"{shown} holds bytes that are no text", "Type it again in UTF-8.")
        if self.kind == "choice" and value not in self.choices:
            near = nearest(value, self.choices) if value else ""
            raise BadSpec(f'{shown} cannot be "{value}"', near or f"Choose: {', '.join(self.choices)}.")
        if self.required and not value.strip():
            raise BadSpec(f"{shown} is missing", self.help + ".")
        return value

    def parsed(self, text: str) -> Any:
        """The value of what a person typed into a field or behind an option. Raises `BadSpec`."""
        text = text.strip()
        if self.kind == "flag":
            if text.lower() in {"true", "yes", "on", "1"}:
                return True
            if text.lower() in {"false", "no", "off", "0", ""}:
                return False
            raise BadSpec(f"{self.name.replace('_', ' ')} must be yes or no, not {text}", "Give yes or no.")
        if self.kind in {"integer", "number"}:
            try:
                return self.checked(int(text) if self.kind == "integer" else float(text))
            except ValueError as error:
                shown = self.name.replace("_", " ")
                raise BadSpec(f"{shown} must be a number, not {text}", self._range()) from error
        return self.checked(text)

    def _range(self) -> str:
        low, high = (None if abs(bound) == float("inf") else f"{bound:g}" for bound in (self.low, self.high))
        if low is not None and high is not None:
            return f"Give {low} to {high}."
        return f"Give {low} or more." if low is not None else "Give a number."


def checked(values: Mapping[str, Any], table: Sequence[Parameter], what: str) -> dict[str, Any]:
    """All of the table's values: those given, checked, and the defaults. `what` names the whole in messages.

    Raises `BadSpec` for an unknown name (with the nearest), a wrong value, or a required one that is missing.
    """
    if not isinstance(values, Mapping):
        raise BadSpec(f"the settings of {what} are a table, not {type(values).__name__}", "Give names and values.")
    names = [parameter.name for parameter in table]
    for name in values:
        if name not in names:
            raise BadSpec(f'{what} has no setting "{name}"', nearest(str(name), names))
    found = {}
    for parameter in table:
        if parameter.name in values and values[parameter.name] is not None:
            found[parameter.name] = parameter.checked(values[parameter.name])
        elif parameter.required:
            raise BadSpec(f"{what} needs {parameter.name.replace('_', ' ')}", parameter.help + ".")
        else:
            found[parameter.name] = parameter.default
    return found


def given(values: Mapping[str, Any], table: Sequence[Parameter], what: str) -> dict[str, Any]:
    """As `checked`, with those alone that differ from their defaults: what is switched on."""
    found = checked(values, table, what)
    defaults = {parameter.name: parameter.default for parameter in table}
    return {name: value for name, value in found.items() if value != defaults[name]}

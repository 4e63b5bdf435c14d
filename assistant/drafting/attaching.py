"""Words put behind a prompt without changing what the person's part means to the renderer.

Knows the traps of the grammar at the end of a prompt: a trailing weight of the whole, a bracket never closed, BREAK.
Every result is read again and compared with the idea; where no way keeps it, nothing is attached.
"""

from __future__ import annotations

import re

from assistant.phrases import closed
from generation.prompts.grammar import NETWORK, parse
from generation.prompts.schedule import composition, schedule

_NUMBER = r"[-+]?(?:\d+\.?|\d*\.\d+)"
# What weighs the last part of an AND, with the networks behind it. A number glued to a number is a time or a ratio.
_TAIL = re.compile(rf"(?<!\d)\s*:\s*{_NUMBER}(?:\s|{NETWORK.pattern})*$")
_RATIO = re.compile(r"\d:\d+(?:\.\d+)?\s*$")
_STOPS = (".", "!", "?", "…")
STEPS = 10  # enough to tell every kind of editing apart


def attach(text: str, more: str, between: str = ", ", *, negative: bool = False) -> str | None:
    """`more` behind `text`, or before the weight of the whole; None where the text would be read otherwise.

    A person's "cat :1.2" becomes "cat, more :1.2". A `negative` prompt has no such weight.
    """
    if not more or not text:
        return text or more
    tail = None if negative else _TAIL.search(text)
    stem = (text[: tail.start()] if tail else text).rstrip()
    end = text[len(stem) :] if tail else ""
    glue = _between(stem, between)
    words = more[0].upper() + more[1:] if stem.endswith(_STOPS) else more
    # A bracket that holds to the end would weigh what is attached: it is closed if that changes nothing.
    for start in dict.fromkeys((closed(stem), stem)):
        made = start + glue + words + end
        if begins(made, text, negative=negative):
            return made
    return None


def _between(stem: str, between: str) -> str:
    if re.search(r"\b(?:BREAK|AND)\s*$", stem) or stem.endswith((",", ";")):
        return " "
    return " " if stem.endswith(_STOPS) else between


def begins(made: str, text: str, *, negative: bool = False) -> bool:
    """Whether everything `text` says, at every step and in every part, is said by the beginning of `made`."""
    if [(n.kind, n.positional, n.named) for n in parse(made).networks] != [
        (n.kind, n.positional, n.named) for n in parse(text).networks
    ]:
        return False
    if negative:
        plain, other = NETWORK.sub("", text), NETWORK.sub("", made)
        return _steps_begin(schedule(other, STEPS), schedule(plain, STEPS))
    old, new = composition(text, STEPS), composition(made, STEPS)
    if len(old) != len(new):
        return False
    for number, (before, after) in enumerate(zip(old, new, strict=True)):
        last = number == len(old) - 1
        ratio = last and before.weight != 1 and _RATIO.search(text) is not None
        if ratio:
            # "at 10:30" would have been a weight of 30; with words behind it, it is the time that was meant.
            return after.weight == 1 and _flat_begins(NETWORK.sub("", made), NETWORK.sub("", text))
        if before.weight != after.weight or not _steps_begin(after.schedule, before.schedule, whole=not last):
            return False
    return True


def _steps_begin(made: list[tuple[int, str]], text: list[tuple[int, str]], *, whole: bool = False) -> bool:
    if whole:
        return made == text
    if [end for end, _ in made] != [end for end, _ in text]:
        return False
    return all(_flat_begins(new, old) for (_, new), (_, old) in zip(made, text, strict=True))


def _flat_begins(made: str, text: str) -> bool:
    old, new = parse(text).flat(), parse(made).flat()
    if len(new) < len(old) or new[: len(old) - 1] != old[:-1]:
        return False
    last, there = old[-1], new[len(old) - 1]
    return last[1] == there[1] and there[0].startswith(last[0].rstrip())

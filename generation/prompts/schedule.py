"""Which prompt holds at which step: prompt editing, alternation, and the parts of an AND.

`[from:to:when]`, `[to:when]` and `[from::when]` change the text after step `when`; `[a|b]` changes it every step.
`when` with a dot is a share of the steps, without one a step: `[a:b:1]` is step 1, `[a:b:1.0]` the whole render.
Attention stays in the text. A bracket that is none of these, and every bracket around it, is plain text; a `|` outside
an alternation or a backslash before nothing makes the whole prompt plain text. That is A1111's behaviour.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from generation.prompts.grammar import NETWORK, split_and

PIECE = re.compile(r"(?:[^\\\[\]():|]|\\.)+|[\[\]():|]")
WHEN = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*")
CLOSES = {")": "(", "]": "["}


class Part(NamedTuple):
    """One part of an AND: its `text` and `weight`, and its `schedule` as `schedule()` gives it."""

    text: str
    weight: float
    schedule: list[tuple[int, str]]


@dataclass(frozen=True)
class _Edit:
    """`before` up to and including step `when`, `after` from the next one."""

    before: _Sequence
    after: _Sequence
    when: int


@dataclass(frozen=True)
class _Alternate:
    """The choices of an alternation; step 1 takes the first."""

    choices: list[_Sequence]


# Text, a sequence of such, or what depends on the step.
_Item: TypeAlias = "str | list[_Item] | _Edit | _Alternate"
_Sequence: TypeAlias = "list[_Item]"


@dataclass
class _Frame:
    """A bracket still open: its letter, the sequences between its separators, and the separators."""

    letter: str
    start: int
    parts: list[_Sequence] = field(default_factory=lambda: [[]])
    separators: list[str] = field(default_factory=list)

    def plain(self) -> _Sequence:
        """The bracket and what it holds so far, as text."""
        sequence: _Sequence = [self.letter, self.parts[0]]
        for separator, part in zip(self.separators, self.parts[1:], strict=True):
            sequence += [separator, part]
        return sequence


class _Read(NamedTuple):
    """A text as a sequence, the steps at which a stretch of it ends, the places of its outermost edits."""

    root: _Sequence
    ends: tuple[int, ...]
    edits: tuple[tuple[int, int, str], ...]


def schedule(text: str, steps: int) -> list[tuple[int, str]]:
    """[(end_at_step, prompt), ...], steps counted from 1, at least one entry; any text gives one.

    The text is taken as it stands: networks and AND are taken off by `composition`.
    """
    read = _parsed(text, steps)
    return [(step, _at(read.root, step)) for step in read.ends]


def edits(text: str) -> tuple[tuple[int, int, str], ...]:
    """((start, end, "editing" or "alternate"), ...) of the outermost brackets that change with the step."""
    return _parsed(text, 1).edits


def composition(text: str, steps: int) -> list[Part]:
    """The parts of a positive prompt between its ANDs, networks left out. A negative prompt has none: `schedule`."""
    return [Part(part, weight, schedule(part, steps)) for part, weight in split_and(NETWORK.sub("", text))]


@lru_cache(maxsize=64)
def _parsed(text: str, steps: int) -> _Read:
    root: _Sequence = []
    ends = {steps}
    found: list[tuple[int, int, str]] = []
    frames: list[_Frame] = []

    def dissolve() -> None:
        """What is open turns out to be text: a bracket around text of that sort is none either."""
        for frame in frames:
            root.extend(frame.plain())
            bars.extend(letter for letter in frame.separators if letter == "|")
        frames.clear()

    bars: list[str] = []
    end = 0
    while match := PIECE.match(text, end):
        token, start, end = match[0], match.start(), match.end()
        here = frames[-1].parts[-1] if frames else root
        if token in {"(", "["}:
            frames.append(_Frame(token, start))
        elif token in {":", "|"} and frames:
            frames[-1].separators.append(token)
            frames[-1].parts.append([])
        elif token in CLOSES and frames and frames[-1].letter == CLOSES[token]:
            made = _closed(frames[-1], token, steps, ends)
            if made is None:
                dissolve()
                root.append(token)
            else:
                frame = frames.pop()
                if isinstance(made, _Edit | _Alternate):
                    while found and found[-1][0] > frame.start:
                        found.pop()
                    found.append((frame.start, end, "editing" if isinstance(made, _Edit) else "alternate"))
                (frames[-1].parts[-1] if frames else root).append(made)
        else:
            if token in CLOSES:
                dissolve()
                here = root
            elif token == "|":
                bars.append(token)
            here.append(token)
    dissolve()
    if bars or end < len(text):
        return _Read([text], (steps,), ())
    return _Read(root, tuple(sorted(ends)), tuple(found))


def _closed(frame: _Frame, closing: str, steps: int, ends: set[int]) -> _Item | None:
    """What a closed bracket is, its step put into `ends`; None where it is nothing but text with letters in it."""
    colons = frame.separators.count(":")
    if "|" in frame.separators:
        if frame.letter == "(" or colons:
            return None
        ends.update(range(1, steps + 1))
        return _Alternate(frame.parts)
    if not colons or (frame.letter == "(" and colons == 1):
        return [*frame.plain(), closing]
    last = frame.parts[-1]
    number = WHEN.fullmatch(last[0]) if len(last) == 1 and isinstance(last[0], str) else None
    if frame.letter == "(" or colons > 2 or number is None:
        return None
    value = float(number[1])
    when = int(max(-1.0, min(float(steps), value * steps if "." in number[1] else value)))
    if when >= 1:
        ends.add(when)
    return _Edit(frame.parts[0] if colons == 2 else [], frame.parts[-2], when)


def _at(root: _Sequence, step: int) -> str:
    """The text of one step."""
    text: list[str] = []
    waiting: list[_Item] = [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            text.append(item)
        elif isinstance(item, list):
            waiting.extend(reversed(item))
        elif isinstance(item, _Edit):
            waiting.append(item.before if step <= item.when else item.after)
        else:
            waiting.append(item.choices[(step - 1) % len(item.choices)])
    return "".join(text)

"""Schedules as a person writes them: `0:(0), 30:(15), max_f-1:(sin(t/10))`, and prompts by frame.

Knows the text: keys, values, easings and their columns. What the values are at each frame is for `evaluation`. The
syntax is Deforum's, with two additions: commas may stand inside brackets, so `where(t<10, 1, 2)` is a value, and a
key may name how its value is reached from the number before it: `30:(15):ease-in-out`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from generation.animation.expressions import Expression, read
from generation.errors import BadSchedule, nearest

# Deforum's pattern. "5." and "1e-2" do not match it, so they are expressions and jump where a number would glide.
NUMBER = re.compile(r"(?=.)[+-]?[0-9]*(\.[0-9]+)?", re.ASCII)
# Ten thousand keys with an expression each have under 200,000 characters.
LONGEST = 300_000
EASINGS = ("linear", "hold", "ease-in", "ease-out", "ease-in-out")
NEGATIVE = "--neg"


@dataclass(frozen=True)
class Key:
    """One `frame:(value):easing`. `column` (from 1) is where it begins; `value` is a float where a number stands."""

    frame: Expression
    value: float | Expression | str
    easing: str
    column: int


@dataclass(frozen=True)
class Schedule:
    """`keys` in the order of the text; `words` where the values are names (of samplers, of models), not numbers."""

    text: str
    keys: tuple[Key, ...]
    words: bool = False


@dataclass(frozen=True)
class PromptKey:
    """What is asked for from `frame` on. Either text may hold expressions between backticks."""

    frame: Expression
    positive: str
    negative: str


@dataclass(frozen=True)
class _Piece:
    text: str
    start: int


def parse(text: str, *, words: bool = False) -> Schedule:
    """`text` as keys. With `words` values are names, in quotes or brackets or bare; `BadSchedule` with the column."""
    if len(text) > LONGEST:
        raise BadSchedule(f"a schedule of {len(text)} characters", f"At most {LONGEST} are read.")
    if not text.strip():
        raise BadSchedule("the schedule is empty", "Write it as in 0:(0), 30:(15).")
    return Schedule(text, tuple(_key(piece, words) for piece in _split(_Piece(text, 0), ",")), words)


def read_prompts(text: str, negative: str = "") -> tuple[PromptKey, ...]:
    """A JSON object of frame -> prompt, with or without its outer braces; `negative` is added to each `--neg` part.

    A text that begins with neither a brace nor a quote is one prompt from frame 0 on. Keys may be expressions.
    """
    if len(text) > LONGEST:
        raise BadSchedule(f"prompts of {len(text)} characters", f"At most {LONGEST} are read.")
    bare = text.strip()
    if not bare:
        raise BadSchedule("there is no prompt", 'Write {"0": "first prompt", "30": "second"}.')
    if bare[:1] not in ('"', "{"):
        return (_prompt("0", bare, negative),)
    added = 0 if bare.startswith("{") else 1
    braced = bare if not added else "{" + bare.rstrip().rstrip(",") + "}"
    try:
        # Line breaks inside a prompt are no JSON, but common in published settings.
        pairs = json.loads(braced, strict=False, object_pairs_hook=list)
    except json.JSONDecodeError as error:
        column = error.pos - added + len(text) - len(text.lstrip()) + 1
        raise BadSchedule(
            f"the prompts are no JSON ({error.msg})", 'Write {"0": "first prompt", "30": "second"}.', max(column, 1)
        ) from None
    except RecursionError:
        raise BadSchedule("prompts nested too deeply", 'Write {"0": "first prompt", "30": "second"}.') from None
    if not pairs:
        raise BadSchedule("there is no prompt", 'Write {"0": "first prompt", "30": "second"}.')
    for key, value in pairs:
        if not isinstance(value, str):
            raise BadSchedule(f'the prompt of "{key[:40]}" is no text', "Write it in quotes.")
    return tuple(_prompt(key, value, negative) for key, value in pairs)


def _prompt(key: str, text: str, negative: str) -> PromptKey:
    positive, _, own = text.partition(NEGATIVE)
    try:
        frame = _frame(_Piece(key, 0))
    except BadSchedule as error:
        # Its column counts within the key, which JSON's parser hands over without its place.
        raise BadSchedule(f'the prompt at "{key[:40]}": {error.message}', error.hint) from None
    return PromptKey(frame, positive.strip(), ", ".join(part for part in (own.strip(), negative.strip()) if part))


def _key(piece: _Piece, words: bool) -> Key:
    parts = list(_split(piece, ":"))
    column = _column(piece)
    if not piece.text.strip():
        raise BadSchedule("a key is missing", "Take out the comma that nothing follows.", column)
    if len(parts) < 2:
        raise BadSchedule(f'"{piece.text.strip()[:40]}" has no frame', "Write it as in 30:(15).", column)
    if len(parts) > 3:
        hint = "Write frame:(value) or frame:(value):easing, with a comma between keys."
        raise BadSchedule("too many colons in a key", hint, _column(parts[3]))
    easing = parts[2].text.strip() if len(parts) == 3 else "linear"
    if easing not in EASINGS:
        hint = nearest(easing, EASINGS) or f"Known are {', '.join(EASINGS)}."
        raise BadSchedule(f'no easing "{easing[:40]}"', hint, _column(parts[2]))
    if words and easing != "linear":
        raise BadSchedule("an easing between names", "Names change at their frame.", _column(parts[2]))
    return Key(_frame(parts[0]), _word(parts[1]) if words else _value(parts[1]), easing, column)


def _frame(piece: _Piece) -> Expression:
    bare = piece.text.strip()
    quoted = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'"
    inner = bare[1:-1] if quoted else bare
    if not inner.strip():
        raise BadSchedule("a frame is missing", "Write it as in 30:(15).", _column(piece))
    return read(inner, _column(piece) + quoted)


def _value(piece: _Piece) -> float | Expression:
    bare = piece.text.strip()
    number = re.sub(r"[()'\"]", "", bare)
    # Unlike Deforum's own reading, brackets that do not close are an error even around a number.
    if NUMBER.fullmatch(number) and number.strip("+-") and bare.count("(") == bare.count(")"):
        if math.isinf(float(number)):
            raise BadSchedule("a number too large", "Write a smaller one.", _column(piece))
        return float(number)
    quoted = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'"
    return read(bare[1:-1] if quoted else bare, _column(piece) + quoted)


def _word(piece: _Piece) -> str:
    word = piece.text.strip()
    for pair in ("()", '""', "''"):
        if len(word) > 1 and word[0] == pair[0] and word[-1] == pair[1]:
            word = word[1:-1].strip()
    if not word:
        raise BadSchedule("a name is missing", 'Write it as in 0:("Euler a").', _column(piece))
    return word


def _column(piece: _Piece) -> int:
    return piece.start + len(piece.text) - len(piece.text.lstrip()) + 1


def _split(piece: _Piece, mark: str) -> Iterator[_Piece]:
    """The parts between `mark`s that stand in no bracket and no quotes."""
    depth, quote, begun = 0, "", 0
    opened = [0]
    for place, letter in enumerate(piece.text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
            opened.append(place)
        elif letter == "(":
            depth += 1
            opened.append(place)
        elif letter == ")":
            depth -= 1
            if depth < 0:
                column = piece.start + place + 1
                raise BadSchedule("a bracket closes that was not opened", "Take it out, or open it before.", column)
        elif letter == mark and not depth:
            yield _Piece(piece.text[begun:place], piece.start + begun)
            begun = place + 1
    if quote or depth:
        what = "a quotation mark" if quote else "a bracket"
        raise BadSchedule(f"{what} is not closed", "Close it before the next key.", piece.start + opened[-1] + 1)
    yield _Piece(piece.text[begun:], piece.start + begun)

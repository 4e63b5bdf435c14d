"""Keys of schedules and prompts by frame: found, set, taken out, and printed back into the text they stand in.

Knows where a key lies and how its text is written; every other key keeps its letters as the person wrote them. What the
values are at each frame is for `evaluation`. Imports nothing heavy, so that a screen may edit by it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from generation.animation.expressions import Expression
from generation.animation.expressions import read as read_expression
from generation.animation.schedules import Key, parse, read_prompts
from generation.errors import BadSchedule

BEFORE = "0:"  # stands before a value while it is read by itself


@dataclass(frozen=True)
class Keyframe:
    """A key at `frame`. `value` is what a person edits, as in `15:ease-in`; `text` the whole key as it is written."""

    frame: int
    value: str
    text: str


def keyframes(text: str, frames: int, *, seed: int = 0, words: bool = False) -> list[Keyframe]:
    """The keys of a schedule that act on frames 0 to `frames` - 1, in order; of equal ones the last. [] for no text.

    Raises `BadSchedule`.
    """
    if not text.strip():
        return []
    keys = parse(text, words=words).keys
    found = {}
    for key, piece in zip(keys, _pieces(text, keys), strict=True):
        at = place(key.frame, frames, seed)
        if at is not None and 0 <= at < frames:
            found[at] = Keyframe(at, _value(key), piece)
    return [found[at] for at in sorted(found)]


def with_key(text: str, frame: int, value: str, frames: int, *, seed: int = 0, words: bool = False) -> str:
    """The schedule with `value` at `frame`: a key that is there is changed, else one is added in its place.

    `value` is a number, an expression, a name where `words`; behind a colon an easing. The column of a `BadSchedule` is
    that of `value`. In an empty schedule the value holds from frame 0 on.
    """
    try:
        keys = parse(f"{BEFORE}{value}", words=words).keys
    except BadSchedule as error:
        told = error.message.partition(": ")[2] if error.column else error.message
        raise BadSchedule(told, error.hint, max(error.column - len(BEFORE), 1)) from None
    if len(keys) > 1:
        column = keys[1].column - len(BEFORE)
        raise BadSchedule("more than one value", "Give the value of this frame alone.", column)
    made = _printed(frame, keys[0])
    if not text.strip():
        return made if frame == 0 else f"{_printed(0, keys[0])}, {made}"
    before = parse(text, words=words).keys
    pieces = _pieces(text, before)
    at = [place(key.frame, frames, seed) for key in before]
    if frame in at:
        pieces[len(at) - 1 - at[::-1].index(frame)] = made
    else:
        behind = [number for number, one in enumerate(at) if one is not None and one < frame]
        pieces.insert(behind[-1] + 1 if behind else 0, made)
    return ", ".join(pieces)


def without_key(text: str, frame: int, frames: int, *, seed: int = 0, words: bool = False) -> str:
    """The schedule without its keys at `frame`. Raises `BadSchedule` where there is none, and for frame 0's."""
    if frame == 0:
        raise BadSchedule("frame 0 has to have a value", "Change it instead.")
    keys = parse(text, words=words).keys if text.strip() else ()
    at = [place(key.frame, frames, seed) for key in keys]
    if frame not in at:
        raise BadSchedule(f"frame {frame} has no key", "Go to one first.")
    return ", ".join(piece for piece, one in zip(_pieces(text, keys), at, strict=True) if one != frame)


def prompt_keys(prompts: Mapping[str, str], frames: int, *, seed: int = 0) -> list[Keyframe]:
    """As `keyframes`, of a settings file's prompts: `value` is the prompt, `text` its frame as written."""
    found = {}
    for name, prompt in prompts.items():
        at = place(read_expression(name), frames, seed)
        if at is not None and 0 <= at < frames:
            found[at] = Keyframe(at, prompt, name)
    return [found[at] for at in sorted(found)]


def with_prompt(prompts: Mapping[str, str], frame: int, prompt: str, frames: int, *, seed: int = 0) -> dict[str, str]:
    """The prompts with `prompt` from `frame` on. Raises `BadSchedule`."""
    if not prompt.strip():
        raise BadSchedule("the prompt is empty", "Write one, or take the key out.")
    read_prompts(json.dumps({"0": prompt}))
    there = {one.frame: one.text for one in prompt_keys(prompts, frames, seed=seed)}
    if frame in there:
        return {**prompts, there[frame]: prompt.strip()}
    made: dict[str, str] = {}
    behind = [name for name in prompts if (at := place(read_expression(name), frames, seed)) is not None and at < frame]
    if not behind:
        made[str(frame)] = prompt.strip()
    for name, text in prompts.items():
        made[name] = text
        if behind and name == behind[-1]:
            made[str(frame)] = prompt.strip()
    return made


def without_prompt(prompts: Mapping[str, str], frame: int, frames: int, *, seed: int = 0) -> dict[str, str]:
    """The prompts without the one that begins at `frame`. Raises `BadSchedule` as `without_key`."""
    if frame == 0:
        raise BadSchedule("frame 0 has to have a prompt", "Change it instead.")
    left = {name: text for name, text in prompts.items() if place(read_expression(name), frames, seed) != frame}
    if len(left) == len(prompts):
        raise BadSchedule(f"no prompt begins at frame {frame}", "Go to one first.")
    return left


def place(frame: Expression, frames: int, seed: int = 0) -> int | None:
    """The number that a key's frame stands for; None where it takes more than + - * / // % of numbers, max_f and s."""
    try:
        return int(_number(frame.tree, {"max_f": frames - 1, "s": seed}))
    except (LookupError, ArithmeticError, ValueError):
        return None


def _number(node: ast.expr, names: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=value) if isinstance(value, (int, float)):
            return value
        case ast.Name(id=name):
            return names[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand, names)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _number(operand, names)
        case ast.BinOp(op=op, left=left, right=right):
            one, other = _number(left, names), _number(right, names)
            match op:
                case ast.Add():
                    return one + other
                case ast.Sub():
                    return one - other
                case ast.Mult():
                    return one * other
                case ast.Div():
                    return one / other
                case ast.FloorDiv():
                    return one // other
                case ast.Mod():
                    # The sign of the dividend, as where the values are made.
                    return one - int(one / other) * other
    raise LookupError


def _pieces(text: str, keys: tuple[Key, ...]) -> list[str]:
    """Each key's own letters, without the comma behind."""
    starts = [key.column - 1 for key in keys]
    ends = [*starts[1:], len(text)]
    last = len(keys) - 1
    pieces = [text[start:end].rstrip() for start, end in zip(starts, ends, strict=True)]
    return [piece if n == last else piece.removesuffix(",").rstrip() for n, piece in enumerate(pieces)]


def _printed(frame: int, key: Key) -> str:
    value = _value(key)
    if isinstance(key.value, str):
        return f'{frame}:("{value}")'
    bare, colon, easing = value.partition(":")
    return f"{frame}:({bare}){colon}{easing}"


def _value(key: Key) -> str:
    """The value as a person edits it."""
    if isinstance(key.value, str):
        return key.value
    if isinstance(key.value, float):
        # Never with an exponent: 1e-05 would be an expression, which jumps where a number glides.
        text = re.sub(r"\.?0+$", "", f"{key.value:.12f}") or "0"
        text = "0" if text == "-0" else text
    else:
        text = _unwrapped(key.value.text)
    return text if key.easing == "linear" else f"{text}:{key.easing}"


def _unwrapped(text: str) -> str:
    """Without brackets that hold all of it."""
    while text.startswith("(") and text.endswith(")"):
        depth = 0
        for at, letter in enumerate(text):
            depth += (letter == "(") - (letter == ")")
            if depth == 0 and at < len(text) - 1:
                return text
        text = text[1:-1].strip()
    return text

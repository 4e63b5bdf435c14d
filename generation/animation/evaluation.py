"""The values of a schedule at every frame, as numpy arrays. Knows numexpr's arithmetic and Deforum's rules.

Between two numbers the value glides; an expression is evaluated at each frame up to the next key, where the value
jumps; after the last key it is held. Checked against Deforum 32242685 with numexpr 2.8.4. Where that is silent
(keys past the end, keys given twice, integers to negative powers), a warning is made.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from generation.animation.expressions import Expression, read
from generation.animation.schedules import Key, PromptKey, Schedule
from generation.errors import BadSchedule, nearest

Array = NDArray[Any]
MOST_FRAMES = 1_000_000
# Of prompts that differ from frame to frame, all frames together.
MOST_LETTERS = 50_000_000
INTERPOLATIONS = {"linear": 1, "quadratic": 2, "cubic": 3}
# Above this a float64 no longer holds every integer.
EXACT = 2**53
# What becomes of the share of the way that is gone, 0 to 1; ease-in-out is the cubic 3u^2 - 2u^3.
EASED: dict[str, Callable[[Array], Array]] = {
    "hold": np.zeros_like,
    "ease-in": lambda u: u**2,
    "ease-out": lambda u: 1 - (1 - u) ** 2,
    "ease-in-out": lambda u: u * u * (3 - 2 * u),
}
PLAIN: dict[type[ast.AST], Any] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.fmod,  # numexpr's % has the sign of the dividend, as in C
    ast.Pow: np.power,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
BITS: dict[type[ast.AST], Any] = {
    ast.BitAnd: np.bitwise_and,
    ast.BitOr: np.bitwise_or,
    ast.BitXor: np.bitwise_xor,
    ast.LShift: np.left_shift,
    ast.RShift: np.right_shift,
}
# Functions that keep integers integers.
WHOLE = {"abs", "minimum", "maximum", "fmod", "sign"}


@dataclass(frozen=True)
class Evaluated:
    """`values` are floats (names for a schedule of words), one a frame; `warnings` are sentences with their column."""

    values: tuple[float, ...] | tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Prompts:
    """Each frame's (positive, negative), backticks filled in; at the frames `starts` another key begins."""

    values: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    starts: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class _Number:
    """Floats and whether they are integers to numexpr, whose powers and bits differ for these."""

    values: Array
    whole: bool


@dataclass(frozen=True)
class _Frames:
    """The variables at the frames looked at; `last` is max_f."""

    t: Array
    last: int
    seed: int
    warn: dict[str, None]


def evaluate(schedule: Schedule, frames: int, *, seed: int = -1, interpolation: str = "linear") -> Evaluated:
    """Values of frames 0 to `frames` - 1 (1 to a million). `interpolation` is linear, quadratic or cubic.

    `BadSchedule` names the column where frame 0 is not set or a value is no finite number.
    """
    if interpolation not in INTERPOLATIONS:
        hint = nearest(interpolation, INTERPOLATIONS) or f"Known are {', '.join(INTERPOLATIONS)}."
        raise BadSchedule(f'no interpolation "{interpolation}"', hint)
    warn: dict[str, None] = {}
    keys = _placed(schedule.keys, frames, seed, warn)
    if schedule.words:
        names = [cast(str, key.value) for _, key in keys]
        return Evaluated(_steps([at for at, _ in keys], names, frames), tuple(warn))
    values = _known(keys, frames, seed, warn)
    return Evaluated(tuple(_filled(values, len(keys), interpolation, warn).tolist()), tuple(warn))


def prompts(keys: tuple[PromptKey, ...], frames: int, *, seed: int = -1) -> Prompts:
    """Positive and negative prompt of every frame; a prompt stands until the next key."""
    warn: dict[str, None] = {}
    placed = _placed(tuple(Key(key.frame, "", "linear", 0) for key in keys), frames, seed, warn, keys)
    chosen = [key for _, key in placed]
    ends = [at for at, _ in placed[1:]] + [frames]
    values: list[tuple[str, str]] = []
    for (start, _), end, key in zip(placed, ends, chosen, strict=True):
        span = _Frames(np.arange(start, end, dtype=float), frames - 1, seed, warn)
        values += zip(_told(key.positive, span), _told(key.negative, span), strict=True)
    return Prompts(tuple(values), tuple(warn), tuple(start for start, _ in placed))


def _placed(
    keys: tuple[Key, ...], frames: int, seed: int, warn: dict[str, None], chosen: tuple[Any, ...] | None = None
) -> list[tuple[int, Any]]:
    """(frame, key) in the order of frames, those out of range left out and the last of equal ones kept."""
    if not 1 <= frames <= MOST_FRAMES:
        raise BadSchedule(f"{frames} frames", f"From 1 to {MOST_FRAMES} can be evaluated.")
    found: dict[int, Any] = {}
    for key, kept in zip(keys, chosen or keys, strict=True):
        at = _frame(key.frame, frames, seed, warn)
        where = f"column {key.column}: " if key.column else ""
        if not 0 <= at < frames:
            what = "the value before it is held" if at > 0 else "it is before the first frame"
            warn[f"{where}frame {at} is ignored, there are frames 0 to {frames - 1}; {what}"] = None
            continue
        if at in found:
            warn[f"{where}frame {at} is set again; this one counts"] = None
        found[at] = kept
    if 0 not in found:
        raise BadSchedule("frame 0 has no value", "Begin with 0:(value).", keys[0].column)
    return sorted(found.items(), key=lambda one: one[0])


def _frame(text: Expression, frames: int, seed: int, warn: dict[str, None]) -> int:
    if isinstance(text.tree, ast.Constant):
        return int(cast(float, text.tree.value))
    if any(isinstance(node, ast.Name) and node.id == "t" for node in ast.walk(text.tree)):
        raise BadSchedule("t in a frame's number", "max_f and s can stand there.", text.column)
    return int(_run(text, _Frames(np.zeros(1), frames - 1, seed, warn))[0])


def _known(keys: list[tuple[int, Key]], frames: int, seed: int, warn: dict[str, None]) -> Array:
    """Values at numbers' frames, over expressions' spans and along easings; NaN where a line is to be drawn."""
    values = np.full(frames, np.nan)
    ends = [at for at, _ in keys[1:]] + [frames]
    for (start, key), end in zip(keys, ends, strict=True):
        if isinstance(key.value, Expression):
            span = _Frames(np.arange(start, end, dtype=float), frames - 1, seed, warn)
            values[start:end] = _run(key.value, span)
            if not any(isinstance(node, ast.Name) for node in ast.walk(key.value.tree)) and end < frames:
                column = key.value.column
                warn[
                    f'column {column}: "{key.value.text[:40]}" is held up to the next key; only a plain number glides'
                ] = None
        else:
            values[start] = key.value
    for (start, before), (end, key) in pairwise(keys):
        if key.easing == "linear":
            continue
        if isinstance(before.value, Expression):
            warn[f"column {key.column}: {key.easing} changes nothing after an expression"] = None
            continue
        part = EASED[key.easing](np.arange(1, end - start) / (end - start))
        values[start + 1 : end] = values[start] + (values[end] - values[start]) * part
    return values


def _filled(values: Array, keys: int, interpolation: str, warn: dict[str, None]) -> Array:
    degree = INTERPOLATIONS[interpolation]
    if degree > 1 and keys <= degree:
        warn[f"{interpolation} needs more than {degree} keys; the values are linear"] = None
        degree = 1
    frames = np.arange(len(values))
    known = np.flatnonzero(~np.isnan(values))
    if np.isnan(values[-1]):
        # Deforum sets the last frame to the last value, which bends a spline's end: the same is done here.
        values[-1] = values[known[-1]]
        known = np.append(known, len(values) - 1)
    if len(known) == len(values):
        return values
    if degree == 1:
        return np.interp(frames, known, values[known])
    return np.asarray(make_interp_spline(known, values[known], k=degree)(frames))


def _steps(at: list[int], names: list[str], frames: int) -> tuple[str, ...]:
    places = np.searchsorted(at, np.arange(frames), side="right") - 1
    return tuple(names[place] for place in places.tolist())


def _told(text: str, span: _Frames) -> list[str]:
    """`text` at each frame of `span`, with the values of what stands between backticks."""
    pieces = re.split(r"`([^`]*)`", text)
    if "`" in "".join(pieces[::2]):
        raise BadSchedule("a backtick is not closed", "Write `expression` between two.")
    if len(pieces) == 1:
        return [text] * len(span.t)
    if len(text) * len(span.t) > MOST_LETTERS:
        message = f"{len(span.t)} frames of a prompt with expressions and {len(text)} characters"
        raise BadSchedule(message, "Take fewer frames, or a shorter prompt.")
    columns = [_inside(piece, span) for piece in pieces[1::2]]
    told = []
    for n in range(len(span.t)):
        filled = [f"{column[n]:.6g}" for column in columns] + [""]
        told.append("".join(a + b for a, b in zip(pieces[::2], filled, strict=True)))
    return told


def _inside(piece: str, span: _Frames) -> list[float]:
    try:
        return cast(list[float], _run(read(piece), span).tolist())
    except BadSchedule as error:
        raise BadSchedule(f"in the prompt's `{piece[:40]}`: {error.message}", error.hint) from None


def _run(expression: Expression, span: _Frames) -> Array:
    """Finite values at the frames of `span`."""
    with np.errstate(all="ignore"):
        found = np.broadcast_to(_of(expression, expression.tree, span).values.astype(float), span.t.shape)
    wrong = np.flatnonzero(~np.isfinite(found))
    if wrong.size:
        what = "no number" if np.isnan(found[wrong[0]]) else "infinite"
        message = f'"{expression.text[:40]}" is {what} at frame {int(span.t[wrong[0]])}'
        raise BadSchedule(message, "Look for a division by 0 or a power too large.", expression.column)
    return found


def _of(whole: Expression, node: ast.expr, span: _Frames) -> _Number:
    match node:
        case ast.Constant(value=value):
            return _Number(np.asarray(float(cast(float, value))), isinstance(value, int))
        case ast.Name(id=name):
            values = {"t": span.t, "max_f": np.asarray(float(span.last)), "s": np.asarray(float(span.seed))}
            return _Number(values[name], True)
        case ast.UnaryOp(op=op, operand=operand):
            one = _of(whole, operand, span)
            if isinstance(op, ast.Invert):
                inverted = ~_bits(whole, node, one)
                return _Number(inverted, one.whole)
            values_of = one.values.astype(float)
            return _Number(-values_of if isinstance(op, ast.USub) else values_of, one.whole)
        case ast.BinOp(op=op, left=left, right=right):
            return _two(whole, node, op, _of(whole, left, span), _of(whole, right, span), span)
        case ast.Compare(left=left, ops=[compare], comparators=[right]):
            one, other = _of(whole, left, span), _of(whole, right, span)
            return _Number(PLAIN[type(compare)](one.values, other.values), True)
        case ast.Call(func=ast.Name(id=name), args=args):
            given = [_of(whole, arg, span) for arg in args]
            if name == "where":
                chosen = np.where(given[0].values != 0, given[1].values, given[2].values)
                return _Number(chosen, given[1].whole and given[2].whole)
            numbers = [one.values.astype(float) for one in given]
            return _Number(getattr(np, name)(*numbers), name in WHOLE and all(one.whole for one in given))
    raise BadSchedule("an expression that cannot be evaluated", "Write it with numbers and functions.", whole.column)


def _two(whole: Expression, node: ast.expr, op: ast.operator, one: _Number, other: _Number, span: _Frames) -> _Number:
    integers = one.whole and other.whole
    if type(op) in BITS:
        if isinstance(op, ast.BitXor):
            span.warn[f"column {whole.column_of(node)}: ^ is exclusive or; a power is written **"] = None
        left, right = _bits(whole, node, one), _bits(whole, node, other)
        if isinstance(op, (ast.LShift, ast.RShift)):
            left, right = left.astype(np.int64), np.clip(right.astype(np.int64), 0, 62)
        return _Number(BITS[type(op)](left, right), True)
    left, right = one.values.astype(float), other.values.astype(float)
    made = PLAIN[type(op)](left, right)
    if isinstance(op, ast.Pow) and integers and np.any(right < 0):
        # numexpr divides integers here: 2**(-1) is 0, and only 1 and -1 keep something.
        place = whole.column_of(node)
        span.warn[f"column {place}: an integer to a negative power is 0; write 2.0 for 2"] = None
        made = np.where(right < 0, np.trunc(made), made)
    return _Number(made, integers and not isinstance(op, ast.Div))


def _bits(whole: Expression, node: ast.expr, one: _Number) -> Array:
    if one.values.dtype == bool:
        return one.values
    if not one.whole or not np.all(np.abs(one.values) < EXACT):
        message = "the operators & | ^ ~ << >> on a number with a fraction"
        raise BadSchedule(message, "Compare first: (t > 5) & (t < 10).", whole.column_of(node))
    return one.values.astype(np.int64)

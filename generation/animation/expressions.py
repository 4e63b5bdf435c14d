"""Arithmetic of a frame, read from a person's text into a checked syntax tree. Knows what may be written and what is
too large; the numbers are made by `evaluation`, so reading needs no numpy.

The language is numexpr's, which Deforum's schedules are written in: numbers, `t` (the frame), `max_f` (frames - 1), `s`
(the seed), operators and the functions below. Nothing is ever executed: Python's parser makes a tree, and a node that
is not listed here is an error with its column.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from generation.errors import BadSchedule, nearest

NAMES = ("t", "max_f", "s")
# name -> number of arguments
FUNCTIONS = {
    **dict.fromkeys(("sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"), 1),
    **dict.fromkeys(("arcsinh", "arccosh", "arctanh", "log", "log10", "log1p", "exp", "expm1", "sqrt"), 1),
    **dict.fromkeys(("abs", "floor", "ceil", "round", "trunc", "sign"), 1),
    **dict.fromkeys(("arctan2", "fmod", "minimum", "maximum"), 2),
    "where": 3,
}
BINARY = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
BITS = (ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift)
UNARY = (ast.UAdd, ast.USub, ast.Invert)
COMPARED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
# The longest expression found in published settings has under 200 characters.
LONGEST = 1000
DEEPEST = 60
# What people write instead of what numexpr knows.
INSTEAD = {
    "pi": "Write 3.14159265.",
    "e": "Write exp(1).",
    "min": "Write minimum(a, b).",
    "max": "Write maximum(a, b).",
    "random": "A schedule has to give the same values every time; sin(t*12.9898) wobbles.",
    "frame": "The frame is t.",
    "seed": "The seed is s.",
}


@dataclass(frozen=True)
class Expression:
    """`tree` holds listed nodes only. `column` (from 1) is where `text` begins in the schedule."""

    text: str
    column: int
    tree: ast.expr

    def column_of(self, node: ast.expr) -> int:
        return self.column + node.col_offset - 1


def read(text: str, column: int = 1) -> Expression:
    """`text` as an expression that begins at `column` of what the person wrote; `BadSchedule` where it is none."""
    column += len(text) - len(text.lstrip())
    text = text.strip()
    if not text.strip("() "):
        raise BadSchedule("a value is missing", "Write a number or an expression such as sin(t/10).", column)
    if len(text) > LONGEST:
        raise BadSchedule(f"an expression of {len(text)} characters", f"At most {LONGEST} are read.", column)
    _plain(text, column)
    if text.isdigit() and len(text) < 16:
        # Frames are mostly this; without the parser a thousand keys are read in a third of the time.
        return Expression(text, column, ast.Constant(int(text)))
    try:
        # In brackets a line may break inside; the offset by one is taken back in `column_of`.
        tree = ast.parse(f"({' '.join(text.splitlines())})", mode="eval").body
    except SyntaxError as error:
        place = min(max((error.offset or 2) - 2, 0), len(text) - 1)
        raise BadSchedule(f'"{_short(text)}" is no expression', _why(text), column + place) from None
    except (RecursionError, MemoryError, ValueError):
        raise BadSchedule("an expression nested too deeply", f"At most {DEEPEST} levels are read.", column) from None
    made = Expression(text, column, tree)
    _check(made, tree, 0)
    return made


def _plain(text: str, column: int) -> None:
    depth = 0
    for place, letter in enumerate(text):
        if not (letter.isascii() and (letter.isprintable() or letter.isspace())):
            raise BadSchedule(f"{letter!r} in an expression", "Write it with ASCII characters.", column + place)
        depth += (letter in "([{") - (letter in ")]}")
        if depth > DEEPEST:
            message = f"more than {DEEPEST} brackets inside one another"
            raise BadSchedule(message, "Write it more simply.", column + place)


def _check(made: Expression, node: ast.expr, depth: int) -> None:
    if depth > DEEPEST:
        message = "an expression nested too deeply"
        raise BadSchedule(message, f"At most {DEEPEST} levels are read.", made.column_of(node))
    inside: list[ast.expr] = []
    match node:
        case ast.Constant(value=value) if type(value) in (int, float):
            try:
                float(value)  # type: ignore[arg-type]
            except OverflowError:
                raise BadSchedule("a number too large", "Write a smaller one.", made.column_of(node)) from None
        case ast.Name(id=name) if name in NAMES:
            pass
        case ast.Name(id=name):
            raise BadSchedule(f'"{_short(name)}" is unknown', _instead(name), made.column_of(node))
        case ast.UnaryOp(op=op, operand=operand) if isinstance(op, UNARY):
            inside = [operand]
        case ast.BinOp(op=op, left=left, right=right) if isinstance(op, BINARY + BITS):
            inside = [left, right]
        case ast.Compare(left=left, ops=[op], comparators=[right]) if isinstance(op, COMPARED):
            inside = [left, right]
        case ast.Call(func=ast.Name(id=name), args=inside, keywords=[]):
            _check_call(made, node, name, len(inside))
        case ast.Compare():
            message = "two comparisons in one"
            raise BadSchedule(message, "Write (t > 5) & (t < 10).", made.column_of(node))
        case ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
            raise BadSchedule("and, or, not", "Write (a) & (b), (a) | (b), ~(a).", made.column_of(node))
        case ast.IfExp():
            raise BadSchedule("if and else", "Write where(condition, a, b).", made.column_of(node))
        case _:
            what = type(node).__name__.lower()
            hint = "Numbers, t, max_f, s, operators and functions such as sin can stand here."
            raise BadSchedule(f"{what} in an expression", hint, made.column_of(node))
    for part in inside:
        _check(made, part, depth + 1)


def _check_call(made: Expression, node: ast.expr, name: str, given: int) -> None:
    if name not in FUNCTIONS:
        raise BadSchedule(f'no function "{_short(name)}"', _instead(name), made.column_of(node))
    if given != FUNCTIONS[name]:
        message = f"{name} with {given} values"
        raise BadSchedule(message, f"It takes {FUNCTIONS[name]}.", made.column_of(node))


def _instead(name: str) -> str:
    known = nearest(name, [*FUNCTIONS, *NAMES])
    return INSTEAD.get(name) or known or f"Known are {', '.join(NAMES)} and functions such as sin, cos, exp, where."


def _why(text: str) -> str:
    missing = text.count("(") - text.count(")")
    if missing:
        return f"{abs(missing)} bracket{'s' * (abs(missing) > 1)} too {'few' if missing > 0 else 'many'} at its end."
    return "Write it as in sin(t/10)*5."


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"

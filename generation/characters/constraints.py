"""Constraints between the weights of a tree: `body.arms + body.legs <= 1.5`, as comparisons of sums.

Parsed with `ast` and evaluated by hand over a whitelist: names, numbers, + - * /, min, max, abs, comparisons. A name's
value is what acts there, its own weight times those above it.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from generation.errors import BadSpec, nearest

LONGEST = 500  # characters
BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
COMPARED: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.LtE: lambda a, b: a <= b + NEAR, ast.Lt: operator.lt, ast.GtE: lambda a, b: a >= b - NEAR, ast.Gt: operator.gt,
    ast.Eq: lambda a, b: abs(a - b) <= NEAR, ast.NotEq: lambda a, b: abs(a - b) > NEAR,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "max": max, "abs": abs}
NEAR = 1e-6
USAGE = "Write such as body.arms + body.legs <= 1.5."


@dataclass(frozen=True)
class Constraint:
    """`text` as written; `tree` one comparison, or several in a row (0 <= a <= b)."""

    text: str
    tree: ast.Compare

    def holds(self, weights: Mapping[str, float]) -> bool:
        """Whether it holds for the weights that act; a division by 0 does not."""
        try:
            left = _value(self.tree.left, weights)
            for how, other in zip(self.tree.ops, self.tree.comparators, strict=True):
                right = _value(other, weights)
                if not COMPARED[type(how)](left, right):
                    return False
                left = right
        except ZeroDivisionError:
            return False
        return True


def parse(text: object, names: Iterable[str]) -> Constraint:
    """The constraint of a text over the tree's `names`. Raises `BadSpec` with the nearest name."""
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
        raise BadSpec(f"{str(text)[:40]!r} is no constraint", USAGE)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadSpec(f'the constraint "{text}" cannot be read', USAGE) from error
    if not isinstance(tree, ast.Compare) or not all(type(how) in COMPARED for how in tree.ops):
        raise BadSpec(f'"{text}" compares nothing', USAGE)
    known = set(names)
    for side in (tree.left, *tree.comparators):
        _check(side, known, text)
    return Constraint(text.strip(), tree)


def _check(node: ast.expr, known: set[str], text: str) -> None:
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float()):
            return
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=inner):
            _check(inner, known, text)
            return
        case ast.BinOp(left=left, op=how, right=right) if type(how) in BINARY:
            _check(left, known, text)
            _check(right, known, text)
            return
        case ast.Call(func=ast.Name(id=name), args=given, keywords=[]) if _takes(name, len(given)):
            for one in given:
                _check(one, known, text)
            return
        case ast.Name() | ast.Attribute():
            name = _dotted(node)
            if name in known:
                return
            hint = nearest(name, known) or USAGE
            raise BadSpec(f'the constraint "{text}" names "{name}", which the tree does not have', hint)
    raise BadSpec(f'the constraint "{text}" holds what is no sum of weights', USAGE)


def _takes(name: str, count: int) -> bool:
    return name in FUNCTIONS and (count == 1 if name == "abs" else count > 1)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return "?"


def _value(node: ast.expr, weights: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=value):
            return float(value)  # type: ignore[arg-type]
        case ast.UnaryOp(op=how, operand=inner):
            found = _value(inner, weights)
            return -found if isinstance(how, ast.USub) else found
        case ast.BinOp(left=left, op=how, right=right):
            return BINARY[type(how)](_value(left, weights), _value(right, weights))
        case ast.Call(func=ast.Name(id=name), args=given):
            values = [_value(one, weights) for one in given]
            return FUNCTIONS[name](*values)
    return weights[_dotted(node)]

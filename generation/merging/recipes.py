"""A recipe for weights, read from text into a checked tree.

    base = model("v1-5-pruned")
    mixed = weighted_sum(base, "painterly.safetensors", alpha=0.4)
    add_lora(mixed, "ink", weight=0.8)

Values have names given above, the last line is the result; quoted names are those of the catalogue, or paths. Nothing
is ever executed: Python's parser makes the tree, and what is not listed here is an error with its line and column.
Knows the language and what each method takes; leaves which files the names mean to `plans`. Light: no torch.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from generation.errors import BadSpec, nearest
from generation.merging import METHODS, MODEL, WEIGHTED, Method

LONGEST = 100_000  # characters; a recipe with block weights for twenty models has 5,000
DEEPEST = 100
MOST_INPUTS = 64
# Calls and names once every value stands where it is used: a line may use the one above it twice, and so on.
MOST_NODES = 1000


class BadRecipe(BadSpec):
    """A recipe that cannot be read. `line` and `column` count from 1."""

    def __init__(self, message: str, hint: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line}, column {column}: {message}" if line else message, hint)
        self.line, self.column = line, column


@dataclass(frozen=True)
class Named:
    """Weights by the name or path that the recipe has for them."""

    name: str
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Call:
    """A method with its inputs in order, and all of its parameters; block weights are still a list or a table."""

    method: str
    inputs: tuple[Node, ...]
    values: dict[str, Any]
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)


Node = Named | Call


@dataclass(frozen=True)
class Recipe:
    """`text` as it was written; `result` the tree of the last line."""

    text: str
    result: Call

    def names(self) -> tuple[str, ...]:
        """The names of weights in the order in which they are first written, each once."""
        return tuple(dict.fromkeys(node.name for node in walk(self.result) if isinstance(node, Named)))


def walk(node: Node) -> list[Node]:
    """The node and all below it, in order; a value used twice comes twice."""
    found = [node]
    for inner in node.inputs if isinstance(node, Call) else ():
        found += walk(inner)
    return found


def parse(text: str) -> Recipe:
    """The recipe of a text. Raises `BadRecipe`: line, column, what is wrong, and the nearest name."""
    if len(text) > LONGEST:
        raise BadRecipe(f"the recipe has {len(text):,} characters", f"A recipe has up to {LONGEST:,}.")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        line, column = error.lineno or 1, max(1, error.offset or 1)
        raise BadRecipe(error.msg.partition(". Perhaps")[0], "Write method(...) on one line.", line, column) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise BadRecipe("it is no recipe", 'Write weighted_sum("a", "b", alpha=0.5).', 1, 1) from error
    if not tree.body:
        raise BadRecipe("the recipe is empty", 'Write weighted_sum("a", "b", alpha=0.5).', 1, 1)
    return Recipe(text, _Reader().result(tree.body))


class _Reader:
    """One text: the values that have names so far."""

    def __init__(self) -> None:
        self._values: dict[str, Node] = {}
        self._sizes: dict[int, int] = {}
        self._kept: list[Node] = []  # an id is a node's as long as the node lives

    def result(self, lines: list[ast.stmt]) -> Call:
        last: Node | None = None
        for line in lines:
            if isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name):
                name = line.targets[0].id
                if name in METHODS or name == MODEL:
                    raise _wrong(line, f'"{name}" is a method', "Choose another name.")
                last = self._node(line.value)
                self._values[name] = last
            elif isinstance(line, ast.Expr):
                if line is not lines[-1]:
                    raise _wrong(line, "only the last line may stand without a name", "Write name = before it.")
                last = self._node(line.value)
            else:
                raise _wrong(line, "this is no line of a recipe", "Write name = method(...), or method(...).")
        if not isinstance(last, Call):
            raise _wrong(lines[-1], "the last line makes nothing", f"Call one of: {', '.join(METHODS)}.")
        return last

    def _node(self, tree: ast.expr, depth: int = 0) -> Node:
        """Weights, or what makes them."""
        if depth > DEEPEST:
            raise _wrong(tree, "the recipe is nested too deeply", "Give parts of it names.")
        if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
            return self._named(tree, tree.value)
        if isinstance(tree, ast.Name):
            if tree.id not in self._values:
                hint = nearest(tree.id, self._values) or f'Put the name of weights in quotes: "{tree.id}".'
                raise _wrong(tree, f'nothing is named "{tree.id}"', hint)
            return self._values[tree.id]
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            return self._call(tree, tree.func.id, depth)
        raise _wrong(tree, "here weights are expected", 'Write "name", a name given above, or method(...).')

    def _named(self, tree: ast.expr, name: str) -> Named:
        if not name.strip() or "\x00" in name:
            raise _wrong(tree, "the name of weights is empty", "Write a name of `atelier models list`, or a path.")
        return Named(name, tree.lineno, tree.col_offset + 1)

    def _call(self, tree: ast.Call, name: str, depth: int) -> Node:
        if name == MODEL:
            first = tree.args[0] if len(tree.args) == 1 and not tree.keywords else None
            if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
                raise _wrong(tree, "model takes one name in quotes", 'Write model("name").')
            return self._named(first, first.value)
        if name not in METHODS:
            hint = nearest(name, (*METHODS, MODEL)) or f"There are: {', '.join(METHODS)}."
            raise _wrong(tree, f'there is no method "{name}"', hint)
        method = METHODS[name]
        if any(isinstance(one, ast.Starred) for one in tree.args):
            raise _wrong(tree, "nothing is unpacked in a recipe", "Write each input.")
        inputs = tuple(self._node(one, depth + 1) for one in tree.args)
        self._check_inputs(tree, name, method, inputs)
        made = Call(name, inputs, self._settings(tree, name, method, len(inputs)), tree.lineno, tree.col_offset + 1)
        size = 1 + sum(self._sizes.get(id(one), 1) for one in inputs)
        if size > MOST_NODES:
            raise _wrong(tree, f"this stands for {size:,} steps", f"A recipe has up to {MOST_NODES:,}.")
        self._sizes[id(made)] = size
        self._kept.append(made)
        return made

    def _check_inputs(self, tree: ast.Call, name: str, method: Method, inputs: tuple[Node, ...]) -> None:
        least = len(method.takes)
        if len(inputs) < least or len(inputs) > (MOST_INPUTS if method.more else least):
            wanted = f"{least} or more" if method.more else str(least)
            raise _wrong(tree, f"{name} takes {wanted} weights, not {len(inputs)}", f"{name}: {method.help}.")
        for number, (inner, written) in enumerate(zip(inputs, tree.args)):
            kind = method.takes[min(number, least - 1)]
            if isinstance(inner, Call) and METHODS[inner.method].gives != kind:
                made = METHODS[inner.method].gives
                raise _wrong(written, f"{name} takes a {kind} here, and {inner.method} gives a {made}",
                             f"{name}: {method.help}.")  # fmt: skip

    def _settings(self, tree: ast.Call, name: str, method: Method, inputs: int) -> dict[str, Any]:
        table = {parameter.name: parameter for parameter in method.parameters}
        known = (*table, "weights") if name in WEIGHTED else tuple(table)
        found: dict[str, Any] = {parameter.name: parameter.default for parameter in method.parameters}
        for word in tree.keywords:
            if word.arg is None or word.arg not in known:
                there = nearest(word.arg or "", known) or (f"It has: {', '.join(known)}." if known else "It has none.")
                raise _wrong(word.value, f'{name} has no setting "{word.arg or "**"}"', there)
            value = _literal(word.value)
            try:
                if word.arg == "weights":
                    value = _weights(value, inputs)
                elif not (word.arg in method.blocks and isinstance(value, (list, dict))):
                    value = (
                        None if value is None and table[word.arg].default is None else table[word.arg].checked(value)
                    )
            except BadSpec as error:
                raise _wrong(word.value, error.message, error.hint) from error
            found[word.arg] = value
        if name in WEIGHTED:
            found.setdefault("weights", [1.0] * inputs)
        if {"rank", "keep"} <= set(table) and not found["rank"] and not found["keep"]:
            raise _wrong(tree, f"{name} needs a rank, or the share to keep", "Write rank=16, or keep=0.95.")
        return found


def _weights(value: Any, inputs: int) -> list[float]:
    if not isinstance(value, list) or not all(_is_number(one) for one in value):
        raise BadSpec("weights are a list of numbers", "Write weights=[0.7, 0.3].")
    if len(value) != inputs:
        raise BadSpec(f"there are {len(value)} weights for {inputs} networks", "Give one for each.")
    if not all(-10 <= one <= 10 for one in value):
        raise BadSpec("a weight is out of range", "Give -10 to 10.")
    return [float(one) for one in value]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _literal(tree: ast.expr) -> Any:
    """A number, text, flag, list of numbers, or table of numbers by text."""
    if isinstance(tree, ast.Constant) and (tree.value is None or isinstance(tree.value, (bool, int, float, str))):
        return tree.value
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, (ast.USub, ast.UAdd)):
        value = tree.operand.value if isinstance(tree.operand, ast.Constant) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return -value if isinstance(tree.op, ast.USub) else value
    if isinstance(tree, (ast.List, ast.Tuple)) and len(tree.elts) <= 1000:
        return [_literal(one) for one in tree.elts]
    if isinstance(tree, ast.Dict) and all(isinstance(k, ast.Constant) and isinstance(k.value, str) for k in tree.keys):
        return {k.value: _literal(v) for k, v in zip(tree.keys, tree.values) if isinstance(k, ast.Constant)}
    raise _wrong(tree, "a setting is a number, a text, a list or a table of numbers", "Write alpha=0.5.")


def _wrong(tree: ast.AST, what: str, hint: str) -> BadRecipe:
    return BadRecipe(what, hint, getattr(tree, "lineno", 1), getattr(tree, "col_offset", 0) + 1)

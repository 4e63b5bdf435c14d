"""Compel's prompt syntax as a tree of places, without importing compel: what it will read, and what it will not say.

`word++`, `word-`, `(words)1.3`, `"words"1.3`, `(words).attend(1.3)`; `cat.swap(dog, s_end=0.5)`; `withLora(name, 0.5)`;
`("a", "b").and(1, 2)` and `.blend(0.5, 0.5, no_normalize)`; `\\(`, `\\)` and `\\"` are letters. Each `+` is a factor of
1.1, each `-` of 0.9. The facts are compel 2.5.1's (MIT), found by running it: `flat()` is its flattened prompt,
letter for letter, with its spaces around commas and between fragments. Its oddities are reproduced and warned of:
parentheses alone weigh nothing, `(a)-1` is 0.9 and the text "1", a weight around `+`, `-` or `=` is text, what follows
`.and(...)` vanishes, what follows `.blend(...)` is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Literal, TypeAlias

from generation.prompts.grammar import Warning

PLUS, MINUS = 1.1, 0.9
DEEPEST = 40
SLOW = 4  # compel 2.5.1 tries five times as long at each level: 2 s at five, a minute at seven
BLANK = " \t\n\r"
WORD = re.compile(
    r'(?:\\[()",.+\-=]|[+-](?![ \t\n\r()",.+\-=]|\Z)|[^ \t\n\r\x0b\x0c()",.+\-=])+'
)  # a word that holds no syntax; a sign belongs to it before a letter only
FREE = re.compile(r"[^ \t\n\r\x0b\x0c]+")
QUOTED = re.compile(r'"(?:\\"|[^"\n\r])*"')
NUMBER = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+)|-?[0-9]+")
STEPS = re.compile(r"\++|-+")
KEYWORD = re.compile(r"[A-Za-z0-9_-]+")
UNESCAPED = re.compile(r"(?<!\\)[()]")
# What may stand inside parentheses that weigh: words, commas and full stops.
WEIGHABLE = re.compile(r'(?:\\[()"]|[+-](?![ \t\n\r()",.+\-=]|\Z)|[^ \t\n\r\x0b\x0c()"+\-=])+')
# Signs that would be read as the weight of what stands before them.
OPERATOR = re.compile(r"(?<=[^\s,.=+-])(?=[+-](?:[,.=+\-\s]|\Z))")


@dataclass(frozen=True)
class Text:
    """Words of no weight of their own, as the person wrote them, blanks and all, escapes resolved."""

    text: str
    start: int = field(default=-1, compare=False)
    end: int = field(default=-1, compare=False)
    words: tuple[str, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Weighted:
    """What stands in it weighs `weight` times as much; compel can write no negative weight."""

    children: tuple[Node, ...]
    weight: float
    start: int = field(default=-1, compare=False)
    end: int = field(default=-1, compare=False)


@dataclass(frozen=True)
class Swap:
    """`original.swap(edited, name=value)`; an option without a value is (name, "")."""

    original: tuple[Node, ...]
    edited: tuple[Node, ...]
    options: tuple[tuple[str, float | str], ...] = ()
    start: int = field(default=-1, compare=False)
    end: int = field(default=-1, compare=False)


@dataclass(frozen=True)
class Lora:
    """`withLora(name, weight)`."""

    name: str
    weight: float = 1.0
    start: int = field(default=-1, compare=False)
    end: int = field(default=-1, compare=False)


Node: TypeAlias = Text | Weighted | Swap | Lora
Flat: TypeAlias = list[tuple[str, float]]


@dataclass(frozen=True)
class CompelPrompt:
    """A prompt of one part, or of several in an `and` or a `blend` with a weight each.

    `str()` is the text it was read from, or the printed text of a tree built from nodes. Equality ignores places.
    """

    parts: tuple[tuple[Node, ...], ...]
    kind: Literal["", "and", "blend"] = ""
    weights: tuple[float, ...] = ()
    normalize: bool = True
    loras: tuple[Lora, ...] = ()
    text: str = field(default="", compare=False)
    warnings: tuple[Warning, ...] = field(default=(), compare=False)
    read: bool = field(default=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.read:
            object.__setattr__(self, "text", _print(self))

    def __str__(self) -> str:
        return self.text

    def fragments(self) -> list[Flat]:
        """[(text, weight), ...] of each part as compel flattens it; a swap gives its original."""
        tree = self if self.read else parse(self.text)
        if not tree.text.strip():
            return [[("", 1.0)]]
        return [_fuse(_leaves(part, 1.0)) for part in tree.parts]

    def flat(self) -> Flat:
        """The fragments of all parts, one after another."""
        return [pair for part in self.fragments() for pair in part]


@lru_cache(maxsize=256)
def parse(text: str) -> CompelPrompt:
    """The tree of any text; never raises. What compel would refuse is a warning that begins with "Compel refuses"."""
    depth = _depth(text)
    if depth > DEEPEST:
        words = tuple(_plain(match[0]) for match in FREE.finditer(_spaced(text)[0]))
        warning = Warning(f"parentheses {depth} deep are read as text", 0, len(text))
        return CompelPrompt(((Text(text, 0, len(text), words),),), text=text, warnings=(warning,), read=True)
    return _Reader(text).prompt(depth)


def _depth(text: str) -> int:
    """How deep the parentheses stand in each other, closed or not."""
    depth = deepest = 0
    for match in UNESCAPED.finditer(text):
        depth = depth + 1 if match[0] == "(" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


def _spaced(text: str) -> tuple[str, list[int]]:
    """The text with compel's blanks after commas, and the place of each letter (and of the end) in the original."""
    letters: list[str] = []
    places: list[int] = []
    last = 0
    for match in [*re.finditer(r",\S", text), None]:
        end = match.start() + 1 if match else len(text)
        letters.append(text[last:end])
        places.extend(range(last, end))
        last = end
        if match:
            letters.append(" ")
            places.append(end)
    return "".join(letters), [*places, len(text)]


def _plain(text: str) -> str:
    return text.replace("\\(", "(").replace("\\)", ")").replace('\\"', '"')


def _wholly_plain(text: str) -> str:
    """Compel takes the escapes off at each pass, so that a backslash before a bracket never stays."""
    return re.sub(r'\\+(?=[()"])', "", text)


def _leaves(nodes: Iterable[Node], scale: float) -> list[tuple[str, float, bool]]:
    """(text, weight, whether it may be joined) of every word."""
    leaves: list[tuple[str, float, bool]] = []
    for node in nodes:
        if isinstance(node, Text):
            leaves += [(_plain(word), scale, True) for word in node.words]
        elif isinstance(node, Weighted):
            leaves += _leaves(node.children, scale * node.weight)
        elif isinstance(node, Swap):
            swapped = _fuse(_leaves(node.original, scale)) or [("", 1.0)]
            leaves += [(text, weight, False) for text, weight in swapped]
    return leaves


def _fuse(leaves: list[tuple[str, float, bool]]) -> Flat:
    """Neighbours of one weight joined by a blank each."""
    runs: list[tuple[list[str], float, bool]] = []
    for text, weight, joins in leaves:
        if runs and joins and runs[-1][2] and runs[-1][1] == weight:
            runs[-1][0].append(text)
        else:
            runs.append(([text], weight, joins))
    return [(_plain(" ".join(texts)) if len(texts) > 1 else texts[0], weight) for texts, weight, _ in runs]


@dataclass(frozen=True)
class _Item:
    """Something read, from `start` to `end`.

    Kinds: word; group and quote, whose `inner` items fill `inside`; weight and swap, whose target is `inner`; lora.
    """

    kind: str
    start: int
    end: int
    inner: tuple[_Item, ...] = ()
    inside: tuple[int, int] = (0, 0)
    value: str = ""
    edited: tuple[_Item, ...] = ()
    edited_inside: tuple[int, int] = (0, 0)
    options: tuple[tuple[str, float | str], ...] = ()


class _Reader:
    """Reads one text: items by ordered choice as compel chooses, then nodes of the items."""

    def __init__(self, text: str) -> None:
        self.source = text
        self.text, self.places = _spaced(text)
        self.warnings: list[Warning] = []
        self.known: dict[tuple[str, int, int], _Item | None] = {}

    def prompt(self, depth: int) -> CompelPrompt:
        end = len(self.text)
        if depth > SLOW:
            self._warn("parentheses this deep take compel very long to read", 0, end)
        loras: list[_Item] = []
        listed = self._listed(0, (".and", ".add"))
        if listed is None:
            place = self._loras(0, loras)
            listed = self._listed(place, (".blend",))
        if listed is None:
            items, place = self._items(0, end, self._prompt_item)
            while place < end:  # a vertical tab or a form feed
                self._warn("Compel refuses a vertical tab or form feed", place, place + 1)
                more, place = self._items(place + 1, end, self._prompt_item)
                items += more
            nodes = self._nodes(items, 0, end)
            return CompelPrompt((nodes,), text=self.source, warnings=self._sorted(), read=True)
        operator, members, options, place = listed
        if operator == ".blend":
            place = self._loras(place, loras)
        if self._skip(place, end) < end:
            fate = "Compel refuses text" if operator == ".blend" else "Compel drops the text"
            self._warn(f"{fate} after {operator}()", self._skip(place, end), end)
        parts = tuple(self._nodes([member], member.start, member.end) for member in members)
        weights, normalize = self._weights(operator, options, parts, place)
        return CompelPrompt(
            parts,
            "blend" if operator == ".blend" else "and",
            weights,
            normalize,
            tuple(self._lora(item) for item in loras),
            self.source,
            self._sorted(),
            True,
        )

    def _sorted(self) -> tuple[Warning, ...]:
        return tuple(sorted(set(self.warnings), key=lambda warning: (warning.start, warning.end)))

    def _warn(self, message: str, start: int, end: int) -> None:
        self.warnings.append(Warning(message, self.places[start], max(self.places[end], self.places[start] + 1)))

    def _weights(
        self,
        operator: str,
        options: tuple[tuple[str, float | str], ...],
        parts: tuple[tuple[Node, ...], ...],
        end: int,
    ) -> tuple[tuple[float, ...], bool]:
        """The numbers among the options of an `and` or a `blend`, one a part, and whether they are normalised."""
        normalize = True
        names = [name for name, _ in options]
        if operator == ".blend" and names and names[-1] == "no_normalize":
            normalize = False
            names.pop()
        weights = []
        for name in names:
            try:
                weights.append(float(name))
            except ValueError:
                self._warn(f'Compel refuses "{name}" as a weight of {operator}()', 0, end)
        if operator == ".blend" and any(isinstance(node, Swap) for part in parts for node in part):
            self._warn("Compel refuses .swap() in a .blend()", 0, end)
        if names and len(names) != len(parts):
            self._warn(f"Compel refuses {len(names)} weights for {len(parts)} parts", 0, end)
        if len(weights) != len(parts):
            weights = (weights + [1.0] * len(parts))[: len(parts)]
        return tuple(weights), normalize

    # Items. Each method gives what stands at a place, or None.

    def _skip(self, place: int, end: int) -> int:
        while place < end and self.text[place] in BLANK:
            place += 1
        return place

    def _after(self, literal: str, place: int, end: int) -> int:
        """The place behind `literal`, blanks before it skipped, or -1."""
        place = self._skip(place, end)
        return place + len(literal) if self.text.startswith(literal, place, end) else -1

    def _loras(self, place: int, loras: list[_Item]) -> int:
        while item := self._lora_item(self._skip(place, len(self.text)), len(self.text)):
            loras.append(item)
            place = item.end
        return place

    def _lora_item(self, place: int, end: int) -> _Item | None:
        if not self.text.startswith(("useLora", "withLora"), place, end):
            return None
        opened = self._after("(", place + (7 if self.text[place] == "u" else 8), end)
        name = KEYWORD.match(self.text, self._skip(opened, end), end) if opened >= 0 else None
        if name is None:
            return None
        last, weight = name.end(), 1.0
        comma = self._after(",", last, end)
        if comma >= 0 and (number := NUMBER.match(self.text, self._skip(comma, end), end)):
            last, weight = number.end(), float(number[0])
        closed = self._after(")", last, end)
        return _Item("lora", place, closed, value=name[0], options=(("", weight),)) if closed >= 0 else None

    def _items(self, place: int, end: int, one: Callable[[int, int], _Item | None]) -> tuple[list[_Item], int]:
        """Items one after another, and the place, blanks skipped, where no more follow."""
        items: list[_Item] = []
        place = self._skip(place, end)
        while place < end and (item := one(place, end)):
            items.append(item)
            place = self._skip(item.end, end)
        return items, place

    def _prompt_item(self, place: int, end: int) -> _Item | None:
        """Outside of parentheses: what is no syntax is a word up to the next blank."""
        if item := self._lora_item(place, end) or self._operated(place, end):
            return item
        if item := self._quote(place, end) or self._group(place, end):
            return item
        word = FREE.match(self.text, place, end)
        return _Item("word", place, word.end(), value=word[0]) if word else None

    def _fragment_item(self, place: int, end: int) -> _Item | None:
        """Inside of parentheses or quotes: what is no syntax must be words, commas and full stops."""
        if item := self._bare_item(place, end):
            return item
        if self.text[place] in ",.":
            return _Item("word", place, place + 1, value=self.text[place])
        return None

    def _bare_item(self, place: int, end: int) -> _Item | None:
        return self._lora_item(place, end) or self._operated(place, end) or self._target(place, end)

    def _target(self, place: int, end: int) -> _Item | None:
        """What an operator may follow."""
        if item := self._quote(place, end) or self._group(place, end):
            return item
        word = WORD.match(self.text, place, end)
        return _Item("word", place, word.end(), value=word[0]) if word else None

    def _group(self, place: int, end: int) -> _Item | None:
        if self.text[place] != "(":
            return None
        key = ("(", place, end)
        if key not in self.known:
            items, last = self._items(place + 1, end, self._fragment_item)
            closed = self.text.startswith(")", last, end)
            self.known[key] = _Item("group", place, last + 1, tuple(items), (place + 1, last)) if closed else None
        return self.known[key]

    def _quote(self, place: int, end: int, free: bool = False) -> _Item | None:
        match = QUOTED.match(self.text, place, end)
        if match is None:
            return None
        key = ("free" if free else '"', place, end)
        if key not in self.known:
            first, last = place + 1, match.end() - 1
            if not self.text[first:last].strip():
                items, stop = [_Item("word", first, first)], last
            else:
                items, stop = self._items(first, last, self._prompt_item if free else self._fragment_item)
            whole = stop == last
            self.known[key] = _Item("quote", place, last + 1, tuple(items), (first, last)) if whole else None
        return self.known[key]

    def _operated(self, place: int, end: int) -> _Item | None:
        """A target with its weight or its swap."""
        target = self._target(place, end)
        if target is None:
            return None
        opened = self._after(".attend", target.end, end)
        opened = self._after("(", opened, end) if opened >= 0 else -1
        if opened >= 0:
            opened = self._skip(opened, end)
            operator = STEPS.match(self.text, opened, end) or NUMBER.match(self.text, opened, end)
            closed = self._after(")", operator.end(), end) if operator else -1
            if operator and closed >= 0:
                return _Item("weight", place, closed, (target,), value=operator[0])
        operator = STEPS.match(self.text, target.end, end)
        if operator is None and target.kind != "word":
            operator = NUMBER.match(self.text, target.end, end)
        if operator:
            return _Item("weight", place, operator.end(), (target,), value=operator[0])
        opened = self._after(".swap", target.end, end)
        opened = self._after("(", opened, end) if opened >= 0 else -1
        if opened < 0:
            return None
        edited, last = self._items(opened, end, self._bare_item)
        inside = (opened, last)
        options: tuple[tuple[str, float | str], ...] = ()
        if (comma := self._after(",", last, end)) >= 0:
            options, last = self._options(comma, end)
        closed = self._after(")", last, end)
        if closed < 0:
            return None
        return _Item("swap", place, closed, (target,), (0, 0), "", tuple(edited), inside, options)

    def _options(self, place: int, end: int) -> tuple[tuple[tuple[str, float | str], ...], int]:
        """((name, value), ...) of `name=value`, numbers and flags, parted by commas, and the place behind them."""
        options: list[tuple[str, float | str]] = []
        last = place
        while True:
            place = self._skip(place, end)
            name = KEYWORD.match(self.text, place, end)
            equals = self._after("=", name.end(), end) if name else -1
            value = None
            if equals >= 0:
                equals = self._skip(equals, end)
                value = NUMBER.match(self.text, equals, end) or KEYWORD.match(self.text, equals, end)
            number = NUMBER.match(self.text, place, end)
            if name and value:
                is_number = NUMBER.fullmatch(value[0])
                options.append((name[0], float(value[0]) if is_number else value[0]))
                last = value.end()
            elif number or name:
                found = number or name
                assert found is not None
                options.append((found[0], ""))
                last = found.end()
            else:
                break
            place = self._after(",", last, end)
            if place < 0:
                break
        return tuple(options), last

    def _listed(
        self, place: int, operators: tuple[str, ...]
    ) -> tuple[str, list[_Item], tuple[tuple[str, float | str], ...], int] | None:
        """`("a", "b").and(1, 2)` from a place on: the operator, the members, the options, the place behind."""
        end = len(self.text)
        place = self._after("(", place, end)
        members: list[_Item] = []
        while place >= 0:
            place = self._skip(place, end)
            item = (self._target(place, end) or self._quote(place, end, free=True)) if place < end else None
            if item is None:
                return None
            members.append(item)
            last = item.end
            place = self._after(",", last, end)
        place = self._after(")", last, end) if members else -1
        for operator in operators:
            opened = self._after(operator, place, end) if place >= 0 else -1
            opened = self._after("(", opened, end) if opened >= 0 else -1
            if opened >= 0:
                options, last = self._options(opened, end)
                closed = self._after(")", last, end)
                if closed >= 0:
                    return operator, members, options, closed
        return None

    # Nodes.

    def _nodes(self, items: Iterable[_Item], start: int, end: int) -> tuple[Node, ...]:
        """The nodes of the items between two places; the blanks between them are text, groups alone dissolve."""
        nodes: list[Node] = []
        place = start
        for item in items:
            self._gap(nodes, place, item.start)
            if item.kind == "word":
                self._check_word(item)
                word = self.source[self.places[item.start] : self.places[item.end]]
                self._join(nodes, Text(_wholly_plain(word), *self._span(item), (_plain(item.value),)))
            elif item.kind in {"group", "quote"}:
                self._check_group(item)
                for node in self._nodes(item.inner, *item.inside):
                    self._join(nodes, node)
            elif item.kind == "lora":
                nodes.append(self._lora(item))
            else:
                [target] = item.inner
                inner = self._operand(target)
                if item.kind == "weight":
                    nodes.append(Weighted(inner, self._weight(item, inner), *self._span(item)))
                else:
                    edited = self._nodes(item.edited, *item.edited_inside)
                    nodes.append(Swap(inner, _trimmed(edited), item.options, *self._span(item)))
            place = item.end
        self._gap(nodes, place, end)
        return tuple(nodes)

    def _operand(self, target: _Item) -> tuple[Node, ...]:
        """What is in the parentheses or quotes that an operator follows."""
        if target.kind == "word":
            return self._nodes([target], target.start, target.end)
        return self._nodes(target.inner, *target.inside)

    def _span(self, item: _Item) -> tuple[int, int]:
        return self.places[item.start], self.places[item.end]

    def _lora(self, item: _Item) -> Lora:
        return Lora(item.value, float(item.options[0][1]), *self._span(item))

    def _gap(self, nodes: list[Node], start: int, end: int) -> None:
        first, last = self.places[start], self.places[end]
        if last > first:
            self._join(nodes, Text(self.source[first:last], first, last))

    @staticmethod
    def _join(nodes: list[Node], node: Node) -> None:
        last = nodes[-1] if nodes else None
        if isinstance(node, Text) and isinstance(last, Text):
            nodes[-1] = Text(last.text + node.text, last.start, node.end, last.words + node.words)
        else:
            nodes.append(node)

    def _weight(self, item: _Item, inner: tuple[Node, ...]) -> float:
        sign = item.value[0] in "+-" and not any(letter.isdigit() for letter in item.value)
        if sign and self.text[item.end : item.end + 1].isdigit() and self.text[item.end - 1] != ")":
            self._warn(f'"{item.value}" is the whole weight, the number after it is text', item.start, item.end + 1)
        try:
            weight = (PLUS if item.value[0] == "+" else MINUS) ** len(item.value) if sign else float(item.value)
        except OverflowError:
            self._warn(f"Compel refuses {len(item.value)} plus signs", item.start, item.end)
            weight = float("inf")
        if weight < 1 and any(not text.strip() for text, _, _ in _leaves(inner, 1.0)):
            self._warn("Compel refuses a weight below 1 on nothing", item.start, item.end)
        return weight

    def _check_word(self, item: _Item) -> None:
        if UNESCAPED.search(item.value):
            self._warn(f'"{item.value[:30]}" is read as text, parentheses and all', item.start, item.end)
        if kept := re.search(r"\\[,.+=-]", item.value):
            self._warn(f'"{kept[0]}" keeps its backslash', item.start + kept.start(), item.start + kept.end())

    def _check_group(self, item: _Item) -> None:
        if item.kind == "quote":
            first, last = item.inside
            if escape := re.search(r"\\(?:[tnfr0]|[0-7]3|x[0-9a-fA-F]2|u[0-9a-fA-F]4)", self.text[first:last]):
                self._warn(f'"{escape[0]}" in quotes is another letter to Compel', first, last)
            return
        body = self.text[slice(*item.inside)]
        if wrong := re.search(r"^(.*):\s*([+-]?[.\d]+)\s*$", body, re.DOTALL):
            said = f"({body}) is no weight here: write ({wrong[1]}){wrong[2]}"
        else:
            said = f"parentheses alone weigh nothing: write ({body})1.1 or \\({body}\\)"
        self._warn(said if len(body) <= 60 else "parentheses alone weigh nothing", item.start, item.end)


def _trimmed(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Without the blanks at the ends, which belong to the writing of a swap."""
    kept = list(nodes)
    if kept and isinstance(kept[0], Text):
        kept[0] = Text(kept[0].text.lstrip(), kept[0].start, kept[0].end, kept[0].words)
    if kept and isinstance(kept[-1], Text):
        kept[-1] = Text(kept[-1].text.rstrip(), kept[-1].start, kept[-1].end, kept[-1].words)
    return tuple(node for node in kept if not isinstance(node, Text) or node.text or node.words)


# Printing.


def escape(text: str) -> str:
    """The text with its parentheses and quotes as letters; a backslash before one cannot be written and is left out."""
    return re.sub(r'\\*([()"])', r"\\\1", text)


def number(value: float) -> str:
    """A number as compel reads one: no exponent, always with its point."""
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else text + ".0"


def _print(tree: CompelPrompt) -> str:
    if not tree.kind:
        return _printed(tree.parts[0] if tree.parts else ())
    members = []
    for part in tree.parts:
        text = re.sub(r"[\n\r]", " ", _printed(part))
        members.append(f'"{text} "' if text.endswith("\\") else f'"{text}"')
    options = [number(weight) for weight in tree.weights]
    if options == ["1.0"] * len(options):
        options = []
    if tree.kind == "blend":
        options = [number(weight) for weight in tree.weights]
        if not tree.normalize:
            options.append("no_normalize")
    text = f"({', '.join(members)}).{tree.kind}({', '.join(options)})"
    return " ".join([*(_printed([lora]) for lora in tree.loras), text])


def _printed(nodes: Iterable[Node], nested: bool = False) -> str:
    """The nodes as text; `nested` inside of parentheses, where a weight may follow a letter."""
    text = ""
    own = 0  # where the last text begins
    row = list(nodes)
    for place, node in enumerate(row):
        if isinstance(node, Text):
            raw, own = escape(node.text), len(text)
            text += raw if nested else OPERATOR.sub(" ", raw)
            if text.endswith("\\") and (nested or place + 1 < len(row)):
                text += " "  # or the bracket that follows would be a letter
            continue
        if not nested and place and isinstance(row[place - 1], Text):
            text = text[:own] + _parted(text[own:])
        if isinstance(node, Weighted):
            following = row[place + 1] if place + 1 < len(row) else None
            letter = following.text[:1] if isinstance(following, Text) else ""
            inner = _printed(node.children, True)
            weight = _steps(node.weight)
            if letter.isdigit() or (letter and letter in "+-" and weight[0] in "+-"):
                text += f"({inner}).attend({weight})"
            else:
                text += f"({inner}){weight}"
        elif isinstance(node, Swap):
            options = [name if value == "" else f"{name}={_value(value)}" for name, value in node.options]
            edited = f"({_printed(node.edited, True)})"
            text += f"({_printed(node.original, True)}).swap({', '.join([edited, *options])})"
        else:
            text += f"withLora({node.name}, {number(node.weight)})"
    return text


def _value(value: float | str) -> str:
    return value if isinstance(value, str) else number(value)


def _steps(weight: float) -> str:
    """The number, or `++` where that is shorter: 1.1 squared is no round number."""
    text = number(weight)
    for count in range(2, 6 if len(text) > 8 else 0):
        if weight == PLUS**count:
            return "+" * count
        if weight == MINUS**count:
            return "-" * count
    return text


def _parted(text: str) -> str:
    """Text that a bracket may follow: after a letter it would be text too, so the last word gets parentheses."""
    last = re.search(r"[^ \t\n\r\x0b\x0c]+\Z", text)
    if last is None or (last[0].endswith(",") and not last[0].endswith(",,")):
        return text
    if WEIGHABLE.fullmatch(last[0]):
        return f"{text[: last.start()]}({last[0]})"
    return text + " "

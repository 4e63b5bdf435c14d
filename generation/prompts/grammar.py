"""A1111's prompt grammar: attention, BREAK, networks, and warnings about its silent traps.

One pass over the text gives pieces with their places; everything else is read off them. Facts of the grammar: an
unclosed bracket holds to the end, an unmatched closing one is literal, `(` multiplies by 1.1 and `[` by 1/1.1, only
parentheses take `:weight`, a backslash makes a bracket or itself literal and vanishes before anything else. Prompt
editing and alternation are recognised and warned about; resolving them by step is left to the render's schedule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

ROUND, SQUARE = 1.1, 1 / 1.1
BREAK = ("BREAK", -1.0)
TOKEN = re.compile(r"\\[()\[\]\\]|\\|:\s*([+-]?[.\d]+)\s*\)|[()\[\]]|[^\\()\[\]:]+|:", re.DOTALL)
NETWORK = re.compile(r"<(\w+):([^>]+)>")
AND_WEIGHT = re.compile(r"^((?:\s|.)*?)(?:\s*:\s*([-+]?(?:\d+\.?|\d*\.\d+)))?\s*$")


@dataclass(frozen=True)
class Network:
    """`<kind:name:arguments>`; `positional` begins with the name, `named` holds `te=0.5` and the like."""

    kind: str
    positional: tuple[str, ...]
    named: tuple[tuple[str, str], ...]
    start: int
    end: int

    @property
    def name(self) -> str:
        return self.positional[0] if self.positional else ""


@dataclass(frozen=True)
class Warning:
    """Something that will not do what it looks like, and where it stands."""

    message: str
    start: int
    end: int


@dataclass(frozen=True)
class Span:
    """A stretch of the text for colouring. Kinds: weight, network, editing, alternate, and, break, escape, problem."""

    start: int
    end: int
    kind: str
    weight: float = 1.0


@dataclass
class _Piece:
    text: str
    weight: float
    start: int
    end: int


@dataclass(frozen=True)
class PromptTree:
    """A parsed prompt. `str()` gives back the text it was made of."""

    text: str
    pieces: tuple[tuple[str, float, int, int], ...]
    networks: tuple[Network, ...]
    ands: tuple[tuple[str, float], ...]
    warnings: tuple[Warning, ...]
    marks: tuple[Span, ...] = field(repr=False, default=())

    def __str__(self) -> str:
        return self.text

    def flat(self) -> list[tuple[str, float]]:
        """[(text, weight), ...] without networks; a BREAK is ("BREAK", -1)."""
        return _merge([(text, weight) for text, weight, _, _ in self.pieces])

    def spans(self) -> list[Span]:
        """What an editor colours, in order of place."""
        weighted = [
            Span(start, end, "weight", weight)
            for _, weight, start, end in self.pieces
            if weight not in {1.0, -1.0} and end > start
        ]
        return sorted([*weighted, *self.marks], key=lambda span: (span.start, span.end))

    def to_json(self) -> dict[str, Any]:
        return {
            "parsed": [[text, round(weight, 10)] for text, weight in self.flat()],
            "networks": [
                {"kind": n.kind, "positional": list(n.positional), "named": dict(n.named)} for n in self.networks
            ],
            "and": [[text, weight] for text, weight in self.ands],
            "warnings": [{"message": w.message, "start": w.start, "end": w.end} for w in self.warnings],
        }


@lru_cache(maxsize=256)
def parse(text: str) -> PromptTree:
    """The tree of any text; never raises."""
    networks, marks = [], []
    for match in NETWORK.finditer(text):
        positional, named = [], []
        for argument in match[2].split(":"):
            name, equals, value = argument.partition("=")
            if equals:
                named.append((name, value))
            else:
                positional.append(argument)
        networks.append(Network(match[1], tuple(positional), tuple(named), match.start(), match.end()))
        marks.append(Span(match.start(), match.end(), "network"))
    warnings: list[Warning] = []
    pieces = _attention(_without_networks(text, networks), warnings, marks)
    ands = _ands(text, marks)
    _warn(text, pieces, ands, warnings)
    return PromptTree(
        text,
        tuple((p.text, p.weight, p.start, p.end) for p in pieces),
        tuple(networks),
        ands,
        tuple(sorted(warnings, key=lambda w: w.start)),
        tuple(marks),
    )


def _without_networks(text: str, networks: list[Network]) -> list[tuple[str, int]]:
    """The text's letters with their places, networks left out."""
    kept: list[tuple[str, int]] = []
    place = 0
    for network in networks:
        kept += [(letter, place + n) for n, letter in enumerate(text[place : network.start])]
        place = network.end
    return kept + [(letter, place + n) for n, letter in enumerate(text[place:])]


def _attention(letters: list[tuple[str, int]], warnings: list[Warning], marks: list[Span]) -> list[_Piece]:
    """Weighted pieces of the text, BREAKs among them."""
    text = "".join(letter for letter, _ in letters)

    def place(offset: int) -> int:
        if offset < len(letters):
            return letters[offset][1]
        return letters[-1][1] + 1 if letters else 0

    pieces: list[_Piece] = []
    round_open: list[tuple[int, int]] = []
    square_open: list[tuple[int, int]] = []

    def scale(first: int, factor: float) -> None:
        for piece in pieces[first:]:
            piece.weight *= factor

    for match in TOKEN.finditer(text):
        token, at, end = match[0], place(match.start()), place(match.end() - 1) + 1
        if token.startswith("\\"):
            if len(token) > 1:
                marks.append(Span(at, end, "escape"))
                pieces.append(_Piece(token[1:], 1.0, at, end))
        elif token == "(":
            round_open.append((len(pieces), at))
        elif token == "[":
            square_open.append((len(pieces), at))
        elif match[1] is not None and round_open:
            first, _ = round_open.pop()
            try:
                scale(first, float(match[1]))
            except ValueError:
                warnings.append(Warning(f'"{match[1]}" is not a weight', at, end))
                marks.append(Span(at, end, "problem"))
        elif token == ")" and round_open:
            scale(round_open.pop()[0], ROUND)
        elif token == "]" and square_open:
            first, start = square_open.pop()
            _editing(text, letters, pieces[first:], start, end, warnings, marks)
            scale(first, SQUARE)
        else:
            if token in {")", "]"} or match[1] is not None:
                warnings.append(Warning(f'"{token[-1]}" closes nothing and is read as text', at, end))
                marks.append(Span(at, end, "problem"))
            _with_breaks(token, match.start(), place, pieces, marks)
    for stack, factor, letter in ((round_open, ROUND, "("), (square_open, SQUARE, "[")):
        for first, start in stack:
            scale(first, factor)
            warnings.append(Warning(f'"{letter}" is never closed and holds to the end', start, start + 1))
            marks.append(Span(start, start + 1, "problem"))
    return pieces


def _with_breaks(token: str, offset: int, place: Any, pieces: list[_Piece], marks: list[Span]) -> None:
    """Text with its BREAKs cut out; each swallows the blanks around it."""
    last = 0
    for match in re.finditer(r"\s*\bBREAK\b\s*", token):
        _add(token[last : match.start()], offset + last, place, pieces)
        word = token.index("BREAK", match.start())
        marks.append(Span(place(offset + word), place(offset + word + 4) + 1, "break"))
        pieces.append(_Piece(*BREAK, place(offset + word), place(offset + word + 4) + 1))
        last = match.end()
    _add(token[last:], offset + last, place, pieces)


def _add(text: str, offset: int, place: Any, pieces: list[_Piece]) -> None:
    end = place(offset + len(text) - 1) + 1 if text else place(offset)
    pieces.append(_Piece(text, 1.0, place(offset), end))


def _editing(
    text: str,
    letters: list[tuple[str, int]],
    inside: list[_Piece],
    start: int,
    end: int,
    warnings: list[Warning],
    marks: list[Span],
) -> None:
    """Say what `[a:b:0.5]`, `[a:0.8]` and `[a|b]` are: editing and alternation, no weights."""
    body = "".join(piece.text for piece in inside)
    if "|" in body:
        marks.append(Span(start, end, "alternate"))
    elif re.search(r":\s*[.\d]+\s*$", body):
        marks.append(Span(start, end, "editing"))
        if body.count(":") == 1:
            word, _, when = body.rpartition(":")
            warnings.append(
                Warning(
                    f"[{word}:{when}] is prompt editing, not a weight: write ({word}:{when.strip()})",
                    start,
                    end,
                )
            )


def _merge(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Neighbours of one weight become one; a prompt of nothing is one empty piece."""
    merged: list[tuple[str, float]] = []
    for text, weight in pieces:
        if merged and merged[-1][1] == weight and weight != BREAK[1]:
            merged[-1] = (merged[-1][0] + text, weight)
        else:
            merged.append((text, weight))
    return merged or [("", 1.0)]


def split_and(text: str) -> tuple[tuple[str, float], ...]:
    """((text, weight), ...) between the upper-case ANDs of a text without networks, trailing weights taken off."""
    parts = []
    for part in re.split(r"\bAND\b", text):
        match = AND_WEIGHT.match(part)
        weight = float(match[2]) if match and match[2] else 1.0
        parts.append((match[1] if match else part, weight))
    return tuple(parts)


def _ands(text: str, marks: list[Span]) -> tuple[tuple[str, float], ...]:
    """The parts of a prompt, its ANDs marked."""
    parts = split_and(NETWORK.sub("", text))
    if len(parts) > 1:
        marks += [Span(m.start(), m.end(), "and") for m in re.finditer(r"\bAND\b", text)]
    return parts


def _warn(text: str, pieces: list[_Piece], ands: tuple[tuple[str, float], ...], warnings: list[Warning]) -> None:
    for piece in pieces:
        if piece.weight != BREAK[1] and not 0.8 <= round(piece.weight, 6) <= 1.5 and piece.text.strip():
            warnings.append(
                Warning(
                    f'"{piece.text.strip()[:30]}" weighs {piece.weight:.3g}; 0.8 to 1.5 is usual',
                    piece.start,
                    piece.end,
                )
            )
    if len(ands) == 1 and ands[0][1] != 1.0:
        number = text.rstrip().rpartition(":")[2]
        at = text.rstrip().rfind(":")
        warnings.append(
            Warning(
                f"the trailing :{number} is read as a weight of the whole prompt",
                at,
                len(text.rstrip()),
            )
        )

"""A prompt from A1111's syntax to Compel's and back, with what is lost on the way.

Weights become `(text)1.3` and `(text:1.3)`, BREAK becomes `("a", "b").and()`, and AND a `.blend()`, which mixes texts
where AND mixes pictures. What the other side cannot say is left out and reported with its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from generation.errors import BadSpec, nearest
from generation.prompts import compel_syntax, grammar, schedule
from generation.prompts.compel_syntax import WEIGHABLE, CompelPrompt, Lora, Node, Swap, Text, Weighted
from generation.prompts.grammar import AND_WEIGHT, BREAK, Warning

SYNTAXES = ("a1111", "compel")
TRAILING = re.compile(r":(\s*)(?=[-+]?(?:\d+\.?|\d*\.\d+)\s*$)")
STEPS = 20
AND = re.compile(r"\bAND\b")


@dataclass(frozen=True)
class Converted:
    """The prompt in the other syntax, and what it no longer says: places are those of the text that was given."""

    text: str
    losses: list[Warning]


def convert(text: str, source: str, target: str) -> Converted:
    """The prompt in another syntax. Raises `BadSpec` for a syntax other than "a1111" and "compel"; no text raises."""
    for name in (source, target):
        if name not in SYNTAXES:
            raise BadSpec(f'there is no prompt syntax "{name}"', nearest(name, SYNTAXES) or 'Use "a1111" or "compel".')
    if source == target:
        return Converted(text, [])
    return _to_compel(text) if target == "compel" else _to_a1111(text)


# A1111 to Compel.


def _to_compel(text: str) -> Converted:
    losses: list[Warning] = []
    letters = _kept(text, losses)
    plain = "".join(letter for letter, _ in letters)
    bounds = [0, *(place for match in AND.finditer(plain) for place in match.span()), len(plain)]
    parts = list(zip(bounds[::2], bounds[1::2], strict=True))
    if len(parts) == 1:
        match = AND_WEIGHT.match(plain)
        if match and match[2]:
            _lose(
                losses,
                f"A1111 takes the trailing :{match[2]} for a weight of the whole prompt, Compel for text",
                letters[match.end(1) : match.end(2)],
            )
        sections = _sections(letters, losses)
        kind: Literal["", "and"] = "and" if len(sections) > 1 else ""
        weights = (1.0,) * len(sections) if kind else ()
        return Converted(str(CompelPrompt(tuple(sections), kind, weights)), losses)
    blended, shares = [], []
    for start, end in parts:
        match = AND_WEIGHT.match(plain[start:end])
        words = letters[start : start + match.end(1) if match else end]
        while words and words[0][0].isspace():
            words = words[1:]
        sections = _sections(words, losses)
        if len(sections) > 1:
            _lose(losses, "a BREAK in a part of an AND is left out", words)
        blended.append(tuple(node for section in sections for node in (*section, Text(" ")))[:-1])
        shares.append(float(match[2]) if match and match[2] else 1.0)
    _lose(losses, "AND becomes a blend: Compel mixes the texts, not the pictures", letters[bounds[1] : bounds[2]])
    return Converted(str(CompelPrompt(tuple(blended), "blend", tuple(shares))), losses)


def _lose(losses: list[Warning], message: str, letters: list[tuple[str, int]]) -> None:
    losses.append(Warning(message, letters[0][1], letters[-1][1] + 1))


def _kept(text: str, losses: list[Warning]) -> list[tuple[str, int]]:
    """The letters with their places, without networks; what changes by step stands as it does at the last of STEPS."""
    gone = []
    for network in grammar.NETWORK.finditer(text):
        losses.append(Warning(f"{network[0]} is left out: Compel loads no networks", *network.span()))
        gone.append(network.span())
    letters = _without(list(zip(text, range(len(text)))), gone)
    kept: list[tuple[str, int]] = []
    place = 0
    for start, end, kind in schedule.edits("".join(letter for letter, _ in letters)):
        what = "prompt editing" if kind == "editing" else "alternation"
        body = "".join(letter for letter, _ in letters[start:end])
        last = schedule.schedule(body, STEPS)[-1][1]
        _lose(losses, f"{body} becomes {last or 'nothing'}: Compel has no {what}", letters[start:end])
        kept += [*letters[place:start], *((letter, letters[start][1]) for letter in last)]
        place = end
    return kept + letters[place:]


def _without(letters: list[tuple[str, int]], gone: Iterable[tuple[int, int]]) -> list[tuple[str, int]]:
    kept: list[tuple[str, int]] = []
    place = 0
    for start, end in gone:
        kept += letters[place:start]
        place = end
    return kept + letters[place:]


def _sections(letters: list[tuple[str, int]], losses: list[Warning]) -> list[tuple[Node, ...]]:
    """The nodes of each stretch between BREAKs; one that is empty is left out, at least one is given."""
    text = "".join(letter for letter, _ in letters)
    pieces = [piece for piece in grammar.parse(text).pieces if piece[2] < piece[3]]
    runs: list[list[tuple[str, float, int, int]]] = [[]]
    for piece in pieces:
        last = runs[-1][-1] if runs[-1] else None
        if (piece[0], piece[1]) == BREAK:
            if not any(words.strip() for words, _, _, _ in runs[-1]):
                _lose(losses, "the empty chunk before this BREAK is left out", letters[piece[2] : piece[3]])
            runs.append([])
        elif last and last[1] == piece[1]:
            runs[-1][-1] = (last[0] + piece[0], last[1], last[2], piece[3])
        else:
            runs[-1].append(piece)
    sections = []
    for run in runs:
        nodes: list[Node] = []
        for words, weight, start, end in run:
            for node in _weighed(words, weight, letters[start:end], losses):
                before = nodes[-1] if nodes else None
                if isinstance(node, Text) and isinstance(before, Text):
                    nodes[-1] = Text(before.text + node.text)
                else:
                    nodes.append(node)
        if any(not isinstance(node, Text) or node.text.strip() for node in nodes):
            sections.append(tuple(nodes))
    return sections or [()]


def _weighed(words: str, weight: float, letters: list[tuple[str, int]], losses: list[Warning]) -> list[Node]:
    """A piece of one weight as nodes; what compel cannot weigh, or cannot say at all, is reported."""
    if re.search(r'\\[()"]', words):
        _lose(losses, "Compel has no backslash before a bracket or a quote: it is left out", letters)
        words = re.sub(r'\\+(?=[()"])', "", words)
    if re.search(r"[\x0b\x0c]", words):
        _lose(losses, "Compel refuses a vertical tab or form feed: it becomes a blank", letters)
        words = re.sub(r"[\x0b\x0c]", " ", words)
    weight = round(weight, 6)
    if not words.strip() or weight == 1:
        raw = compel_syntax.escape(words)
        for sign in compel_syntax.OPERATOR.finditer(raw):
            signs = re.match(r"[+-]+", raw[sign.start() :])
            said = signs[0] if signs else ""
            _lose(losses, f'a blank is put before "{said}", which Compel would read as a weight', letters)
        return [Text(words)]
    if not 0 <= weight < float("inf"):
        _lose(losses, f'"{words.strip()[:30]}" is left out: Compel has no weight of {weight:g}', letters)
        return []
    nodes: list[Node] = []
    stretch = ""
    for word in [*re.findall(r"\s+|\S+", words), None]:
        if word and (word.isspace() or WEIGHABLE.fullmatch(compel_syntax.escape(word))):
            stretch += word
            continue
        before, inner, after = _apart(stretch)
        stretch = ""
        nodes += [Text(before), Weighted((Text(inner),), weight), Text(after)] if inner else [Text(before)]
        if word:
            _lose(losses, f'"{word[:30]}" loses its weight of {weight:g}: Compel weighs no lone +, - or =', letters)
            nodes.append(Text(word))
    return [node for node in nodes if not isinstance(node, Text) or node.text]


def _apart(words: str) -> tuple[str, str, str]:
    """The blanks before, the words, the blanks behind."""
    inner = words.strip()
    start = len(words) - len(words.lstrip())
    return words[:start], inner, words[start + len(inner) :]


# Compel to A1111.


def _to_a1111(text: str) -> Converted:
    tree = compel_syntax.parse(text)
    losses = [warning for warning in tree.warnings if warning.message.startswith("Compel ")]
    parts = [_written(part, losses) for part in tree.parts]
    if tree.kind == "blend":
        losses.append(Warning("the blend becomes AND: A1111 mixes the pictures, not the texts", 0, len(text)))
        if not tree.normalize:
            losses.append(Warning("no_normalize is left out", 0, len(text)))
        joined = " AND ".join(f"{part} :{_number(share)}" for part, share in zip(parts, tree.weights, strict=True))
        return Converted("".join(f"{_network(lora)} " for lora in tree.loras) + joined, losses)
    if any(weight != 1 for weight in tree.weights):
        losses.append(Warning("the weights of .and() are left out: BREAK has none", 0, len(text)))
    joined = " BREAK ".join(part for part in parts if part)
    return Converted(TRAILING.sub(r":\1\\", joined), losses)


def _network(lora: Lora) -> str:
    return f"<lora:{lora.name}:{_number(lora.weight)}>"


def _written(nodes: Iterable[Node], losses: list[Warning]) -> str:
    """The nodes with the weights of what holds them multiplied in, a bracket around each stretch of one weight."""
    written = []
    for words, weight in _stretches(nodes, 1.0, losses):
        if weight is None:
            written.append(words)
        elif not words.strip() or round(weight, 6) == 1:
            written.append(_escaped(words))
        else:
            before, inner, after = _apart(words)
            written.append(f"{before}({_escaped(inner)}:{_number(weight)}){after}")
    return "".join(written)


def _stretches(nodes: Iterable[Node], scale: float, losses: list[Warning]) -> list[tuple[str, float | None]]:
    """[(text, weight), ...]; a network, which is written as it is, has the weight None."""
    row: list[tuple[str, float | None]] = []
    for node in nodes:
        if isinstance(node, Text):
            row.append((node.text, scale))
        elif isinstance(node, Weighted):
            row += _stretches(node.children, scale * node.weight, losses)
        elif isinstance(node, Swap):
            losses.append(Warning(".swap() is left out: A1111 has none, the original stays", node.start, node.end))
            row += _stretches(node.original, scale, losses)
        elif isinstance(node, Lora):
            row.append((_network(node), None))
    merged: list[tuple[str, float | None]] = []
    for words, weight in row:
        if merged and merged[-1][1] == weight:
            merged[-1] = (merged[-1][0] + words, weight)
        else:
            merged.append((words, weight))
    return merged


def _escaped(words: str) -> str:
    """Text that A1111 reads as these very letters: a backslash it does not know vanishes and parts the word."""
    words = re.sub(r"[()\[\]\\]", r"\\\g<0>", words)
    words = re.sub(r"\b(BREA)(?=K\b)|\b(AN)(?=D\b)", r"\g<0>\\", words)
    return re.sub(r"<(?=\w+:[^>]+>)", r"<\\", words)


def _number(value: float) -> str:
    """At most six digits behind the point, no exponent."""
    return f"{value:.6f}".rstrip("0").rstrip(".") or "0"

"""Tools for prompts: shorten, merge, explain, find repetitions and contradictions, compare. Pure functions of texts.

Knows what a phrase is worth: its weight, its place, whether it says anything new. Where a prompt may be cut is
`phrases`' matter, what its syntax means `generation.prompts`'.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cache

from assistant.phrases import OPPOSITES, PRAISE, Phrase, closed, joined, phrases, split
from assistant.words import content_words
from generation.prompts.chunks import SIZE, chunk
from generation.prompts.grammar import AND_WEIGHT, parse
from generation.prompts.tokens import ClipTokenizer


@dataclass(frozen=True)
class Shortened:
    """`text` of `tokens` tokens; `removed` are the phrases taken out, the first to go first."""

    text: str
    removed: list[str]
    tokens: int


@dataclass(frozen=True)
class Line:
    """What one part does. Kinds: phrase, weight, editing, alternate, network, break, and, chunk, warning."""

    kind: str
    text: str
    note: str


@dataclass(frozen=True)
class Duplicate:
    """`again` says what `first` has said; `exact` when in the same words."""

    first: str
    again: str
    exact: bool


@dataclass(frozen=True)
class Contradiction:
    """Two phrases that work against each other; `where` is both, positive or negative."""

    one: str
    other: str
    where: str


def shorten(text: str, tokenizer: ClipTokenizer, budget: int = SIZE) -> Shortened:
    """Bring a prompt within `budget` tokens with the least loss; one that fits stays as it is.

    What goes first: repetitions, near-repetitions, praise, then what weighs least, the last first; phrases weighted up
    only when no other is left. The first phrase and the networks stay, so the result may still be longer. The person's
    BREAKs stay between what is left, and each side of an AND has the budget to itself.
    """
    parts, behind = split(text)
    sides = [""]
    for part in parts:
        if part.kind == "and":
            sides.append("")
        else:
            sides[-1] += part.before + part.text
    if len(sides) == 1:
        return _shorten(text, tokenizer, budget)
    done = [_shorten(side.strip(), tokenizer, budget) for side in [*sides[:-1], sides[-1] + behind]]
    removed = [phrase for side in done for phrase in side.removed]
    short = " AND ".join(side.text for side in done) if removed else text
    return Shortened(short, removed, max(side.tokens for side in done))


def _shorten(text: str, tokenizer: ClipTokenizer, budget: int) -> Shortened:
    # `:1.2` behind everything weighs the whole prompt and stays behind everything.
    match = AND_WEIGHT.match(text)
    tail = text[match.end(1) :].rstrip() if match and match[2] else ""
    parts, behind = split(text.rstrip().removesuffix(tail) if tail else text)
    gone: list[int] = []

    def without(away: Sequence[int]) -> tuple[str, int]:
        kept = _kept(parts, set(away))
        last = not away or len(parts) - 1 not in away
        short = joined(kept, behind if last else "") + tail if away else text
        # "16:9" at the end would be read as a weight of the whole.
        if away and not tail and parse(short).ands[-1][1] != 1:
            short += ","
        return short, sum(c.tokens for c in chunk(short, tokenizer))

    short, tokens = without(gone)
    for number in _order(parts):
        if tokens <= budget:
            break
        gone.append(number)
        short, tokens = without(gone)
    # A large phrase that had to go may have left room for smaller ones.
    if tokens <= budget and not any(parts[number].raised for number in gone):
        for number in gone[-2::-1]:
            if any(parts[number].words <= part.words for n, part in enumerate(parts) if n not in gone):
                continue
            wider, more = without(fewer := [one for one in gone if one != number])
            if more <= budget:
                gone, short, tokens = fewer, wider, more
    return Shortened(short, [parts[number].text for number in gone], tokens)


def _kept(parts: Sequence[Phrase], away: set[int]) -> list[Phrase]:
    """The parts left; a BREAK with nothing left on one side goes too, and networks outlive their phrase."""
    kept: list[Phrase] = []
    for number, part in enumerate(parts):
        if number in away:
            if part.networks:
                kept.append(replace(part, text=part.networks, kind="network"))
        elif part.kind == "break" and away:
            upto = next((n for n in range(number + 1, len(parts)) if parts[n].kind == "break"), len(parts))
            section = range(number + 1, upto)
            if not section or any(n not in away for n in section):
                kept.append(part)
        else:
            kept.append(part)
    return kept


def _order(parts: Sequence[Phrase]) -> list[int]:
    """The numbers of the phrases that may go, the most dispensable first."""
    numbers = [n for n, part in enumerate(parts) if part.kind == "phrase"]
    first = next((n for n in numbers if parts[n].words), numbers[0] if numbers else -1)
    ranked = []
    for n in numbers:
        part = parts[n]
        if n == first or part.sticky:
            continue
        others = [(m, parts[m]) for m in numbers if m != n]
        # Of two alike the heavier stays, else the earlier; the wider of two stays if it weighs no less.
        if any(one.key == part.key and _stays(m, one, n, part, first) for m, one in others):
            stage = 0
        elif not part.words or any(
            (part.words < one.words and one.weight >= part.weight)
            or (part.words == one.words and _stays(m, one, n, part, first))
            for m, one in others
        ):
            stage = 1
        elif part.words <= PRAISE:
            stage = 2
        else:
            stage = 3
        ranked.append((part.raised, stage, part.weight, -n))
    return [-key[3] for key in sorted(ranked)]


def _stays(m: int, one: Phrase, n: int, other: Phrase, first: int) -> bool:
    return m == first or (-one.weight, m) < (-other.weight, n)


def merge(a: str, b: str) -> str:
    """Both prompts in one: a's phrases in their order, then what only b has. Of two alike the heavier text stays."""
    chosen: list[Phrase] = []
    places: dict[str, int] = {}
    for part in [*split(closed(a))[0], *split(closed(b))[0]]:
        if part.keyword:
            chosen.append(part)
        elif part.key not in places:
            places[part.key] = len(chosen)
            chosen.append(part)
        elif part.strength > chosen[places[part.key]].strength:
            chosen[places[part.key]] = part
    text = ""
    keyword = ""
    for part in chosen:
        if part.keyword:
            keyword = part.text
        else:
            text += (f" {keyword} " if keyword else ", ") + part.text if text else part.text
            keyword = ""
    return text


def explain(text: str, tokenizer: ClipTokenizer) -> list[Line]:
    """What each part of the prompt does, then its chunks, then the traps in it."""
    tree = parse(text)
    lines = []
    for part in split(text)[0]:
        marks = {mark.kind for mark in parse(part.text).marks}
        if part.kind == "break":
            lines.append(Line("break", part.text, "ends the chunk; what follows is read by itself"))
        elif part.kind == "and":
            lines.append(Line("and", part.text, "the sides are two prompts whose pictures are mixed at every step"))
        elif part.kind == "network":
            network = parse(part.text).networks[0]
            lines.append(Line("network", part.text, f'loads {network.kind} "{network.name}" at {part.strength:g}'))
        elif "alternate" in marks:
            lines.append(Line("alternate", part.text, "takes the options in turn, one a step"))
        elif "editing" in marks:
            lines.append(Line("editing", part.text, "changes the words while the picture is made"))
        elif abs(part.weight - 1) > 1e-6:
            more = "more" if part.raised else "less"
            lines.append(Line("weight", part.text, f"counts {more}: {part.weight:.3g} times"))
        elif part.words and part.words <= PRAISE:
            lines.append(Line("phrase", part.text, "praise; shows nothing by itself"))
        else:
            lines.append(Line("phrase", part.text, "counts as it stands"))
        if part.kind == "phrase":
            inside = [parse(one).networks[0] for one in re.findall(r"<\w+:[^>]+>", part.text)]
            lines += [Line("network", n.name, f'loads {n.kind} "{n.name}"') for n in inside]
    sides = [side for side, _ in tree.ands] if len(tree.ands) > 1 else [text]
    for number, one in enumerate((one for side in sides for one in chunk(side, tokenizer)), 1):
        lines.append(Line("chunk", one.text, f"chunk {number}: {one.tokens} of {SIZE} tokens"))
    return lines + [Line("warning", text[w.start : w.end], w.message) for w in tree.warnings]


def duplicates(text: str) -> list[Duplicate]:
    """Phrases that say nothing new: the same words again, or only words of one longer phrase."""
    found = []
    parts = phrases(text)
    for n, part in enumerate(parts):
        same = next((one for one in parts[:n] if one.key == part.key), None)
        wider = next((one for m, one in enumerate(parts) if part.words and m != n and _covers(one, part, m < n)), None)
        if same or wider:
            found.append(Duplicate((same or wider or part).text, part.text, same is not None))
    return found


def _covers(one: Phrase, part: Phrase, earlier: bool) -> bool:
    return part.words < one.words or (earlier and part.words == one.words)


def contradictions(positive: str, negative: str) -> list[Contradiction]:
    """What both prompts name (the negative takes it back), and opposites asked for in one prompt."""
    wanted, unwanted = phrases(positive), phrases(negative)
    found = [
        Contradiction(one.text, other.text, "both")
        for one in wanted
        for other in unwanted
        if one.key == other.key or (other.words and other.words <= one.words)
    ]
    for where, parts in (("positive", wanted), ("negative", unwanted)):
        for left, right in _opposites():
            ones = [part for part in parts if left <= part.words]
            others = [part for part in parts if right <= part.words]
            found += [Contradiction(one.text, other.text, where) for one in ones[:1] for other in others[:1]]
    return found


@cache
def _opposites() -> list[tuple[set[str], set[str]]]:
    """The stems, once: made at every call they took 30 ms while a person types."""
    return [(content_words(left), content_words(right)) for left, right in OPPOSITES]


def difference(old: str, new: str) -> list[tuple[str, str]]:
    """(kept, removed or added; phrase), in order: kept and removed make up the old prompt, kept and added the new."""
    before, after = ([part.text for part in split(text)[0]] for text in (old, new))
    found: list[tuple[str, str]] = []
    for op, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if op == "equal":
            found += [("kept", phrase) for phrase in before[i:j]]
        else:
            found += [("removed", phrase) for phrase in before[i:j]] + [("added", phrase) for phrase in after[k:m]]
    return found

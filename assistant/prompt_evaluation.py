"""How well an expander of prompts keeps to what it was given, in numbers and without taste.

Knows lists of ideas (GenEval's JSON lines, PartiPrompts' table, a line each) and counts: words and weights kept,
phrases repeated, the budget of chunks, variety, objects, counts and colours named. Leaves expanding to the function it
is given and judging pictures to nobody.
"""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from assistant.errors import BadArgument
from assistant.phrases import phrases
from assistant.words import content_words, stems
from generation.prompts.chunks import chunk
from generation.prompts.grammar import BREAK, parse
from generation.prompts.tokens import ClipTokenizer

NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
COLOURS = frozenset("red orange yellow green blue purple pink brown black white".split())  # GenEval's
PLACES = 4  # decimals of a share


@dataclass(frozen=True)
class Thing:
    """An object that an idea names; `count` 1 is not asked for, "" is no colour."""

    name: str
    count: int = 1
    colour: str = ""


@dataclass(frozen=True)
class Idea:
    """A short prompt to expand, and the things in it where they are known."""

    text: str
    things: tuple[Thing, ...] = ()


def load(path: Path) -> list[Idea]:
    """The ideas of .jsonl (prompt, include), .tsv (column Prompt) or one a line. Raises `BadArgument` with the line."""
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError as error:
        raise BadArgument(f"there is no file {path}", "Check the path.") from error
    except OSError as error:
        raise BadArgument(f"{path} cannot be read: {error.strerror or error}", "Check its rights.") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadArgument(f"{path}, line {line}: this is not UTF-8", "Save the file as UTF-8.") from error
    read = {".jsonl": _geneval, ".tsv": _parti}.get(path.suffix.lower(), _lines)
    ideas = read(text.split("\n"), path)
    if not ideas:
        raise BadArgument(f"{path} holds no ideas", "Write one idea a line.")
    return ideas


def _lines(lines: Sequence[str], path: Path) -> list[Idea]:
    return [Idea(line.strip()) for line in lines if line.strip()]


def _parti(lines: Sequence[str], path: Path) -> list[Idea]:
    """Quotes are letters in this table."""
    rows = csv.reader((line.rstrip("\r") for line in lines), delimiter="\t", quoting=csv.QUOTE_NONE)
    header = next(rows, [])
    if "Prompt" not in header:
        raise BadArgument(f"{path}, line 1: there is no column Prompt", "Name the columns in the first line.")
    at = header.index("Prompt")
    found = []
    for row in rows:
        if row and (len(row) != len(header) or not row[at].strip()):
            raise BadArgument(
                f"{path}, line {rows.line_num}: {len(row)} cells for {len(header)} columns, or no prompt",
                "Mend that line.",
            )
        if row:
            found.append(Idea(row[at].strip()))
    return found


def _geneval(lines: Sequence[str], path: Path) -> list[Idea]:
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            things = tuple(
                Thing(str(one["class"]), int(one.get("count", 1)), str(one.get("color", "")))
                for one in entry.get("include", [])
            )
            if not isinstance(entry["prompt"], str) or not entry["prompt"].strip():
                raise ValueError("the prompt is empty")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise BadArgument(f"{path}, line {number}: {what}", 'Write {"prompt": ..., "include": [...]}.') from error
        found.append(Idea(entry["prompt"].strip(), things))
    return found


def evaluate(
    expander: Callable[[str, int], str],
    ideas: Iterable[Idea | str],
    tokenizer: ClipTokenizer,
    budget: int = 1,
) -> dict[str, float | int | None]:
    """Expand every idea (idea number n with seed n) and count.

    Shares lie within 0 and 1. `kept_words`: ideas whose every word of meaning and every weight is in the result;
    `repeated_phrases`: how many phrases came twice, in all; `budget_kept`: results of at most `budget` chunks, or no
    more than the idea has; `distinct_2`: different pairs of words of all pairs; `objects_kept`, `counts_kept` and
    `colours_kept`: of the things named, None where the ideas name none; `disturbed`: things that what was added names
    again, or gives a second count or colour; `ms`: the mean time of one expansion.
    """
    total = words_kept = repeated = in_budget = disturbed = 0
    tally: dict[str, list[bool]] = {"objects": [], "counts": [], "colours": []}
    pairs: list[tuple[str, str]] = []
    seconds = 0.0
    for seed, idea in enumerate(Idea(one) if isinstance(one, str) else one for one in ideas):
        start = time.perf_counter()
        result = expander(idea.text, seed)
        seconds += time.perf_counter() - start
        total += 1
        words_kept += keeps(idea.text, result)
        repeated += repetitions(result)
        in_budget += len(chunk(result, tokenizer)) <= max(budget, len(chunk(idea.text, tokenizer)))
        words = _words(result)
        pairs += pairwise(words)
        added = _words_added(_words(idea.text), words)
        for thing in idea.things:
            survives(thing, words, tally)
            disturbed += disturbs(thing, added)
    return {
        "ideas": total,
        "kept_words": _share(words_kept, total),
        "repeated_phrases": repeated,
        "budget_kept": _share(in_budget, total),
        "distinct_2": _share(len(set(pairs)), len(pairs)),
        **{f"{name}_kept": _share(sum(found), len(found)) for name, found in tally.items()},
        "disturbed": disturbed,
        "ms": round(1000 * seconds / total, 3) if total else None,
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, PLACES) if whole else None


def _words(prompt: str) -> list[str]:
    return stems("".join(text if (text, weight) != BREAK else " " for text, weight in parse(prompt).flat()))


def keeps(idea: str, result: str) -> bool:
    """Whether every word of meaning, weighted piece and network of the idea is in the result."""
    if not set(_words(idea)) <= set(_words(result)):
        return False
    if not _weighted(idea) <= _weighted(result):
        return False
    there = {(n.kind, n.positional, n.named) for n in parse(result).networks}
    return all((n.kind, n.positional, n.named) in there for n in parse(idea).networks)


def _weighted(prompt: str) -> set[tuple[str, float]]:
    pieces: list[tuple[str, float]] = parse(prompt).flat()
    return {
        (" ".join(text.lower().split()).strip(" ,"), round(weight, 4))
        for text, weight in pieces
        if weight not in {1.0, BREAK[1]} and text.strip(" ,")
    }


def repetitions(prompt: str) -> int:
    """How many phrases of the prompt say again what one has said in the same words."""
    keys = [part.key for part in phrases(prompt) if part.words]
    return len(keys) - len(set(keys))


def _words_added(idea: list[str], result: list[str]) -> list[str]:
    """The words of the result that are not the idea's, in order."""
    left = Counter(idea)
    added = []
    for word in result:
        if left[word]:
            left[word] -= 1
        else:
            added.append(word)
    return added


def disturbs(thing: Thing, added: list[str]) -> bool:
    """Whether added words name the object again, or a colour beside its own, or a count beside its own."""
    forms = [stems(thing.name + ending) for ending in ("", "s", "es")]
    if any(form and added[n : n + len(form)] == form for form in forms for n in range(len(added))):
        return True
    if thing.colour and set(added) & content_words(" ".join(COLOURS)):
        return True
    spelled = content_words(" ".join(NUMBERS))
    # "50mm" is two words here and counts nothing.
    counts = [
        n for n, word in enumerate(added) if word in spelled or (word.isdigit() and added[n + 1 : n + 2] != ["mm"])
    ]
    return thing.count > 1 and bool(counts)


def survives(thing: Thing, words: list[str], tally: dict[str, list[bool]]) -> None:
    """Add to the tally whether the object, its count and its colour are among the words, in front of the object."""
    # "buses" and "tvs" have other stems than "bus" and "tv".
    forms = [stems(thing.name + ending) for ending in ("", "s", "es")]
    places = [(n, len(form)) for form in forms if form for n in range(len(words)) if words[n : n + len(form)] == form]
    tally["objects"].append(bool(places))
    # A count or colour belongs to the object when it stands within three words in front of it.
    near = {word for n, _ in places for word in words[max(0, n - 3) : n]}
    if thing.count > 1:
        spelled = content_words(NUMBERS[thing.count]) if thing.count < len(NUMBERS) else set()
        tally["counts"].append(bool(near & (spelled | {str(thing.count)})))
    if thing.colour:
        after = {word for n, size in places for word in words[n + size : n + size + 2]}
        tally["colours"].append(content_words(thing.colour) <= near | after)

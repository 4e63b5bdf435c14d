"""What a draft may be completed with and what goes with what: the slots, subjects and axes of assistant/vocabulary.

Knows when two texts exclude each other, what a picture is (photo, painted, ...) and what it shows, by plain words.
Leaves choosing to `choosing` and the order of slots to `templates`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from assistant.words import content_words

FOLDER = Path(__file__).parent.parent / "vocabulary"
ORIGIN, TEMPLATE = "vocabulary", "template"
# What a picture is called where words of several kinds stand in a prompt: a photograph of an illustration is a photo.
KINDS = ("photo", "flat", "modelled", "crafted", "painted", "drawn")
# A picture of people with a lamp is of people.
SUBJECTS = (
    "people", "animals", "vehicles", "buildings", "landscape", "plants", "food", "things", "abstract",
)  # fmt: skip
# Where a person's phrase is looked for; "soft studio light" is of light before it is of a studio.
_SLOTS = ("lighting", "camera", "medium", "colour", "quality", "style", "setting")
_PLAIN = re.compile(r"[^\W\d_][\w' -]{2,40}")
# "against a brick wall" says where without any of the setting's signs; "in the style of" does not.
_SOMEWHERE = re.compile(
    r"\b(?:in|on|at|inside|beside|near|behind|above|below|under|against|among|between|through|over)\s+"
    r"(?!(?:(?:a|the)\s+)?(?:styles?|front|colou?rs?|love)\b)(?:(?:an?|the|his|her|its|their|some)\s+)?[^\W\d_]{3,}"
)


@dataclass(frozen=True)
class Candidate:
    """A phrase for a slot. `say` is its sentence with {it} or {a}; `origin` says whose phrase it is."""

    slot: str
    text: str
    say: str = ""
    origin: str = ORIGIN


@dataclass(frozen=True)
class _Group:
    phrases: tuple[str, ...]
    say: str
    kinds: frozenset[str]
    subjects: frozenset[str]


@dataclass(frozen=True)
class Profile:
    """What an idea says: its words, what it is (`kind`, "" unknown), what it shows (`subject`, "" unknown)."""

    text: str
    words: frozenset[str]
    kind: str
    subject: str


@cache
def rules() -> dict[str, Any]:
    return tomllib.loads((FOLDER / "rules.toml").read_text("utf-8"))


@cache
def slots() -> dict[str, dict[str, Any]]:
    """Slot -> {"signs", "groups"} of slots.toml."""
    return tomllib.loads((FOLDER / "slots.toml").read_text("utf-8"))


def phrases_of(slot: str) -> list[str]:
    """All phrases of a slot of slots.toml."""
    return [phrase for group in slots()[slot]["groups"] for phrase in group["phrases"]]


@cache
def _groups(slot: str) -> tuple[_Group, ...]:
    return tuple(
        _Group(
            tuple(group["phrases"]),
            group["say"],
            frozenset(group.get("kinds", [])),
            frozenset(group.get("subjects", [])),
        )
        for group in slots().get(slot, {"groups": []})["groups"]
    )


# Words


def _word(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


@lru_cache(maxsize=4096)
def folded(text: str) -> str:
    """The words of a text between blanks, hyphens and plurals taken off, so that "lights" is found by "light"."""
    words = (_word(word) for word in re.findall(r"[^\W_]+", text.lower()))
    return f" {' '.join(words)} "


@lru_cache(maxsize=4096)
def said_by(text: str) -> frozenset[str]:
    """The words of a text that carry meaning, stemmed; a draft asks for the same few hundred over and over."""
    return frozenset(content_words(text))


def holds(text: str, words: Iterable[str]) -> bool:
    """Whether any of the words or word groups stands in the text."""
    inside = folded(text)
    return any(folded(word) in inside for word in words)


@lru_cache(maxsize=1024)
def kind_of(text: str) -> str:
    """What a picture of this prompt is, "" where it does not say."""
    table = rules()["kinds"]
    return next((kind for kind in KINDS if holds(text, table[kind])), "")


@lru_cache(maxsize=256)
def subjects_of(text: str) -> tuple[str, ...]:
    """The sorts of subjects named, the most telling first; "hot dog" is no dog."""
    inside = folded(text)
    found = set()
    for words, sort in _subject_words():
        if words in inside:
            found.add(sort)
            inside = inside.replace(words, " | ")
    return tuple(sort for sort in SUBJECTS if sort in found)


@cache
def _subject_words() -> list[tuple[str, str]]:
    pairs = [(folded(word), sort) for sort, words in rules()["subjects"].items() for word in words]
    return sorted(pairs, key=lambda pair: -pair[0].count(" "))


def profile(text: str) -> Profile:
    """What an idea without syntax says."""
    sorts = subjects_of(text)
    return Profile(text, said_by(text), kind_of(text), sorts[0] if sorts else "")


# Rules


@lru_cache(maxsize=4096)
def traits(text: str) -> Mapping[str, frozenset[str]]:
    """Axis -> the values a text has on it."""
    found = {}
    for axis, values in rules()["axes"].items():
        named = frozenset(value for value, words in values.items() if holds(text, words))
        if named:
            found[axis] = named
    return found


def clash(one: str, other: str) -> bool:
    """Whether two texts exclude each other: night and golden hour, a macro lens and a wide shot."""
    left, right = traits(one), traits(other)
    return any(not values & right[axis] for axis, values in left.items() if axis in right)


def names(text: str, what: str) -> set[str]:
    """The "numbers" or "colours" in a text; digits count as numbers."""
    inside = folded(text)
    found = {word for word in rules()["names"][what] if folded(word) in inside}
    return found | set(re.findall(r"(?<!\w)\d+(?!\w)", text)) if what == "numbers" else found


def recounts(idea: str, phrase: str, *, strict: bool = True) -> bool:
    """Whether the phrase brings a count or colour beside those the idea has chosen, or counts its things.

    What the person's notes or a larger model say may name the colour of something else, unless `strict`.
    """
    shared = said_by(idea) & said_by(phrase)
    for what in ("numbers", "colours"):
        there = names(idea, what)
        if names(phrase, what) <= there:
            continue
        if there and (strict or shared or what == "numbers" or slot_of(phrase) == "colour"):
            return True
        if shared and what == "numbers":
            return True
    return False


def goes_with(candidate: str, idea: Profile, others: Sequence[str]) -> bool:
    """Whether a phrase may stand beside the idea and the phrases already there: nothing twice, nothing against it."""
    words = said_by(candidate)
    if not words or words & idea.words or any(words & said_by(other) for other in others):
        return False
    return (
        not clash(candidate, idea.text)
        and not recounts(idea.text, candidate)
        and not any(clash(candidate, other) for other in others)
    )


def decided(slot: str, text: str) -> bool:
    """Whether the idea has decided this slot by itself."""
    signs = slots().get(slot, {}).get("signs", [])
    return holds(text, signs) or (slot == "setting" and _SOMEWHERE.search(text.lower()) is not None)


def candidates(
    slot: str, idea: Profile, kind: str, own: Mapping[str, Sequence[str]], first: Sequence[str] = ()
) -> list[Candidate]:
    """What suits the slot: the template's phrases, the person's by their origin, then the vocabulary's.

    Phrases of a group that names kinds or subjects are left out where the picture's are others or not known.
    """
    groups = _groups(slot)
    found = [Candidate(slot, text, _said(groups, text), TEMPLATE) for text in first]
    for origin, texts in own.items():
        # A style's "emotional" or "high budget" is of no slot but of style.
        here = [text for text in texts if (slot_of(text) or "style") == slot]
        found += [Candidate(slot, text, _said(groups, text), origin) for text in here]
    for group in groups:
        if (not group.kinds or kind in group.kinds) and (not group.subjects or idea.subject in group.subjects):
            found += [Candidate(slot, text, group.say) for text in group.phrases]
    by_text: dict[str, Candidate] = {}
    for one in found:
        by_text.setdefault(one.text, one)
    return list(by_text.values())


def _said(groups: Sequence[_Group], text: str) -> str:
    return next((group.say for group in groups if text in group.phrases), "")


# The person's own phrases


def slot_of(phrase: str) -> str:
    """The slot that a phrase of the person's belongs to, "" where its words do not say."""
    for slot in _SLOTS:
        if phrase in phrases_of(slot):
            return slot
    # "green eyes" names a colour and is of no palette: some slots say by which words a phrase is theirs.
    return next((slot for slot in _SLOTS if holds(phrase, slots()[slot].get("own", slots()[slot]["signs"]))), "")


def plain(phrase: str) -> bool:
    """Whether a phrase is words alone, and few enough to be one."""
    return _PLAIN.fullmatch(phrase) is not None and len(phrase.split()) <= 5

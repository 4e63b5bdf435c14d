"""Phrases that are the person's: of their notes, their styles and the prompts they wrote.

Knows what in such a text reads like a part of a prompt. Leaves to `vocabulary` where a phrase may stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from assistant.drafting.vocabulary import plain, slot_of
from assistant.phrases import Counts, phrases
from assistant.styles import PLACE, Style
from assistant.words import content_words
from knowledge.records import Passage

NOTES, STYLES, PROMPTS = "notes", "styles", "your prompts"
OFTEN = 2  # prompts that hold a phrase before it counts as the person's habit


def of_styles(styles: Iterable[Style]) -> list[str]:
    """What styles add to a prompt, as phrases without syntax; a phrase of no known slot is one of style."""
    found = (part.key for style in styles for part in phrases(style.prompt.replace(PLACE, ",")))
    return list(dict.fromkeys(phrase for phrase in found if plain(phrase)))


def of_prompts(counts: Counts) -> list[str]:
    """The phrases of several prompts that say how a picture is made; what it shows belongs to its prompt alone."""
    return [phrase for phrase, count in counts if count >= OFTEN and plain(phrase) and slot_of(phrase)]


def of_notes(passages: Sequence[Passage], taken: frozenset[str]) -> dict[str, Passage]:
    """Phrases of the notes that read like parts of a prompt, with where they stand.

    Such are short members of comma lists, and what the person set in code marks or bold, in passages that hold at
    least half of the idea's words: one shared word ("blue") had lent a blue alien's skin to an apple.
    """
    found: dict[str, Passage] = {}
    for passage in passages:
        shared = content_words(f"{passage.heading} {passage.text}") & taken
        if not shared or len(shared) < len(taken) / 2:
            continue
        candidates = re.findall(r"`([^`\n]{3,60})`|\*\*([^*\n]{3,40})\*\*", passage.text)
        parts = [part for pair in candidates for item in pair for part in item.split(",")]
        for line in passage.text.splitlines():
            members = line.strip(" -*\t").split(",")
            if len(members) >= 4:
                parts += members[1:-1]
        for part in parts:
            phrase = part.strip(" .;:").lower()
            fits = 1 <= len(phrase.split()) <= 4 and re.fullmatch(r"[a-z0-9][a-z0-9' -]{2,32}", phrase)
            if fits and not re.match(r"(and|or|the|a|in|of)\b", phrase) and not content_words(phrase) <= taken:
                found.setdefault(phrase, passage)
    return found

"""One meaning in several words: what lets a Russian question find an English note, and "dark" find
"black".

The table (glossary.txt) is ours and small: the vocabulary of the field. A phrase in it counts where
its words stand side by side. What it does not hold may still meet as a name: Cyrillic letters are
put into Latin ones ("Пикачу", pikachu).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from knowledge.language import STOP_WORDS, VAGUE_TERMS, fold, stem, terms, words

_NAME = re.compile(r"(?<=\s)[А-ЯЁ]\w+")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_TO_LATIN: Mapping[int, str] = str.maketrans(
    dict(zip("абвгдезийклмнопрстуфцыэё", "abvgdeziiklmnoprstufcyee", strict=True))
    | {"ж": "zh", "х": "kh", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ь": "", "ю": "yu", "я": "ya"}
)
_SOUND_LETTERS = 6
_SOUND_LEAST = 5
_SOUNDS = {"kh": "k", "ch": "k", "ck": "k", "ph": "f", "th": "t", "ts": "s", "c": "k", "q": "k", "w": "v", "x": "ks",
           "z": "s", "y": "i", "h": "g"}  # fmt: skip
_SPELLINGS = re.compile("|".join(_SOUNDS))
_DOUBLED = re.compile(r"(.)\1+")
_SHARE = 0.5  # of a question's words that must be known for it to be put into English


@lru_cache(maxsize=1)
def _table() -> tuple[dict[str, tuple[str, ...]], dict[tuple[str, ...], tuple[str, ...]], dict[tuple[str, ...], str]]:
    """(stem -> stems of the same meaning, phrase of stems -> the same, Russian stems -> English words)."""
    single: dict[str, tuple[str, ...]] = {}
    phrases: dict[tuple[str, ...], tuple[str, ...]] = {}
    english: dict[tuple[str, ...], str] = {}
    for line in (Path(__file__).with_name("glossary.txt")).read_text("utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        entries = [entry.strip() for entry in line.split(",")]
        stems = list(dict.fromkeys(s for entry in entries if " " not in entry for s in _stems(entry)))
        for entry in entries:
            parts = tuple(stem(word) for word in words(entry) if word not in STOP_WORDS)
            if not parts:
                continue
            if len(parts) == 1:
                for one in _stems(entry):
                    single[one] = tuple(dict.fromkeys((*single.get(one, ()), *stems)))
            else:
                phrases[parts] = tuple(stems) or tuple(terms(entries[0]))
            if _CYRILLIC.search(parts[0]):
                for form in [parts] if len(parts) > 1 else [(one,) for one in _stems(entry)]:
                    english.setdefault(form, entries[0])
    return single, phrases, english


def _stems(entry: str) -> list[str]:
    """The stems of a word; of a Russian noun also that of a form which Snowball takes for another
    word: память and памяти, токен and токенов, проблема and проблему.
    """
    word = fold(entry)
    forms = [word]
    if _CYRILLIC.search(word):
        forms += [word[:-1] + "и"] if word[-1] == "ь" else [word[:-1] + "у"] if word[-1] == "а" else []
        forms += [word + "ов"] if word[-1] not in "аеийоуыьэюя" else []
    return list(dict.fromkeys(stem(one) for form in forms for one in words(form) if one not in STOP_WORDS))


def equivalents(
    question: str, sounds: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> dict[str, tuple[str, ...]]:
    """stem of the question -> other stems that mean the same; only those that have any.

    ``sounds`` holds the stems of the notes by their sound (``by_sound``): a word the table does not
    hold may be the same in both languages (косметика, cosmetics).
    """
    single, phrases, _ = _table()
    order = [stem(word) for word in words(question) if word not in STOP_WORDS]
    found: dict[str, tuple[str, ...]] = {}
    for one in order:
        others = tuple(other for other in single.get(one, ()) if other != one)
        if others:
            found[one] = others
    for phrase, others in phrases.items():
        for start in range(len(order) - len(phrase) + 1):
            if tuple(order[start : start + len(phrase)]) == phrase:
                for one in phrase:
                    found[one] = tuple(dict.fromkeys((*found.get(one, ()), *others)))
    for word in words(question):
        if _CYRILLIC.search(word) and len(word) > 3 and word not in STOP_WORDS and stem(word) not in found:
            alike = sounds.get(sound(stem(word)), ()) if len(stem(word)) >= _SOUND_LEAST else ()
            found[stem(word)] = tuple(dict.fromkeys((stem(latin(word)), *alike)))
    return found


def sound(word: str) -> str:
    """What a word of either script begins with, spelt by its sound: six letters, doubled ones once."""
    plain = _DOUBLED.sub(r"\1", _SPELLINGS.sub(lambda match: _SOUNDS[match.group()], latin(word)))
    return plain[:_SOUND_LETTERS]


def by_sound(stems: Iterable[str]) -> dict[str, list[str]]:
    """Latin stems of _SOUND_LEAST letters or more, by their sound."""
    found: dict[str, list[str]] = {}
    for one in stems:
        if len(one) >= _SOUND_LEAST and one.isascii() and one.isalpha():
            found.setdefault(sound(one), []).append(one)
    return found


def latin(word: str) -> str:
    """A Cyrillic word in Latin letters, as names are commonly written."""
    return word.translate(_TO_LATIN)


def in_english(question: str) -> str:
    """The question's words in English, word by word; empty where too few of them are known.

    No sentence, but near enough to one for an embedder that reads English only.
    """
    _, phrases, english = _table()
    order = [(word, stem(word)) for word in words(question) if word not in STOP_WORDS]
    stems = [one for _, one in order]
    names = {fold(name) for name in _NAME.findall(question)}
    said: list[str] = []
    known = 0
    at = 0
    while at < len(order):
        word, one = order[at]
        phrase = next((p for p in phrases if tuple(stems[at : at + len(p)]) == p and _CYRILLIC.search(p[0])), None)
        if phrase is not None:
            said.append(english[phrase])
            known += len(phrase)
            at += len(phrase)
            continue
        if not _CYRILLIC.search(word):
            said.append(word)
            known += 1
        elif (one,) in english:
            said.append(english[one,])
            known += 1
        elif one in VAGUE_TERMS:
            known += 1
        elif word in names:
            said.append(latin(word))
        at += 1
    return " ".join(said) if said and known >= _SHARE * len(order) else ""

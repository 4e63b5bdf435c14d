"""Words that carry meaning, stemmed: what answers and drafts are compared by. English and Russian."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import snowballstemmer

STOP = frozenset(
    """
    a an the of to in on at by for from with without and or but not no is are was were be been being am do does
    did has have had it its this that these those there here as if then than so such can could will would should
    may might must you your i we our they their he she his her what which who whom whose when where why how also
    very more most into over under between about after before during each any all some only just one и в на с по
    для из от до не но или что как это то же бы ли к у о об за при так а если есть был быть его её их
    """.split()
)


@cache
def _stemmers() -> tuple[Any, Any]:
    return snowballstemmer.stemmer("english"), snowballstemmer.stemmer("russian")


def content_words(text: str) -> set[str]:
    """Stems of the words that carry meaning; numbers as they stand."""
    return set(stems(text))


def stems(text: str) -> list[str]:
    """The same in order."""
    english, russian = _stemmers()
    found = []
    for word in re.findall(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:[-'][^\W\d_]+)*", text.lower()):
        if word in STOP:
            continue
        if word[0].isdigit():
            found.append(word)
        else:
            found.append((russian if re.search("[а-яё]", word) else english).stemWord(word))
    return found

"""Words: how text is cut into terms for the full text index and for comparing a question with a
sentence.

A term is a run of letters and digits, lower-cased, without accents on Latin letters, ё written as
е, and stemmed: Snowball English for Latin words, Snowball Russian for Cyrillic ones. Runs of
Chinese, Japanese and Korean characters become overlapping pairs, as they hold no spaces. The index
stores stems, so SQLite needs no stemmer of its own and one index serves both languages. Measured
on the Russian XQuAD set, BM25 nDCG@10 rises by stemming; the figures stand in tests/knowledge.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import snowballstemmer

_WORD = re.compile(r"[^\W_]+")
_DOTTED = re.compile(r"(?<!\w)(?:[^\W\d_]\.){2,}(?:[^\W\d_](?!\w))?")  # w.a.l.t. is walt
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_LATIN_MARK = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")

_english = snowballstemmer.stemmer("english")
_russian = snowballstemmer.stemmer("russian")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Words that say nothing about the subject of a question; left out of queries, kept in the index.
_STOP_ENGLISH = _words(
    """
    a about above after again against all also am an and any are aren as at be because been before
    being below between both but by can cannot could couldn d did didn do does doesn doing don
    down during each etc few for from further get gets had hadn has hasn have haven having he her
    here hers herself him himself his how i if in into is isn it its itself just ll m may me might
    more most mustn my myself no nor not now of off on once only or other our ours ourselves out
    over own please re s same shall shan she should shouldn so some such t tell than that the
    their theirs them themselves then there these they this those through to too under until up
    upon us ve very was wasn we were weren what when where which while who whom whose why will
    with would wouldn you your yours yourself yourselves
    """
)
_STOP_RUSSIAN = _words(
    """
    а без более бы был была были было быть в вам вас весь во вот все всего всех вы где да даже для
    до его ее если есть еще же за здесь и из или им их к каждый как какая какие каким какими каких
    какого какой какую ко когда кого кому которая которой которую которые который которых кто куда
    ли либо мне может можно мой мы на над надо нам нас не него нее нет ни них но ну о об один он
    она они оно от откуда очень по под почему при про с сам свой себя сколько со такая такие такое
    такой там те тем то того тоже той только том ты у уже чего чей чем что чтобы чье чья эта эти
    это этого этой этом этот я
    """
)


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """The stem of one lower-cased word."""
    if len(word) < 3 or word.isdigit():
        return word
    if _CYRILLIC.search(word):
        return str(_russian.stemWord(word))
    return str(_english.stemWord(word)) if word.isascii() else word


def fold(text: str) -> str:
    """Lower case, compatibility forms resolved (NFKC), accents off Latin letters, ё as е."""
    text = unicodedata.normalize("NFKC", text).lower()
    if text.isascii():
        return text
    text = _LATIN_MARK.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", text).replace("ё", "е")


def words(text: str) -> list[str]:
    """The folded words of ``text`` in order, not stemmed."""
    found: list[str] = []
    for match in _WORD.finditer(_DOTTED.sub(lambda dotted: dotted.group().replace(".", ""), fold(text))):
        word = match.group()
        if word.isascii() or not _CJK.search(word):
            found.append(word)
            continue
        for run in _CJK.findall(word):
            found.extend(run[i : i + 2] for i in range(max(1, len(run) - 1)))
        found.extend(part for part in _CJK.split(word) if part)
    return found


def terms(text: str) -> list[str]:
    """The stems of ``text`` in order."""
    return [stem(word) for word in words(text)]


STOP_WORDS = frozenset(fold(word) for word in (*_STOP_ENGLISH, *_STOP_RUSSIAN))

# Words of asking rather than of a subject; they count little where a question is compared.
VAGUE_TERMS = frozenset(
    stem(word)
    for word in _words(
        """
        work use used need call mean mention explain describe show say said know make give take
        happen example many much different difference kind type thing way name let one several
        instead want see look find set put keep go come try become start begin own whole first next
        possible good better best possibly else another choose pick ask allow enable
        нужен нужна нужно нужны делает делать работает работать значит означает называется зачем
        использовать используется применяется отличается отличие пример разница объясни расскажи
        сначала после потом затем уметь умеет умеют взять брать берут брали лучше хороший дай дать дает
        покажи назови перечисли несколько один вместо самый нужно собираемся поставить ставить стоит
        получить получается найти именно еще кроме
        """
    )
)


def content_terms(text: str) -> list[str]:
    """The distinct stems of a question that carry its subject, in order of first appearance.

    Where nothing but stop words is left (as in "who are you"), all its stems are returned.
    """
    kept = list(dict.fromkeys(stem(word) for word in words(text) if word not in STOP_WORDS))
    return kept or list(dict.fromkeys(terms(text)))

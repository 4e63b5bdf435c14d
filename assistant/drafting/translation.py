"""An idea in another language put into English, which is what the encoders of pictures read.

By a language model large enough, whose work is verified: networks, weights, keywords and numbers as they were. Else
Russian word by word, where every word is known. Else the text stays, and the person is told why. Nothing is dropped.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from assistant.drafting.choosing import able
from assistant.drafting.vocabulary import FOLDER
from assistant.llm import LARGE, LanguageModel, Message
from assistant.words import stems
from generation.prompts.grammar import NETWORK, parse
from knowledge.glossary import in_english

# Words that stand together, without any letter of the prompt grammar; a count in front belongs to them.
_RUN = re.compile(r"(?:(?<![\w.:])\d+[ \t]+)?[^\W\d_](?:[\w'’-]|[ \t](?=[\w'’-]))*")
_WORD = re.compile(r"[\w'’-]+")
_NOUNS = ("nouns", "glossary")
_IRREGULAR = {
    "man": "men", "woman": "women", "child": "children", "wolf": "wolves", "leaf": "leaves", "fish": "fish",
    "deer": "deer", "person": "people", "ruins": "ruins", "glasses": "glasses", "eyes": "eyes", "sheep": "sheep",
    "hair": "hair", "water": "water", "snow": "snow", "light": "light",
}  # fmt: skip


@dataclass(frozen=True)
class Translation:
    """`text` in English, or the person's own where it cannot be put into it; `how` is model, words, none or same.

    `unknown` are the words without a translation, `note` one line for the person ("" where all went well).
    """

    text: str
    how: str
    unknown: tuple[str, ...] = ()
    note: str = ""


def foreign(text: str) -> bool:
    """Whether a text has letters of another script than Latin outside its networks."""
    return any(
        letter.isalpha() and not unicodedata.name(letter, "LATIN").startswith(("LATIN", "MODIFIER"))
        for letter in NETWORK.sub("", text)
    )


def translate(
    text: str, model: LanguageModel | None, *, check: Callable[[], None] = lambda: None, always: bool = False
) -> Translation:
    """`text` in English, its syntax letter for letter; a text of Latin letters is left alone unless `always`."""
    if not foreign(text) and not (always and able(model, LARGE)):
        return Translation(text, "same")
    if model is not None and able(model, LARGE):
        said = _by_model(text, model, check)
        if said is None and foreign(text):
            said = _piece_by_piece(text, model, check)
        if said is not None:
            return Translation(said, "model")
    if not foreign(text):
        return Translation(text, "none", note="The language model did not keep to the text, so it stays as it is.")
    english, unknown = _by_words(text)
    check()
    if not unknown:
        return Translation(english, "words", note="Translated word by word; a larger language model does it better.")
    who = f"{model.name} cannot translate this" if model is not None else "Without a language model this stays"
    return Translation(
        text, "none", tuple(unknown),
        f"{who}, and these words are not known: {', '.join(unknown)}. Image models read little but English.",
    )  # fmt: skip


# By the model


def _ask(text: str, model: LanguageModel, check: Callable[[], None]) -> str:
    reply = "".join(
        model.stream(
            [
                Message(
                    "system",
                    "You translate prompts for image models into English. Translate the words alone. Keep brackets, "
                    "weights such as (word:1.2), tags such as <lora:name:1>, BREAK, AND, numbers and commas exactly "
                    "where they are. Answer with the translation only.",
                ),
                Message("user", text),
            ],
            max_tokens=min(40 + 2 * model.count(text), 400),
            check=check,
        )
    )
    return reply.strip().strip('“”"').strip() if not text.startswith('"') else reply.strip()


def _by_model(text: str, model: LanguageModel, check: Callable[[], None]) -> str | None:
    said = _ask(text, model, check)
    return said if faithful(text, said) else None


def _piece_by_piece(text: str, model: LanguageModel, check: Callable[[], None]) -> str | None:
    """The words between the syntax alone, so that the syntax cannot suffer."""
    said = _replaced(text, lambda run: " ".join(_ask(run, model, check).split()).rstrip("."))
    return said if said is not None and faithful(text, said) else None


def faithful(text: str, said: str) -> bool:
    """Whether a translation has the networks, weights, keywords, numbers and length of the text, in English letters."""
    if not said.strip() or foreign(said) or "\n" in said.strip() or len(said) > 4 * len(text) + 40:
        return False
    return _skeleton(text) == _skeleton(said)


def _skeleton(text: str) -> list[Any]:
    tree = parse(text)
    weights = [round(weight, 6) for piece, weight in tree.flat() if piece.strip(" ,") or weight == -1.0]
    return [
        [(n.kind, n.positional, n.named) for n in tree.networks],
        weights,
        [weight for _, weight in tree.ands],
        re.findall(r"[\[\]|:]", NETWORK.sub("", text)),
        sorted(re.findall(r"\d+(?:[.,]\d+)?", NETWORK.sub("", text))),
    ]


def _replaced(text: str, change: Callable[[str], str]) -> str | None:
    """The text with every run of foreign words changed; networks stay."""
    made, at = "", 0
    for network in [*NETWORK.finditer(text), None]:
        upto = network.start() if network else len(text)
        made += _RUN.sub(lambda match: change(match[0]) if foreign(match[0]) else match[0], text[at:upto])
        if network:
            made += network[0]
            at = network.end()
    return made


# Word by word


@cache
def _table() -> dict[str, tuple[str, str]]:
    """Word, and stem behind a star -> (sort, English)."""
    found: dict[str, tuple[str, str]] = {}
    for sort, words in tomllib.loads((FOLDER / "russian.toml").read_text("utf-8")).items():
        for forms, english in words.items():
            for form in [forms] if sort == "links" else forms.split():
                found.setdefault(_even(form), (sort, english))
                for stem in stems(" ".join(_cases(_even(form)))) if sort == "nouns" else stems(_even(form)):
                    if sort != "links":
                        found.setdefault(f"*{stem}", (sort, english))
    return found


def _cases(noun: str) -> list[str]:
    """A noun in several cases: Snowball takes туман and тумане for two words."""
    if noun[-1] in "аяоеь":
        return [noun, *(noun[:-1] + end for end in ("у", "ю", "е", "и", "ой", "ы"))]
    return [noun, *(noun + end for end in ("а", "у", "е", "ом", "ы"))] if noun[-1] not in "ыийую" else [noun]


def _even(word: str) -> str:
    return word.lower().replace("ё", "е")


def _known(word: str) -> tuple[str, str] | None:
    """(sort, English) of one word."""
    table, plain = _table(), _even(word)
    if not foreign(word):
        return "latin", word
    if plain in table:
        return table[plain]
    stem = next(iter(stems(plain)), "")
    if f"*{stem}" in table:
        return table[f"*{stem}"]
    english = in_english(plain)
    return ("glossary", english) if english else None


def _by_words(text: str) -> tuple[str, list[str]]:
    """(the text in English, the words not known)."""
    unknown: list[str] = []

    def change(run: str) -> str:
        said: list[str] = []
        before = count = ""
        for word in _WORD.findall(run):
            known = _known(word)
            if known is None:
                unknown.append(word)
                continue
            sort, english = known
            # Behind a noun stands a genitive: "портрет старого рыбака", portrait of an old fisherman.
            if before in _NOUNS and sort in {*_NOUNS, "adjectives"}:
                said.append("of")
            # These endings are of many: с горами, в лесах.
            many = sort in _NOUNS and re.search("(?:ами|ями|ах|ях)$", word.lower())
            if sort in _NOUNS and (many or count not in {"", "one", "1"}):
                english = _plural(english)
            count = english if sort == "numbers" or word.isdigit() else "" if sort in _NOUNS else count
            said.append(english)
            before = sort
        return " ".join(said)

    made = _replaced(text, change)
    return made if made is not None else text, list(dict.fromkeys(unknown))


def _plural(word: str) -> str:
    first, _, last = word.rpartition(" ")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif re.search(r"(?:s|x|ch|sh)$", last):
        last += "es"
    elif re.search(r"[^aeiou]y$", last):
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{first} {last}".strip()

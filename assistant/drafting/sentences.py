"""A draft as sentences, for models that read prose: composed by rule, or a large model's own and then verified.

Knows how a phrase is said ("It is lit by golden hour light") and when an idea is prose. The idea stands first,
literally: a small model chooses the phrases and never writes, so the English is right with any model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from assistant.drafting.attaching import attach
from assistant.drafting.vocabulary import Candidate, clash, names, rules
from assistant.llm import LARGE, LanguageModel, Message
from assistant.phrases import phrases
from assistant.words import content_words
from generation.prompts.grammar import parse

TAGS, SENTENCE, AUTO = "tags", "sentence", "auto"
STYLES = (TAGS, SENTENCE, AUTO)
OWN_WORDS = LARGE
_PROSE = 4  # words from which an idea with a verb is prose
# The order in which a picture is told, whatever the order of the slots.
_ORDER = ("setting", "medium", "style", "lighting", "camera", "colour", "quality")
_PREPOSITION = re.compile(r"\s+(?:of|with|in|on|at|from|for|through|to)\s+")


def form_of(idea: str) -> str:
    """What "auto" stands for: sentence where the idea is prose, else tags.

    Prose has no comma and no syntax, four words or more, and a finite verb of rules.toml, or ends as a sentence does.
    """
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", idea.lower())
    if "," in idea or len(words) < _PROSE or parse(idea).flat() != [(idea, 1.0)]:
        return TAGS
    verbs = set(rules()["sentences"]["verbs"])
    # "a stand of pines", "play of light": what follows an article is no verb.
    finite = any(word in verbs and before not in {"a", "an", "the", "of"} for before, word in pairwise(words))
    return SENTENCE if finite or idea.rstrip().endswith((".", "!", "?")) else TAGS


def compose(idea: str, chosen: Sequence[Candidate]) -> str | None:
    """The idea and its phrases in sentences; None where nothing may stand behind the idea."""
    by_slot: dict[str, list[Candidate]] = {}
    for one in chosen:
        by_slot.setdefault(one.slot if one.say else "", []).append(one)
    said: list[str] = []
    for slot in _ORDER:
        for one in by_slot.get(slot, []):
            if one.say.startswith("with "):
                clause = _said(one)
                # "The picture is an oil painting with impressionist brushwork."
                if said and said[-1].startswith("The picture is"):
                    said[-1] += " " + clause
                else:
                    said.append("The picture is made " + clause)
            else:
                said.append(_said(one))
    said += [_said(one) for slot, ones in by_slot.items() if slot and slot not in _ORDER for one in ones]
    if rest := [one.text for one in by_slot.get("", [])]:
        said.append("Details include " + (" and ".join([", ".join(rest[:-1]), rest[-1]]) if rest[1:] else rest[0]))
    if not said:
        return idea
    return attach(idea, ". ".join(said) + ".", ". ")


def _said(one: Candidate) -> str:
    return one.say.replace("{it}", one.text).replace("{a}", with_article(one.text))


def with_article(phrase: str) -> str:
    """ "an oil painting", "a shallow depth of field", "warm earth tones": by the word that the phrase is about."""
    head = _PREPOSITION.split(phrase)[0].split()[-1].lower()
    if head not in rules()["sentences"]["counted"]:
        return phrase
    # Letters and numbers said with a vowel: "an 85mm lens", "an f/2 lens".
    vowel = re.match(r"[aeio]|u(?!ki|ni|se)|8|11|18", phrase.lower())
    return f"{'an' if vowel else 'a'} {phrase}"


def own_words(
    idea: str,
    chosen: Sequence[Candidate],
    model: LanguageModel,
    seed: int,
    check: Callable[[], None],
) -> str | None:
    """A large model's sentences for the idea and the phrases chosen, or None where they do not keep to both.

    Kept: every content word of the idea, its numbers and colours and no others, nothing that the rules exclude, no
    sentence twice. An idea with weights, networks or editing is never rewritten.
    """
    if parse(idea).flat() != [(idea, 1.0)] or parse(idea).networks or parse(idea).ands[-1][1] != 1:
        return None
    wanted = ", ".join(one.text for one in chosen)
    reply = "".join(
        model.stream(
            [
                Message(
                    "system",
                    "You describe a picture for an image model in two to four plain sentences: only what is visible. "
                    "Keep every word of the idea. Add no other objects, numbers or colours.",
                ),
                Message("user", f"Idea: {idea}\nInclude: {wanted}"),
            ],
            max_tokens=160,
            temperature=0.5,
            repeat_penalty=1.1,
            grammar='root ::= sentence (" " sentence){1,3}\nsentence ::= [A-Z] [A-Za-z0-9,\' -]{8,200} "."\n',
            seed=seed,
            check=check,
        )
    )
    text = " ".join(reply.split())
    text = text[: text.rfind(".") + 1]  # the last sentence may be cut short by the token limit
    return text if text and keeps_to(text, idea) else None


def keeps_to(text: str, idea: str) -> bool:
    """Whether a model's text says all of the idea and nothing against it."""
    if not content_words(idea) <= content_words(text) or parse(text).flat() != [(text, 1.0)]:
        return False
    if names(text, "numbers") != names(idea, "numbers"):
        return False
    if names(idea, "colours") and not names(text, "colours") <= names(idea, "colours"):
        return False
    keys = [part.key for part in phrases(text) if part.words]
    return len(keys) == len(set(keys)) and not clash(text, idea)

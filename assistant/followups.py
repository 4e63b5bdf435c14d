"""A question that leans on the one before it, made to stand by itself. By rule: no model is asked.

English and Russian. The words taken over are shown to the person ("understood as ..."), so a wrong guess is seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.words import content_words
from knowledge.language import STOP_WORDS, fold

# "What about SDXL?", "And for portraits?", "А для SDXL?"
_OPENING = re.compile(
    r"^(?:and|or|but|what about|how about|what of|then|also|else|so)\b[\s,]*"
    r"|^(?:а|и|но|или|тогда|ещё|еще|(?:что|как) насч[её]т)(?=[\s,?])[\s,]*",
    re.IGNORECASE,
)
# "Why?", "Why so slow?"; a why with more words than one names its subject.
_WHY = re.compile(r"^(?:why|почему|зачем)\b", re.IGNORECASE)
# "What is LoRA?" has one word of its own and stands by itself.
_DEFINITION = re.compile(
    r"^(?:what(?:'s| is| are)|who(?:'s| is| are)|define|что такое|кто так(?:ой|ая|ие)|что значит)\s", re.IGNORECASE
)
_MORE = re.compile(
    r"(?:please )?(?:tell me more|more details?|go on|for example|elaborate|explain(?: it)?(?: more)?"
    r"|(?:give|show)(?: me)? (?:an|some|more) examples?"
    r"|(?:расскажи(?:те)? )?(?:по)?подробнее|(?:(?:приведи|дай|покажи)(?:те)? )?примеры?|например|продолжай(?:те)?)"
    r"(?:,? please|,? пожалуйста)?[\s.?!…]*",
    re.IGNORECASE,
)
_POINTING = re.compile(
    r"\b(?:it|its|they|them|their|this one|that one|the same|this|that|these|those|there)\b"
    r"|\b(?:он|она|оно|они|его|её|ее|их|им|ими|ней|нею|нему|нем|нём|него|неё|нее|них|ним|ними)\b"
    r"|\b(?:это|этот|эта|эту|эти|этого|этой|этом|этим|этих|там|то же)\b",
    re.IGNORECASE,
)
# "What is it that ...", "is there", "the sampler that ...", "это" at the head of a definition: these point at nothing.
_EMPTY = re.compile(
    r"\b(?:what is it that|what is it|is there|are there|that is|so that|такое это|что это за|это правда)\b"
    r"|\b(?:the|a|an|any|some|which|what)(?: [\w-]+){1,3}? that\b(?= \w)",
    re.IGNORECASE,
)
_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+(?:[-'.+][^\W_]+)*\+*")
_MOST = 8  # words taken over


def leans(question: str) -> bool:
    """Whether a question cannot be understood without the one before it."""
    own = content_words(question)
    question = question.strip()
    if _MORE.fullmatch(question) or (_OPENING.match(question) and len(own) <= 4):
        return True
    if len(own) <= 1 and (_WHY.match(question) or len(_WORD.findall(question)) <= 3):
        return not (own and _DEFINITION.match(question))
    return bool(_POINTING.search(_EMPTY.sub(" ", question))) and len(own) <= 5


def standalone(question: str, before: Sequence[str]) -> str:
    """`question` with the subject of the latest of `before` (standalone questions, oldest first) added to it.

    Unchanged where there is nothing before or it stands by itself. In "what about X" the old subject's own counterpart
    of X is not looked for: search weighs words, and X is among them.
    """
    if not before or not leans(question):
        return question
    own = content_words(question)
    taken: list[str] = []
    for word in _WORD.findall(before[-1]):
        stems = content_words(word)
        if (
            stems
            and fold(word) not in STOP_WORDS
            and not stems <= own
            and word.lower() not in {t.lower() for t in taken}
        ):
            taken.append(word)
    if not taken:
        return question
    bare = question.rstrip(" ?!.")
    return f"{bare} ({' '.join(taken[:_MOST])})?"
